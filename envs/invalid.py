"""One way to refuse a value: the key, the value, and what is allowed, in one line, before any work starts."""


class Invalid(ValueError):
    """A value that simlab does not accept.

    Parameters
    ----------
    key : str
        Name of the argument or configuration key.
    value : object
        What was given.
    allowed : str
        What would have been accepted, as the end of the sentence "... must be".
    """

    def __init__(self, key: str, value: object, allowed: str):
        self.key, self.value, self.allowed = key, value, allowed
        super().__init__(f"{key}={value}: must be {allowed}")

    def __reduce__(self) -> tuple:
        return type(self), (self.key, self.value, self.allowed)


def require(condition: object, key: str, value: object, allowed: str) -> None:
    """Raise :class:`Invalid` unless `condition` is true."""
    if not condition:
        raise Invalid(key, value, allowed)

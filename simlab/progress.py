"""What a long run tells of itself while it lasts, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_listeners: list[Callable[[str], None]] = []


def tell(standing: str) -> None:
    """Say how far a run is, in a few words."""
    for listener in _listeners:
        listener(standing)


@contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Hear it."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)

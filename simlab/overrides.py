"""Single overrides: KEY=VALUE as a user writes it and Hydra reads it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import OverrideParseException

from envs.invalid import Invalid
from simlab import catalogue
from simlab.refusal import Refused, sentence


def parse(parser: OverridesParser, word: str) -> Override:
    """Read one override, or refuse it."""
    key, equals, value = word.partition("=")
    try:
        override = parser.parse_overrides([word])[0]
    except OverrideParseException as error:
        if not equals:
            raise Refused(f"{word}: must be KEY=VALUE{_member(word)}") from None
        reason = sentence(error).removeprefix("LexerNoViableAltException: ")
        raise Invalid(key, value, f"written as Hydra reads it, text with , = : [ ] {{ }} in quotes ({reason})") from None
    if override.is_hydra_override():
        return override
    if override.is_delete():
        raise Refused(f"{word}: must be KEY=VALUE; no key can be deleted, each is needed")
    if override.package is not None:
        raise Invalid(key, value, f"written {override.key_or_group}=..., without @")
    return override


def written(override: Override) -> tuple[str, str]:
    """Key and value, as they were written."""
    return override.get_key_element(), override.get_value_string()


def without_plus(override: Override) -> None:
    """Refuse to add what is there."""
    if override.is_add():
        key, value = written(override)
        raise Invalid(key, value, f"written {override.key_or_group}={value}, without +: the key is there")


def product(overrides: Sequence[Override]) -> list[list[str]]:
    """The overrides of each run of a sweep, the last key varying fastest."""
    for override in overrides:
        key, value = written(override)
        if override.is_sweep_override() and not override.is_discrete_sweep():
            raise Invalid(key, value, "a list of values or a range()")
        if override.is_sweep_override() and not list(override.sweep_string_iterator()):
            raise Invalid(key, value, "at least one value")
    return BasicSweeper.split_arguments(list(overrides), None)[0]


def varying(overrides: Iterable[Override]) -> tuple[str, ...]:
    """The keys that take several values in a sweep."""
    swept = (override for override in overrides if override.is_sweep_override())
    return tuple(override.key_or_group for override in swept if len(list(override.sweep_string_iterator())) > 1)


def _member(word: str) -> str:
    """A hint, where `word` is the name of a member."""
    homes = [group for group, members in catalogue.groups().items() if word in members]
    return f" (did you mean {homes[0]}={word}?)" if homes else ""

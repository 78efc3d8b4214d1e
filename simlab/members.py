"""Members of groups as objects: Hydra makes them, and what they refuse is told by the key that the user can set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hydra.utils import instantiate

from envs.invalid import Invalid
from simlab.refusal import Refused, sentence
from simlab.sharing import once


def make(config: Mapping[str, Any], group: str) -> Any:
    """The object that the chosen member of a group describes."""
    with blaming(config, group):
        return once(group, str(config[group]), lambda: instantiate(config[group], _convert_="all"))


@contextmanager
def blaming(config: Mapping[str, Any], group: str) -> Iterator[None]:
    """Give errors that a member raises the full key of the value at fault."""
    try:
        yield
    except Refused:
        raise
    except Exception as error:
        cause = error.__cause__ if error.__cause__ is not None else error
        if isinstance(cause, Invalid):
            raise Invalid(_place(config, group, cause.key, cause.value), cause.value, cause.allowed) from cause
        target = config[group].get("_target_")
        raise Refused(f"{group}: must be what {target} accepts ({type(cause).__name__}: {sentence(cause)})") from cause


def _place(config: Mapping[str, Any], group: str, key: str, value: object) -> str:
    """The full key: of the places in a member that bear the name, the one that holds the value, else the outermost."""
    found = sorted(_places(config[group], key), key=lambda place: (place[1] != value, isinstance(place[1], Mapping), place[0].count(".")))
    if not found and key in config:
        return key
    return f"{group}.{found[0][0] if found else key}"


def _places(node: Mapping[str, Any], key: str) -> Iterator[tuple[str, Any]]:
    """Where in a node values of this name stand, keys of keys with dots, and the values."""
    for name, value in node.items():
        if name == key:
            yield str(name), value
        if isinstance(value, Mapping):
            yield from ((f"{name}.{below}", held) for below, held in _places(value, key))

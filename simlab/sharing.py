"""What the cells of a grid have in common is made once: members of equal settings, and the games that they draw."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

MOST = 32
"""How many of each kind are kept, the latest used."""

Made = TypeVar("Made")

_kept: ContextVar[dict[str, OrderedDict[Hashable, object]] | None] = ContextVar("_kept", default=None)


@contextmanager
def sharing() -> Iterator[None]:
    """Within, `once` makes what has the same key once; nothing is kept afterwards."""
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def once(kind: str, key: Hashable, make: Callable[[], Made]) -> Made:
    """What `make` returns, or returned for this key before; `key` must say all that it depends on."""
    kept = _kept.get()
    if kept is None:
        return make()
    made = kept.setdefault(kind, OrderedDict())
    if key not in made:
        made[key] = make()
        if len(made) > MOST:
            made.popitem(last=False)
    made.move_to_end(key)
    return made[key]  # type: ignore[return-value]

"""What the cells of a grid have in common is made once: members of equal settings, the games that they draw, and tableaus."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

MOST = 32
"""How many of each kind are kept, the latest used."""

Made = TypeVar("Made")

_Kept = dict[str, OrderedDict[Hashable, tuple[object, object]]]
_kept: ContextVar[_Kept | None] = ContextVar("_kept", default=None)


@contextmanager
def sharing() -> Iterator[None]:
    """Within, and so within others inside, `once` makes what has the same key once; nothing is kept afterwards."""
    if _kept.get() is not None:
        yield
        return
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def once(kind: str, key: Hashable, make: Callable[[], Made], of: object = None) -> Made:
    """What `make` returns, or returned for this key of the same object before; the two must say all that it depends on."""
    kept = _kept.get()
    if kept is None:
        return make()
    made, place = kept.setdefault(kind, OrderedDict()), (id(of), key)
    if place not in made:
        made[place] = (of, make())  # keeps the object too, so that no other has its id
        if len(made) > MOST:
            made.popitem(last=False)
    made.move_to_end(place)
    return made[place][1]  # type: ignore[return-value]

"""Bytes of tensors that are made, each storage once, from when it is made until it is gone."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only


class Stretch(NamedTuple):
    """A part of a pass through a model.

    Attributes
    ----------
    logits, others : bytes of logits and of all else, when they were most together
    base : bytes that a model with one more layer alike has more of, and has more of by as much when they are most
    """

    logits: int
    others: int
    base: int

    @property
    def bytes(self) -> int:
        """Together."""
        return self.logits + self.others

    def deeper(self, shallower: Stretch, more: int) -> Stretch:
        """The same in a model with so many layers more, from what it is in one with one layer less."""
        grown = more * (self.base - shallower.base)
        return Stretch(self.logits, self.others + grown, self.base + grown)


class Watched(TorchDispatchMode):
    """Counts, while it lasts, the bytes of tensors that were not there before.

    Parameters
    ----------
    there : tensors that were
    vocabulary : V; (rows, T, V) tensors are counted apart, as logits

    Attributes
    ----------
    stretches : those that have ended
    """

    def __init__(self, there: Iterable[Tensor], vocabulary: int) -> None:
        super().__init__()
        self.known = {id(tensor.untyped_storage()) for tensor in there}
        self.vocabulary = vocabulary
        self.sizes = {"logits": 0, "others": 0}
        self.stretches: list[Stretch] = []
        self.begin()

    @property
    def now(self) -> int:
        """Bytes at present."""
        return sum(self.sizes.values())

    def turn(self, grown: bool = False) -> None:
        """End a stretch and begin another; its base is what there was when it began, or, where it has `grown`, what there is now."""
        self.stretches.append(Stretch(**self.most, base=self.now if grown else self.base))
        self.begin()

    def begin(self) -> None:
        """A stretch begins, or begins again."""
        self.base, self.most = self.now, dict(self.sizes)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do it, and count what it made."""
        made = function(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._meet, made)
        if self.now > sum(self.most.values()):
            self.most = dict(self.sizes)
        return made

    def _meet(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if id(storage) not in self.known:
            self.known.add(id(storage))
            kind = "logits" if tensor.ndim == 3 and tensor.shape[-1] == self.vocabulary else "others"
            self.sizes[kind] += storage.nbytes()
            weakref.finalize(storage, self._part, id(storage), kind, storage.nbytes())

    def _part(self, known: int, kind: str, size: int) -> None:
        self.known.discard(known)
        self.sizes[kind] -= size

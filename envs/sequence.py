"""The world of sequences: a response is L tokens of a vocabulary of V, and all V^L of them stand in a ring, at each prompt another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.cyclic import Cyclic
from envs.dials import require_integer, require_number
from envs.invalid import require
from envs.world import World

MOST = 4096
"""Responses to a prompt, at most: a preference matrix has its square."""


@dataclass(frozen=True, kw_only=True)
class Sequence(World):
    """The ring of `envs.cyclic`, of K = V^L responses in random order: P = win for those that follow, a tie with the opposite one.

    Response number k is k written with L digits in base V. The order is drawn for each prompt, so that tokens carry no meaning of
    their own and the preference is intransitive whatever the length.

    Parameters
    ----------
    vocabulary : int
        V, at least 2.
    length : int
        L, at least 1, with 3 <= V^L <= 4096.
    win : float
        In [0, 1]; 1/2 makes every pair a tie.

    Raises
    ------
    Invalid
        For any other value.
    """

    vocabulary: int = 4
    length: int = 2
    win: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        require_integer("vocabulary", self.vocabulary, 2)
        require_integer("length", self.length, 1)
        require_number("win", self.win, 0, 1)
        fits = 3 <= self.vocabulary ** min(self.length, MOST) <= MOST
        require(fits, "length", self.length, f"such that 3 <= V^L <= {MOST}, V={self.vocabulary}")

    def preference(self, rng: np.random.Generator) -> NDArray:
        actions = self.vocabulary**self.length
        place = rng.permutation(actions)
        ring = Cyclic(n=actions, win=self.win).preference(rng)
        return ring[np.ix_(place, place)]

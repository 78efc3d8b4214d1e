"""The world of cycles: actions stand in a ring, and each beats those that follow it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.dials import require_integer, require_number
from envs.world import World


@dataclass(frozen=True, kw_only=True)
class Cyclic(World):
    """P[i, i + d mod n] = win for d = 1, ..., floor((n - 1) / 2); for even n the opposite action ties.

    Action 0 beats action 1, which beats action 2, and so on; n = 3 with win = 1 is rock, scissors, paper in this order.
    The uniform policy is an equilibrium, and no action is better than another.

    Parameters
    ----------
    n : int
        Number of actions, at least 3.
    win : float
        In [0, 1]; 1/2 makes every pair a tie, less turns the ring round.

    Raises
    ------
    Invalid
        For any other value.
    """

    n: int = 3
    win: float = 1.0

    random = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_integer("n", self.n, 3)
        require_number("win", self.win, 0, 1)

    def preference(self, rng: np.random.Generator) -> NDArray:
        del rng
        ahead = (np.arange(self.n) - np.arange(self.n)[:, None]) % self.n
        follows = (ahead > 0) & (2 * ahead < self.n)
        return np.where(follows, self.win, np.where(follows.T, 1.0 - self.win, 0.5))

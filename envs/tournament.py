"""The world of certain outcomes: of each pair one action always wins, and a fair coin has chosen which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.dials import require_integer
from envs.triangle import complete
from envs.world import World


@dataclass(frozen=True, kw_only=True)
class Tournament(World):
    """P[i, j] is 0 or 1 with probability 1/2 each, independently for i < j.

    Parameters
    ----------
    actions : int
        K, at least 2.

    Raises
    ------
    Invalid
        For any other value.
    """

    actions: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        require_integer("actions", self.actions, 2)

    def preference(self, rng: np.random.Generator) -> NDArray:
        return complete(rng.integers(0, 2, (self.actions, self.actions)).astype(np.float64))

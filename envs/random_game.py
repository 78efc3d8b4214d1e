"""The world without structure: every pair has its own uniform win probability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.dials import require_integer
from envs.triangle import complete
from envs.world import World


@dataclass(frozen=True, kw_only=True)
class RandomGame(World):
    """P[i, j] independent and uniform on [0, 1] for i < j.

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
        return complete(rng.random((self.actions, self.actions)))

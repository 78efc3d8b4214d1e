"""The world of preference embeddings: actions have a few features, and features beat features in a cycle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from envs.dials import require_integer, require_number
from envs.invalid import require
from envs.triangle import complete, skew
from envs.world import World


@dataclass(frozen=True, kw_only=True)
class LowRank(World):
    """logit P = strength S / rms(S), S = sum over r = 1, ..., rank of u_r v_r' - v_r u_r', a matrix of rank 2 rank.

    The vectors u_r and v_r are standard normal; the root mean square (rms) is taken off the diagonal. The form is
    that of the blade-chest inner product model (Chen and Joachims, "Modeling intransitivity in matchup and comparison
    data", WSDM 2016) and of preference embeddings of dimension 2 rank (Zhang et al., "General preference modeling with
    preference representations for aligning language models", arXiv 2410.02197, 2024).

    Parameters
    ----------
    actions : int
        K, at least 2 rank.
    rank : int
        Number of planes, at least 1.
    strength : float
        In [0.001, 10], nats: root mean square of the log-odds.

    Raises
    ------
    Invalid
        For any other value.
    """

    actions: int = 10
    rank: int = 1
    strength: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_integer("actions", self.actions, 2)
        require_integer("rank", self.rank, 1)
        require(2 * self.rank <= self.actions, "rank", self.rank, f"at most {self.actions // 2}, half the number of actions")
        require_number("strength", self.strength, 0.001, 10)

    def preference(self, rng: np.random.Generator) -> NDArray:
        blade, chest = rng.standard_normal((2, self.actions, self.rank))
        return complete(expit(self.strength * skew(blade @ chest.T)))

"""The world with a dial from transitive to purely cyclic, exact by construction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from envs.dials import require_integer, require_number
from envs.triangle import complete, skew
from envs.world import World


@dataclass(frozen=True, kw_only=True)
class Blend(World):
    """logit P = strength (sqrt(1 - t) T + sqrt(t) C), t the intransitivity.

    T[i, j] = r_i - r_j for standard normal scores r; C is a standard normal skew-symmetric matrix, projected on the
    matrices whose rows sum to zero: those that no score explains, any part of. Both have root mean square 1 off the
    diagonal, and they are orthogonal, so t is the cyclic share of the squared log-odds and `strength` their root mean
    square, in every draw. T and C depend on the generator alone: one seed gives the same two at each dial setting.

    `Game.intransitivity()` reads t back to 1e-12 unless an entry lies beyond its clip, log-odds of 6.9: the game is
    then the one stated here, and `Game.intransitivity_is_clipped` says that the reading is off. No entry exceeds
    strength sqrt(K (K - 1) / 2), which rules the clip out up to K = 10 at strength 1.

    Decomposition: Jiang, Lim, Yao and Ye, "Statistical ranking and combinatorial Hodge theory", Math. Program. 127 (2011).

    Parameters
    ----------
    actions : int
        K, at least 3: two actions have no cycle.
    intransitivity : float
        t in [0, 1]: 0 is a Bradley-Terry game, 1 has no transitive part.
    strength : float
        In [0.001, 10], nats: root mean square of the log-odds. Below, rounding would spoil the dial; above, nearly
        every pair is decided.

    Raises
    ------
    Invalid
        For any other value.
    """

    actions: int = 10
    intransitivity: float = 0.5
    strength: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_integer("actions", self.actions, 3)
        require_number("intransitivity", self.intransitivity, 0, 1)
        require_number("strength", self.strength, 0.001, 10)

    def preference(self, rng: np.random.Generator) -> NDArray:
        transitive = skew(np.tile(rng.standard_normal(self.actions)[:, None], self.actions))
        cyclic = skew(_without_scores(rng.standard_normal((self.actions, self.actions))))
        share = self.intransitivity
        return complete(expit(self.strength * (np.sqrt(1 - share) * transitive + np.sqrt(share) * cyclic)))


def _without_scores(matrix: NDArray) -> NDArray:
    """`matrix` less what scores explain: the rows of its skew part sum to zero."""
    score = (matrix - matrix.T).mean(axis=1)
    return matrix - score[:, None]

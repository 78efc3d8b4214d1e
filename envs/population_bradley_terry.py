"""The world of mixed rewards: every user follows a Bradley-Terry model, and together they follow none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.dials import require_integer, require_number
from envs.people import People, mixing_weights, require_concentration
from envs.population_world import PopulationWorld


@dataclass(frozen=True, kw_only=True)
class PopulationBradleyTerry(PopulationWorld):
    """User u prefers i to j with probability sigmoid(r_ui - r_uj), r_u = sum_m w_um R_m, a mixture of M drawn rewards.

    Each prompt has rewards of its own, the weights are the same for all. Responses are orthonormal, so that nothing learnt of one
    says anything of another, and a user's coordinates are the rewards (D = K).

    Parameters
    ----------
    users : int
        U, at least 1.
    prototypes : int
        M, at least 1.
    actions : int
        K, at least 2.
    scale : float
        In [0, 1000], nats: standard deviation of the entries of R, normal and independent.
    concentration : float
        Parameter of the symmetric Dirichlet distribution of the weights: 0 (one prototype a user), or in [0.01, 1000].

    Raises
    ------
    Invalid
        For any other value.
    """

    users: int = 40
    prototypes: int = 3
    actions: int = 10
    scale: float = 1.5
    concentration: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, least in {"users": 1, "prototypes": 1, "actions": 2}.items():
            require_integer(key, getattr(self, key), least)
        require_number("scale", self.scale, 0, 1000)
        require_concentration(self.concentration)

    def draw(self, rng: np.random.Generator) -> People:
        rewards, weights = rng.spawn(2)
        drawn = self.scale * rewards.standard_normal((self.contexts, self.prototypes, self.actions))
        return People.of_rewards(drawn.swapaxes(0, 1), mixing_weights(weights, self.users, self.prototypes, self.concentration))

    def draw_weights(self, rng: np.random.Generator, people: People, count: int) -> NDArray:
        del people
        return mixing_weights(rng, count, self.prototypes, self.concentration)

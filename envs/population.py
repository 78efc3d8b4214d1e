"""The world of drawn users: a few prototypes of taste, users who mix them, responses at random places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.dials import LARGEST, require_integer, require_number
from envs.invalid import require
from envs.people import People, mixing_weights, require_concentration
from envs.population_world import PopulationWorld


@dataclass(frozen=True, kw_only=True)
class Population(PopulationWorld):
    """Users prefer what is close to a_u(x) = sum_m w_um G_m' psi(x), by squared distance (`envs.people`).

    Responses have independent normal entries of variance 1/d, prototypes standard normal ones, prompt features psi those of
    variance 1/E, so that ideal points are as large with them as without. Each of the four, weights included, has a stream of random
    numbers of its own, so that worlds that differ in one have the others in common.

    At the defaults a user's margins have mean size 2.1 (root mean square 2.7). The one ideal point that fits all users best names a
    user's preferred response in 74% of pairs, at 0.18 nats a comparison above the truth, and no answer that is the same for all
    names it in more than 77% (means over 400 seeds): a learner that tells users apart has a quarter of the pairs to win.

    Parameters
    ----------
    users : int
        U, at least 1.
    prototypes : int
        M, at least 1.
    d : int
        Dimension D of the space of responses and ideal points, at least 1.
    actions : int
        K, at least 2, responses to a prompt: with one prompt there are K (K - 1) / 2 pairs in all.
    temperature : float
        In [1e-6, 1e6], of the squared distance; the higher, the closer every pair is to a tie.
    concentration : float
        Parameter of the symmetric Dirichlet distribution of the weights: 0 (one prototype a user), or in [0.01, 1000].
    prompt_features : int
        E, at least 1; 0 for ideal points that do not depend on the prompt.

    Raises
    ------
    Invalid
        For any other value.
    """

    users: int = 40
    prototypes: int = 3
    d: int = 6
    actions: int = 10
    temperature: float = 1.0
    concentration: float = 0.1
    prompt_features: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, least in {"users": 1, "prototypes": 1, "d": 1, "actions": 2, "prompt_features": 0}.items():
            require_integer(key, getattr(self, key), least)
        require(self.prompt_features <= LARGEST, "prompt_features", self.prompt_features, f"an integer from 0 to {LARGEST}")
        require_number("temperature", self.temperature, 1e-6, 1e6)
        require_concentration(self.concentration)

    def draw(self, rng: np.random.Generator) -> People:
        items, prompts, prototypes, weights = rng.spawn(4)
        features = max(self.prompt_features, 1)
        psi = prompts.standard_normal((self.contexts, features)) / np.sqrt(features)
        return People(
            items=items.standard_normal((self.contexts, self.actions, self.d)) / np.sqrt(self.d),
            prototypes=prototypes.standard_normal((self.prototypes, features, self.d)),
            weights=mixing_weights(weights, self.users, self.prototypes, self.concentration),
            temperature=self.temperature,
            prompts=psi if self.prompt_features else None,
        )

    def draw_weights(self, rng: np.random.Generator, people: People, count: int) -> NDArray:
        del people
        return mixing_weights(rng, count, self.prototypes, self.concentration)

"""PAL-13: users with ideal points and users with rewards are the same users.

Responses at orthonormal places e_y and an ideal point r at temperature 2 prefer y to z with probability sigmoid(r_y - r_z), whatever r: so
PAL contains every finite mixture of Bradley-Terry models. The other way, a user's scores s_u(y) are rewards, and any population of ideal
points is a mixture of Bradley-Terry models, one for each user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from envs.people import People
from theory.claim import Finding
from theory.pal_statistics import majority
from theory.testbed import PopulationClaim, PopulationTestbed


@dataclass(frozen=True, kw_only=True)
class RewardsAreIdealPoints(PopulationClaim):
    """Preferences of users made from rewards against sigmoids of differences of rewards, and against the world's own.

    Parameters
    ----------
    users_of : (rewards (M, C, K), weights (U, M)) -> People, under test
    mixtures : int, users who mix the rewards of the world's users
    error : float, allowed difference relative to the largest reward (at least 1)
    """

    id: str = "PAL-13"
    provenance: str = "derived"
    statement: str = "orthonormal responses: an ideal point is any reward vector, so that PAL contains all mixtures of Bradley-Terry users"
    source: str = "the margin of PAL-1 at x = e_x"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    users_of: Callable[[NDArray, NDArray], People] = People.of_rewards
    mixtures: int = 10
    error: float = 1e-13

    def findings(self, instances: Sequence[PopulationTestbed]) -> Iterator[Finding]:
        for instance in instances:
            people = instance.world.people()
            rewards = people.scores.swapaxes(0, 1)
            rewards = rewards - rewards.mean(axis=2, keepdims=True)
            allowed = self.error * (1 + np.abs(people.scores).max() + np.abs(rewards).max() ** 2)
            copies = self.users_of(rewards, np.eye(people.users))
            yield Finding(f"{instance.name}, its users", float(np.abs(majority(copies) - majority(people)).max() / allowed))
            rng = np.random.default_rng([0, 0, 18, people.users])
            weights = rng.dirichlet(np.ones(people.users), size=self.mixtures)
            mixed = np.einsum("um,mck->cuk", weights, rewards)
            literal = expit(mixed[..., :, None] - mixed[..., None, :]).mean(axis=1)
            gap = np.abs(majority(self.users_of(rewards, weights)) - literal).max()
            yield Finding(f"{instance.name}, mixtures", float(gap / allowed))

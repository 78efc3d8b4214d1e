"""PAL-5m: users taken together are not their mean.

What a user chosen at random prefers is a mean of sigmoids, P = mean_u sigmoid(s_u(x) - s_u(y)); the mean user, at the mean of the ideal
points, prefers by the sigmoid of one margin. In the cycle of PAL-5 the mean user is even about everything, and the majority is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from envs.people import People
from envs.population_cycle import PopulationCycle
from theory.claim import Conditions, Finding
from theory.pal_conditions import goes_round
from theory.pal_statistics import Aggregate, differ, majority
from theory.testbed import PopulationClaim, PopulationTestbed


def of_the_mean_user(people: People) -> NDArray:
    """(C, K, K) preferences of a user at the mean of all ideal points."""
    return majority(replace(people, weights=people.weights.mean(axis=0, keepdims=True)))


def _differ(testbed: PopulationTestbed) -> bool:
    world = testbed.world
    return goes_round(world) if isinstance(world, PopulationCycle) else differ(world.people())


@dataclass(frozen=True, kw_only=True)
class MeanUser(PopulationClaim):
    """The aggregate against the preferences of the mean user.

    Parameters
    ----------
    aggregate : Aggregate, under test
    error : float, allowed difference
    """

    id: str = "PAL-5m"
    provenance: str = "derived"
    statement: str = "what a user chosen at random prefers is what the mean user prefers"
    source: str = "contradicts mean of sigmoids <> sigmoid of the mean"
    kind: ClassVar[str] = "identity"
    sense: str = "predicted to fail"
    aggregate: Aggregate = majority
    error: float = 1e-9

    @property
    def conditions(self) -> Conditions:
        return {"users differ, or their majority goes round": _differ}

    def findings(self, instances: Sequence[PopulationTestbed]) -> Iterator[Finding]:
        for instance in instances:
            people = instance.world.people()
            yield Finding(instance.name, float(np.abs(self.aggregate(people) - of_the_mean_user(people)).max() / self.error))

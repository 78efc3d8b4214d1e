"""PAL-C: preferences come from one score iff log-odds around every triangle sum to zero; mixed users break it without any cycle.

logit P_ij + logit P_jk + logit P_ki = 0 on all triangles iff logit P_ij = r_i - r_j for some r, and iff the loss of the best Bradley-Terry
score is the entropy of P. Each user is such a model. The mean of different users is not, and majorities may be transitive all the same:
that there is no cycle does not make a reward explain them (PAL-Cm).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.dpo import DPO
from algorithms.fit import fit
from envs.comparisons import tabular
from envs.people import People
from theory.claim import Conditions, Finding
from theory.pal_conditions import DRAWN, ESTIMABLE, MORE_THAN_TWO
from theory.pal_statistics import Aggregate, cycles, differ, majority
from theory.testbed import PopulationClaim, PopulationTestbed


def around(preference: NDArray) -> float:
    """The largest size of logit P_ij + logit P_jk + logit P_ki of a (K, K) matrix."""
    odds = np.log(preference) - np.log(preference.T)
    return max(float(abs(odds[i, j] + odds[j, k] + odds[k, i])) for i, j, k in combinations(range(len(odds)), 3))


def unexplained(preference: NDArray) -> float:
    """Loss of the best Bradley-Terry score above the entropy of a (K, K) matrix, nats a comparison."""
    data = tabular(preference)
    margins = data.features @ fit(DPO(), data).theta
    loss = data.wins * np.logaddexp(0, -margins) + data.losses * np.logaddexp(0, margins)
    return float((loss + data.wins * np.log(data.wins) + data.losses * np.log(data.losses)).mean())


@dataclass(frozen=True, kw_only=True)
class Triangles(PopulationClaim):
    """Triangles and unexplained loss of each user, over what is allowed; and of the majority, where both are to be above 0.

    Parameters
    ----------
    preferences : (People, prompt) -> (U, K, K) of each user, under test
    users : int, of the first so many
    error : float, allowed difference, in log-odds; its square in loss
    """

    id: str = "PAL-C"
    provenance: str = "derived"
    statement: str = "logit P_ij + logit P_jk + logit P_ki = 0 on all triangles iff one score explains P: so of each user, not of a mixture"
    source: str = "log-odds of a Bradley-Terry model are differences"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    preferences: Callable[[People, int], NDArray] = People.preferences
    users: int = 10
    error: float = 1e-6

    @property
    def conditions(self) -> Conditions:
        return MORE_THAN_TWO | ESTIMABLE

    def findings(self, instances: Sequence[PopulationTestbed]) -> Iterator[Finding]:
        for instance in instances:
            people = instance.world.people()
            for context in range(people.contexts):
                each = self.preferences(people, context)
                yield Finding(f"{instance.name}, prompt {context}, users", max(self._opened(user) for user in each[: self.users]))
                mixture = each.mean(axis=0)
                agree = (around(mixture) > self.error) == (unexplained(mixture) > self.error**2)
                yield Finding(f"{instance.name}, prompt {context}, mixture", 0.0 if agree else np.inf)

    def _opened(self, preference: NDArray) -> float:
        return max(around(preference) / self.error, unexplained(preference) / self.error**2)


@dataclass(frozen=True, kw_only=True)
class MixturesExplained(PopulationClaim):
    """Triangles of majorities that do not go round, over what is allowed.

    Parameters
    ----------
    aggregate : Aggregate, under test
    draws : int, populations a world
    error : float, allowed difference, in log-odds
    """

    id: str = "PAL-Cm"
    provenance: str = "derived"
    statement: str = "a mixture of Bradley-Terry users whose majorities are transitive is explained by one score"
    source: str = "contradicts PAL-C"
    kind: ClassVar[str] = "identity"
    sense: str = "predicted to fail"
    aggregate: Aggregate = majority
    draws: int = 5
    error: float = 1e-6

    @property
    def conditions(self) -> Conditions:
        return MORE_THAN_TWO | DRAWN | ESTIMABLE

    def findings(self, instances: Sequence[PopulationTestbed]) -> Iterator[Finding]:
        for instance in instances:
            for index in range(self.draws):
                people = instance.world.people(index=index)
                for context, preference in enumerate(self.aggregate(people)):
                    opened = around(preference) / self.error if differ(people) and cycles(preference) == 0 else None
                    yield Finding(f"{instance.name}, draw {index}, prompt {context}", opened)

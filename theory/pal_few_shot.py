"""PAL-3: on known prototypes a newcomer costs K - 1 comparisons' worth of error, a free ideal point D.

With m comparisons the estimate is asymptotically efficient: for H the information of one comparison on margins, in the directions in
which a user may move,

    m (a^ - a)' H (a^ - a)   and   2 m (excess cross-entropy)   ->   chi-square,  K - 1 degrees of freedom,

or as many as comparisons tell directions apart where the ideal point is free (D of them). So the excess is (K - 1)/(2 m), against
D/(2 m): the paper's claim of fewer samples for a new user, with its constant (derived here; the paper's rate, O~(K) instead of O~(D)
samples, as recalled). Weights in the paper's simplex have this law inside it; ours are not held there (`algorithms.pal`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from algorithms.pal import PAL
from envs.people import People
from theory.chance import ByChance
from theory.claim import Conditions, Finding
from theory.pair_statistics import BY_LIMIT_LAW, from_middle, mean_limits, mean_p
from theory.pal_conditions import ESTIMABLE, SPANNED
from theory.pal_statistics import Learner, excess, plane, rank
from theory.testbed import PopulationClaim, PopulationTestbed


@dataclass(frozen=True, kw_only=True)
class FewShot(PopulationClaim, ByChance):
    """Means over newcomers of both statistics, from the middle of the limits for a mean of so many chi-squares.

    Parameters
    ----------
    learner : Learner, shown the expected answers of those it sees, so that it knows their plane
    newcomers : int
    shots : int, m
    shrinkage : float >= 0, comparisons in agreement with the mean user that a newcomer is thought to have made
    """

    id: str = "PAL-3"
    provenance: str = "derived"
    statement: str = "newcomer, K known prototypes, m comparisons: m E|a^-a|_H^2 and 2 m E(excess cross-entropy) tend to K - 1"
    source: str = "asymptotic efficiency; the rate O~(K) of arXiv 2406.08469 as recalled"
    kind: ClassVar[str] = "distribution"
    false_alarm: ClassVar[str | None] = BY_LIMIT_LAW
    sense: str = "tight"
    learner: Learner = PAL
    newcomers: int = 300
    shots: int = 100_000
    shrinkage: float = 0.0
    effect: ClassVar[str] = "newcomers pulled to the mean user, who counts for s comparisons"
    size: ClassVar[float] = 500.0

    @property
    def conditions(self) -> Conditions:
        return ESTIMABLE | SPANNED | {"more users than degrees of freedom, and at least one of these": self._free}

    def _free(self, testbed: PopulationTestbed) -> bool:
        people = testbed.world.people()
        return 0 < self.degrees(people) < people.users

    def degrees(self, people: People) -> int:
        """Of freedom, claimed."""
        return plane(people)

    def findings(self, instances: Sequence[PopulationTestbed]) -> Iterator[Finding]:
        for instance in instances:
            people = instance.world.people()
            weights = np.ones(self.degrees(people))
            low, high = mean_limits(weights, self.newcomers)
            for name, value in self._statistics(instance).items():
                yield Finding(f"{instance.name}, {name}", from_middle(value, low, high), p=mean_p(value, weights, self.newcomers))

    def planted(self, size: float) -> Self:
        return replace(self, shrinkage=size)

    def brief(self) -> Self:
        return replace(self, newcomers=self.newcomers // 6)

    def _statistics(self, instance: PopulationTestbed) -> dict[str, float]:
        people, others = instance.world.people(), instance.world.newcomers(self.newcomers)
        fit = self.learner(prototypes=self.degrees(people) + 1, shrinkage=0.0, restarts=3).fit(people.expected())
        found = fit.few_shot(others.comparisons(self.shots, [self.seed, 0, 13, 0]), self.shrinkage).coordinates
        answers, chances = others.expected(), others.probabilities
        error = answers.margins(found) - answers.margins(others.coordinates)
        return {
            "error": self.shots * float((chances * (1 - chances) * error**2).mean(axis=1).mean()),
            "excess": 2 * self.shots * excess(answers, found, others.coordinates),
        }


@dataclass(frozen=True, kw_only=True)
class FreePoint(FewShot):
    """The same without prototypes: the plane is the whole space."""

    id: str = "PAL-3D"
    statement: str = "newcomer, ideal point free in D dimensions, m comparisons: m E|a^-a|_H^2 and 2 m E(excess cross-entropy) tend to D"
    source: str = "asymptotic efficiency; the rate O~(D) of arXiv 2406.08469 as recalled"

    def degrees(self, people: People) -> int:
        return rank(people)

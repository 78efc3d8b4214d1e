"""PAL-7: too few prototypes leave a floor, too many cost variance; at the true number K* the excess is dof/(2 n).

From n = U m comparisons in all, the excess cross-entropy of K prototypes over the truth, on answers not seen, tends to

    a constant above 0 for K < K*;        dof/(2 n) for K = K*, 2 n times it being chi-square with the dof of PAL-9;

and is larger again for K > K*, whose fits contain those of K* and follow the noise. K* is the users' affine rank plus one (PAL-10).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from algorithms.pal import PAL, degrees
from envs.people import People
from theory.chance import ByChance
from theory.claim import Conditions, Finding
from theory.pair_statistics import BY_LIMIT_LAW, from_middle, mean_limits, mean_p
from theory.pal_conditions import DRAWN, ESTIMABLE
from theory.pal_statistics import Learner, estimable, excess, plane, rank
from theory.testbed import PopulationClaim, PopulationTestbed


@dataclass(frozen=True, kw_only=True)
class NumberOfPrototypes(PopulationClaim, ByChance):
    """The mean excess at K* against its law, and against that of other numbers.

    Parameters
    ----------
    learner : Learner
    dof : (users, dimension, prototypes) -> degrees of freedom claimed
    users, samples : int, of the populations
    more : int, prototypes beyond K* that are tried
    draws : int, populations a world
    """

    id: str = "PAL-7"
    provenance: str = "derived"
    statement: str = "excess cross-entropy of U = 40 users, m = 6000 each: dof/(2 U m) at the true number K* of prototypes, least of all K"
    source: str = "Wilks' theorem; the dof of PAL-9"
    kind: ClassVar[str] = "distribution"
    false_alarm: ClassVar[str | None] = f"{BY_LIMIT_LAW} at K*, an unknown rate beside other K"
    sense: str = "tight"
    learner: Learner = PAL
    dof: Callable[[int, int, int], int] = degrees
    users: int = 40
    samples: int = 6000
    more: int = 2
    draws: int = 4
    effect: ClassVar[str] = "claimed dof too large by a share s, rounded"
    size: ClassVar[float] = 0.5

    @property
    def conditions(self) -> Conditions:
        return DRAWN | ESTIMABLE

    def findings(self, instances: Sequence[PopulationTestbed]) -> Iterator[Finding]:
        for instance in instances:
            world = replace(instance.world, users=self.users, samples=self.samples)  # type: ignore[call-arg]
            draws = [world.people(index=index) for index in range(self.draws)]
            if len({(plane(people), rank(people)) for people in draws}) > 1 or not all(map(estimable, draws)):
                yield Finding(instance.name, None)
                continue
            best, most = plane(draws[0]) + 1, rank(draws[0]) + 1
            tried = range(1, min(best + self.more, most, self.users) + 1)
            found = np.mean([self._excesses(people, tried, index) for index, people in enumerate(draws)], axis=0)
            weights, measured = np.ones(self.dof(self.users, most - 1, best)), 2 * self.users * self.samples * float(found[best - 1])
            ratio, p = from_middle(measured, *mean_limits(weights, self.draws)), mean_p(measured, weights, self.draws)
            yield Finding(f"{instance.name}, at K*", ratio, p=p)
            others = np.delete(found, best - 1)
            yield Finding(f"{instance.name}, K* over other K", float(found[best - 1] / others.min()))

    def _excesses(self, people: People, tried: Sequence[int], index: int) -> NDArray:
        data, answers = people.comparisons(self.samples, [self.seed, 0, 15, index]), people.expected()
        fits = [self.learner(prototypes=prototypes, shrinkage=0.0, restarts=3).fit(data) for prototypes in tried]
        return np.array([excess(answers, found.coordinates, people.coordinates) for found in fits])

    def planted(self, size: float) -> Self:
        return replace(self, dof=lambda *shape: round((1 + size) * self.dof(*shape)))

    def brief(self) -> Self:
        return replace(self, users=12, draws=1, more=0)

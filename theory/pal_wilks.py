"""PAL-9: how many parameters PAL has, from the law of its likelihood ratio.

U ideal points in D dimensions that are mixtures of K prototypes are a matrix of affine rank K - 1. Such matrices form a manifold of

    dof  =  D + (K - 1) (U - 1 + D - (K - 1))

dimensions, K (K - 1) fewer than the D K + (K - 1) U entries of prototypes and weights, as the corners of a simplex around the users are
not determined. By Wilks' theorem 2 log(likelihood of the fit / likelihood of the truth) tends to chi-square with dof degrees of freedom.
(D counts what comparisons tell apart.) A mean over few samples is too weak to see a wrong dof: PAL-9b has 90, of few users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from algorithms.pal import PAL, degrees
from envs.people import People
from envs.population import Population
from envs.population_world import PopulationWorld
from theory.chance import ByChance
from theory.claim import Conditions, Finding
from theory.pair_statistics import BY_LIMIT_LAW, from_middle, mean_limits, mean_p
from theory.pal_conditions import DRAWN
from theory.pal_statistics import Learner, estimable, plane, rank
from theory.testbed import PopulationClaim, PopulationTestbed

SAMPLES = 10_000
"""Comparisons of each user: enough for the limit, whatever the world's own number."""


@dataclass(frozen=True, kw_only=True)
class LikelihoodRatio(PopulationClaim, ByChance):
    """The mean of the statistic over samples, from the middle of the limits for a mean of so many chi-squares.

    Parameters
    ----------
    learner : Learner
    dof : (users, dimension, prototypes) -> degrees of freedom claimed
    repetitions : int
    shapes : (users, prototypes, d) of the populations; None for the world's own
    """

    id: str = "PAL-9"
    provenance: str = "derived"
    statement: str = "2 log likelihood ratio of PAL's fit to the truth is chi-square, dof D + (K-1)(U-1+D-(K-1))"
    source: str = "Wilks' theorem on matrices of affine rank K - 1"
    kind: ClassVar[str] = "distribution"
    false_alarm: ClassVar[str | None] = BY_LIMIT_LAW
    sense: str = "tight"
    learner: Learner = PAL
    dof: Callable[[int, int, int], int] = degrees
    repetitions: int = 12
    shapes: Sequence[tuple[int, int, int]] | None = None
    effect: ClassVar[str] = "claimed dof too large by a share s, rounded"
    size: ClassVar[float] = 0.4

    @property
    def conditions(self) -> Conditions:
        return DRAWN

    def findings(self, instances: Sequence[PopulationTestbed]) -> Iterator[Finding]:
        for instance in instances:
            for name, world, prototypes in self._worlds(instance.world):
                yield self._at(f"{instance.name}{name}", world.people(), prototypes)

    def _worlds(self, world: PopulationWorld) -> Iterator[tuple[str, PopulationWorld, int]]:
        if self.shapes is None:
            yield "", world, plane(world.people()) + 1
        for users, prototypes, d in self.shapes or ():
            sizes = {"users": users, "prototypes": prototypes, **({"d": d} if isinstance(world, Population) else {})}
            yield f", U = {users}, K = {prototypes}", replace(world, **sizes), prototypes  # type: ignore[arg-type]

    def _at(self, name: str, people: People, prototypes: int) -> Finding:
        if plane(people) + 1 != prototypes or not estimable(people) or prototypes > min(people.users, rank(people) + 1):
            return Finding(name, None)
        ratio = np.mean([self._statistic(people, prototypes, repetition) for repetition in range(self.repetitions)])
        weights = np.ones(self.dof(people.users, rank(people), prototypes))
        low, high = mean_limits(weights, self.repetitions)
        return Finding(name, from_middle(float(ratio), low, high), p=mean_p(float(ratio), weights, self.repetitions))

    def _statistic(self, people: People, prototypes: int, repetition: int) -> float:
        data = people.comparisons(SAMPLES, [self.seed, 0, 14, repetition])
        found = self.learner(prototypes=prototypes, shrinkage=0.0, restarts=1).fit(data).coordinates
        return 2 * float(data.compared.sum()) * (data.cross_entropy(people.coordinates) - data.cross_entropy(found))

    def planted(self, size: float) -> Self:
        return replace(self, dof=lambda *shape: round((1 + size) * self.dof(*shape)))

    def brief(self) -> Self:
        return replace(self, repetitions=1)


@dataclass(frozen=True, kw_only=True)
class LikelihoodRatioOfFew(LikelihoodRatio):
    """The same with many samples of a few users."""

    id: str = "PAL-9b"
    statement: str = "2 log likelihood ratio of PAL, 8 users (K = 3) and 9 (K = 2), 90 samples: dof K D + (K-1) U less K (K-1), no more"
    repetitions: int = 90
    shapes: Sequence[tuple[int, int, int]] | None = ((8, 3, 5), (9, 2, 3))

"""PAL-4 and PAL-14: how often a newcomer's preferred response is named, after a few comparisons.

PAL, having learned the prototypes from 40 users with 150 comparisons each, is wrong less often than one Bradley-Terry score for all
from five comparisons of a newcomer on, and with m comparisons less often than an ideal point found from 2 m with no more help than the
mean user, who counts for one comparison: the paper's claim of fewer samples for a new user. What is counted are pairs on which the
prediction misses the side that the newcomer truly leans to; a label, which is random, is no measure of it.

From two comparisons alone maximum likelihood is worse than the score for all: they are nearly always separable, and pull the newcomer
far away. What helps is a prior, as the one that PAL takes from the users it has seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from algorithms.pal import PAL, PALFit
from envs.population_world import PopulationWorld
from envs.user_comparisons import UserComparisons
from theory.chance import ByChance
from theory.claim import Conditions, Finding
from theory.pal_conditions import DRAWN, ESTIMABLE
from theory.pal_statistics import UNKNOWN, Learner, in_scores, one_score, plane, rank
from theory.testbed import PopulationClaim, PopulationTestbed


def wrong(answers: UserComparisons, coordinates: np.ndarray) -> float:
    """The share of pairs on which predictions miss the side that a user leans to."""
    return 1.0 - answers.accuracy(coordinates)


def _on_a_plane(testbed: PopulationTestbed) -> bool:
    people = testbed.world.people()
    return plane(people) < rank(people)


@dataclass(frozen=True, kw_only=True)
class NewcomersClaim(PopulationClaim, ByChance):
    """A statement about newcomers to populations of 40 users who made 150 comparisons each.

    Parameters
    ----------
    learner : Learner
    users, samples, unseen : int, of the populations
    draws : int, populations a world
    factor : float, by which errors are claimed to be fewer
    """

    provenance: str = "derived"
    kind: ClassVar[str] = "final"
    false_alarm: ClassVar[str | None] = UNKNOWN
    learner: Learner = PAL
    users: int = 40
    samples: int = 150
    unseen: int = 200
    draws: int = 5
    factor: float = 1.0
    effect: ClassVar[str] = "errors claimed to be fewer by a factor 1 + s"
    size: ClassVar[float] = 0.5

    @property
    def conditions(self) -> Conditions:
        return DRAWN | ESTIMABLE | {"users lie on a plane of fewer dimensions than responses have": _on_a_plane}

    def worlds(self, world: PopulationWorld, shots: Sequence[int]) -> PopulationWorld:
        """The world at the claim's sizes."""
        return replace(world, users=self.users, samples=self.samples, unseen=self.unseen, shots=shots)  # type: ignore[call-arg]

    def planted(self, size: float) -> Self:
        return replace(self, factor=1 + size)

    def brief(self) -> Self:
        return replace(self, draws=1)


@dataclass(frozen=True, kw_only=True)
class FewerSamples(NewcomersClaim):
    """PAL's errors over those of one score, at every m, and of a free ideal point with twice as many comparisons.

    Parameters
    ----------
    shots : values of m
    """

    id: str = "PAL-4"
    statement: str = "newcomer, m >= 5 comparisons: PAL is wrong less often than one score for all, and than a free point from 2 m"
    source: str = "abstract of arXiv 2406.08469: fewer samples per user; the comparison at 2 m is of this project"
    shots: Sequence[int] = (5, 10, 50)

    def findings(self, instances: Sequence[PopulationTestbed]) -> Iterator[Finding]:
        for instance in instances:
            world = self.worlds(instance.world, sorted({*self.shots, *(2 * m for m in self.shots)}))
            errors = np.mean([self._errors(world, index) for index in range(self.draws)], axis=0)
            for m, (ours, score, free) in zip(self.shots, errors, strict=True):
                yield Finding(f"{instance.name}, m = {m}, over one score", float(self.factor * ours / score))
                yield Finding(f"{instance.name}, m = {m}, over a free point from {2 * m}", float(self.factor * ours / free))

    def _errors(self, world: PopulationWorld, index: int) -> list[tuple[float, float, float]]:
        people, survey = world.people(self.seed, index), world.survey(self.seed, index)
        fit: PALFit = self.learner(prototypes=plane(people) + 1, shrinkage=1.0, restarts=3).fit(survey.seen)
        free = PAL(prototypes=rank(people) + 1, shrinkage=1.0).fit(survey.seen)
        score = one_score(in_scores(people, survey.seen))
        errors = []
        for m in self.shots:
            shown, answers = survey.newcomers[m]
            ours = wrong(answers, fit.few_shot(shown).coordinates)
            theirs = wrong(answers, free.few_shot(survey.newcomers[2 * m][0], shrinkage=1.0).coordinates)
            errors.append((ours, wrong(in_scores(people, answers), score), theirs))
        return errors

    def brief(self) -> Self:
        return replace(super().brief(), shots=self.shots[:1])


@dataclass(frozen=True, kw_only=True)
class TwoComparisons(NewcomersClaim):
    """Errors of next to no shrinkage, the limit of maximum likelihood, over those of one score, at m = 2.

    Parameters
    ----------
    shrinkage : of newcomers, comparisons in agreement with the mean user; None for the learner's own prior
    """

    id: str = "PAL-14"
    statement: str = "newcomer, m = 2 comparisons: PAL by maximum likelihood is wrong less often than one score for all"
    source: str = "contradicts the separability of few answers"
    sense: str = "predicted to fail"
    shots: int = 2
    shrinkage: float | None = 1e-3
    effect: ClassVar[str] = "the learner's own prior; errors claimed to be fewer by a factor 1 + s"

    def findings(self, instances: Sequence[PopulationTestbed]) -> Iterator[Finding]:
        for instance in instances:
            world = self.worlds(instance.world, (self.shots,))
            ours, score = np.mean([self._errors(world, index) for index in range(self.draws)], axis=0)
            yield Finding(instance.name, float(self.factor * ours / score))

    def _errors(self, world: PopulationWorld, index: int) -> tuple[float, float]:
        people, survey = world.people(self.seed, index), world.survey(self.seed, index)
        fit = self.learner(prototypes=plane(people) + 1, shrinkage=1.0, restarts=3).fit(survey.seen)
        shown, answers = survey.newcomers[self.shots]
        score = one_score(in_scores(people, survey.seen))
        return wrong(answers, fit.few_shot(shown, self.shrinkage).coordinates), wrong(in_scores(people, answers), score)

    def planted(self, size: float) -> Self:
        return replace(self, shrinkage=None, factor=1 + size)

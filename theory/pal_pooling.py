"""PAL-8: what one score for all can know of users who differ.

Any order of the responses predicts a label with probability at most E max(P, 1 - P), P the preferences of a user chosen at random, and the
side that a user leans to at most as often as the larger camp of each pair is large. Users who are told apart have no such bound:
where camps are near even, a calibrated Bradley-Terry score is of no use to anybody (PAL-5 is the extreme). So a score fitted to everybody's
labels is not as accurate as PAL for each user, and its loss stays a constant above the truth (PAL-8p).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from algorithms.pal import PAL
from envs.people import People
from theory.chance import ByChance
from theory.claim import Conditions, Finding
from theory.pal_conditions import DRAWN, ESTIMABLE
from theory.pal_statistics import UNKNOWN, Learner, firm_majority, in_scores, majority, one_score, plane
from theory.testbed import PopulationClaim, PopulationTestbed


def some_scores(people: People) -> NDArray:
    """(n, C, K) scores, each one for all users: those of each user, their mean, the Borda counts of the majority, and random ones."""
    random = np.random.default_rng([0, 0, 19, people.users]).standard_normal((20, people.contexts, people.actions))
    borda = majority(people).sum(axis=2)
    return np.concatenate([people.scores.swapaxes(0, 1), people.scores.mean(axis=1)[None], borda[None], random])


def right(preference: NDArray, scores: NDArray) -> NDArray:
    """(n,) how often the response of the higher score is preferred: preference (C, K, K), scores (n, C, K) or (C, K)."""
    higher = np.sign(scores[..., :, None] - scores[..., None, :]) / 2 + 0.5
    pairs = preference.shape[0] * preference.shape[1] * (preference.shape[1] - 1)
    return 2 * (higher * (preference - 0.5)).sum(axis=(-3, -2, -1)) / pairs + 0.5


def bound(preference: NDArray) -> float:
    """E max(P, 1 - P) over pairs."""
    first, second = np.triu_indices(preference.shape[1], 1)
    camps = preference[:, first, second]
    return float(np.maximum(camps, 1 - camps).mean())


@dataclass(frozen=True, kw_only=True)
class OneScoreBound(PopulationClaim):
    """The best of many scores over the bound, for labels and for the sides that users lean to.

    Parameters
    ----------
    scores : People to (n, C, K), of which each is to be one for all users
    measure : (preference (C, K, K), scores) -> (n,) accuracies
    limit : preference (C, K, K) -> the bound claimed
    """

    id: str = "PAL-8"
    provenance: str = "derived"
    statement: str = "one score for all: accuracy at most E max(P, 1-P) on labels, and on users' true sides that of the larger camps"
    source: str = "each pair is decided once for all users"
    kind: ClassVar[str] = "constant"
    scores: Callable[[People], NDArray] = some_scores
    measure: Callable[[NDArray, NDArray], NDArray] = right
    limit: Callable[[NDArray], float] = bound

    def findings(self, instances: Sequence[PopulationTestbed]) -> Iterator[Finding]:
        for instance in instances:
            people = instance.world.people()
            for name, preference in (("labels", majority(people)), ("sides", firm_majority(people))):
                best = self.measure(preference, self.scores(people)).max()
                yield Finding(f"{instance.name}, {name}", float(best / self.limit(preference)))


@dataclass(frozen=True, kw_only=True)
class OneScoreIsEnough(PopulationClaim, ByChance):
    """Errors of the pooled score over PAL's, in sides, and in cross-entropy above the truth; `factor` more is allowed.

    Parameters
    ----------
    learner : Learner
    samples : int, comparisons of each user
    factor : float
    camps : float, the most that one score may know of the sides for users to count as divided
    apart : float in [0, 1], how far from their mean PAL may place users, as a share of where it finds them
    """

    id: str = "PAL-8p"
    provenance: str = "derived"
    statement: str = "Bradley-Terry on everybody's labels predicts each user as well as PAL does: errors and excess loss at most 1.2 times"
    source: str = "contradicts the floors of PAL-7 and PAL-8"
    kind: ClassVar[str] = "final"
    false_alarm: ClassVar[str | None] = UNKNOWN
    sense: str = "predicted to fail"
    learner: Learner = PAL
    samples: int = 1500
    factor: float = 1.2
    camps: float = 0.95
    apart: float = 1.0
    effect: ClassVar[str] = "PAL's users at a share s of their distance from the mean user"
    size: ClassVar[float] = 0.1

    @property
    def conditions(self) -> Conditions:
        return DRAWN | ESTIMABLE | {f"one score knows at most {self.camps:.0%} of the sides": self._divided}

    def _divided(self, testbed: PopulationTestbed) -> bool:
        return bound(firm_majority(testbed.world.people())) <= self.camps

    def findings(self, instances: Sequence[PopulationTestbed]) -> Iterator[Finding]:
        for instance in instances:
            people = instance.world.people()
            answers, data = people.expected(), people.comparisons(self.samples, [self.seed, 0, 20, 0])
            pooled, ours = in_scores(people, data), self.learner(prototypes=plane(people) + 1).fit(data).coordinates
            ours = ours.mean(axis=0) + self.apart * (ours - ours.mean(axis=0))
            score, scored, least = one_score(pooled), in_scores(people, answers), answers.cross_entropy(people.coordinates)
            errors = (1 - scored.accuracy(score)) / max(1 - answers.accuracy(ours), 1e-3)
            loss = (scored.cross_entropy(score) - least) / max(answers.cross_entropy(ours) - least, 1e-9)
            yield Finding(f"{instance.name}, errors", float(errors / self.factor))
            yield Finding(f"{instance.name}, excess loss", float(loss / self.factor))

    def planted(self, size: float) -> Self:
        return replace(self, apart=min(size, 1.0))

"""PAL-10: the number of prototypes is known only as the affine rank of the users plus one.

Weights that mix K* prototypes in a plane mix any three points around them just as well, and prototypes on a line are two. Fewer prototypes
with the same predictions exist, and PAL finds them from expected answers with no loss at all; nothing in the data says K* (PAL-10x).
Users of one prototype each are another matter: there K* is how many ideal points there are, and those are identified.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.pal import PAL
from envs.people import People, mixing_weights
from envs.population import Population
from theory.claim import Conditions, Finding
from theory.pal_conditions import BY_DISTANCE
from theory.pal_statistics import Learner, affine_rank, differ, estimable, excess, margin_gap, rank
from theory.testbed import PopulationClaim, PopulationTestbed

ROUNDING = 1e-15
"""A difference of cross-entropies, nats."""


def in_a_plane(world: Population, concentration: float = 1.0) -> People:
    """Users of five prototypes in two dimensions."""
    return replace(world, prototypes=5, d=2, prompt_features=0, users=40, concentration=concentration).people()


def on_a_line(world: Population) -> People:
    """Users of three prototypes, of which one lies halfway between the others."""
    people = replace(world, prototypes=2, users=40).people()
    ends = people.prototypes
    weights = mixing_weights(np.random.default_rng([0, 0, 21, 0]), 40, 3, 1.0)
    return replace(people, prototypes=np.stack([ends[0], (ends[0] + ends[1]) / 2, ends[1]]), weights=weights)


def told_apart(world: Population) -> bool:
    """Whether comparisons tell all that there is to know of both, and it is not next to nothing."""
    populations = (in_a_plane(world), on_a_line(world))
    return rank(populations[0]) == 2 and all(estimable(people) and differ(people) for people in populations)


TOLD_APART: Conditions = BY_DISTANCE | {
    "comparisons tell all of users on a plane and on a line": lambda testbed: (
        isinstance(testbed.world, Population) and told_apart(testbed.world)
    )
}


def distinct(points: NDArray) -> int:
    """How many points there are that rounding does not explain."""
    found: list[NDArray] = []
    for point in points:
        if not found or min(np.abs(point - other).max() for other in found) > 1e-6 * (1 + np.abs(points).max()):
            found.append(point)
    return len(found)


@dataclass(frozen=True, kw_only=True)
class FewerPrototypes(PopulationClaim):
    """Fits of fewer prototypes to expected answers: margins, affine rank, and number of distinct points against the truth.

    Parameters
    ----------
    learner : Learner
    error : float, allowed difference of margins relative to the largest
    """

    id: str = "PAL-10"
    provenance: str = "derived"
    statement: str = "5 prototypes in a plane are 3, 3 on a line are 2, exactly; users of one prototype each: as many points as prototypes"
    source: str = "a simplex around the users serves as well as their prototypes"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    learner: Learner = PAL
    error: float = 1e-8

    @property
    def conditions(self) -> Conditions:
        return TOLD_APART

    def findings(self, instances: Sequence[PopulationTestbed]) -> Iterator[Finding]:
        for instance in instances:
            world: Any = instance.world
            for name, people, enough in (("plane", in_a_plane(world), 3), ("line", on_a_line(world), 2)):
                yield Finding(f"{instance.name}, {name}", self._gap(people, enough) / self.error)
                spare = self.learner(prototypes=enough + 1, shrinkage=0.0, restarts=1).fit(people.expected())
                yield Finding(f"{instance.name}, {name}, one more", abs(spare.rank - affine_rank(people.coordinates)) / 0.5)
            apart = in_a_plane(world, concentration=0.0)
            found = self.learner(prototypes=3, shrinkage=0.0, restarts=3).fit(apart.expected())
            yield Finding(f"{instance.name}, points", abs(distinct(found.coordinates) - distinct(apart.coordinates)) / 0.5)

    def _gap(self, people: People, enough: int) -> float:
        answers = people.expected()
        found = self.learner(prototypes=enough, shrinkage=0.0, restarts=3).fit(answers)
        return margin_gap(answers, found.coordinates, people.coordinates)


@dataclass(frozen=True, kw_only=True)
class EveryPrototypeCounts(PopulationClaim):
    """The least loss claimed of too few prototypes, over that found.

    Parameters
    ----------
    learner : Learner
    enough : {"plane": K, "line": K}, numbers of prototypes that are tried
    loss : float, nats a comparison
    """

    id: str = "PAL-10x"
    provenance: str = "derived"
    statement: str = "K* mixed prototypes are identifiable beyond affine rank + 1: with fewer than K*, expected answers are fitted worse"
    source: str = "contradicts PAL-10"
    kind: ClassVar[str] = "identity"
    sense: str = "predicted to fail"
    learner: Learner = PAL
    enough: tuple[int, int] = (3, 2)
    loss: float = 1e-6

    @property
    def conditions(self) -> Conditions:
        return TOLD_APART

    def findings(self, instances: Sequence[PopulationTestbed]) -> Iterator[Finding]:
        for instance in instances:
            world: Any = instance.world
            for name, people, enough in zip(("plane", "line"), (in_a_plane(world), on_a_line(world)), self.enough, strict=True):
                answers = people.expected()
                found = self.learner(prototypes=enough, shrinkage=0.0, restarts=3).fit(answers)
                lost = excess(answers, found.coordinates, people.coordinates)
                yield Finding(f"{instance.name}, {name}", float(self.loss / max(lost, ROUNDING)))

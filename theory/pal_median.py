"""PAL-6: on a line the median user decides; in a plane nobody need.

Of certain users on a line, odd in number, who prefer what is closer, x beats y by majority iff the median user has x closer. So the
majority is the median user's ranking, is transitive, and its winner is the response nearest to that user (Black, "On the rationale of
group decision-making", 1948; squared distances make preferences single-peaked). In a plane majorities can go round (PAL-6p).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from envs.people import People
from theory.claim import Conditions, Finding
from theory.pal_conditions import BY_DISTANCE, GOES_ROUND
from theory.pal_statistics import Aggregate, cycles, firm_majority
from theory.testbed import PopulationClaim, PopulationTestbed


@dataclass(frozen=True, kw_only=True)
class MedianUser(PopulationClaim):
    """How many majorities differ from the ranking of the median user, and cycles; none is allowed.

    Parameters
    ----------
    aggregate : Aggregate, of users who are certain
    users : numbers of users, odd
    d : int, dimension
    draws : int, populations for each number
    """

    id: str = "PAL-6"
    provenance: str = "published"
    statement: str = "certain users on a line, odd in number: majorities are transitive, the median user's ranking, nearest response first"
    source: str = "Black, J. Political Economy 56 (1948): single-peaked preferences"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    aggregate: Aggregate = firm_majority
    users: Sequence[int] = (1, 3, 9, 41)
    d: int = 1
    draws: int = 20

    @property
    def conditions(self) -> Conditions:
        return BY_DISTANCE

    def findings(self, instances: Sequence[PopulationTestbed]) -> Iterator[Finding]:
        for instance in instances:
            for users in self.users:
                sizes = {"users": users, "d": self.d, "prototypes": max(2, users), "prompt_features": 0, "concentration": 0.1}
                world = replace(instance.world, **sizes)  # type: ignore[arg-type]
                wrong = sum(self._wrong(world.people(index=index)) for index in range(self.draws))
                yield Finding(f"{instance.name}, {users} users", 0.0 if wrong == 0 else 1.0 + wrong)

    def _wrong(self, people: People) -> int:
        median = np.median(people.ideal_points[:, 0], axis=0)
        count = 0
        for items, preference in zip(people.items, self.aggregate(people), strict=True):
            away = np.linalg.norm(items - median, axis=1)
            count += int(((away[:, None] < away) != (preference > 0.5)).sum()) + cycles(preference)
        return count


@dataclass(frozen=True, kw_only=True)
class MedianInThePlane(PopulationClaim):
    """Cycles of the majority of certain users in a plane, none of which is allowed.

    Parameters
    ----------
    aggregate : Aggregate, of users who are certain
    """

    id: str = "PAL-6p"
    provenance: str = "derived"
    statement: str = "certain users in a plane, odd in number: majorities are transitive"
    source: str = "contradicts PAL-5"
    kind: ClassVar[str] = "existence"
    sense: str = "predicted to fail"
    aggregate: Aggregate = firm_majority

    @property
    def conditions(self) -> Conditions:
        return GOES_ROUND

    def findings(self, instances: Sequence[PopulationTestbed]) -> Iterator[Finding]:
        for instance in instances:
            (preference,) = self.aggregate(instance.world.people())
            yield Finding(instance.name, 2.0 * cycles(preference))

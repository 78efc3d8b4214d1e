"""PAL-5: three users in a plane, each with a ranking, whose majority goes round, and what one score makes of them.

The users and responses of PAL-11 at 0 < delta < 60. The Bradley-Terry score that fits best is constant: its loss is log 2, it is
calibrated, and of no use to anybody. As T tends to 0, every preference of the majority is 2/3 to 1/3, the best single ranking names the
response that a user prefers in 5 cases of 9, and PAL, which gives each user an ideal point, in all. Derived here; the voters are
Condorcet's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.dpo import DPO
from algorithms.fit import fit
from algorithms.pal import PAL
from envs.comparisons import tabular
from envs.people import People
from envs.population_cycle import PopulationCycle
from theory.claim import Conditions, Finding
from theory.pal_conditions import GOES_ROUND
from theory.pal_statistics import Aggregate, Learner, cycles, majority
from theory.testbed import PopulationClaim, PopulationTestbed

SHARP = 1e-4
"""A temperature at which users are certain, unless a margin is below a hundredth."""


@dataclass(frozen=True, kw_only=True)
class Cycle(PopulationClaim):
    """The majority, the best score, the sharp limit, and what PAL learns, each over what is allowed.

    Parameters
    ----------
    aggregate : Aggregate, under test
    learner : Learner
    error : float, allowed difference
    samples : int, comparisons of each user
    """

    id: str = "PAL-5"
    provenance: str = "derived"
    statement: str = "3 users with rankings, majority a cycle: best score constant, loss log 2; T->0: edges 1/3, a ranking right 5/9, PAL 1"
    source: str = "Condorcet's voters on a circle"
    kind: ClassVar[str] = "constant"
    sense: str = "tight"
    aggregate: Aggregate = majority
    learner: Learner = PAL
    error: float = 1e-9
    samples: int = 3000

    @property
    def conditions(self) -> Conditions:
        return GOES_ROUND

    def findings(self, instances: Sequence[PopulationTestbed]) -> Iterator[Finding]:
        for instance in instances:
            world: Any = instance.world
            preference, sharp = self.aggregate(world.people())[0], replace(world, temperature=SHARP)
            yield Finding(f"{instance.name}, majority goes round", 0.0 if cycles(preference) == 1 else np.inf)
            yield Finding(f"{instance.name}, best score", _score_defect(preference) / self.error)
            edges = self.aggregate(sharp.people())[0][[0, 1, 2], [1, 2, 0]]
            yield Finding(f"{instance.name}, sharp edges", float(np.abs(edges - 1 / 3).max() / self.error))
            yield Finding(f"{instance.name}, best ranking", abs(best_ranking(sharp.people()) - 5 / 9) / self.error)
            yield Finding(f"{instance.name}, PAL", (1 - self._learned(sharp)) / self.error)

    def _learned(self, world: PopulationCycle) -> float:
        """How often PAL names the response that a user prefers."""
        people = world.people()
        data = people.comparisons(self.samples, [0, 0, 16, 0])
        return people.expected().accuracy(self.learner(prototypes=3, shrinkage=1.0, restarts=1).fit(data).coordinates)


def _score_defect(preference: NDArray) -> float:
    """How far the best Bradley-Terry score is from constant, and its loss from log 2."""
    data = tabular(preference)
    score = fit(DPO(), data).theta
    margins = data.features @ score
    loss = (data.wins * np.logaddexp(0, -margins) + data.losses * np.logaddexp(0, margins)).sum() / data.total
    return max(float(np.abs(margins).max()), abs(float(loss) - np.log(2)))


def best_ranking(people: People) -> float:
    """How often the best ranking of the first prompt's responses names the response that a user prefers."""
    own = people.scores[0]
    ahead = own[:, :, None] > own[:, None, :]
    places = [np.array(places) for places in permutations(range(people.actions))]
    pairs = people.users * people.actions * (people.actions - 1) / 2
    return max(float((ahead & (place[:, None] < place)).sum() / pairs) for place in places)

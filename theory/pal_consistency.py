"""PAL-0 and PAL-3f: given everybody's expected answers PAL finds everybody, newcomers too, and each newcomer counts alone.

The expected log-likelihood has the truth among its maximisers; their margins are unique where comparisons tell all users apart. A
newcomer on the plane of the users that were seen is found from expected answers likewise. Meeting a newcomer changes nothing that was
learned, neither the prototypes nor any other newcomer, and leaves the weights summing to one: the answer lies on the plane.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from algorithms.pal import PAL, PALFit
from envs.user_comparisons import UserComparisons
from theory.claim import Conditions, Finding
from theory.pal_conditions import DIFFERENT, ESTIMABLE, SPANNED
from theory.pal_statistics import Learner, margin_gap, plane
from theory.testbed import PopulationClaim, PopulationTestbed


@dataclass(frozen=True, kw_only=True)
class Consistency(PopulationClaim):
    """Margins learned from expected answers against the true ones, of users that were seen and of newcomers.

    Parameters
    ----------
    learner : Learner
    newcomers : int
    error : float, allowed difference relative to the largest margin
    """

    id: str = "PAL-0"
    provenance: str = "derived"
    statement: str = "from everybody's expected answers, affine rank + 1 prototypes give the true margins of all users, and of newcomers"
    source: str = "maximum likelihood of arXiv 2406.08469's model with squared distances"
    kind: ClassVar[str] = "fixed point"
    sense: str = "tight"
    learner: Learner = PAL
    newcomers: int = 20
    error: float = 1e-8

    @property
    def conditions(self) -> Conditions:
        return ESTIMABLE | SPANNED

    def findings(self, instances: Sequence[PopulationTestbed]) -> Iterator[Finding]:
        for instance in instances:
            people, others = instance.world.people(), instance.world.newcomers(self.newcomers)
            answers, theirs = people.expected(), others.expected()
            fit = self.learner(prototypes=plane(people) + 1, shrinkage=0.0, restarts=3).fit(answers)
            gap = margin_gap(answers, fit.coordinates, people.coordinates)
            yield Finding(f"{instance.name}, seen users", gap / self.error)
            gap = margin_gap(theirs, fit.few_shot(theirs, 0.0).coordinates, others.coordinates)
            yield Finding(f"{instance.name}, newcomers", gap / self.error)


@dataclass(frozen=True, kw_only=True)
class Frozen(PopulationClaim):
    """Newcomers together against each alone, and against the plane of the prototypes.

    Parameters
    ----------
    learner : Learner
    newcomers : int
    shots : int, comparisons each
    error : float, allowed difference relative to the largest margin
    """

    id: str = "PAL-3f"
    provenance: str = "authors' code"
    statement: str = "a newcomer's weights sum to 1 over the frozen prototypes, and depend on that newcomer's comparisons alone"
    source: str = "new-user phase of the code of arXiv 2406.08469"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    learner: Learner = PAL
    newcomers: int = 10
    shots: int = 10
    error: float = 1e-8

    @property
    def conditions(self) -> Conditions:
        return DIFFERENT

    def findings(self, instances: Sequence[PopulationTestbed]) -> Iterable[Finding]:
        for instance in instances:
            world = instance.world
            prototypes = min(plane(world.people()) + 1, 3)
            fit = self.learner(prototypes=prototypes, shrinkage=1.0, restarts=1).fit(world.comparisons())
            shown = world.newcomers(self.newcomers).comparisons(self.shots, [0, 0, 12, 0])
            yield Finding(instance.name, max(self._alone(fit, shown), self._on_the_plane(fit, shown)) / self.error)

    def _alone(self, fit: PALFit, shown: UserComparisons) -> float:
        alone = np.vstack([fit.few_shot(shown.of([user])).coordinates for user in range(shown.users)])
        return margin_gap(shown, alone, fit.few_shot(shown).coordinates)

    def _on_the_plane(self, fit: PALFit, shown: UserComparisons) -> float:
        """How far the margins are from any that weights of the prototypes, summing to 1, can give."""
        found = fit.few_shot(shown).coordinates
        axes = (fit.prototypes[1:] - fit.prototypes[0]).T
        weights = np.linalg.lstsq(axes, (found - fit.prototypes[0]).T, rcond=None)[0]
        return margin_gap(shown, fit.prototypes[0] + (axes @ weights).T, found)

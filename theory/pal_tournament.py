"""PAL-12: the majority of users who rank can be any tournament.

From two users for each pair, one ranking i, j first and then the others, one the others in reverse and then i, j, so that only i over j
is agreed on, K (K - 1) users have P[i, j] = 1/2 + 1/(K (K - 1)) wherever i shall beat j. McGarvey, Econometrica 21 (1953); users who rank
are ideal points in the corners of a simplex (PAL-13).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import ClassVar

import numpy as np

from envs.population_tournament import PopulationTournament
from theory.claim import Conditions, Finding
from theory.pal_statistics import Aggregate, majority
from theory.testbed import PopulationClaim, PopulationTestbed


@dataclass(frozen=True, kw_only=True)
class AnyTournament(PopulationClaim):
    """Entries of the aggregate against the tournament asked for, and the number of users.

    Parameters
    ----------
    aggregate : Aggregate, under test
    actions : numbers of responses
    draws : int, tournaments of each
    error : float, allowed difference
    """

    id: str = "PAL-12"
    provenance: str = "published"
    statement: str = "any tournament on K responses is a majority: K (K-1) users with rankings, P_ij = 1/2 + 1/(K (K-1)) where i beats j"
    source: str = "McGarvey, Econometrica 21 (1953)"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    aggregate: Aggregate = majority
    actions: Sequence[int] = (2, 3, 4, 5, 8)
    draws: int = 5
    error: float = 1e-12

    @property
    def conditions(self) -> Conditions:
        return {"users made for a tournament": lambda testbed: isinstance(testbed.world, PopulationTournament)}

    def findings(self, instances: Sequence[PopulationTestbed]) -> Iterator[Finding]:
        for instance in instances:
            for actions in self.actions:
                for draw in range(self.draws):
                    yield self._at(instance, actions, draw)

    def _at(self, instance: PopulationTestbed, actions: int, draw: int) -> Finding:
        coins = np.random.default_rng([0, draw, 17, actions])
        beats = [tuple(int(k) for k in coins.permutation(pair)) for pair in combinations(range(actions), 2)]
        people = replace(instance.world, actions=None, contexts=1, beats=beats).people()  # type: ignore[call-arg]
        preference, (winners, losers) = self.aggregate(people)[0], np.transpose(beats)
        gap = np.abs(preference[winners, losers] - 0.5 - 1 / (actions * (actions - 1))).max()
        extra = abs(people.users - actions * (actions - 1))
        return Finding(f"{instance.name}, K = {actions}, {draw}", float((gap + extra) / self.error))

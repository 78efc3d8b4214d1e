"""PAL-11: a majority that goes round, as much as one likes.

Ideal points at 0, 120 and 240 degrees on the unit circle, responses at these angles plus delta: a mean of three sigmoids,

    P[0, 1] = P[1, 2] = P[2, 0] = (1/3) sum_a sigmoid(2 (cos(delta - a) - cos(delta + 120 - a)) / T),

which is 1/2 at delta = 0 and 60, and least halfway: 0.4234 at T = 1, and 1/3 as T tends to 0. Derived here; the voters are Condorcet's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from envs.population_cycle import PopulationCycle
from theory.claim import Conditions, Finding
from theory.pal_conditions import CYCLE
from theory.pal_statistics import Aggregate, majority
from theory.testbed import PopulationClaim, PopulationTestbed


def formula(delta: float, temperature: float) -> float:
    """P[0, 1], with angles in degrees."""
    angles, item = np.radians([0.0, 120.0, 240.0]), np.radians(delta)
    return float(expit(2 * (np.cos(item - angles) - np.cos(item + angles[1] - angles)) / temperature).mean())


@dataclass(frozen=True, kw_only=True)
class CycleEdges(PopulationClaim):
    """The aggregate's entries against the formula, at the world's angle and along the dial; and the dial's shape.

    Parameters
    ----------
    aggregate : Aggregate, under test
    dial : angles in degrees, of further worlds; their mirror images in 30 are tried too
    error : float, allowed difference, times one over the temperature (at least 1)
    """

    id: str = "PAL-11"
    provenance: str = "derived"
    statement: str = "cycle of 3 users: P01 = mean_a sigmoid(2 (cos(delta-a) - cos(delta+120-a))/T): 1/2 at delta = 0, 60, least at 30"
    source: str = "Condorcet's voters on a circle"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    aggregate: Aggregate = majority
    dial: Sequence[float] = (0.0, 2.5, 7.5, 15.0, 22.5, 29.0, 30.0)
    error: float = 1e-13

    @property
    def conditions(self) -> Conditions:
        return CYCLE

    def findings(self, instances: Sequence[PopulationTestbed]) -> Iterator[Finding]:
        for instance in instances:
            world: Any = instance.world
            allowed = self.error * (1 + 1 / world.temperature)
            dial = {delta: self._edges(replace(world, delta=delta)) for low in self.dial for delta in (low, 60 - low)}
            gap = max(
                np.abs(edges - formula(delta, world.temperature)).max()
                for delta, edges in [*dial.items(), (world.delta, self._edges(world))]
            )
            yield Finding(f"{instance.name}, formula", float(gap / allowed))
            ends = max(np.abs(dial[delta] - 0.5).max() for delta in (0.0, 60.0))
            above = max(dial[30.0].max() - edges.min() for edges in dial.values())
            yield Finding(f"{instance.name}, ends and middle", float(max(ends, above) / allowed))

    def _edges(self, world: PopulationCycle) -> NDArray:
        preference = self.aggregate(world.people())[0]
        return preference[[0, 1, 2], [1, 2, 0]]

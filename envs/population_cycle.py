"""The world of three users who agree with nobody: every user's taste is a ranking, and the majority's a cycle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from envs.dials import require_number
from envs.people import People
from envs.population_world import PopulationWorld


@dataclass(frozen=True, kw_only=True)
class PopulationCycle(PopulationWorld):
    """Ideal points at 0, 120 and 240 degrees on the unit circle, three responses at the same angles plus `delta`.

        P[0, 1] = P[1, 2] = P[2, 0] = mean over a in {0, 120, 240} of sigmoid(2 (cos(delta - a) - cos(delta + 120 - a)) / temperature)

    is 1/2 at delta = 0 and 60, and furthest below it at 30: 0.4234 at temperature 1, and 1/3 as the temperature tends to 0. By
    symmetry the Bradley-Terry score that fits best is constant: it is calibrated, and says nothing of any user. (Condorcet's
    three voters in the plane; the formula is derived here.)

    Parameters
    ----------
    delta : float
        In [0, 60] degrees, the dial of the cycle.
    temperature : float
        In [1e-6, 1e6], of the squared distance; the higher, the closer every pair is to a tie.

    Raises
    ------
    Invalid
        For any other value.
    """

    delta: float = 30.0
    temperature: float = 1.0

    random: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("delta", self.delta, 0, 60)
        require_number("temperature", self.temperature, 1e-6, 1e6)

    def draw(self, rng: np.random.Generator) -> People:
        del rng
        third = np.radians([0.0, 120.0, 240.0])
        items, prototypes = (np.column_stack([np.cos(angle), np.sin(angle)]) for angle in (third + np.radians(self.delta), third))
        return People(
            items=np.broadcast_to(items, (self.contexts, 3, 2)), prototypes=prototypes, weights=np.eye(3), temperature=self.temperature
        )

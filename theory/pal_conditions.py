"""Conditions that claims on users who differ share (see `theory.conditions`)."""

from __future__ import annotations

from typing import Any

from envs.population import Population
from envs.population_cycle import PopulationCycle
from theory.claim import Conditions
from theory.pal_statistics import drawn, estimable, plane, spanned

WARM = 10.0
"""The highest temperature at which the majority is told from a tie: its distance from one falls with the cube."""


def goes_round(world: PopulationCycle, degrees: float = 1.0) -> bool:
    """Whether the majority is a cycle, and not nearly a tie."""
    return degrees <= world.delta <= 60 - degrees and world.temperature <= WARM


def is_cycle(testbed: Any) -> bool:
    """Whether it is the population of three users on a circle."""
    return isinstance(testbed.world, PopulationCycle)


BY_DISTANCE: Conditions = {"drawn users, by distance from mixtures of prototypes": lambda testbed: isinstance(testbed.world, Population)}
CYCLE: Conditions = {"three users on a circle": is_cycle}
GOES_ROUND: Conditions = CYCLE | {"their majority is a firm cycle": lambda testbed: is_cycle(testbed) and goes_round(testbed.world)}

DRAWN: Conditions = {"drawn users, mixtures of prototypes, who differ": lambda testbed: drawn(testbed.world)}
DIFFERENT: Conditions = {"not all users alike": lambda testbed: plane(testbed.world.people()) > 0}
ESTIMABLE: Conditions = {"every user's margins can be estimated": lambda testbed: estimable(testbed.world.people())}
SPANNED: Conditions = {"users lie in all directions that their prototypes do": lambda testbed: spanned(testbed.world.people())}
MORE_THAN_TWO: Conditions = {"more than 2 responses": lambda testbed: testbed.world.people().actions > 2}

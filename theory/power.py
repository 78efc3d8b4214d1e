"""How small an effect the test of a claim notices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from theory.calibration import Share, trial
from theory.chance import ByChance

ENOUGH = 0.8
"""Chance of being noticed that a smallest effect has."""

STEP = 2**0.5
"""From a size on the ladder of effects to the next."""

RUNGS = 12
"""How far up or down the ladder is tried."""


@dataclass(frozen=True)
class Rung:
    """How many trials notice an effect.

    Attributes
    ----------
    size : of the effect
    refused : trials with a ratio above 1, as `simlab verify` judges
    significant : trials with a finding at 5% by p-values; None for a claim without
    """

    size: float
    refused: Share
    significant: Share | None


@dataclass(frozen=True)
class Power:
    """What the test of a claim notices.

    Attributes
    ----------
    effect : what is planted, with s for its size
    rungs : at half, once and twice the claim's own size
    refused, significant : the smallest sizes that are noticed four times in five, None where none was found (or asked for)
    """

    effect: str
    rungs: tuple[Rung, ...]
    refused: float | None
    significant: float | None


def power(claim: ByChance, subjects: Sequence[Any], seeds: Sequence[int]) -> Power:
    """Measure it on seeds, the same for all sizes."""

    @cache
    def at(rung: int) -> Rung:
        size, refused, significant = claim.size * STEP**rung, Share(), Share()
        for seed in seeds:
            found = trial(claim, subjects, seed, size)
            refused, significant = refused.add(found.refused), (significant.add(found.significant) if found.p else significant)
        return Rung(size, refused, significant if significant.trials else None)

    def refused(rung: int) -> float:
        return at(rung).refused.count / len(seeds)

    def significant(rung: int) -> float:
        share = at(rung).significant
        return share.count / share.trials if share else 0.0

    rungs = tuple(at(rung) for rung in (-2, 0, 2))
    least = smallest(significant, claim.size) if rungs[0].significant else None
    return Power(claim.effect, rungs, smallest(refused, claim.size), least)


def smallest(noticed: Callable[[int], float], size: float) -> float | None:
    """The size that is noticed with chance `ENOUGH`, on a ladder through `size`; None where the ladder has none.

    noticed : rung, 0 for `size`, to the share of trials; between two rungs it is taken to rise with the log of the size
    """
    place = 0
    while place > -RUNGS and noticed(place) >= ENOUGH:
        place -= 1
    while place < RUNGS and noticed(place) < ENOUGH:
        place += 1
    below, above = noticed(place - 1), noticed(place)
    if not below < ENOUGH <= above:
        return None
    return float(size * STEP ** (place - (above - ENOUGH) / (above - below)))

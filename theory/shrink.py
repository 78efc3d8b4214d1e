"""The simplest case that is about as bad: fewer actions, round entries, a start at the reference, a uniform one; one change at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from envs.game import Game
from theory.bound import Bound
from theory.candidates import FEWEST, Case
from theory.falsify import ALLOWANCE, Worst, steady

LOSS = 0.01
"""Share of the ratio that simplicity may cost."""

EXCESS_LOSS = 0.1
"""Share of what a ratio exceeds 1 by that it may cost."""

DIGITS = (1, 2, 3)
"""Significant digits, of numbers that are rounded."""


def shrinking(bound: Bound, worst: Worst) -> Iterator[Worst]:
    """Ever simpler cases, each with a ratio that is at least `as_bad(worst.ratio)`, until no change keeps that."""
    goal = as_bad(worst.ratio)
    simpler: Worst | None = worst
    while simpler is not None:
        simpler = next(_kept(bound, worst.case, goal), None)
        if simpler is not None:
            worst = simpler
            yield worst


def as_bad(ratio: float) -> float:
    """The least ratio that counts as much as this one; above 1 where this is."""
    return max((1 - LOSS) * ratio, 1 + max((1 - EXCESS_LOSS) * (ratio - 1), 2 * ALLOWANCE) if ratio > 1 + 2 * ALLOWANCE else 0.0)


def _kept(bound: Bound, case: Case, goal: float) -> Iterator[Worst]:
    for simpler in _simpler(bound, case):
        ratio = steady(bound, simpler)
        if ratio is not None and ratio >= goal:
            yield Worst(simpler, ratio)


def _simpler(bound: Bound, case: Case) -> Iterator[Case]:
    """Simpler cases, what simplifies most first."""
    game = case.game
    if game.actions > FEWEST:
        yield from (_without(case, action) for action in range(game.actions))
    yield from _rounder_entries(case)
    if not case.instance.at_reference:
        yield replace(case, start=game.log_reference)
    if np.ptp(game.log_reference) > 0:
        yield _referred(case, np.full(game.actions, -np.log(game.actions)))
    yield from _rounder_numbers(bound, case)
    yield from _rounder_policies(case)


def _without(case: Case, action: int) -> Case:
    """The case without an action, policies as they are among the rest."""
    keep = np.arange(case.game.actions) != action
    reference = _normalised(np.exp(case.game.log_reference[keep]))
    game = Game(case.game.preference[np.ix_(keep, keep)], reference, case.game.beta)
    return replace(case, game=game, start=reference if case.instance.at_reference else _normalised(np.exp(case.start[keep])))


def _referred(case: Case, log_reference: NDArray) -> Case:
    """The case with another reference; it starts there if it did."""
    game = replace(case.game, log_reference=log_reference)
    return replace(case, game=game, start=game.log_reference if case.instance.at_reference else case.start)


def _rounder_numbers(bound: Bound, case: Case) -> Iterator[Case]:
    """beta, and the dial at its limit or rounded within it."""
    for digits in DIGITS:
        if _digits(case.game.beta) > digits:
            yield replace(case, game=case.game.with_beta(_rounded(case.game.beta, digits)))
        if bound.dial is not None and case.value is not None and case.value != bound.dial.high:
            value = _rounded(case.value, digits)
            if digits == 1:
                yield replace(case, value=bound.dial.high)
            if _digits(case.value) > digits and bound.dial.low <= value <= bound.dial.high:
                yield replace(case, value=value)


def _rounder_entries(case: Case) -> Iterator[Case]:
    """Entries of P, all and then each, to 0, 1/2 or 1, and to so many decimals."""
    preference = case.game.preference
    pairs = list(combinations(range(len(preference)), 2))
    for grid in (2, 10, 20, 100):
        chosen = [pair for pair in pairs if not any(_on(preference[pair], coarser) for coarser in (2, 10, 20, 100) if coarser <= grid)]
        if len(chosen) > 1:
            yield _with_entries(case, chosen, grid)
        yield from (_with_entries(case, [pair], grid) for pair in chosen)


def _on(entry: float, grid: int) -> bool:
    return float(np.round(entry * grid) / grid) == entry


def _with_entries(case: Case, pairs: list[tuple[int, int]], grid: int) -> Case:
    preference = case.game.preference.copy()
    for i, j in pairs:
        preference[i, j] = np.round(preference[i, j] * grid) / grid
        preference[j, i] = 1 - preference[i, j]
    return replace(case, game=replace(case.game, preference=preference))


def _rounder_policies(case: Case) -> Iterator[Case]:
    """The reference and the start, probabilities rounded."""
    for digits in DIGITS:
        reference = _rounder_policy(case.game.log_reference, digits)
        if reference is not None:
            yield _referred(case, reference)
        start = None if case.instance.at_reference else _rounder_policy(case.start, digits)
        if start is not None:
            yield replace(case, start=start)


def _rounder_policy(log_policy: NDArray, digits: int) -> NDArray | None:
    """Probabilities to so many digits, the largest takes the rest; None where that gains nothing."""
    policy = np.exp(log_policy)
    largest = int(policy.argmax())
    rounder = np.array([_rounded(float(p), digits) for p in policy])
    rounder[largest] = 1 - np.delete(rounder, largest).sum()
    if np.ptp(log_policy) == 0 or rounder[largest] <= 0 or _length(rounder) >= _length(policy):
        return None
    return np.log(rounder)


def _length(policy: NDArray) -> int:
    """Most digits of a probability other than the largest."""
    return max(_digits(float(p)) for p in np.delete(policy, policy.argmax()))


def _rounded(number: float, digits: int) -> float:
    return float(f"{number:.{digits - 1}e}")


def _digits(number: float) -> int:
    """Significant digits of a number, at most 12: beyond these it is rounding."""
    return next((digits for digits in range(1, 12) if abs(_rounded(number, digits) - number) <= 1e-12 * number), 12)


def _normalised(policy: NDArray) -> NDArray:
    return np.log(policy / policy.sum())

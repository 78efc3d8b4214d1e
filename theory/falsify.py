"""Falsification: a search for the instance on which a bound's measured / claimed ratio is largest.

In rounds, each with a fresh draw of candidates and then an optimiser that starts from the best of these (differential evolution,
Storn and Price 1997, of scipy). The sequence of candidates is a function of the bound and the seed; a budget only decides where it ends.
What it does not find may still be there: a search is no proof.

A ratio above 1 counts when it stays there under relabelling of the actions, which changes nothing but the rounding, and exceeds 1
by more than ALLOWANCE.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import differential_evolution

from envs.game import Game
from theory.bound import Bound
from theory.candidates import Case, case, dimension, drawn

ALLOWANCE = 1e-6
"""A ratio that exceeds 1 by less is not told from rounding."""

DRAWS = 128
"""Candidates drawn at random in a round."""

POPULATION, GENERATIONS = 16, 150
"""Of the optimiser in a round."""

RELABELLINGS = 3


@dataclass(frozen=True)
class Worst:
    """The case with the largest ratio so far.

    Attributes
    ----------
    case : Case
    ratio : measured / claimed there
    """

    case: Case
    ratio: float

    @property
    def falsifies(self) -> bool:
        """Whether the claim is false here."""
        return self.ratio > 1 + ALLOWANCE


class Spent(Exception):
    """The budget is used up."""


@dataclass
class Search:
    """A search for the worst case of a bound.

    Parameters
    ----------
    bound : Bound
    seed : root of all that is drawn
    actions : largest K, at least 2
    candidates : how many to try, None for no limit
    seconds : how long to search once the first is measured (which may compile the kernel), None for no limit
    tell : called after each candidate

    Attributes
    ----------
    worst : the worst case so far, None before any that says something
    tried : candidates so far
    """

    bound: Bound
    seed: int = 0
    actions: int = 5
    candidates: int | None = None
    seconds: float | None = None
    tell: Callable[[Search], None] = lambda search: None
    worst: Worst | None = None
    tried: int = 0

    def run(self) -> None:
        """Search until the budget is used up."""
        self._ends = np.inf
        try:
            for number in range(10**9):
                self._round(number)
        except Spent:
            pass

    def _round(self, number: int) -> None:
        """Draw candidates, and improve on those of the K whose best is the worst."""
        drawings = [drawn(self.seed, number * DRAWS + draw, self.actions) for draw in range(DRAWS)]
        ratios = [self._ratio(point, actions) for actions, point in drawings]
        ranked = [drawings[place] for place in np.argsort(-np.array(ratios), kind="stable")]
        actions, rng = ranked[0][0], np.random.default_rng([self.seed, number, 1])
        best = [point for size, point in ranked if size == actions][:POPULATION]
        differential_evolution(
            lambda point: -self._ratio(point, actions),
            [(0.0, 1.0)] * dimension(actions),
            init=np.vstack([*best, rng.random((POPULATION - len(best), dimension(actions)))]),
            maxiter=GENERATIONS,
            tol=0.0,
            polish=False,
            rng=rng,
        )

    def _ratio(self, point: NDArray, actions: int) -> float:
        """The ratio at a point, 0 where the bound says nothing; remembers the worst."""
        if time.monotonic() > self._ends or self.tried == self.candidates:
            raise Spent
        found = case(point, actions, self.bound.dial)
        ratio = steady(self.bound, found) or 0.0
        if self.tried == 0 and self.seconds is not None:
            self._ends = time.monotonic() + self.seconds
        self.tried += 1
        if ratio > (self.worst.ratio if self.worst else 0.0):
            self.worst = Worst(found, ratio)
        self.tell(self)
        return ratio


def steady(bound: Bound, found: Case) -> float | None:
    """The ratio of a case; where that exceeds 1, the smallest over relabellings of its actions."""
    ratio = found.ratio(bound)
    if ratio is None or ratio <= 1:
        return ratio
    ratios = [relabelled(found, turn).ratio(bound) for turn in range(1, min(found.game.actions, RELABELLINGS + 1))]
    return min(ratio, *(1.0 if other is None else other for other in ratios))


def relabelled(found: Case, turn: int) -> Case:
    """The same case, its actions counted from another one."""
    order = np.roll(np.arange(found.game.actions), turn)
    game = Game(found.game.preference[np.ix_(order, order)], found.game.log_reference[order], found.game.beta)
    start = game.log_reference if found.instance.at_reference else found.start[order]
    return replace(found, game=game, start=start)

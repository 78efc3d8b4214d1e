"""The largest step at which a method is stable near the equilibrium: the spectral radius of its map there, for any game and method.

One iteration is a map of log-probabilities. It is linearised at the regularised equilibrium by central differences, on the K - 1
directions that a policy can move in. Where the radius is below 1, policies near the equilibrium are drawn to it; where it is above,
almost all leave. On rock-paper-scissors with a uniform reference `theory.linear_stability` states it in closed form.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import null_space
from scipy.optimize import brentq

from algorithms.tableau import POLICY, REFERENCE, Tableau
from envs.equilibrium import regularised_nash
from envs.game import Game
from envs.invalid import require
from simlab.run import Method, simulate

STEP = 1e-5
"""Of the differences, nats."""

MOVED = 1e-9
"""Largest change of a log-probability by which a method that rests at the equilibrium may move it."""

POINTS = 64
"""Rates on which a first unstable one is looked for, evenly spaced in their logarithm."""

RANGE = 1e-8
"""The smallest rate that is looked at, as a share of the largest."""


def spectral_radius(game: Game, method: Method) -> float:
    """The largest modulus of an eigenvalue of a method's iteration at the regularised equilibrium; stable below 1.

    Parameters
    ----------
    game : Game, beta > 0
    method : without sampling, schedule or memory: an iteration depends on the policy and the reference alone

    Raises
    ------
    Invalid
        For a method that is not so, or does not rest at the regularised equilibrium.
    """
    tableau, name = method.tableau(game.beta, steps=1, actions=game.actions), type(method).__name__
    longer = method.tableau(game.beta, steps=3, actions=game.actions)
    plain = longer.length == 1 and not any(stage.samples or stage.every > 1 for stage in tableau.stages) and not _remembers(tableau)
    require(plain, "method", name, "one whose iteration depends on the policy alone: without sampling, schedule or memory")
    rest = regularised_nash(game)
    moved = float(np.abs(_after(game, method, rest[None]) - rest).max())
    require(moved <= MOVED, "method", name, f"at rest at the regularised equilibrium (it moves a log-probability by {moved:.1e})")
    return float(np.abs(np.linalg.eigvals(_slope(game, method, rest))).max())


def linear_limit(game: Game, method: Callable[[float], Method], largest: float) -> float:
    """The first rate up to `largest` at which the spectral radius reaches 1; `largest` where none does.

    Parameters
    ----------
    game : Game, beta > 0
    method : rate -> Method
    largest : float > 0, the largest rate that is looked at; 1/beta for a method that pulls to the reference
    """
    require(0 < largest < np.inf, "largest", largest, "a finite number > 0")

    def excess(logarithm: float) -> float:
        return spectral_radius(game, method(min(float(np.exp(logarithm)), largest))) - 1

    stable, *others = np.linspace(np.log(RANGE * largest), np.log(largest), POINTS)
    require(excess(stable) < 0, "largest", largest, f"so small that the method is stable at {RANGE:g} of it")
    for rate in others:
        if excess(rate) >= 0:
            return float(np.exp(brentq(excess, stable, rate, xtol=1e-12)))
        stable = rate
    return largest


def _slope(game: Game, method: Method, rest: NDArray) -> NDArray:
    """(K - 1, K - 1) derivative of one iteration, on an orthonormal basis of the directions whose sum is 0."""
    basis = null_space(np.ones((1, game.actions))).T
    after = _after(game, method, np.concatenate([rest + STEP * basis, rest - STEP * basis]))
    forwards, backwards = np.split(after, 2)
    return (forwards - backwards) @ basis.T / (2 * STEP)


def _after(game: Game, method: Method, policies: NDArray) -> NDArray:
    """(n, K) log-probabilities after one iteration from each of (n, K)."""
    normalised = policies - np.log(np.exp(policies).sum(axis=1, keepdims=True))
    return simulate(game, method, steps=1, seeds=len(policies), start=normalised[None], record=[1]).log_policy[:, 0]


def _remembers(tableau: Tableau) -> bool:
    """Whether a stage reads a slot, besides policy and reference, that an earlier iteration wrote."""
    written = {POLICY, REFERENCE}
    for stage in tableau.stages:
        read = {*stage.anchor, *stage.opponent, *([stage.source] if stage.source else [])}
        read |= {stage.base} if stage.kind not in ("prox", "mix") else set()
        if read - written:
            return True
        written.add(stage.to)
    return tableau.returns != POLICY

"""Equilibria of preference games: the ground truth that methods are judged by.

`regularised_nash` solves beta log(p / ref) = P p + const, whose solution is unique for beta > 0. Written in the win
rates w = P p - 1/2 it is the fixed point

    w = (P - 1/2) p(w),        p(w) proportional to ref exp(w / beta),

whose slope I - (P - 1/2) (diag p - p p') / beta is invertible at every w, because P - 1/2 is antisymmetric and the other
factor positive semidefinite. So one smooth curve of equilibria leads from beta = infinity (p = ref) to any beta > 0, and
Newton's method follows it. What certifies the answer is its residual, whichever way it was found: see `residual`.

`nash` solves the unregularised game by linear programming.
"""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs.divergence import log_normalise
from envs.game import Game
from envs.invalid import require

TOLERANCE = 1e-13
"""Largest residual accepted, in win rate; where beta |log ref| exceeds 1, relative to it."""

DISTANCE = 1e-6
"""Largest |p - p*|_1 that an accepted residual may leave possible; binds below beta = 5e-8."""

EASY_BETA = 1.0
"""At or above this beta Newton starts from the reference: above 1/2 even w -> (P - 1/2) p(w) contracts."""

PATH_STEPS = 1000
NEWTON_STEPS = 20


def residual(game: Game, log_policy: ArrayLike) -> NDArray:
    """How far a policy is from beta log(p / ref) = P p + const, in units of win rate.

    r = max - min over actions of beta log(p / ref) - P p. It bounds the distance to the regularised equilibrium p*:
    |p - p*|_1 <= r / (2 beta), and KL(p | p*) + KL(p* | p) <= r^2 / (4 beta^2) [derived: monotonicity and Pinsker].

    Parameters
    ----------
    game : Game
        With beta > 0.
    log_policy : (..., K) array
        Log-probabilities.

    Returns
    -------
    (...) array
    """
    log_policy = np.asarray(log_policy, dtype=np.float64)
    shape, actions = log_policy.shape, game.actions
    require(shape[-1:] == (actions,), "log_policy", f"array of shape {shape}", f"of shape (..., {actions}), K = {actions} actions")
    win = ((game.preference - 0.5) @ np.exp(log_policy)[..., None])[..., 0]
    return np.ptp(game.beta * (log_policy - game.log_reference) - win, axis=-1)


def regularised_nash(game: Game) -> NDArray:
    """The equilibrium of the regularised game, as log-probabilities.

    The unique p with beta log(p / ref) = P p + const, to a `residual` of 1e-13 (times beta |log ref| where that exceeds 1,
    as log-probabilities are rounded). A game is solved once; the answer is kept as long as the game.

    Parameters
    ----------
    game : Game
        With beta > 0.

    Returns
    -------
    (K,) array
        Normalised log-probabilities, read-only.

    Raises
    ------
    Invalid
        If beta is 0, or so small (about 1e-10) that double precision cannot tell the equilibrium to 1e-6.
    """
    if game not in _SOLVED:
        _SOLVED[game] = _regularised_nash(game)
    return _SOLVED[game]


_SOLVED: WeakKeyDictionary[Game, NDArray] = WeakKeyDictionary()


def _regularised_nash(game: Game) -> NDArray:
    require(game.beta > 0, "beta", game.beta, "positive; the game at beta = 0 is solved by envs.equilibrium.nash")
    with np.errstate(over="ignore", invalid="ignore"):
        log_policy = log_normalise(game.log_reference + _win_rates(game) / game.beta)
        left = residual(game, log_policy)
    limit = min(TOLERANCE * max(1.0, game.beta * np.abs(game.log_reference).max()), 2 * DISTANCE * game.beta)
    require(left <= limit, "beta", game.beta, f"larger: double precision leaves a residual of {left:.1e}, above {limit:.1e}")
    log_policy.setflags(write=False)
    return log_policy


def nash(game: Game) -> NDArray:
    """An equilibrium of the original game (beta = 0, whatever the game's own), as probabilities.

    The largest v with P' p >= v, a linear programme (HiGHS); then the equations P' p = v are solved on its support. By
    symmetry v = 1/2. The equilibrium need not be unique (ties, even supports): one of them is returned, not in general the
    limit of `regularised_nash` as beta -> 0.

    Parameters
    ----------
    game : Game

    Returns
    -------
    (K,) array
        Non-negative, sums to 1.

    Raises
    ------
    ArithmeticError
        If HiGHS finds no solution.
    """
    skew = game.preference - 0.5
    vertex = _maximin(skew / (np.abs(skew).max() or 1.0))
    return min(_polished(skew, vertex), vertex, key=lambda p: (skew @ p).max())


class _System(NamedTuple):
    """The equations w - A p(w) = 0 with A = P - 1/2, at one beta."""

    skew: NDArray
    log_reference: NDArray
    beta: float

    def policy(self, win: NDArray) -> NDArray:
        return np.exp(log_normalise(self.log_reference + win / self.beta))

    def error(self, win: NDArray) -> NDArray:
        return win - self.skew @ self.policy(win)

    def solve(self, win: NDArray, right: NDArray) -> NDArray:
        """The inverse of the slope at `win`, I - A (diag p - p p') / beta, times a vector; nan where rounding leaves none."""
        p = self.policy(win)
        weighted = self.skew * (p / self.beta)
        slope = np.outer(weighted.sum(axis=1), p) - weighted
        slope.flat[:: len(p) + 1] += 1
        try:
            return np.linalg.solve(slope, right)
        except np.linalg.LinAlgError:
            return np.full_like(right, np.nan)


def _win_rates(game: Game) -> NDArray:
    """Follow the curve from an easy beta down to the game's, dividing by a factor that adapts to Newton's success."""
    system = _System(game.preference - 0.5, game.log_reference, max(game.beta, EASY_BETA))
    win, _ = _newton(system, system.skew @ np.exp(game.log_reference))
    factor = 4.0
    for _ in range(PATH_STEPS):
        if system.beta == game.beta:
            break
        following = system._replace(beta=max(game.beta, system.beta / factor))
        found, converged = _newton(following, _predicted(system, win, following.beta))
        if converged:
            system, win = following, found
        factor **= 1.5 if converged else 0.5
    return win


def _predicted(system: _System, win: NDArray, beta: float) -> NDArray:
    """Win rates at the next beta: tangent to the curve, exact where w is constant and where w is proportional to beta."""
    constant = system.solve(win, win)
    return constant + (win - constant) * (beta / system.beta)


def _newton(system: _System, win: NDArray) -> tuple[NDArray, bool]:
    """Newton's method for as long as each step halves the error at least, and whether that reached the tolerance."""
    error = system.error(win)
    for _ in range(NEWTON_STEPS):
        candidate = win - system.solve(win, error)
        left = system.error(candidate)
        if not np.linalg.norm(left) < np.linalg.norm(error) / 2:
            break
        win, error = candidate, left
    return win, bool(np.ptp(error) <= TOLERANCE)


def _maximin(skew: NDArray) -> NDArray:
    from scipy.optimize import linprog

    actions = len(skew)
    solution = linprog(
        np.append(np.zeros(actions), 1.0),
        A_ub=np.column_stack([skew, -np.ones(actions)]),
        b_ub=np.zeros(actions),
        A_eq=np.append(np.ones(actions), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * actions + [(None, None)],
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if not solution.success:
        raise ArithmeticError(f"no equilibrium found: {solution.message}")
    return _on_simplex(solution.x[:-1])


def _polished(skew: NDArray, p: NDArray) -> NDArray:
    """The smallest correction on the support that makes its actions tie."""
    support = np.flatnonzero(p > 1e-9)
    ties = np.vstack([skew[np.ix_(support, support)], np.ones(len(support))])
    short = np.append(-skew[support] @ p, 1 - p[support].sum())
    polished = np.zeros_like(p)
    polished[support] = p[support] + np.linalg.lstsq(ties, short, rcond=None)[0]
    return _on_simplex(polished)


def _on_simplex(weights: NDArray) -> NDArray:
    positive = np.maximum(weights, 0.0)
    return positive / positive.sum()

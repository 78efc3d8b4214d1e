"""The fit of a pair loss to comparisons on log-linear (or, with one feature a response, tabular) policies.

    minimise   1/n sum_i ( wins_i L(z_i . theta) + losses_i L(-z_i . theta) )  +  ridge/2 |theta|^2,      n = all wins and losses

theta is relative to the reference, which is 0. It is sought in the span of the features, so that where these do not span the
space the answer is the minimiser of least norm.

Without ridge a minimiser may not exist. The gradient of pair i is z_i times a number of the open interval between the limits of
its slope, so a strictly convex loss attains its minimum iff

    sum_i z_i g_i = 0     for some g_i, each strictly inside its interval

(0 lies in the relative interior of the range of the gradient): a linear program for the least relative distance from the ends.
For the logistic losses it says that some probabilities in (0, 1) reproduce the (debiased) win counts; DPO has none on separable
data, robust DPO none when sum (1 - eps) (v . z)_- <= eps sum (v . z)_+ for some v that is not orthogonal to all z, z pointing to
the winner. A square loss always has one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import linprog, minimize

from algorithms.pair_loss import PairLoss
from envs.invalid import require
from envs.pairs import Comparisons

NEWTON_LIMIT = 400
"""Dimension of the span up to which Newton's method is used; L-BFGS beyond."""
ITERATIONS = 200
SETTLED = 1e-9
"""Newton has converged when its step moves no margin by more than this, relative to the largest margin (at least 1)."""
MODERATE = 20.0
"""A converged fit with no margin beyond this needs no linear program: where there is no minimiser every Newton step on a logistic
loss moves some margin by 1 or more."""
INSIDE = 1e-9
"""Relative distance from the ends of their intervals that slopes must keep for a minimiser to exist; the program's accuracy."""
GRADIENT = 1e-8
"""L-BFGS has converged when the gradient's norm is at most this share of the sum of the norms of its terms."""


@dataclass(frozen=True, eq=False)
class Fit:
    """What a fit found.

    Parameters
    ----------
    theta : (D,) array, relative to the reference; nan where no minimiser exists
    exists : bool, whether the objective has a minimiser
    converged : bool, whether `theta` is it, to rounding
    value, gradient_norm : the objective and the norm of its gradient at `theta` (nan where no minimiser exists)
    rank : dimension of the span of the features; `theta` is unique iff it is D or ridge > 0, else of least norm
    iterations : int
    ridge : float
    message : str, what the flags mean, and what to do
    """

    theta: NDArray
    exists: bool
    converged: bool
    value: float
    gradient_norm: float
    rank: int
    iterations: int
    ridge: float
    message: str


def fit(loss: PairLoss, comparisons: Comparisons, ridge: float = 0.0) -> Fit:
    """Minimise the mean loss of the comparisons plus ridge/2 |theta|^2.

    Parameters
    ----------
    loss : PairLoss
    comparisons : Comparisons
    ridge : float >= 0; it multiplies |theta|^2 / 2 beside the MEAN loss, so its pull does not fade as comparisons are added

    Raises
    ------
    Invalid
        For any other ridge.
    """
    number = isinstance(ridge, int | float | np.floating) and not isinstance(ridge, bool)
    require(number and 0 <= ridge < np.inf, "ridge", ridge, "a finite number >= 0")
    problem = _Problem(loss, comparisons, float(ridge))
    x, iterations, converged = (_newton if problem.rank <= NEWTON_LIMIT else _lbfgs)(problem)
    certain = ridge > 0 or (converged and problem.rank <= NEWTON_LIMIT and np.abs(problem.features @ x).max(initial=0) <= MODERATE)
    slack = np.inf if certain else slope_slack(loss, comparisons)
    exists = slack > INSIDE
    if not exists:
        x, converged = np.full_like(x, np.nan), False
    dimension = comparisons.features.shape[1]
    return Fit(
        theta=problem.basis @ x if exists else np.full(dimension, np.nan),
        exists=exists,
        converged=converged,
        value=problem.value(x) if exists else np.nan,
        gradient_norm=float(np.linalg.norm(problem.gradient(x))),
        rank=problem.rank,
        iterations=iterations,
        ridge=float(ridge),
        message=_message(slack, converged, problem.rank < dimension and ridge == 0, iterations),
    )


def slope_slack(loss: PairLoss, comparisons: Comparisons) -> float:
    """How far inside their intervals slopes that cancel can stay: in [-inf, 1/2], or inf for a loss of unbounded slope.

    Positive iff a minimiser exists (without ridge); negative iff the objective is unbounded below.
    """
    low, high = loss.slope(np.array([-np.inf, np.inf]))
    if not np.isfinite(high - low):
        return np.inf
    kept = comparisons.wins + comparisons.losses > 0
    features, wins, losses = comparisons.features[kept], comparisons.wins[kept], comparisons.losses[kept]
    # The slope of a pair is width (y - start) with y in (0, 1); for a logistic loss y is the fitted probability of a win.
    width = (wins + losses) * (high - low)
    start = (losses * high - wins * low) / width
    terms = (features * (width / width.max())[:, None]).T
    scale = np.abs(terms).max(axis=1, keepdims=True, initial=0)
    terms = terms[scale[:, 0] > 0] / scale[scale[:, 0] > 0]
    pairs = len(width)
    # Variables y and the slack d: slack <= y <= 1 - slack.
    ends = np.vstack([np.hstack([-np.eye(pairs), np.ones((pairs, 1))]), np.hstack([np.eye(pairs), np.ones((pairs, 1))])])
    solved = linprog(
        np.append(np.zeros(pairs), -1.0),
        A_ub=ends,
        b_ub=np.append(np.zeros(pairs), np.ones(pairs)),
        A_eq=np.hstack([terms, np.zeros((len(terms), 1))]),
        b_eq=terms @ start,
        bounds=(None, None),
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    return float(-solved.fun)


class _Problem:
    """The objective in orthonormal coordinates of the span of the features."""

    def __init__(self, loss: PairLoss, comparisons: Comparisons, ridge: float):
        kept = comparisons.wins + comparisons.losses > 0
        features = comparisons.features[kept]
        self.loss, self.ridge, self.basis = loss, ridge, _span(features)
        self.features = features @ self.basis
        self.wins, self.losses = comparisons.wins[kept] / comparisons.total, comparisons.losses[kept] / comparisons.total
        self.rank = self.basis.shape[1]

    def value(self, x: NDArray) -> float:
        margin = self.features @ x
        return float(self.wins @ self.loss.value(margin) + self.losses @ self.loss.value(-margin) + 0.5 * self.ridge * x @ x)

    def slopes(self, x: NDArray) -> NDArray:
        margin = self.features @ x
        return self.wins * self.loss.slope(margin) - self.losses * self.loss.slope(-margin)

    def gradient(self, x: NDArray) -> NDArray:
        return self.features.T @ self.slopes(x) + self.ridge * x

    def hessian(self, x: NDArray) -> NDArray:
        margin = self.features @ x
        curvature = self.wins * self.loss.curvature(margin) + self.losses * self.loss.curvature(-margin)
        return (self.features * curvature[:, None]).T @ self.features + self.ridge * np.eye(self.rank)


def _span(features: NDArray) -> NDArray:
    """(D, rank) orthonormal basis of the rows' span."""
    triangle = np.linalg.qr(features, mode="r")
    _, singular, rows = np.linalg.svd(triangle, full_matrices=False)
    kept = singular > max(features.shape) * np.finfo(np.float64).eps * singular.max()
    return rows[kept].T


def _newton(problem: _Problem) -> tuple[NDArray, int, bool]:
    """Damped Newton steps from 0: the point, the iterations, and whether it settled."""
    x = np.zeros(problem.rank)
    for iteration in range(1, ITERATIONS + 1):
        gradient = problem.gradient(x)
        try:
            step = -cho_solve(cho_factor(problem.hessian(x)), gradient)
        except np.linalg.LinAlgError:
            return x, iteration, False  # flat to rounding: the margins have run away
        moved, size = (np.abs(problem.features @ vector).max(initial=0) for vector in (step, x))
        if moved <= SETTLED * max(1.0, size):
            return x + step, iteration, True
        x = x + _damping(problem, x, step, gradient @ step) * step
    return x, ITERATIONS, False


def _damping(problem: _Problem, x: NDArray, step: NDArray, descent: float) -> float:
    """Halve the step until it decreases the objective enough (Armijo), up to rounding."""
    value = problem.value(x)
    slack, share = 1e-14 * (1.0 + abs(value)), 1.0
    while problem.value(x + share * step) > value + 1e-4 * share * descent + slack:
        share /= 2
    return share


def _lbfgs(problem: _Problem) -> tuple[NDArray, int, bool]:
    options = {"maxiter": 20_000, "maxfun": 40_000, "maxcor": 30, "ftol": 0.0, "gtol": 0.0}
    done = minimize(problem.value, np.zeros(problem.rank), jac=problem.gradient, method="L-BFGS-B", options=options)
    terms = np.linalg.norm(problem.features, axis=1) @ np.abs(problem.slopes(done.x)) + problem.ridge * np.linalg.norm(done.x)
    return done.x, int(done.nit), bool(np.linalg.norm(problem.gradient(done.x)) <= GRADIENT * terms)


def _message(slack: float, converged: bool, many: bool, iterations: int) -> str:
    if slack <= INSIDE:
        why = "the objective is unbounded below" if slack < -INSIDE else "the objective has a bound that no theta attains"
        return f"no minimiser: {why}; add comparisons (n well above D / (1 - 2 flip)^2), or ridge > 0"
    if not converged:
        return f"not converged in {iterations} iterations; add ridge > 0, or scale the features"
    return "the minimiser of least norm: the features do not span all directions" if many else "the unique minimiser"

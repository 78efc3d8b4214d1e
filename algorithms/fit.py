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

from copy import copy
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from algorithms.existence import INSIDE, MODERATE, NEAR
from algorithms.pair_kernel import EIGHT, add_gradient, add_hessian, largest_square, margins
from algorithms.pair_loss import PairLoss, terms
from envs.comparisons import MOST, Comparisons
from envs.invalid import require

NEWTON_LIMIT = 400
"""Dimension of the span up to which Newton's method is used; L-BFGS beyond."""
ITERATIONS = 200
SETTLED = 1e-7
"""Newton has converged when its step moves no margin by more than this, relative to the largest (at least 1): what is left after the
step is of the order of its square. Where the Hessian is of an earlier point, from which margins have moved further, what is left is of
the order of the product, and that is to be as small."""
TRYING = 8
"""Iterations after which a gradient is held against its rounding error, which takes a pass of its own."""
MANY, EVERY = 100_000, 10
"""From how many pairs on Newton starts where it ends on a sample of them, every so many-th."""
OF_MANY, OF_SAMPLE = 3e-5, 3e-3
"""The same on so many pairs, and on a sample of them: what is left is far below its own error."""
CHUNK = 1 << 16
"""Features that are gone through at a time, few enough to stay in the cache from the margins to the derivatives."""
AHEAD = 64
"""How many rows ahead they are asked for where they are gone through once."""
ROUNDING = 4 * np.finfo(np.float64).eps
"""Or when the gradient's norm is this share of the sum of the norms of its terms."""
GRADIENT = 1e-8
"""L-BFGS has converged when the gradient's norm is this share of the sum of the norms of its terms."""


@dataclass(frozen=True, eq=False)
class Fit:
    """What a fit found.

    Parameters
    ----------
    theta : (D,) array, relative to the reference; nan where no minimiser exists
    exists : bool, whether the objective has a minimiser
    converged : bool, whether `theta` is it, to rounding; among `MANY` pairs to 1e-9 of the square of the largest margin, or far less
    value, gradient_norm : the objective and the norm of its gradient at `theta` (nan where no minimiser exists)
        Among `MANY` pairs the gradient is that of the point one last step before `theta`, where it is larger.
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
    problem = Objective(loss, comparisons, float(ridge))
    with np.errstate(over="ignore", invalid="ignore"):  # margins may run away
        x, iterations, converged, point = (_newton if problem.rank <= NEWTON_LIMIT else _lbfgs)(problem)
        exists = ridge > 0 or _exists(problem, x, comparisons)
        if not exists:
            point = Point(np.nan, np.full_like(x, np.nan), np.empty((0, 0)), np.nan)
    if not exists:
        x, converged = np.full_like(x, np.nan), False
    dimension = comparisons.features.shape[1]
    return Fit(
        theta=problem.basis @ x if exists else np.full(dimension, np.nan),
        exists=exists,
        converged=converged,
        value=point.value,
        gradient_norm=float(np.linalg.norm(point.gradient)),
        rank=problem.rank,
        iterations=iterations,
        ridge=float(ridge),
        message=_message(exists, converged, problem.rank < dimension and ridge == 0, iterations),
    )


def slope_slack(loss: PairLoss, comparisons: Comparisons) -> float:
    """How far inside their intervals slopes that cancel can stay: in [-inf, 1/2], or inf for a loss of unbounded slope.

    Positive iff a minimiser exists (without ridge); negative iff the objective is unbounded below.
    """
    from scipy.optimize import linprog  # slow to import, and few fits come here
    from scipy.sparse import csr_array, eye_array, hstack, vstack

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
    ones, each = csr_array(np.ones((pairs, 1))), eye_array(pairs)
    solved = linprog(
        np.append(np.zeros(pairs), -1.0),  # the variables are y and the slack: slack <= y <= 1 - slack
        A_ub=vstack([hstack([-each, ones]), hstack([each, ones])]),
        b_ub=np.append(np.zeros(pairs), np.ones(pairs)),
        A_eq=csr_array(np.hstack([terms, np.zeros((len(terms), 1))])),
        b_eq=terms @ start,
        bounds=(None, None),
        method="highs-ipm",  # with crossover, so as exact as the simplex method, and much faster on thousands of pairs
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    return float(-solved.fun)


def _exists(problem: Objective, x: NDArray, comparisons: Comparisons) -> bool:
    """Whether there is a minimiser; the linear program is asked where the point `x` of an iteration proves neither."""
    here = problem.at(x, curved=True)
    largest, step = here.largest_margin, _step(here) if problem.rank else x
    if largest <= MODERATE and step is not None and problem.largest_margin(step) <= NEAR:
        return True
    if largest > 0 and problem.recession(x) <= 0:
        return False
    return slope_slack(problem.loss, comparisons) > INSIDE


@dataclass(frozen=True, eq=False)
class Point:
    """The objective and its derivatives at one point, where it was asked for with the Hessian: or with that of another point, from which
    no margin has moved by more than `away`."""

    value: float
    gradient: NDArray
    hessian: NDArray
    largest_margin: float
    away: float = 0.0


class Objective:
    """The objective in orthonormal coordinates of the span of the features, or in the features' own where they span all directions."""

    def __init__(self, loss: PairLoss, comparisons: Comparisons, ridge: float):
        kept = np.logical_or(comparisons.wins, comparisons.losses)
        every = bool(kept.all())
        features = comparisons.features if every else comparisons.features[kept]
        wins, losses = (comparisons.wins, comparisons.losses) if every else (comparisons.wins[kept], comparisons.losses[kept])
        self.reach = float(np.sqrt(largest_square(_fixed(features), AHEAD)))
        """The largest norm of a pair's features: theta + d moves no margin by more than this times |d|."""
        require(self.reach <= MOST, "features", f"an array with a row of norm {self.reach:.3g}", f"rows of norm {MOST:g} at most")
        self.loss, self.ridge, self.basis = loss, ridge, _span(features, self.reach)
        own = self.basis.shape == 2 * features.shape[1:] and np.array_equal(self.basis, np.eye(len(self.basis)))
        self.features = _fixed(features if own else features @ self.basis)
        self.wins, self.losses, self.total = _fixed(wins), _fixed(losses), comparisons.total
        self.rank = self.basis.shape[1]

    def sampled(self) -> Objective:
        """The same of every so many-th pair."""
        few, every = copy(self), slice(None, None, EVERY)
        few.features, few.wins, few.losses = _fixed(self.features[every]), _fixed(self.wins[every]), _fixed(self.losses[every])
        few.total = float(few.wins.sum() + few.losses.sum())
        return few

    def at(self, x: NDArray, *, curved: bool = False) -> Point:
        """One pass over the features; without a Hessian where it is not asked for."""
        value, gradient, largest = 0.0, np.zeros(self.rank), 0.0
        hessian = np.zeros((self.rank, _whole_eights(self.rank)) if curved else (0, 0))
        many = max(1, CHUNK // max(1, self.rank))
        for start in range(0, len(self.features), many):
            part = slice(start, start + many)
            features, margin = self.features[part], np.empty(len(self.wins[part]))
            largest = max(largest, margins(features, x, margin, many))
            found = terms(self.loss, margin, self.wins[part], self.losses[part])
            value += found.value
            add_gradient(features, found.slopes, gradient)
            if curved:
                add_hessian(features, found.curvatures, hessian)
        if curved:
            hessian = _symmetric(hessian) / self.total + self.ridge * np.eye(self.rank)
        return Point(value / self.total + 0.5 * self.ridge * float(x @ x), gradient / self.total + self.ridge * x, hessian, largest)

    def margins(self, x: NDArray) -> NDArray:
        found = np.empty(len(self.features))
        margins(self.features, x, found, AHEAD)
        return found

    def size(self, x: NDArray) -> float:
        """The sum of the sizes of the terms of the value, to which its rounding error is relative."""
        margin = self.margins(x)
        terms = self.wins @ np.abs(self.loss.value(margin)) + self.losses @ np.abs(self.loss.value(-margin))
        return float(terms / self.total + 0.5 * self.ridge * x @ x)

    def gradient_size(self, x: NDArray) -> float:
        """The sum of the norms of the terms of the gradient."""
        margin = self.margins(x)
        slopes = self.wins * np.abs(self.loss.slope(margin)) + self.losses * np.abs(self.loss.slope(-margin))
        return float(np.linalg.norm(self.features, axis=1) @ slopes / self.total + self.ridge * np.linalg.norm(x))

    def largest_margin(self, x: NDArray) -> float:
        return margins(self.features, x, np.empty(len(self.features)), AHEAD)

    def recession(self, direction: NDArray) -> float:
        """The slope of the objective far out in a direction, without ridge: a minimiser needs it to be positive."""
        margin = self.margins(direction)
        low, high = self.loss.slope(np.array([-np.inf, np.inf]))
        up, down = self.wins * high - self.losses * low, self.wins * low - self.losses * high
        return float(np.where(margin > 0, up, down) @ margin) / self.total


def _fixed(values: NDArray) -> NDArray:
    """As features and counts reach compiled functions, so that these are compiled once: row by row, and not to be written to."""
    rows = np.ascontiguousarray(values).view()
    rows.setflags(write=False)
    return rows


def _whole_eights(columns: int) -> int:
    return -(-columns // EIGHT) * EIGHT


def _symmetric(lower: NDArray) -> NDArray:
    """The matrix of what is on and below the diagonal."""
    lower = np.tril(lower[:, : len(lower)])
    return lower + np.tril(lower, -1).T


SAFE = 1e-8
"""Where no eigenvalue of the moments is below this share of all squares, the features span all directions, beyond doubt."""


def _span(features: NDArray, reach: float) -> NDArray:
    """(D, rank) orthonormal basis of the rows' span: the coordinate axes where a sample of the rows shows that it is everything."""
    some = features[:: EVERY**2 if len(features) >= MANY else 1]
    moments = np.zeros((features.shape[1], _whole_eights(features.shape[1])))
    add_hessian(_fixed(some), np.ones(len(some)), moments)
    moments = _symmetric(moments)
    if len(some) >= len(moments) and np.linalg.eigvalsh(moments).min() > SAFE * len(features) * reach**2:
        return np.eye(len(moments))
    triangle = np.linalg.qr(features, mode="r")
    _, singular, rows = np.linalg.svd(triangle, full_matrices=False)
    kept = singular > max(features.shape) * np.finfo(np.float64).eps * singular.max()
    return rows[kept].T


def _newton(problem: Objective) -> tuple[NDArray, int, bool, Point]:
    """Damped Newton steps from 0, or from the end of those on a sample: where, the iterations, whether it settled, and what is there."""
    if problem.rank == 0:
        return np.zeros(0), 0, True, problem.at(np.zeros(0))
    many = len(problem.features) >= MANY
    x, iterations, settled, point = _settled(problem, *_start(problem), OF_MANY if many else SETTLED)
    return x, iterations, settled, point if many else problem.at(x)


def _start(problem: Objective) -> tuple[NDArray, Point]:
    """Where to begin; after a sample, whose Hessian is as near as its minimiser, the first step goes by that."""
    if len(problem.features) >= MANY:
        few = problem.sampled()
        x, _, settled, curved = _settled(few, *_start(few), OF_SAMPLE)
        if settled:
            return x, replace(problem.at(x), hessian=curved.hessian, away=np.inf)
    x = np.zeros(problem.rank)
    return x, problem.at(x, curved=True)


def _settled(problem: Objective, x: NDArray, point: Point, limit: float) -> tuple[NDArray, int, bool, Point]:
    """Newton steps until what is left is below the limit's square; also the point of the last step, with the value that is after it.

    The Hessian is kept for one step where that leaves no more: a gradient is the cheaper pass.
    """
    for iteration in range(1, ITERATIONS + 1):
        step = _step(point)
        if step is None:
            return x, iteration, False, point
        moved, allowed = problem.reach * float(np.linalg.norm(step)), limit * max(1.0, point.largest_margin)
        if moved * max(moved, point.away) <= allowed * allowed:
            return x + step, iteration, True, replace(point, value=point.value + 0.5 * float(point.gradient @ step))
        if iteration > TRYING and np.linalg.norm(point.gradient) <= ROUNDING * problem.gradient_size(x):
            return x, iteration, True, point
        kept = point.away == 0 and moved * moved * moved <= allowed * allowed
        x, there = _damped(problem, x, point, step, curved=not kept)
        point = replace(there, hessian=point.hessian, away=moved) if kept else there
    return x, ITERATIONS, False, point


def _step(point: Point) -> NDArray | None:
    """Newton's step; None where the Hessian is not positive definite to rounding: where margins have run away it is flat."""
    try:
        step = -cho_solve(cho_factor(point.hessian), point.gradient)
    except np.linalg.LinAlgError:
        return None
    return step if np.isfinite(step).all() else None


def _damped(problem: Objective, x: NDArray, point: Point, step: NDArray, *, curved: bool) -> tuple[NDArray, Point]:
    """Halve the step until it decreases the objective enough (Armijo), up to rounding."""
    descent, slack, share = float(point.gradient @ step), 0.0, 1.0
    while True:
        there = problem.at(x + share * step, curved=curved)
        if there.value <= point.value + 1e-4 * share * descent + slack:  # a nan is halved too
            return x + share * step, there
        if slack:
            share /= 2
        slack = 1e-13 * problem.size(x)


def _lbfgs(problem: Objective) -> tuple[NDArray, int, bool, Point]:
    from scipy.optimize import minimize

    options = {"maxiter": 20_000, "maxfun": 40_000, "maxcor": 30, "ftol": 0.0, "gtol": 0.0}

    def objective(x: NDArray) -> tuple[float, NDArray]:
        point = problem.at(x)
        return point.value, point.gradient

    done = minimize(objective, np.zeros(problem.rank), jac=True, method="L-BFGS-B", options=options)
    if not np.isfinite(problem.margins(done.x)).all():
        return np.zeros(problem.rank), int(done.nit), False, problem.at(np.zeros(problem.rank))
    return done.x, int(done.nit), bool(np.linalg.norm(done.jac) <= GRADIENT * problem.gradient_size(done.x)), problem.at(done.x)


def _message(exists: bool, converged: bool, many: bool, iterations: int) -> str:
    if not exists:
        return (
            "no minimiser: the objective falls for ever in some direction; add comparisons (n well above D / (1 - 2 flip)^2), or ridge > 0"
        )
    if not converged:
        return f"not converged in {iterations} iterations; add ridge > 0, or scale the features"
    return "the minimiser of least norm: the features do not span all directions" if many else "the unique minimiser"

"""The other half of PAL: the plane that the users' ideal points lie on, found together with the points.

Affine planes of dimension r near one through `centre`, with orthonormal directions V (r, d) and normals N (d - r, d), are graphs over
it, so that all users near theirs, at delta_u on the plane, are

    a_u  =  centre  +  delta_u V  +  (1, delta_u) tilt N,        tilt an (r + 1, d - r) array, now 0,

with no parameter too many: r U + (r + 1) (d - r). The Hessian in (delta, tilt) is an arrow: users are eliminated one by one, and what is
left is as small as the tilt. Newton's steps are damped after Levenberg and Marquardt, in the metric sum_u n_u |change of a_u|^2 / 4, which
knows nothing of bases. They end at minima, never at saddles, to rounding. (Derived here; alternating between the convex problems
of the points and of the plane has the same minima, but converges linearly.)

The pull to the mean user, pull/2 sum_u |a_u - mean|^2, ties all users by one vector of the plane, which joins the tilt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

from algorithms.existence import MODERATE
from algorithms.pal_blocks import SETTLED, Whitened, settle

ITERATIONS = 200
START, LEAST, MOST = 1e-2, 1e-9, 1e12
"""Damping: at first, at least, and where no step helps any more; 1 is the curvature of even comparisons."""
UNDAMPED = 1e-6
"""A step damped by no more than this, and small, shows that the iteration has converged."""
PULL = 0.25
"""The pull of starts, of one comparison, where the fit has none."""
ROUNDING = 1e-13
"""The share of the objective by which rounding may raise it."""


@dataclass(frozen=True, eq=False)
class Run:
    """Where an iteration got to.

    Parameters
    ----------
    points : (U, d) array, the users
    directions : (r, d) array, whose span through the mean of the points is the plane
    objective : float, the negative log-likelihood plus the pull
    converged : bool, whether this is a local minimum, to rounding
    iterations : int
    """

    points: NDArray
    directions: NDArray
    objective: float
    converged: bool = False
    iterations: int = 0


def search(data: Whitened, mean: NDArray, r: int, pull: float, restarts: int, seed: int) -> Run:
    """The best run of several, from planes of dimension r through `mean`: one in the users' leading directions, then random ones.

    At `mean` the users' scores, over the roots of their numbers of comparisons, are to first order their displacements in standard
    errors; the first plane is the one that explains most of them.
    """
    starts = 1 if r in (0, len(mean)) else restarts  # where the problem is convex, any will do
    return min((_run(data, mean, _directions(data, mean, r, start, seed), pull) for start in range(starts)), key=lambda run: run.objective)


def objective(data: Whitened, points: NDArray, pull: float) -> float:
    """The negative log-likelihood of all comparisons plus pull/2 sum_u |a_u - mean|^2, of users at (U, d) points."""
    spread = ((points - points.mean(axis=0)) ** 2).sum()
    return negative_log_likelihood(data.wins, data.losses, data.margins(points)) + 0.5 * pull * float(spread)


def negative_log_likelihood(wins: NDArray, losses: NDArray, margins: NDArray) -> float:
    """The sum over comparisons."""
    size = np.abs(margins)
    return float(((wins + losses) * np.log1p(np.exp(-size)) + np.where(margins > 0, losses, wins) * size).sum())


def _directions(data: Whitened, mean: NDArray, r: int, start: int, seed: int) -> NDArray:
    if start:
        return np.random.default_rng([seed, 0, start, r]).standard_normal((r, len(mean)))
    scores = (data.total * expit(data.margins(mean)) - data.wins) @ data.features
    return np.linalg.svd(scores / np.sqrt(data.total.sum(axis=1, keepdims=True)), full_matrices=False)[2][:r]


def _run(data: Whitened, mean: NDArray, directions: NDArray, pull: float) -> Run:
    """Settle the users on a plane through `mean`, then move both to the nearest minimum."""
    along, _ = _bases(directions)
    points = mean + settle(data.features @ along.T, data.margins(mean), data.wins, data.losses, pull or PULL).points @ along
    run, damping = Run(points, along, objective(data, points, pull)), START
    while not run.converged and run.iterations < ITERATIONS and damping < MOST and not (pull == 0 and _runaway(data, run.points)):
        run, damping = _descend(data, run, pull, damping)
    return run


def _descend(data: Whitened, run: Run, pull: float, damping: float) -> tuple[Run, float]:
    """A step that lowers the objective, damped as needed, and the damping to go on with."""
    arrow, allowed, least = _arrow(data, run, pull), run.objective + ROUNDING * abs(run.objective), damping
    while damping < MOST:
        step = arrow.step(damping)
        if step is not None and (value := objective(data, run.points + step.change, pull)) <= allowed + 1e-4 * step.slope:
            moved, size = (_largest(data, margins) for margins in (step.change @ data.features.T, data.margins(run.points)))
            converged = damping <= UNDAMPED and moved <= SETTLED * max(1.0, size)
            run = Run(run.points + step.change, step.directions, value, converged, run.iterations + 1)
            return run, max(damping / 10, LEAST) if damping == least else damping
        damping *= 10
    return replace(run, iterations=run.iterations + 1), damping


@dataclass(frozen=True, eq=False)
class _Step:
    change: NDArray  # (U, d), of the points
    directions: NDArray  # (r, d), of the new plane
    slope: float  # the change of the objective to first order


@dataclass(frozen=True, eq=False)
class _Arrow:
    """Gradient, Hessian and metric in the users' delta and what they share: the tilt (row by row), then the mean's place on the plane."""

    along: NDArray  # (r, d) V
    normal: NDArray  # (d - r, d) N
    lifted: NDArray  # (U, r + 1), (1, delta)
    own_gradient: NDArray  # (U, r)
    own: NDArray  # (U, r, r)
    own_metric: NDArray  # (U,), times the identity
    cross: NDArray  # (U, r, q)
    shared_gradient: NDArray  # (q,)
    shared: NDArray  # (q, q)
    shared_metric: NDArray  # (q, q)

    def step(self, damping: float) -> _Step | None:
        """None where the damped Hessian is not positive definite."""
        users, r, shared = self.cross.shape
        damped = self.own + damping * self.own_metric[:, None, None] * np.eye(r)
        solved = np.linalg.solve(damped, np.concatenate([self.cross, self.own_gradient[:, :, None]], axis=2))
        through = self.cross.reshape(users * r, shared).T @ solved.reshape(users * r, shared + 1)
        try:
            factor = cho_factor(self.shared + damping * self.shared_metric - through[:, :-1])
        except np.linalg.LinAlgError:
            return None
        common = -cho_solve(factor, self.shared_gradient - through[:, -1])
        delta = -(solved[:, :, -1] + solved[:, :, :-1] @ common)
        tilted = common[: shared - r].reshape(r + 1, len(self.normal)) @ self.normal
        directions = self.along + tilted[1:]
        slope = (self.own_gradient * delta).sum() + self.shared_gradient @ common
        return _Step(delta @ directions + self.lifted @ tilted, directions, float(slope))


def _arrow(data: Whitened, run: Run, pull: float) -> _Arrow:
    along, normal = _bases(run.directions)
    (users, d), r = run.points.shape, len(along)
    delta = (run.points - run.points.mean(axis=0)) @ along.T
    lifted = np.hstack([np.ones((users, 1)), delta])
    features, odds = data.features @ np.vstack([along, normal]).T, data.margins(run.points)
    slopes = (data.total * expit(odds) - data.wins) @ features
    outer = (features[:, :, None] * features[:, None, :]).reshape(len(features), d * d)
    curvature = ((data.total * expit(odds) * expit(-odds)) @ outer).reshape(users, d, d)

    # A tilt moves a user by (1, delta) N, and delta by V + tilt N: hence a second derivative in both that the slopes multiply.
    cross = lifted[:, None, :, None] * curvature[:, :r, None, r:]
    cross[:, np.arange(r), np.arange(r) + 1] += slopes[:, None, r:]
    return _Arrow(
        along=along,
        normal=normal,
        lifted=lifted,
        own_gradient=slopes[:, :r] + pull * delta,
        own=curvature[:, :r, :r] + pull * np.eye(r),
        own_metric=data.total.sum(axis=1) / 4,
        cross=np.concatenate([cross.reshape(users, r, (r + 1) * (d - r)), np.tile(-pull * np.eye(r), (users, 1, 1))], axis=2),
        shared_gradient=np.append((lifted.T @ slopes[:, r:]).ravel(), np.zeros(r)),
        shared=_shared(lifted, curvature[:, r:, r:], pull),
        shared_metric=_metric(lifted, data.total.sum(axis=1) / 4, d - r),
    )


def _shared(lifted: NDArray, curvature: NDArray, pull: float) -> NDArray:
    """(q, q) Hessian in the tilt and in the mean's place: curvature (U, d - r, d - r), of the normals."""
    users, rows = lifted.shape
    columns = curvature.shape[1]
    pairs = (lifted[:, :, None] * lifted[:, None, :]).reshape(users, rows * rows)
    blocks = (pairs.T @ curvature.reshape(users, columns * columns)).reshape(rows, rows, columns, columns)
    spread = pull * lifted.T @ lifted
    spread[0] = spread[:, 0] = 0.0  # moving all users alike meets no pull
    size = rows * columns
    hessian = np.zeros((size + rows - 1, size + rows - 1))
    hessian[:size, :size] = blocks.transpose(0, 2, 1, 3).reshape(size, size) + np.kron(spread, np.eye(columns))
    hessian[size:, size:] = (users * pull or 1.0) * np.eye(rows - 1)  # without pull the place means nothing, and stays
    return hessian


def _metric(lifted: NDArray, weight: NDArray, columns: int) -> NDArray:
    """(q, q) what the tilt adds to sum_u weight_u |change of a_u|^2, and a little more, for planes that the users do not span."""
    rows = lifted.shape[1]
    moments = (lifted * weight[:, None]).T @ lifted
    metric = np.zeros((rows * columns + rows - 1,) * 2)
    metric[: rows * columns, : rows * columns] = np.kron(moments + 1e-9 * np.trace(moments) * np.eye(rows), np.eye(columns))
    return metric


def _runaway(data: Whitened, points: NDArray) -> bool:
    """Whether a user is far from the mean in a direction that separates the user's answers, so that there is no minimum to go to."""
    margins = (points - points.mean(axis=0)) @ data.features.T
    against = (np.where(margins > 0, data.losses, data.wins) * np.abs(margins)).sum(axis=1)
    far = np.where(data.total > 0, np.abs(margins), 0.0).max(axis=1) > MODERATE
    return bool((far & (against == 0)).any())


def _largest(data: Whitened, margins: NDArray) -> float:
    """The largest size of (U, m) margins over what was compared."""
    return float(np.where(data.total > 0, np.abs(margins), 0.0).max())


def _bases(directions: NDArray) -> tuple[NDArray, NDArray]:
    """Orthonormal bases, as rows, of a span and of its complement."""
    basis = np.linalg.qr(directions.T, mode="complete")[0].T
    return basis[: len(directions)], basis[len(directions) :]

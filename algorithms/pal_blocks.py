"""The convex half of PAL: users on a given plane, each a small logistic regression with offset.

A user at a point x of the plane has margins base + features . x, and minimises

    sum_i ( wins_i log(1 + exp(-u_i)) + losses_i log(1 + exp(u_i)) )  +  pull/2 |x|^2,        u = base + features . x

Newton's method needs no line search. Along a step that moves no margin by more than M the third derivative is at most M times the
second, so the objective falls by the most that this guarantees at the share log(1 + M) / M of the step, and never rises.

With pull = 0 a minimiser exists iff no direction of the plane separates the user's answers, whatever `base` (`algorithms.fit`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from algorithms.existence import INSIDE, MODERATE, NEAR
from envs.user_comparisons import UserComparisons

ITERATIONS = 200
SETTLED = 1e-7
"""Newton has converged when its step moves no margin by more than this, relative to the largest margin (at least 1): what is left
after the step is of the order of its square."""
ROUNDS, STEADY = 100, 1e-3
"""A spread is repeated until it changes by less than this share; it is known no better than to a share of 1 / sqrt(U) anyway."""
BALANCED = 1e-9
"""A gradient that the Newton step does not cancel, as a share of the sum of the norms of its terms: rounding, up to here."""


@dataclass(frozen=True, eq=False)
class Whitened:
    """Comparisons in coordinates in which a step of length 1 moves the margins by 1, root mean square over the comparisons.

    Parameters
    ----------
    features : (m, d) array, d the rank of the features that were compared: sum_i n_i features_i features_i' = n I
    offset : (m,) array
    wins, losses : (U, m) arrays
    back : (d, D) array; x @ back are the coordinates in the original space, 0 in directions of which no comparison tells
    """

    features: NDArray
    offset: NDArray
    wins: NDArray
    losses: NDArray
    back: NDArray

    @property
    def total(self) -> NDArray:
        """(U, m) how often each user compared each pair."""
        return self.wins + self.losses

    def margins(self, points: NDArray) -> NDArray:
        """(..., m) margins to users at (..., d) points."""
        return points @ self.features.T + self.offset

    @property
    def neutral(self) -> NDArray:
        """(d,) the point of least squared margins. Iterations start there, so that the origin of the space plays no part."""
        counts = self.total.sum(axis=0)
        return -(counts * self.offset) @ self.features / counts.sum()


def whiten(comparisons: UserComparisons) -> Whitened:
    """The same comparisons in the coordinates of :class:`Whitened`."""
    counts = (comparisons.wins + comparisons.losses).sum(axis=0)
    weighted = np.sqrt(counts / counts.sum())[:, None] * comparisons.features
    _, scale, rows = np.linalg.svd(weighted, full_matrices=False)
    kept = scale > max(weighted.shape) * np.finfo(np.float64).eps * scale.max()
    back = rows[kept] / scale[kept, None]
    return Whitened(comparisons.features @ back.T, comparisons.offset, comparisons.wins, comparisons.losses, back)


@dataclass(frozen=True, eq=False)
class Settled:
    """Where users settle on a plane.

    Parameters
    ----------
    points : (U, r) array
    exists : (U,) bool, whether the user's objective has a minimiser
    converged : (U,) bool, whether the point is it, to rounding
    iterations : int
    """

    points: NDArray
    exists: NDArray
    converged: NDArray
    iterations: int


def settle(features: NDArray, base: NDArray, wins: NDArray, losses: NDArray, pull: float) -> Settled:
    """Minimise every user's objective: features (m, r), base (m,), wins and losses (U, m), pull >= 0.

    Where a minimiser is not unique (pull = 0), it is the one of least norm.
    """
    users, dimension = len(wins), features.shape[1]
    block = _Block(features, base, wins, losses, pull)
    points, converged, proved = np.zeros((users, dimension)), np.zeros(users, bool), np.zeros(users, bool)
    lost, iteration = np.zeros(users, bool), 0
    while not (done := converged | lost).all() and iteration < ITERATIONS:
        iteration += 1
        active = np.flatnonzero(~done)
        newton = block.newton(points[active], active)
        step, moved = block.damped(newton.step, active)
        largest = block.largest(points[active], active, base)
        converged[active] = newton.solved & (moved <= SETTLED * np.maximum(1.0, largest))
        proved[active] |= newton.solved & (moved <= NEAR) & (largest <= MODERATE)
        points[active] += step
        lost[active] = (largest > MODERATE) & block.separated(points[active], active)
    exists = np.array([pull > 0 or proved[user] or block.exists(user, points[user]) for user in range(users)], bool)
    return Settled(points, exists, converged & exists, iteration)


def likeliest_spread(features: NDArray, base: NDArray, wins: NDArray, losses: NDArray, start: NDArray) -> NDArray:
    """(r, r) covariance C of normal users about the origin of the plane that makes the answers most likely (Laplace's approximation).

    The fixed point, by repetition from `start`, of C = mean_u( x_u x_u' + (H_u + C^-1)^-1 ), where x_u minimises the user's negative
    log-likelihood plus x' C^-1 x / 2 and H_u is the Hessian of the former there: expectation and maximisation, as for random effects.
    It errs towards the mean user, by a fourth where answers are so few that many users' are nearly separable (a variance of 2 is taken
    for 1.5 from 30 answers each).
    """
    users, covariance, points = np.arange(len(wins)), start, np.zeros((len(wins), len(start)))
    for _ in range(ROUNDS):  # one Newton step a round will do: users follow the covariance faster than it moves
        root = square_root(covariance)
        block = _Block(features @ root, base, wins, losses, 1.0)
        scaled = points @ np.linalg.pinv(root)
        step, moved = block.damped(block.newton(scaled, users).step, users)
        scaled += step
        moments = scaled.T @ scaled / len(users) + np.linalg.inv(block.hessian(scaled, users)).mean(axis=0)
        before, covariance, points = covariance, root @ moments @ root, scaled @ root
        if moved.max() <= STEADY and np.linalg.norm(covariance - before) <= STEADY * np.linalg.norm(covariance):
            break
    return covariance


def square_root(covariance: NDArray) -> NDArray:
    """The symmetric square root of a covariance, which may be singular."""
    squares, axes = np.linalg.eigh(covariance)
    return (axes * np.sqrt(np.maximum(squares, 0.0))) @ axes.T


@dataclass(frozen=True, eq=False)
class _Newton:
    step: NDArray  # (users, r)
    solved: NDArray  # (users,) whether it cancels the gradient


class _Block:
    """The objectives of users on one plane."""

    def __init__(self, features: NDArray, base: NDArray, wins: NDArray, losses: NDArray, pull: float):
        self.features, self.base, self.wins, self.losses, self.pull = features, base, wins, losses, pull
        self.total, self.compared = wins + losses, wins + losses > 0
        self.outer = (features[:, :, None] * features[:, None, :]).reshape(len(features), features.shape[1] ** 2)

    def newton(self, points: NDArray, users: NDArray) -> _Newton:
        margins = self.base + points @ self.features.T
        slopes = self.total[users] * expit(margins) - self.wins[users]
        gradient = slopes @ self.features + self.pull * points
        size = np.abs(slopes) @ np.linalg.norm(self.features, axis=1) + self.pull * np.linalg.norm(points, axis=1)
        hessian = self.hessian(points, users)
        inverse = np.linalg.inv(hessian) if self.pull else np.linalg.pinv(hessian, hermitian=True)
        step = -(inverse @ gradient[:, :, None])
        left = np.linalg.norm((hessian @ step)[:, :, 0] + gradient, axis=1)
        return _Newton(step[:, :, 0], left <= BALANCED * size)

    def hessian(self, points: NDArray, users: NDArray) -> NDArray:
        margins, r = self.base + points @ self.features.T, self.features.shape[1]
        curvatures = self.total[users] * expit(margins) * expit(-margins)
        return (curvatures @ self.outer).reshape(len(points), r, r) + self.pull * np.eye(r)

    def damped(self, step: NDArray, users: NDArray) -> tuple[NDArray, NDArray]:
        """The share of Newton's step that is sure to lower the objective, and by how much the whole step moves a margin."""
        moved = self.largest(step, users)
        share = np.divide(np.log1p(moved), moved, out=np.ones_like(moved), where=moved > 0)
        return share[:, None] * step, moved

    def largest(self, points: NDArray, users: NDArray, base: NDArray | float = 0.0) -> NDArray:
        """(users,) the largest size of base + features . x over the pairs that the user compared."""
        return np.abs(np.where(self.compared[users], base + points @ self.features.T, 0.0)).max(axis=1)

    def separated(self, points: NDArray, users: NDArray) -> NDArray:
        """Whether the objective, without pull, falls or is flat for ever in the direction of the points, and not all margins are 0."""
        margins = points @ self.features.T
        against = np.where(margins > 0, self.losses[users], self.wins[users]) * np.abs(margins)
        return (self.pull == 0) & (against.sum(axis=1) == 0) & (self.largest(points, users) > 0)

    def exists(self, user: int, point: NDArray) -> bool:
        if self.features.shape[1] == 0:
            return True
        if self.separated(point[None], np.array([user]))[0]:
            return False
        from algorithms.dpo import DPO  # these import numba and a solver of linear programs, which few runs need
        from algorithms.fit import slope_slack
        from envs.comparisons import Comparisons

        return slope_slack(DPO(), Comparisons(self.features, self.wins[user], self.losses[user])) > INSIDE

"""PAL, pluralistic alignment (arXiv 2406.08469): every user's ideal point is a mixture of a few prototypes that all users share.

    margin of pair i to user u  =  features_i . a_u + offset_i,        a_u = sum_k w_uk P_k,        sum_k w_uk = 1

Features alone tell the paper's models apart: squared distances to an ideal point (model A) are features 2 (x - y) / T with offset
-(|x|^2 - |y|^2) / T at temperature T; ideal points that depend on the prompt (model B) are psi(prompt) kron 2 (x - y) / T, coordinates
being the flattened maps; users with a score for each item are e_x - e_y. So the margin is affine in the weights. (As recalled, the
paper's code also has an unsquared distance, which is not, a cosine, and a hinge loss.) What is minimised over prototypes and weights is

    sum_u sum_i ( wins_ui log(1 + exp(-margin)) + losses_ui log(1 + exp(margin)) )  +  shrinkage/8 sum_u (a_u - abar)' S (a_u - abar)

with abar the mean user and S the mean of features features' over the comparisons. The second term (ours, not the paper's) is, to second
order, what `shrinkage` even comparisons of each user, on such pairs and in agreement with abar, would add: it has no unit.

What a fit can know. The paper's weights are a softmax, so positive. With free prototypes that constrains nobody: any points that span
K - 1 dimensions lie inside some simplex of K corners. So weights here only sum to one, and a fit determines the ideal points and the
plane of dimension K - 1 that they lie on, never the corners: `prototypes` and `weights` are one simplex around the users, out of many.
For new users it is a difference: they may leave the simplex, which the paper's cannot. K beyond the affine rank of the users plus one
adds nothing. K = 1 is one Bradley-Terry fit to everybody's comparisons; K = min(U, D + 1) leaves every user a free ideal point.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import helmert

from algorithms.pal_blocks import Whitened, likeliest_spread, settle, square_root, whiten
from algorithms.pal_plane import Run, search
from envs.dials import require_integer, require_number
from envs.invalid import require
from envs.user_comparisons import UserComparisons

CANDIDATES = 10
"""The most prototypes that are tried where none are asked for."""
SPREAD = 1e-6
"""A direction counts for the rank if margins vary by this much along it, root mean square over users and comparisons."""


@dataclass(frozen=True, eq=False)
class NewUsers:
    """Ideal points of other users on the plane of a fit.

    Parameters
    ----------
    coordinates : (U, D) array, nan for a user without a minimiser
    weights : (U, K) array, of the fit's prototypes: rows sum to 1, entries below 0 or above 1 are outside the simplex
    exists : (U,) bool, whether the user's objective has a minimiser: without shrinkage, iff the answers are not separable
    converged : (U,) bool, whether this is it, to rounding
    """

    coordinates: NDArray
    weights: NDArray
    exists: NDArray
    converged: NDArray


@dataclass(frozen=True, eq=False)
class PALFit:
    """What PAL learned from the users it saw; nan where no minimiser exists.

    Compare fits by `coordinates`: the rest, but for `value` and `rank`, goes with a choice of axes or corners.

    Parameters
    ----------
    coordinates : (U, D) array, the ideal points; 0 in directions of which no comparison tells
    centre : (D,) array, the mean user
    directions : (K - 1, D) array, principal axes of the users about the centre; a unit of each moves margins by 1, root mean square
    prototypes : (K, D) array, the corners of a simplex, regular in those units, just around the users
    weights : (U, K) array, at least 0, rows summing to 1: coordinates = weights @ prototypes
    value : float, mean negative log-likelihood of a comparison
    exists : bool, whether the objective has a minimiser; see the notes
    converged : bool, whether this is a local one, to rounding
    rank : int, affine rank of the coordinates
    iterations : int, of the best start
    seen : UserComparisons, what was fitted
    message : str, what the flags mean, and what to do

    Notes
    -----
    `exists` is exact with shrinkage (iff the comparisons of all users together are not separable), for K = 1, and where every user is
    free. Between, without shrinkage, no exact test is known to us: it says whether each user has a minimiser on the best plane found.
    """

    coordinates: NDArray
    centre: NDArray
    directions: NDArray
    prototypes: NDArray
    weights: NDArray
    value: float
    exists: bool
    converged: bool
    rank: int
    iterations: int
    seen: UserComparisons
    message: str

    @cached_property
    def spread(self) -> NDArray:
        """(K - 1, K - 1) covariance, along `directions`, of normal users that make the answers of those seen most likely."""
        along, places = self.seen.features @ self.directions.T, (self.coordinates - self.centre) @ np.linalg.pinv(self.directions)
        start = places.T @ places / len(places) + np.eye(len(self.directions)) * SPREAD
        return likeliest_spread(along, self.seen.margins(self.centre), self.seen.wins, self.seen.losses, start)

    def few_shot(self, comparisons: UserComparisons, shrinkage: float | None = None) -> NewUsers:
        """Weights of other users for these prototypes: a convex problem for each user.

        Parameters
        ----------
        comparisons : of the new users, on any pairs of the same D
        shrinkage : float in [0, 1e6], comparisons in agreement with the mean user; or None, which adds to the negative log-likelihood
            (a - centre)' C^-1 (a - centre) / 2 with C the `spread` of the users seen (ours, not the paper's). No number suits all
            worlds: one that is right where users differ a lot lets few answers do harm where they hardly differ.

        Raises
        ------
        Invalid
            For another D or shrinkage, and where the fit has no minimiser.
        """
        require(self.exists, "few_shot", "a fit without a minimiser", f"of a fit that has one ({self.message})")
        width = comparisons.features.shape[1]
        require(width == len(self.centre), "features", f"array of {width} columns", f"of {len(self.centre)} columns, as for the fit")
        if shrinkage is not None:
            require_number("shrinkage", shrinkage, 0, 1e6)
        axes, pull = (square_root(self.spread) @ self.directions, 1.0) if shrinkage is None else (self.directions, shrinkage / 4)
        found = settle(comparisons.features @ axes.T, comparisons.margins(self.centre), comparisons.wins, comparisons.losses, pull)
        coordinates = np.where(found.exists[:, None], self.centre + found.points @ axes, np.nan)
        return NewUsers(coordinates, _weights(coordinates, self.centre, self.prototypes), found.exists, found.converged)


@dataclass(frozen=True, eq=False)
class Choice:
    """Numbers of prototypes, and how well each predicts comparisons that were held out.

    Parameters
    ----------
    prototypes : (n,) int array, 1, 2, ...
    cross_entropy : (n,) array, mean negative log-likelihood of a held-out comparison, over splits; inf where a fit does not exist
    """

    prototypes: NDArray
    cross_entropy: NDArray

    @property
    def best(self) -> int:
        """The number with the least cross-entropy."""
        return int(self.prototypes[np.argmin(self.cross_entropy)])


@dataclass(frozen=True)
class PAL:
    """The learner.

    Parameters
    ----------
    prototypes : int >= 1, K; None chooses it by :meth:`choose`
    shrinkage : float in [0, 1e6], comparisons of each user in agreement with the mean user; 0 is maximum likelihood
    restarts : int >= 1, starts: the first in the leading directions of the users' scores, the others on random planes

    Raises
    ------
    Invalid
        For any other value.
    """

    prototypes: int | None = None
    shrinkage: float = 1.0
    restarts: int = 3

    def __post_init__(self) -> None:
        if self.prototypes is not None:
            require_integer("prototypes", self.prototypes, 1)
        require_number("shrinkage", self.shrinkage, 0, 1e6)
        require_integer("restarts", self.restarts, 1)

    def __str__(self) -> str:
        return "logit Pr(y over z) = features(y, z) . a_u + offset(y, z),  a_u = sum_k w_uk P_k,  sum_k w_uk = 1"

    def fit(self, comparisons: UserComparisons, *, seed: int = 0) -> PALFit:
        """Learn the prototypes and the users' weights; `seed` draws the random starts, and the comparisons held out for a choice of K."""
        require_integer("seed", seed, 0)
        if self.prototypes is None:
            return replace(self, prototypes=self.choose(comparisons, seed=seed).best).fit(comparisons, seed=seed)
        data = whiten(comparisons)
        r = min(self.prototypes, _most(comparisons, data)) - 1
        pooled = comparisons.pooled
        together = settle(data.features, data.margins(data.neutral), pooled.wins, pooled.losses, pull=0.0)
        if not together.exists[0]:
            return self._nothing(comparisons, r, "the comparisons of all users together are separable; add comparisons")
        run = search(data, data.neutral + together.points[0], r, self.shrinkage / 4, self.restarts, seed)
        alone = _separable(data, run) if self.shrinkage == 0 else np.array([], int)
        if len(alone):
            who = f"{len(alone)} users, the first of them user {alone[0]}, have separable answers on the best plane"
            return self._nothing(comparisons, r, f"{who}; take shrinkage > 0, fewer prototypes, or more comparisons")
        return self._found(comparisons, data, run)

    def choose(self, comparisons: UserComparisons, *, share: float = 0.2, splits: int = 3, seed: int = 0) -> Choice:
        """Try 1, 2, ... prototypes, up to 10 or as many as users and features can tell apart, on comparisons held out.

        Parameters
        ----------
        comparisons : whole numbers of comparisons, at least two of each user
        share : float in (0, 1), of each user's comparisons, to hold out
        splits : int >= 1, independent splits to average over
        seed : int >= 0
        """
        require_integer("splits", splits, 1)
        require_integer("seed", seed, 0)
        parts = [held_out(comparisons, share, np.random.default_rng([seed, 1, split, 0])) for split in range(splits)]
        candidates = np.arange(1, min(CANDIDATES, _most(comparisons, whiten(comparisons))) + 1)
        learners = [replace(self, prototypes=int(k)) for k in candidates]
        table = [[test.cross_entropy(learner.fit(kept, seed=seed).coordinates) for kept, test in parts] for learner in learners]
        means = np.mean(table, axis=1)
        return Choice(candidates, np.where(np.isnan(means), np.inf, means))

    def _found(self, comparisons: UserComparisons, data: Whitened, run: Run) -> PALFit:
        mean = run.points.mean(axis=0)
        _, spread, axes = np.linalg.svd((run.points - mean) @ run.directions.T, full_matrices=False)
        axes = axes @ run.directions
        axes *= np.where((axes @ data.back).sum(axis=1) < 0, -1.0, 1.0)[:, None]
        coordinates, centre, directions = run.points @ data.back, mean @ data.back, axes @ data.back
        corners = _simplex(len(axes), np.linalg.norm(run.points - mean, axis=1).max())
        prototypes = centre + corners @ directions
        rank = int((spread > SPREAD * np.sqrt(comparisons.users)).sum())
        return PALFit(
            coordinates=coordinates,
            centre=centre,
            directions=directions,
            prototypes=prototypes,
            weights=_weights(coordinates, centre, prototypes),
            value=comparisons.cross_entropy(coordinates),
            exists=True,
            converged=run.converged,
            rank=rank,
            iterations=run.iterations,
            seen=comparisons,
            message=self._message(run, rank, _most(comparisons, data)),
        )

    def _message(self, run: Run, rank: int, most: int) -> str:
        if not run.converged:
            return f"not converged in {run.iterations} iterations; take shrinkage > 0, or fewer prototypes"
        found = "the minimiser" if len(run.directions) in (0, most - 1) else f"the lowest minimum of {self.restarts} starts"
        if rank + 1 < self.prototypes:  # type: ignore[operator]
            return (
                f"{found}; {self.prototypes} prototypes are not identifiable: the users' affine rank is {rank}, so {rank + 1} give the same"
            )
        return found

    def _nothing(self, comparisons: UserComparisons, r: int, why: str) -> PALFit:
        users, dimension = comparisons.users, comparisons.features.shape[1]
        return PALFit(
            coordinates=np.full((users, dimension), np.nan),
            centre=np.full(dimension, np.nan),
            directions=np.full((r, dimension), np.nan),
            prototypes=np.full((r + 1, dimension), np.nan),
            weights=np.full((users, r + 1), np.nan),
            value=np.nan,
            exists=False,
            converged=False,
            rank=0,
            iterations=0,
            seen=comparisons,
            message=f"no minimiser: {why}",
        )


def held_out(comparisons: UserComparisons, share: float, rng: np.random.Generator) -> tuple[UserComparisons, UserComparisons]:
    """What is kept and what is held out when each user loses that share of the comparisons, drawn without replacement.

    The share is rounded to a whole number of each user's comparisons, at least one of which goes to either side.

    Raises
    ------
    Invalid
        For a share outside (0, 1), counts that are not whole, or a user with a single comparison.
    """
    number = isinstance(share, int | float) and not isinstance(share, bool) and 0 < share < 1
    require(number, "share", share, "a number in (0, 1)")
    cells = np.hstack([comparisons.wins, comparisons.losses])
    require((cells == np.rint(cells)).all(), "wins", "counts that are not whole, in wins or losses", "whole numbers, to hold some out")
    require(comparisons.compared.min() >= 2, "wins", "a single comparison of a user", "two at least of each user, to hold one out")
    cells = cells.astype(np.int64)
    left, missing = cells.sum(axis=1), np.clip(np.rint(share * comparisons.compared), 1, comparisons.compared - 1).astype(np.int64)
    taken = np.zeros_like(cells)
    for cell in range(cells.shape[1]):  # how many of the missing fall to this cell, given those before it
        left = left - cells[:, cell]
        taken[:, cell] = rng.hypergeometric(cells[:, cell], left, missing)
        missing = missing - taken[:, cell]
    parts = [UserComparisons(comparisons.features, comparisons.offset, *np.hsplit(part, 2)) for part in (cells - taken, taken)]
    return parts[0], parts[1]


def degrees(users: int, dimension: int, prototypes: int) -> int:
    """Free parameters of the users' ideal points: D + (K - 1) (U - 1 + D - (K - 1)), for K <= min(U, D + 1).

    The dimension of the (U, D) matrices of affine rank K - 1 (derived here): of the twice log-likelihood ratio of the truth,
    without shrinkage, the degrees of freedom.
    """
    r = prototypes - 1
    require(0 <= r <= min(users - 1, dimension), "prototypes", prototypes, f"in [1, {min(users, dimension + 1)}]")
    return dimension + r * (users - 1 + dimension - r)


def _most(comparisons: UserComparisons, data: Whitened) -> int:
    """The largest number of prototypes that users and features can tell apart."""
    return min(comparisons.users, len(data.back) + 1)


def _separable(data: Whitened, run: Run) -> NDArray:
    """The users without a minimiser on the run's plane."""
    base = data.margins(run.points.mean(axis=0))
    return np.flatnonzero(~settle(data.features @ run.directions.T, base, data.wins, data.losses, 0.0).exists)


def _simplex(r: int, inside: float) -> NDArray:
    """(r + 1, r) corners of a regular simplex about 0 that holds the ball of radius `inside`, with a little room."""
    return 1.000001 * (inside or 1.0) * np.sqrt(r * (r + 1)) * helmert(r + 1).T


def _weights(coordinates: NDArray, centre: NDArray, prototypes: NDArray) -> NDArray:
    """Barycentric coordinates; the prototypes' mean is the centre."""
    return 1 / len(prototypes) + (coordinates - centre) @ np.linalg.pinv(prototypes - centre)

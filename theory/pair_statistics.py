"""What statistical claims on pairs share: fits to many samples, the law of their quadratic errors, and slopes on log scales.

Where sqrt(n) e tends to N(0, C), the error e'A e of n comparisons, times n, tends to a weighted chi-square: sum_i w_i X_i with w
the eigenvalues of A C and X_i independent squares of standard normals. Its quantiles decide what a mean over fits may be.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.stats import binom, norm

from algorithms.fit import fit
from algorithms.pair_loss import PairLoss
from envs.comparisons import Comparisons
from envs.pairs import Pairs

FALSE_ALARM = 1e-6
"""Probability that a finding on a true statement comes out above 1, both sides together."""

BY_LIMIT_LAW = f"{FALSE_ALARM:.0e} a finding (by the limit law)"
"""The false alarm of claims whose limits come from a limit law."""

Estimator = Callable[[PairLoss, Pairs, Comparisons], NDArray]
"""A loss, the world and a sample to (D,) theta - theta0; nan where there is no answer."""


def minimiser(loss: PairLoss, world: Pairs, sample: Comparisons) -> NDArray:
    """(D,) theta - theta0 that minimises the mean loss of a sample."""
    return fit(loss, sample).theta


def estimates(world: Pairs, loss: PairLoss, fits: int, seed: int = 0, estimator: Estimator = minimiser) -> NDArray:
    """(fits, D) estimates of theta - theta0, each from a sample of its own of `world.n` comparisons.

    They are kept: claims look at the same fits from several sides. `loss` must be hashable, by its parameters.
    """
    return _estimates(world, loss, fits, seed, estimator)  # type: ignore[arg-type]


@lru_cache(maxsize=512)
def _estimates(world: Pairs, loss: PairLoss, fits: int, seed: int, estimator: Estimator) -> NDArray:
    found = np.stack([estimator(loss, world, world.comparisons(seed=seed, index=index)) for index in range(fits)])
    found.setflags(write=False)
    return found


def one_flip_rate(world: Pairs) -> bool:
    """Whether every label is wrong with the same probability."""
    return bool(np.ptp(world.rows.rates) == 0)


def flip_of(world: Pairs) -> float:
    """The probability that a label is wrong, in a world of one flip rate."""
    return float(world.rows.rates[0])


def mean_limits(weights: ArrayLike, draws: int = 1, alarm: float = FALSE_ALARM) -> tuple[float, float]:
    """Limits that the mean of `draws` weighted chi-squares leaves with probability `alarm`, half on each side.

    By the saddlepoint approximation of Barndorff-Nielsen's r*, whose tail probabilities are right to 11 % at one degree
    of freedom, to 1 % at eight and to 0.02 % at a hundred.

    Parameters
    ----------
    weights : array of numbers >= 0, not all 0; a draw is sum_i weights_i X_i
    """
    share, largest, quantile = *_shares(weights), norm.isf(alarm / 2)

    def limit(target: float, low: float, high: float) -> float:
        return largest * _tilted_mean(brentq(lambda place: _signed_root(place, share, draws) - target, low, high), share)

    return limit(-quantile, -40.0, -1e-3), limit(quantile, 1e-3, 30.0)


def mean_p(value: float, weights: ArrayLike, draws: int = 1) -> float:
    """The chance, both sides together, that the mean of `draws` weighted chi-squares lies as far out as `value`; 0 for nan.

    By the same approximation: below `alarm` exactly where the value is outside `mean_limits`.
    """
    share, largest = _shares(weights)
    if not 0 < value < np.inf:
        return 0.0
    near = 2e-3 / np.sqrt(2 * draws * (share**2).sum())  # a thousandth of a standard deviation, where r* is 0/0
    ends = -40.0, 30.0
    inside = [_tilted_mean(end, share) < value / largest for end in ends] == [True, False]
    place = brentq(lambda place: np.log(_tilted_mean(place, share) * largest / value), *ends) if inside else None
    if place is None or abs(place) < near:
        return 0.0 if place is None else 1.0
    return float(min(1.0, 2 * norm.sf(abs(_signed_root(place, share, draws)))))


def _shares(weights: ArrayLike) -> tuple[NDArray, float]:
    """Weights over the largest, and the largest."""
    given = np.asarray(weights, dtype=np.float64)
    return given / given.max(), float(given.max())


def _tilted_mean(place: float, share: NDArray) -> float:
    """The mean where the law is tilted by t/2, t = 1 - exp(-place) below 1."""
    return float((share / (1.0 + np.expm1(-place) * share)).sum())


def _signed_root(place: float, share: NDArray, draws: int) -> float:
    """r* of that saddlepoint, which is standard normal."""
    t = -np.expm1(-place)
    tilted = share / (1.0 - t * share)
    cumulant, mean, variance = -draws / 2 * np.log1p(-t * share).sum(), draws * tilted.sum(), 2 * draws * (tilted**2).sum()
    root = np.sign(t) * np.sqrt(max(t * mean - 2 * cumulant, 0.0))
    return float(root + np.log(t / 2 * np.sqrt(variance) / root) / root)


def binomial_p(count: float, trials: int, share: float) -> float:
    """The chance, both sides together, of so unlikely a count."""
    return float(min(1.0, 2 * min(binom.cdf(count, trials, share), binom.sf(count - 1, trials, share))))


def from_middle(value: float, low: float, high: float) -> float:
    """How far a value is from the middle of two limits, over half their distance: at most 1 between them."""
    return float(abs(value - (low + high) / 2) / ((high - low) / 2))


def log_slope(x: ArrayLike, y: ArrayLike) -> float:
    """The slope of the least-squares line of log y on log x."""
    return float(slope_weights(x) @ np.log(np.asarray(y, dtype=np.float64)))


def slope_weights(x: ArrayLike) -> NDArray:
    """What the slope on log x gives to each ordinate; they sum to 0."""
    centred = np.log(np.asarray(x, dtype=np.float64))
    centred = centred - centred.mean()
    return centred / (centred @ centred)

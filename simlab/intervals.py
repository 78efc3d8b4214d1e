"""Intervals of what seeds show: of a median by ranks, of other statistics by bootstrap, of a share, and of the slope of an error curve.

A seed that gave no number (nan) is lost, not left out: it counts as infinite, worse than every number. A median bears that while
fewer than half are lost; the end of an interval that reaches the lost ones is infinite.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, ndtr, stdtrit

from envs.invalid import require

RESAMPLES = 2000
"""Of a bootstrap: the share of them below an end of a 95% interval is known to 0.0035."""


class Interval(NamedTuple):
    """An estimate and the ends of its interval: numbers, or arrays of one shape."""

    estimate: Any
    low: Any
    high: Any


def interval(
    values: ArrayLike,
    *,
    level: float = 0.95,
    statistic: Callable[..., Any] | None = None,
    error: Callable[..., Any] | None = None,
    lost: float = np.inf,
    seed: int = 0,
) -> Interval:
    """The median of seeds with its interval by ranks, or another statistic with its BCa bootstrap interval (Efron, JASA 82, 1987), or
    its bootstrap-t interval where its standard error is given (Hall, Ann. Statist. 16, 1988).

    The ends of a median's interval lie between neighbouring order statistics, whose own levels are exact for any continuous law,
    interpolated as Hettmansperger and Sheather do (Statist. Probab. Lett. 4, 1986). No interval can reach past the smallest and
    largest value: with 5 seeds they cover 0.9375, with 3 seeds 0.75.

    A BCa interval is too short for few seeds; its level is raised so that a mean's would be as long as Student's (Hesterberg,
    Amer. Statist. 69, 2015). A studentised one estimates the law of (statistic - truth) / error itself, which for a mean of skewed seeds
    is nearer. Where BCa's corrections are not defined (all samples but one give the same, or some an infinite statistic) its
    ends are plain percentiles of the resampled statistic, so that equal values give themselves as both. The result depends on
    the values, not on their order, and a column's not on its neighbours. What they cover is measured: docs/calibration.md.

    Parameters
    ----------
    values : (S,) or (S, ...) array
        One or more seeds on axis 0; each column has an interval of its own.
    level : float in (0, 1)
    statistic : callable, or None
        None takes the median; else of (array, axis=), as np.mean: a mean with one lost seed and its upper end are infinite.
    error : callable, or None
        The standard error of the statistic, of (array, axis=): `standard_error` for a mean. Only beside a statistic.
    lost : float
        What nan counts as: inf, or -inf where higher values are better.
    seed : int
        Of the resampling; a median has none.

    Returns
    -------
    Interval
        Floats, or arrays of the shape of `values` without axis 0. Both ends are nan for one seed, which says nothing of others, and
        where the statistic lies outside all its resamples.

    Raises
    ------
    Invalid
        For no values, a level outside (0, 1), or an error of no statistic.
    """
    array = np.asarray(values, dtype=float)
    require(error is None or statistic is not None, "error", error, "None for a median, whose interval needs none")
    require(array.ndim and array.size, "values", array.shape, "an array of one or more seeds on axis 0")
    columns = np.sort(np.where(np.isnan(array), lost, array).reshape(len(array), -1), axis=0)

    def of(column: NDArray) -> Interval:
        if statistic is None:
            return _by_ranks(column, level)
        if error is not None and np.isfinite(column).all():
            return _studentised(statistic, error, column, level, seed)
        return _bca(lambda rows: statistic(column[rows], axis=-1), len(column), level, seed)

    found = [of(column) for column in columns.T]
    if array.ndim == 1:
        return found[0]
    return Interval(*(np.array(part).reshape(array.shape[1:]) for part in zip(*found, strict=True)))


def standard_error(values: ArrayLike, axis: int = 0) -> NDArray:
    """Of a mean over an axis of independent values."""
    array = np.asarray(values, dtype=float)
    return array.std(axis=axis, ddof=1) / np.sqrt(array.shape[axis])


def _by_ranks(ordered: NDArray, level: float) -> Interval:
    """The median of sorted values, and its interval between those ranked d and d + 1 from each end; infinite ends are not interpolated."""
    _require_level(level)
    size, estimate = len(ordered), float(np.median(ordered))
    if size == 1:
        return Interval(estimate, np.nan, np.nan)
    levels = np.append(1.0, 1 - 2 * bdtr(np.arange(size // 2), size, 0.5))  # of the ranks d and size + 1 - d, at d = 0, 1, ...
    d = max(1, int((levels >= level).sum()) - 1)
    share = 0.0
    if levels[d] > level and d < size // 2:
        excess = (levels[d] - level) / (levels[d] - levels[d + 1])
        share = (size - d) * excess / (d + (size - 2 * d) * excess)
    pairs = ((ordered[d - 1], ordered[d]), (ordered[size - d], ordered[size - d - 1]))
    ends = (a + share * (b - a) if np.isfinite([a, b]).all() else a for a, b in pairs)
    return Interval(estimate, *map(float, ends))


def proportion(successes: int, trials: int, *, level: float = 0.95) -> Interval:
    """A share of trials with its exact binomial interval (Clopper and Pearson, Biometrika 26, 1934), which covers at least `level`.

    Raises
    ------
    Invalid
        For no trials, successes outside 0 to trials, or a level outside (0, 1).
    """
    from scipy.stats import binomtest

    _require_level(level)
    require(trials >= 1, "trials", trials, "at least 1")
    require(0 <= successes <= trials, "successes", successes, f"between 0 and trials={trials}")
    ends = binomtest(int(successes), int(trials)).proportion_ci(level, method="exact")
    return Interval(successes / trials, float(ends.low), float(ends.high))


def slope(x: ArrayLike, y: ArrayLike, *, level: float = 0.95) -> Interval:
    """The slope of log y against log x for points, by least squares, with Student's t interval.

    It takes log y to scatter about a line, independently, normally and alike at each x. For errors of S seeds at each n, where
    neither holds and the seeds tell their scatter themselves, take `seeds_slope`.

    Parameters
    ----------
    x, y : (N,) positive numbers, x of two values or more
        With two points both ends are nan.

    Raises
    ------
    Invalid
    """
    log_x, ordinates = _log_abscissae(x), np.asarray(y, dtype=float)
    require(ordinates.shape == log_x.shape, "y", ordinates.shape, f"of the shape of x, {log_x.shape}")
    require(np.all((ordinates > 0) & np.isfinite(ordinates)), "y", y, "finite numbers > 0")
    _require_level(level)
    log_y, freedom = np.log(ordinates), len(log_x) - 2
    estimate = float(_slope(log_x, log_y))
    if not freedom:
        return Interval(estimate, np.nan, np.nan)
    away, residual = log_x - log_x.mean(), log_y - log_y.mean() - estimate * (log_x - log_x.mean())
    width = stdtrit(freedom, (1 + level) / 2) * np.sqrt((residual**2).sum() / freedom / (away**2).sum())
    return Interval(estimate, float(estimate - width), float(estimate + width))


def seeds_slope(
    x: ArrayLike, values: ArrayLike, *, level: float = 0.95, statistic: Callable[..., Any] = np.median, seed: int = 0
) -> Interval:
    """The slope of the log of the median over seeds (or the mean) against log x, with its BCa interval over seeds.

    Whole seeds are resampled, all their x together: right where the x of a seed share random numbers and where they share none,
    and whatever the scatter at each x. The interval is of the least-squares line through the true medians at these very x; where
    they lie on a curve it does not speak of that. What it covers is measured: docs/calibration.md.

    Parameters
    ----------
    x : (N,) positive numbers, two values or more
    values : (S, N) array of numbers > 0
        nan and inf are lost seeds. Where half of them are lost at one x, or in some resample, the ends (and the slope) are nan: leave
        that x out, and say so.

    Raises
    ------
    Invalid
    """
    log_x, array = _log_abscissae(x), np.asarray(values, dtype=float)
    require(array.ndim == 2 and len(array) and array.shape[1:] == log_x.shape, "values", array.shape, f"of shape (seeds, {len(log_x)})")
    array = np.where(np.isnan(array), np.inf, array)
    require(np.all(array > 0), "values", values, "numbers > 0")
    array = array[np.lexsort(array.T)]

    def slopes(rows: NDArray) -> NDArray:
        curve = np.log(statistic(array[rows], axis=-2))
        return _slope(log_x, np.where(np.isfinite(curve).all(axis=-1, keepdims=True), curve, np.nan))

    return _bca(slopes, len(array), level, seed)


def _bca(statistic: Callable[[NDArray], NDArray], size: int, level: float, seed: int) -> Interval:
    """BCa interval by scipy of a statistic that maps (..., n) members of a sample of `size` to (...) values."""
    from scipy.stats import bootstrap

    _require_level(level)
    estimate = float(statistic(np.arange(size)))
    if size == 1:
        return Interval(estimate, np.nan, np.nan)
    level = widened(level, size)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of degenerate samples, which are looked after below
        found = bootstrap(
            (np.arange(size),),
            lambda rows, axis: statistic(rows),
            n_resamples=RESAMPLES,
            confidence_level=level,
            method="BCa",
            vectorized=True,
            rng=np.random.default_rng(seed),
        )
    low, high = found.confidence_interval
    if np.isnan(low) or np.isnan(high):
        low, high = np.quantile(found.bootstrap_distribution, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return Interval(estimate, float(low), float(high))


def _studentised(statistic: Callable[..., Any], error: Callable[..., Any], sample: NDArray, level: float, seed: int) -> Interval:
    """The estimate less its error times quantiles of (statistic - estimate) / error over resamples."""
    _require_level(level)
    estimate, size = float(statistic(sample, axis=-1)), len(sample)
    if size == 1:
        return Interval(estimate, np.nan, np.nan)
    resamples = sample[np.random.default_rng(seed).integers(size, size=(RESAMPLES, size))]
    away = statistic(resamples, axis=-1) - estimate
    with np.errstate(all="ignore"):
        ratios = np.where(away == 0, 0.0, away / error(resamples, axis=-1))  # infinite where a resample repeats one value
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    width = float(error(sample, axis=-1))
    return Interval(estimate, *(float(estimate - width * ratio) if width else estimate for ratio in (high, low)))


def widened(level: float, size: int) -> float:
    """The level at which percentiles of a bootstrap are as far out as Student's at `level` with size - 1 degrees of freedom."""
    return float(1 - 2 * ndtr(-np.sqrt(size / (size - 1)) * stdtrit(size - 1, (1 + level) / 2)))


def _slope(log_x: NDArray, log_y: NDArray) -> NDArray:
    """Least-squares slopes of (..., N) ordinates."""
    away = log_x - log_x.mean()
    return (log_y * away).sum(axis=-1) / (away**2).sum()


def _log_abscissae(x: ArrayLike) -> NDArray:
    given = np.asarray(x, dtype=float)
    sound = given.ndim == 1 and np.all((given > 0) & np.isfinite(given)) and len(np.unique(given)) > 1
    require(sound, "x", x, "a list of finite numbers > 0, of two values or more")
    return np.log(given)


def _require_level(level: float) -> None:
    require(0 < level < 1, "level", level, "a number in (0, 1)")

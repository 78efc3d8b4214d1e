"""How far an answer is from simlab's: functions of two arrays with an instance a row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def relative(expected: NDArray, found: NDArray) -> float:
    """The largest difference of two entries, relative to simlab's."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.max(np.where(found == expected, 0.0, np.abs(found - expected) / np.abs(expected))))


def absolute(expected: NDArray, found: NDArray) -> float:
    """The largest difference of two entries."""
    return float(np.abs(found - expected).max())


def itself(expected: NDArray, found: NDArray) -> float:
    """The largest entry, where an answer is its own error and simlab's is held to the same."""
    del expected
    return float(found.max())


def sigmas(expected: NDArray, found: NDArray) -> float:
    """How far apart two samples of (games, seeds, columns) are, in standard errors: the largest of any game, and of the mean over games.

    The noise of a column is what the seeds of one game differ by, pooled over games and both samples.
    """
    games, seeds, _ = expected.shape
    variance = (expected.var(axis=1, ddof=1) + found.var(axis=1, ddof=1)).mean(axis=0) / 2
    apart = (found - expected).mean(axis=1) / np.sqrt(2 * variance / seeds)
    return float(max(np.abs(apart).max(), np.abs(apart.mean(axis=0)).max() * np.sqrt(games)))

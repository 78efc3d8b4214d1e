"""What an offline learner is given: features of pairs, and how often each side of each was preferred."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs.dials import read_only
from envs.invalid import require

MOST = 1e100
"""Comparisons of a set, and the largest norm of a pair's features in a fit: what is added up stays finite."""


@dataclass(frozen=True, eq=False)
class Comparisons:
    """How often each side of each pair was preferred.

    Parameters
    ----------
    features : (m, D) array
        z: the margin of the first response of pair i over the second is features[i] . theta.
    wins, losses : (m,) arrays
        How often the first, and the second, was preferred: at least 0, not all 0, 1e100 at most in all; expected counts need not be
        integers.

    Arrays that may be written to are copied; float64 arrays in C order that may not (`setflags(write=False)`) are taken as they are.

    Raises
    ------
    Invalid
        With the argument and what is allowed.
    """

    features: NDArray
    wins: NDArray
    losses: NDArray

    def __post_init__(self) -> None:
        for key in ("features", "wins", "losses"):
            given = getattr(self, key)
            object.__setattr__(self, key, given if _fixed(given) else read_only(key, given))
        shape = self.features.shape
        require(len(shape) == 2 and min(shape) >= 1, "features", f"array of shape {shape}", "of shape (m, D)")
        with np.errstate(over="ignore", invalid="ignore"):
            sums = {"features": self.features.sum(), "wins": self.total, "losses": self.total}
        for key, found in sums.items():
            require(np.isfinite(found) or np.isfinite(getattr(self, key)).all(), key, "an array with nan or inf", "finite")
        for key in ("wins", "losses"):
            counts = getattr(self, key)
            require(counts.shape == shape[:1], key, f"array of shape {counts.shape}", f"of shape ({shape[0]},), one entry for each pair")
            require(counts.min() >= 0, key, counts.min(), "counts >= 0")
        require(self.total > 0, "wins", "all 0, as losses", "at least one comparison")
        require(self.total <= MOST, "wins", f"{self.total:g} with losses, added up", f"{MOST:g} at most")

    @cached_property
    def total(self) -> float:
        """n, the number of comparisons."""
        return float(self.wins.sum()) + float(self.losses.sum())


def _fixed(values: ArrayLike) -> bool:
    """Whether `values` is an array of floats, row by row, that may not be written to."""
    return type(values) is np.ndarray and values.dtype == np.float64 and values.flags.c_contiguous and not values.flags.writeable


def tabular(counts: ArrayLike) -> Comparisons:
    """Comparisons of K responses with one parameter each: margins of i over j are theta_i - theta_j.

    Parameters
    ----------
    counts : (K, K) array, K >= 2
        How often the row's response was preferred to the column's; the diagonal is left out.

    Raises
    ------
    Invalid
        For negative counts, and where comparisons fall into groups with none between them: nothing then says how a response
        of one stands to a response of another.
    """
    counts = read_only("counts", counts)
    square = counts.ndim == 2 and counts.shape[0] == counts.shape[1] >= 2
    require(square, "counts", f"array of shape {counts.shape}", "of shape (K, K), K >= 2")
    from scipy.sparse.csgraph import connected_components  # slow to import

    groups, group = connected_components(counts > 0, directed=False)
    if groups > 1:
        apart = int(np.argmax(group != group[0]))
        require(False, "counts", "a disconnected graph", f"connected: no chain of comparisons links responses 0 and {apart}")
    first, second = np.nonzero(np.triu(counts + counts.T, 1))
    features = np.zeros((len(first), len(counts)))
    features[np.arange(len(first)), first] = 1.0
    features[np.arange(len(first)), second] = -1.0
    return Comparisons(features, counts[first, second], counts[second, first])

"""Square arrays that are fixed by what lies above their diagonal: preference matrices and skew-symmetric log-odds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def complete(upper: NDArray) -> NDArray:
    """The preference matrix that agrees with the (K, K) array `upper` above the diagonal.

    P[j, i] = 1 - P[i, j] and P[i, i] = 1/2, so that P + P' = 1 holds exactly also in floating point.
    """
    return np.triu(upper, 1) + np.tril(1.0 - upper.T, -1) + np.diag(np.full(len(upper), 0.5))


def skew(matrix: NDArray) -> NDArray:
    """The (K, K) array M - M', scaled so that its entries off the diagonal have root mean square 1."""
    difference = matrix - matrix.T
    pairs = len(matrix) * (len(matrix) - 1)
    return difference / np.sqrt((difference**2).sum() / pairs)

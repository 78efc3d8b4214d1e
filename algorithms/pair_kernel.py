"""The compiled sums of a pair loss over counted pairs: margins, and the gradient with the Hessian in one pass over the features.

Rows are added in their order on one thread, so that a fit does not depend on how a linear algebra library shares work out.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, error_model="numpy")
def margins(features: NDArray, theta: NDArray) -> NDArray:
    """(m,) features . theta."""
    pairs, dimension = features.shape
    found = np.empty(pairs)
    for i in range(pairs):
        total = 0.0
        for a in range(dimension):
            total += features[i, a] * theta[a]
        found[i] = total
    return found


@njit(cache=True, error_model="numpy")
def weighted_sum(features: NDArray, slopes: NDArray) -> NDArray:
    """(D,) sum_i slopes_i features_i, a gradient."""
    pairs, dimension = features.shape
    gradient = np.zeros(dimension)
    for i in range(pairs):
        for a in range(dimension):
            gradient[a] += slopes[i] * features[i, a]
    return gradient


@njit(cache=True, error_model="numpy")
def gradient_and_hessian(features: NDArray, slopes: NDArray, curvatures: NDArray) -> tuple[NDArray, NDArray]:
    """sum_i slopes_i features_i, and sum_i curvatures_i features_i features_i', of which half is computed and mirrored."""
    pairs, dimension = features.shape
    gradient, hessian = np.zeros(dimension), np.zeros((dimension, dimension))
    for i in range(pairs):
        row = features[i]
        for a in range(dimension):
            gradient[a] += slopes[i] * row[a]
            weight = curvatures[i] * row[a]
            for b in range(a + 1):
                hessian[a, b] += weight * row[b]
    for a in range(dimension):
        for b in range(a):
            hessian[b, a] = hessian[a, b]
    return gradient, hessian

"""A bound: the exponentials, logarithms and products that iterations with their gaps need, by the kernel's own functions on 32 instances.

For one policy an iteration: K exponentials to normalise, K for the best response, a logarithm each, and K^2 products and sums. A second
query is another K exponentials, a logarithm and K^2 products. There is no answer: nothing of a method is computed.
"""

from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

import simlab  # noqa: F401  sets what numba reads once
from algorithms.kernel import EIGHT, exponential, interleaved, load, logarithm, store
from benchmarks.instances import advantages
from benchmarks.work import Size

LIBRARY = "numba"
LANES = 32


def prepare(size: Size) -> Callable[[], None]:
    small = np.ascontiguousarray(advantages(size | {"instances": LANES}, -1)) / (2 * size["actions"])  # so that values stay bounded
    policy, wins = np.full(small.shape[1:], 1.0 / size["actions"]), np.zeros(small.shape[1:])

    def work() -> None:
        for _ in range(size["instances"] // LANES):
            _least(small, policy, wins, policy.reshape(-1), wins.reshape(-1), size["iterations"], size["queries"])

    return work


@njit(error_model="numpy")
def _least(
    advantage: NDArray, policy: NDArray, wins: NDArray, policy_cells: NDArray, win_cells: NDArray, iterations: int, queries: int
) -> None:
    for _ in range(iterations):
        for _ in range(queries):
            interleaved(advantage, policy, wins)
            _exponentials(win_cells, policy_cells)
            _logarithms(policy_cells, win_cells[:LANES])
        _exponentials(win_cells, win_cells)
        _logarithms(policy_cells, win_cells[:LANES])


@njit(error_model="numpy")
def _exponentials(values: NDArray, out: NDArray) -> None:
    for n in range(0, out.shape[0], EIGHT):
        store(out, n, exponential(load(values, n)))


@njit(error_model="numpy")
def _logarithms(values: NDArray, out: NDArray) -> None:
    for n in range(out.shape[0]):
        out[n] = logarithm(values[n])

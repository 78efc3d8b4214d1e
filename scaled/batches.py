"""The order in which a dataset is gone through: a new one each time around, known from seed and iteration alone."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from envs.invalid import require


class Batches:
    """Batch number t holds places t b, ..., t b + b - 1 of a sequence of permutations of the rows.

    Parameters
    ----------
    rows : >= 1, of the dataset
    size : b, from 1 to `rows`
    seed : of the permutations
    """

    def __init__(self, rows: int, size: int, seed: int) -> None:
        require(size <= rows, "prompts", size, f"at most {rows}, the rows of the dataset")
        self.rows, self.size = rows, size
        self._order = lru_cache(2)(lambda epoch: np.random.default_rng([seed, epoch, 0, 10]).permutation(rows))

    def __getitem__(self, number: int) -> NDArray:
        """(b,) row numbers."""
        places = np.arange(number * self.size, (number + 1) * self.size)
        return np.array([self._order(place // self.rows)[place % self.rows] for place in places])

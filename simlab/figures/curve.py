"""A line that theory draws into a figure: a rate, a bound, a limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs.invalid import require


@dataclass(frozen=True, eq=False)
class Curve:
    """A function of what is on the axis, or points of it.

    Attributes
    ----------
    label : words for the legend
    values : (n,) array -> (n,) array; or two arrays of one length, where and how much
    algorithm : the method it speaks of, whose colour it takes; None: all
    panel : the value of the panel it belongs to; None: all
    """

    label: str
    values: Callable[[NDArray], ArrayLike] | tuple[ArrayLike, ArrayLike]
    algorithm: str | None = None
    panel: object = None

    def points(self, at: NDArray) -> tuple[NDArray, NDArray]:
        """Where the line is drawn, and how high: at `at` where it is a function.

        Raises
        ------
        Invalid
            For values of another length.
        """
        with np.errstate(all="ignore"):  # a rate 1/t has no value at 0
            where, values = (at, self.values(at)) if callable(self.values) else self.values
        where, values = np.asarray(where, dtype=float), np.asarray(values, dtype=float)
        fits = where.ndim == 1 and where.shape == values.shape
        require(fits, f"values of {self.label}", values.shape, f"of the shape of where they stand, {where.shape}")
        return where, values

    def belongs(self, panel: object, algorithm: str | None = None) -> bool:
        """Whether it is drawn on this panel, of this method where panels are methods."""
        return (self.panel is None or self.panel == panel) and (self.algorithm is None or algorithm in (None, self.algorithm))

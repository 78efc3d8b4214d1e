"""A number that remembers how it was written, so that a tableau prints as its paper's equations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SUM, _PRODUCT, _ATOM = range(3)


class Symbol:
    """A coefficient with its formula: `1 - Symbol("eta", 2.0) * Symbol("beta", 0.1)` is 0.8 and prints "1 - eta beta".

    Parameters
    ----------
    text : str
        How it is written.
    value : float or (T,) array
        What it is worth; an array is a schedule over iterations, and holds its last entry afterwards.
    """

    __slots__ = ("level", "text", "value")
    __array_ufunc__ = None  # numpy arrays leave arithmetic with symbols to the methods below

    def __init__(self, text: str, value: float | NDArray, level: int = _ATOM):
        self.text, self.value, self.level = text, np.asarray(value, dtype=np.float64), level

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Symbol({self.text!r}, {self.value})"

    def _at(self, level: int) -> str:
        return self.text if self.level >= level else f"({self.text})"

    def __neg__(self) -> Symbol:
        return Symbol(f"-{self._at(_PRODUCT)}", -self.value, _PRODUCT)

    def __add__(self, other: Coefficient) -> Symbol:
        other = as_symbol(other)
        return Symbol(f"{self.text} + {other.text}", self.value + other.value, _SUM)

    def __radd__(self, other: Coefficient) -> Symbol:
        return as_symbol(other) + self

    def __sub__(self, other: Coefficient) -> Symbol:
        other = as_symbol(other)
        return Symbol(f"{self.text} - {other._at(_PRODUCT)}", self.value - other.value, _SUM)

    def __rsub__(self, other: Coefficient) -> Symbol:
        return as_symbol(other) - self

    def __mul__(self, other: Coefficient) -> Symbol:
        other = as_symbol(other)
        return Symbol(f"{self._at(_PRODUCT)} {other._at(_PRODUCT)}", self.value * other.value, _PRODUCT)

    def __rmul__(self, other: Coefficient) -> Symbol:
        return as_symbol(other) * self

    def __truediv__(self, other: Coefficient) -> Symbol:
        other = as_symbol(other)
        return Symbol(f"{self._at(_PRODUCT)}/{other._at(_ATOM)}", self.value / other.value, _PRODUCT)

    def __rtruediv__(self, other: Coefficient) -> Symbol:
        return as_symbol(other) / self


Coefficient = float | NDArray | Symbol
"""A stage's coefficient: a number, a schedule over iterations, or either with its formula."""


def as_symbol(value: Coefficient) -> Symbol:
    """`value` itself, or a number that prints as itself."""
    if isinstance(value, Symbol):
        return value
    array = np.asarray(value, dtype=np.float64)
    if array.ndim:
        ends = [f"{end:g}" for end in (*array.flat[:1], *array.flat[-1:])]
        return Symbol(f"[{', ..., '.join(ends)}]", array)
    return Symbol(f"{float(array):g}", array, _ATOM if array >= 0 else _SUM)

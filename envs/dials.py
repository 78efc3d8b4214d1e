"""Checks that games, worlds, methods and commands share, each refusing with one line."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs.invalid import Invalid, require

LARGEST = 2**62
"""No count is larger: 64 bits hold it. The root of random numbers may be."""

HEAVIEST = 1e100
"""The largest weight of a divergence: double precision holds its square."""


def require_integer(key: str, value: object, least: int, otherwise: str = "") -> None:
    """Raise :class:`Invalid` unless `value` is an int (True and 3.0 are not) of at least `least`, and as a count, which `least` > 0 asks
    for, of at most `LARGEST`. `otherwise` says what else is allowed."""
    whole = type(value) is int and value >= least
    require(whole, key, value, f"an integer >= {least}{otherwise}")
    require(least == 0 or value <= LARGEST, key, value, f"an integer from {least} to {LARGEST}{otherwise}")  # type: ignore[operator]


def require_number(key: str, value: object, low: float, high: float) -> None:
    """Raise :class:`Invalid` unless `value` is an int or a float in [low, high]."""
    inside = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    require(inside, key, value, f"a number in [{low:g}, {high:g}]")


def numbers(key: str, values: object) -> tuple[float, ...]:
    """`values` as a tuple of floats; any sequence but text will do."""
    allowed = "a list of numbers"
    require(isinstance(values, Iterable) and not isinstance(values, str | bytes), key, values, allowed)
    try:
        return tuple(float(value) for value in values)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise Invalid(key, values, allowed) from None


def require_positive(key: str, value: object) -> None:
    """Raise :class:`Invalid` unless `value` is a finite number above 0."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")
    require(number, key, value, "a finite number > 0")


def require_weight(key: str, value: object) -> None:
    """Raise :class:`Invalid` unless `value` is a number in (0, `HEAVIEST`], a weight of a divergence."""
    require_positive(key, value)
    require(value <= HEAVIEST, key, value, f"a number in (0, {HEAVIEST:g}]")  # type: ignore[operator]


def require_nonnegative(key: str, value: object) -> None:
    """Raise :class:`Invalid` unless `value` is a finite number of at least 0."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
    require(number, key, value, "a finite number >= 0")


def require_tolerance(value: object) -> None:
    """Raise :class:`Invalid` unless `value` can be the `tolerance` of an inner solve."""
    require(isinstance(value, float) and 0 < value < 1, "tolerance", value, "a number in (0, 1)")


def read_only(key: str, values: ArrayLike) -> NDArray:
    """A copy of `values` as an array of floats that nobody can change; :class:`Invalid` where they are no numbers."""
    try:
        array = np.array(values, dtype=np.float64, order="C")
    except (TypeError, ValueError):
        raise Invalid(key, values, "an array of numbers") from None
    array += 0.0  # -0.0 and 0.0 are one number and must hash alike
    array.setflags(write=False)
    return array

"""What a figure needs of its rows, refused in one line where it is not there, and the numbers over seeds that figures share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs.invalid import require
from simlab import catalogue
from simlab.figures import palette
from simlab.refusal import Refused

if TYPE_CHECKING:
    from pandas import DataFrame

INSTANCE = ("run", "seed", "context")
"""What tells one trajectory from another."""

OF_SELF_PLAY = "a self-play method, as in algorithm=egpo"


def require_columns(frame: DataFrame, keys: Mapping[str, str]) -> None:
    """Refuse rows without these columns, each with the words of `simlab run` that make it, or without any row."""
    for column, words in keys.items():
        if column not in frame.columns:
            raise Refused(f"{column}: a column that this figure needs and the rows do not have; simlab run makes it with {words}")
    require(len(frame), "frame", "no rows", "at least one row")


def settings(frame: DataFrame) -> list[str]:
    """The columns that hold settings of `simlab run`, but for the method and the root of the random numbers."""
    known = {*catalogue.defaults("run"), *catalogue.comments("run")} - {"algorithm", "seed"}
    return [column for column in frame.columns if column in known or ("." in column and column != "config.seed")]


def require_one_setting(frame: DataFrame, apart: Sequence[str]) -> None:
    """Refuse rows of which several settings would be taken for seeds of one: whatever varies must be among `apart`."""
    for values, part in frame.groupby(list(apart), dropna=False, sort=False):
        for column in settings(frame):
            if column not in apart and part[column].astype(str).nunique() > 1:
                where = ", ".join(f"{name}={value}" for name, value in zip(apart, values, strict=True))
                raise Refused(f"{column}: varies among the rows of {where}; choose the rows of one value")


def methods(frame: DataFrame) -> list[str]:
    """The methods of these rows, in the order of the palette, others behind by name."""
    order = {name: number for number, name in enumerate(palette.STYLES)}
    return sorted(frame["algorithm"].unique(), key=lambda name: (order.get(name, len(order)), name))


def quantile(values: ArrayLike, share: float) -> float:
    """A quantile, linear between order statistics, that counts what is not a number as infinite."""
    ordered = np.sort(np.where(np.isnan(values), np.inf, values))
    place = share * (len(ordered) - 1)
    low, high = ordered[int(np.floor(place))], ordered[int(np.ceil(place))]
    return float(low if low == high else low + (place % 1) * (high - low))


def extents(values: NDArray) -> tuple[float, float]:
    """Least and largest finite value."""
    finite = values[np.isfinite(values)]
    require(len(finite), "frame", "no finite value", "rows with at least one number to draw")
    return float(finite.min()), float(finite.max())

"""A square a cell: axes on which the levels of two settings are evenly spaced, and what is drawn on them."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np

from simlab.figures import cells, palette

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

X, Y = "env.intransitivity", "feedback.flip"
"""The settings of a map, unless it is asked for others."""

HATCHED: dict[str, Any] = {"facecolor": "white", "edgecolor": "0.35", "hatch": "//////", "linewidth": 0}
OPEN: dict[str, Any] = {"facecolor": "white", "edgecolor": palette.FAINT, "linestyle": ":", "linewidth": 0.6}
"""Looks of cells that were lost, and of those that were not run."""


def array(rows: DataFrame, x: str, y: str, column: str) -> NDArray:
    """A column as a (levels of y, levels of x) array, levels rising."""
    return rows.pivot(index=y, columns=x, values=column).to_numpy()


def lay(axes: Any, rows: DataFrame, x: str, y: str) -> None:
    """Name the levels of both settings."""
    for key, axis in ((x, axes.xaxis), (y, axes.yaxis)):
        levels = sorted(rows[key].unique())
        axis.set_ticks(range(len(levels)), [short(level) for level in levels])
        axis.set_label_text(cells.WORDS.get(key, key))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def short(level: object) -> str:
    """A value of a setting: 0.1, 300, 10k."""
    from matplotlib.ticker import EngFormatter

    if not isinstance(level, Number):
        return str(level)
    return EngFormatter(sep="")(level) if level >= 1000 else f"{level:g}"  # type: ignore[arg-type, operator]


def mesh(axes: Any, values: NDArray, **looks: Any) -> Any:
    """The cells of a (levels of y, levels of x) array, in colour."""
    down, across = (np.arange(size + 1) - 0.5 for size in values.shape)
    return axes.pcolormesh(across, down, values, edgecolors="white", linewidth=0.4, **looks)


def frames(axes: Any, where: NDArray, looks: Mapping[str, Any]) -> None:
    """A rectangle over every cell of a (levels of y, levels of x) array that is true."""
    from matplotlib.patches import Rectangle

    for row, column in np.argwhere(where):
        axes.add_patch(Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, **looks))

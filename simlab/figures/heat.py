"""Heat maps over two settings: what each method comes to in every cell, a panel a method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from simlab.figures import cells, palette, squares
from simlab.figures.drawing import Drawing
from simlab.figures.rows import methods

if TYPE_CHECKING:
    from pandas import DataFrame

FLOOR = 1e-16
"""Smaller values have this one's colour."""

ABREAST = 4
"""At most so many panels beside each other."""

DOT: dict[str, Any] = {"marker": "o", "markersize": 2.6, "color": "black", "markerfacecolor": "white", "markeredgewidth": 0.5}


def draw(frame: DataFrame, measure: str = "exploitability", *, x: str = squares.X, y: str = squares.Y) -> Drawing:
    """The median over seeds of a measure's last value in every cell of two settings, a panel a method.

    Panels share one logarithmic scale. A lost seed (`simlab.statistics.lost`: it diverged, or has no minimiser) counts as worse than
    any value. A cell is hatched where half the seeds or more are lost, has a dot where fewer are, and is open where nothing was run.

    Parameters
    ----------
    frame : tidy rows of many runs
    measure : a column that is better the lower, at least 0
    x, y : columns of settings

    Raises
    ------
    Refused
        For a column that is missing, or a setting besides these that varies.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import LogLocator

    rows = cells.of_seeds(frame, measure, (x, y))
    data = table(rows, x, y)
    names = methods(rows)
    finite = data["median"][np.isfinite(data["median"])].clip(lower=FLOOR)
    norm = LogNorm(finite.min(), finite.max()) if len(finite) else LogNorm(FLOOR, 1.0)
    with palette.look():
        figure, panels, wide = _panels(len(names))
        for place, (name, axes) in enumerate(zip(names, panels, strict=True)):
            colours = _panel(axes, data[data["algorithm"] == name], x, y, norm)
            axes.set_title(palette.title(name))
            _only_outside(axes, left=place % wide == 0, bottom=place + wide >= len(names))
        near = finite.max() < 1000 * finite.min()
        ticks: dict[str, Any] = {"ticks": LogLocator(subs=(1, 2, 5)), "format": "%g"} if near else {}
        bar = figure.colorbar(colours, ax=panels, label=cells.WORDS.get(measure, measure), aspect=30, pad=0.015, **ticks)
        if near:
            bar.minorticks_off()
        _legend(figure, data, cells.failures(rows))
    return Drawing(figure, data)


def table(rows: DataFrame, x: str, y: str) -> DataFrame:
    """A row a method and cell: the median, how many seeds it is of, and how many of these are lost.

    The median is inf where half the seeds or more are lost, and nan where none was run.
    """
    import pandas as pd

    levels = (methods(rows), sorted(rows[y].unique()), sorted(rows[x].unique()))
    values = rows.groupby(["algorithm", y, x])["value"]
    found = pd.DataFrame({"median": values.median(), "seeds": values.size(), "lost": values.agg(lambda value: np.isinf(value).sum())})
    every = found.reindex(pd.MultiIndex.from_product(levels, names=["algorithm", y, x]))
    return every.fillna({"seeds": 0, "lost": 0}).astype({"seeds": int, "lost": int}).reset_index()


def _panels(number: int) -> tuple[Any, list[Any], int]:
    """A figure with so many axes, as wide as a page from three on; and how many are abreast."""
    from matplotlib.figure import Figure

    high = -(-number // ABREAST)
    wide = -(-number // high)
    figure = Figure(figsize=(palette.PAGE if wide > 2 else 1.25 * palette.COLUMN, 0.8 + 1.5 * high), layout="constrained")
    grid = figure.add_gridspec(high, wide)
    return figure, [figure.add_subplot(grid[place // wide, place % wide]) for place in range(number)], wide


def _only_outside(axes: Any, *, left: bool, bottom: bool) -> None:
    """Take labels off sides on which another panel has the same."""
    axes.tick_params(labelleft=left, labelbottom=bottom)
    axes.xaxis.label.set_visible(bottom)
    axes.yaxis.label.set_visible(left)


def _panel(axes: Any, rows: DataFrame, x: str, y: str, norm: Any) -> Any:
    median, seeds, lost = (squares.array(rows, x, y, column) for column in ("median", "seeds", "lost"))
    squares.lay(axes, rows, x, y)
    drawn = squares.mesh(axes, np.ma.masked_invalid(median).clip(FLOOR, None), norm=norm, cmap="viridis")
    squares.frames(axes, np.isinf(median), squares.HATCHED)
    squares.frames(axes, seeds == 0, squares.OPEN)
    down, across = np.nonzero((lost > 0) & np.isfinite(median))
    axes.plot(across + 0.3, down + 0.3, linestyle="none", **DOT)
    return drawn


def _legend(figure: Any, data: DataFrame, failures: str) -> None:
    """What stands for lost and missing cells, where there are any."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    some, half, none = data["lost"] > 0, np.isinf(data["median"]), data["seeds"] == 0
    entries: dict[str, Any] = {}
    if half.any():
        entries[f"half the seeds or more: {failures}"] = Patch(**squares.HATCHED)
    if (some & ~half).any():
        entries[f"some seeds: {failures}"] = Line2D([], [], linestyle="none", **DOT)
    if none.any():
        entries["not run"] = Patch(**squares.OPEN)
    if entries:
        figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=len(entries))

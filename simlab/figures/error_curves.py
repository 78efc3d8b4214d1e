"""Errors against sample sizes, on logarithmic axes: medians with their intervals, what is lost, and lines of theory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from simlab.figures import palette
from simlab.figures.curve import Curve
from simlab.figures.rows import extents, methods
from simlab.statistics import interval

if TYPE_CHECKING:
    from pandas import DataFrame

DASHES = {"rate": palette.DASHED, "theory": palette.DASHED, "floor": palette.DOTTED}
"""Kinds of lines that are no data."""


def medians(rows: DataFrame, x: str) -> DataFrame:
    """A row a method and size: the median with its 95% interval, how many seeds it is of, and how many of these are lost."""
    import pandas as pd

    found = []
    for name in methods(rows):
        for size, seeds in rows[rows["algorithm"] == name].groupby(x)["value"]:
            about = {"kind": "median", "algorithm": name, "x": float(size), "seeds": len(seeds), "lost": int(np.isinf(seeds).sum())}
            found.append(about | interval(seeds)._asdict())
    return pd.DataFrame(found).rename(columns={"estimate": "value"})


def guide(table: DataFrame, kind: str, curve: Curve) -> DataFrame:
    """The rows of a line that is no data, over the sizes of a table."""
    import pandas as pd

    sizes = table["x"].dropna()
    where, values = curve.points(np.geomspace(sizes.min(), sizes.max(), 50))
    return pd.DataFrame({"kind": kind, "algorithm": curve.algorithm or "", "label": curve.label, "x": where, "value": values})


def columns(number: int, below: float = 0.0) -> tuple[Any, list[Any]]:
    """A figure with so many panels, at most four abreast, and room below each, in inches."""
    from matplotlib.figure import Figure

    high = -(-number // 4)
    wide = -(-number // high)
    width = palette.COLUMN if number == 1 else min(palette.PAGE, 2.4 * wide)
    figure = Figure(figsize=(width, 0.5 + (2.4 + below) * high), layout="constrained")
    grid = figure.add_gridspec(high, wide)
    return figure, [figure.add_subplot(grid[place // wide, place % wide]) for place in range(number)]


def alike(panels: list[Any], data: DataFrame, label: str) -> None:
    """Logarithmic axes with one range for all medians, room above for the shares that are lost, and a label at the left only."""
    low, high = extents(data[["value", "low"]].to_numpy())
    rows = data.loc[data["lost"] > 0, "algorithm"].nunique()
    for axes in panels:
        axes.set(xscale="log", yscale="log", ylim=(low / 1.4, 1.6 * high * (high / low) ** (0.1 * rows)))
        axes.margins(x=0.08)
        axes.grid(True)
        left = axes.get_subplotspec().is_first_col()
        axes.tick_params(labelleft=left)
        axes.set_ylabel(label if left else "")


def panel(axes: Any, data: DataFrame) -> None:
    """Draw the medians of one panel, whose range is set."""
    top = axes.get_ylim()[1]
    for name in methods(data):
        of, style = data[data["algorithm"] == name], palette.style(name)
        axes.fill_between(of["x"], of["low"].clip(upper=top), of["high"].clip(upper=top), color=style.color, alpha=0.2, linewidth=0)
        shown = of["value"].where(np.isfinite(of["value"]))
        axes.plot(of["x"], shown, color=style.color, marker=style.marker, markeredgewidth=0, label=palette.label(name))
    _shares(axes, data)


def guides(axes: Any, lines: DataFrame) -> None:
    """Draw the lines of one panel that are no data."""
    keys = ["kind", "label", "algorithm"]
    for (kind, label, name), line in lines.groupby(keys, sort=False) if len(lines) else ():
        color = palette.style(name).color if name else "0.35"
        axes.plot(line["x"], line["value"], color=color, linestyle=(0, DASHES[kind]), linewidth=1, label=label, zorder=1.5)


def legend(figure: Any, panels: list[Any], failures: str) -> None:
    """One for all panels, above them; it says what a percentage is where there is any."""
    handles = {text: handle for axes in panels for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    if failures:
        handles[f"of the seeds: {failures}"] = percent()
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=max(2, round(figure.get_figwidth() / 1.8)))


def percent() -> Any:
    """What stands for a percentage in a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="none", marker=r"$\%$", markersize=5.5, markeredgewidth=0, color="black")


def _shares(axes: Any, data: DataFrame) -> None:
    """The share of seeds that are lost above each size, a line of figures a method."""
    lost = data[data["lost"] > 0]
    for line, name in enumerate(methods(lost)):
        for row in lost[lost["algorithm"] == name].itertuples():
            ink = {"color": palette.style(name).color, "fontsize": 6, "ha": "center", "va": "top"}
            axes.text(row.x, 0.98 - 0.07 * line, f"{row.lost / row.seeds:.0%}", transform=axes.get_xaxis_transform(), **ink)

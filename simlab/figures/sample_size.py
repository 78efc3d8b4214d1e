"""Error against the number of comparisons: how fast each learner improves, and where it stops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from simlab.figures import cells, palette
from simlab.figures.curve import Curve
from simlab.figures.drawing import Drawing
from simlab.figures.error_curves import DASHES, alike, columns, guide, guides, legend, medians, panel
from simlab.figures.rows import methods
from simlab.statistics import Interval, seeds_slope

if TYPE_CHECKING:
    from pandas import DataFrame

BELOW = 0.42
"""Inches from a panel to its slopes, past its labels."""


def draw(
    frame: DataFrame,
    measure: str = "estimation_error",
    *,
    x: str = "env.n",
    by: str | None = None,
    rate: float | None = -0.5,
    theory: Sequence[Curve] = (),
    floors: Sequence[Curve] = (),
) -> Drawing:
    """The median over seeds with its 95% interval against n, on logarithmic axes; below, the slope fitted to it with its 95% interval.

    A lost seed (one without a minimiser, say) counts as an infinite error. The share of lost seeds stands at the top, above their n; a
    median that is infinite has no point there, and no part in the slope.

    Parameters
    ----------
    frame : tidy rows of many runs
    measure : a column that is better the lower, above 0
    x : the column of sample sizes
    by : a setting with a panel for each of its values; None: one panel
    rate : slope of a dashed grey line through the least median at the largest n; None: no line
    theory : dashed lines: the error that is expected, say
    floors : dotted lines: the error of a biased learner for ever more comparisons, say

    Raises
    ------
    Refused, Invalid
        For a column that is missing, or a setting besides these that varies.
    """
    import pandas as pd

    rows = cells.of_seeds(frame, measure, (x, by) if by else (x,))
    lines = [*(("theory", curve) for curve in theory), *(("floor", curve) for curve in floors)]
    tables = {value: _table(part, x, rate, [line for line in lines if line[1].belongs(value)]) for value, part in _parts(rows, by)}
    data = pd.concat([table.assign(**({by: value} if by else {})) for value, table in tables.items()], ignore_index=True)
    with palette.look():
        figure, panels = columns(len(tables), below=0.15 * (1 + len(methods(rows))))
        alike(panels, data[data["kind"] == "median"], cells.WORDS.get(measure, measure))
        for axes, (value, table) in zip(panels, tables.items(), strict=True):
            panel(axes, table[table["kind"] == "median"])
            guides(axes, table[table["kind"].isin(DASHES)])
            axes.set(xlabel=cells.WORDS.get(x, x), title=f"{cells.WORDS.get(by, by)} = {value}" if by else "")
        legend(figure, panels, cells.failures(rows))
        for axes, table in zip(panels, tables.values(), strict=True):
            _slopes(axes, table)
    return Drawing(figure, data)


def _parts(rows: DataFrame, by: str | None) -> list[tuple[Any, DataFrame]]:
    return list(rows.groupby(by)) if by else [(None, rows)]


def _table(rows: DataFrame, x: str, rate: float | None, lines: Sequence[tuple[str, Curve]]) -> DataFrame:
    """What a panel shows, a row a median, slope or point of a line, told apart by `kind`."""
    import pandas as pd

    table = medians(rows, x)
    if rate is not None:
        lines = [("rate", _through(table, rate)), *lines]
    return pd.concat([table, *(guide(table, *line) for line in lines), _fitted(rows, x)], ignore_index=True)


def _fitted(rows: DataFrame, x: str) -> DataFrame:
    """The slope of each method's finite medians; nan where there are fewer than two."""
    import pandas as pd

    found = []
    for name in methods(rows):
        values = cells.across(rows[rows["algorithm"] == name], x).dropna()
        kept = values.loc[:, np.isfinite(values.median())]
        slope = seeds_slope(kept.columns, kept) if min(kept.shape) > 1 else Interval(np.nan, np.nan, np.nan)
        found.append({"kind": "slope", "algorithm": name} | slope._asdict())
    return pd.DataFrame(found).rename(columns={"estimate": "value"})


def _through(table: DataFrame, rate: float) -> Curve:
    """A line of a given slope, through the least finite median at the largest size that has one."""
    finite = table[np.isfinite(table["value"])]
    end = finite[finite["x"] == finite["x"].max()]
    return Curve(f"slope {rate:g}".replace("-", "−"), lambda n: end["value"].min() * (n / end["x"].max()) ** rate)


def _slopes(axes: Any, table: DataFrame) -> None:
    """Below a panel, the slope of each method."""
    from matplotlib.transforms import ScaledTranslation

    handles, labels = axes.get_legend_handles_labels()
    slopes = table[table["kind"] == "slope"].set_index("algorithm")
    words = {palette.label(name): f"{_two(row.value)} ({_two(row.low)}, {_two(row.high)})" for name, row in slopes.iterrows()}
    shown = {text: handle for handle, text in zip(handles, labels, strict=True) if text in words}
    axes.legend(
        shown.values(),
        [words[text] for text in shown],
        title="slope (95% interval)",
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=axes.transAxes + ScaledTranslation(0, -BELOW, axes.figure.dpi_scale_trans),
        borderaxespad=0,
    )


def _two(value: float) -> str:
    """A number to two decimals, zero without a sign."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")

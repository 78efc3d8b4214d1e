"""Where two learners change places: the number of comparisons from which one that is unbiased beats one that varies less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simlab.figures import cells, palette
from simlab.figures.curve import Curve
from simlab.figures.drawing import Drawing
from simlab.figures.error_curves import DASHES, alike, columns, guide, legend, medians, panel
from simlab.refusal import Refused
from simlab.statistics import interval

if TYPE_CHECKING:
    from pandas import DataFrame

INK = "0.35"
"""Of what is said of crossings."""


def draw(
    frame: DataFrame,
    measure: str = "estimation_error",
    *,
    few: str = "dpo",
    many: str = "rdpo",
    x: str = "env.n",
    by: str = "env.flip",
    theory: Sequence[Curve] = (),
) -> Drawing:
    """Medians of two methods against n, a panel a value of a setting, with a line where they cross; last, where they cross by the setting.

    n* is where, on logarithmic axes, the line between medians of `many` falls below that of `few` for good. Its 95% interval is a BCa
    bootstrap over seeds, each with all its sizes and both methods. Where `many` is below at every size n* is 0, and where it is not at
    the largest n* is infinite; an end of the interval that is either stands at the edge of the panel. Lost seeds count as infinite errors.

    Parameters
    ----------
    frame : tidy rows of many runs
    measure : a column that is better the lower, above 0
    few, many : methods: better with few comparisons, and with many
    x : the column of sample sizes
    by : a setting, of numbers
    theory : dashed lines on the last panel, of n* over the setting

    Raises
    ------
    Refused
        For a column or a method that is missing, or a setting besides these that varies.
    """
    import pandas as pd

    rows = cells.of_seeds(frame, measure, (x, by))
    rows = rows[rows["algorithm"].isin((few, many))]
    parts = dict(list(rows.groupby(by)))
    for value, part in parts.items():
        if part["algorithm"].nunique() < 2 or part[x].nunique() < 2:
            raise Refused(f"algorithm: must be {few} and {many} at two sizes or more, and is not at {by}={value}")
    crossings = pd.DataFrame([{"kind": "crossing", by: value} | crossing(part, few, many, x) for value, part in parts.items()])
    tables = pd.concat([medians(part, x).assign(**{by: value}) for value, part in parts.items()], ignore_index=True)
    with palette.look():
        figure, (*panels, last) = columns(len(parts) + 1)
        alike(panels, tables, cells.WORDS.get(measure, measure))
        for axes, value in zip(panels, parts, strict=True):
            panel(axes, tables[tables[by] == value])
            _mark(axes, crossings[crossings[by] == value].iloc[0])
            axes.set(xlabel=cells.WORDS.get(x, x), title=f"{cells.WORDS.get(by, by)} = {value}")
        lines = [guide(crossings.assign(x=crossings[by]), "theory", curve).rename(columns={"x": by}) for curve in theory]
        _by_setting(last, crossings, lines, by, sorted(rows[x].unique()))
        legend(figure, [*panels, last], cells.failures(rows))
    return Drawing(figure, pd.concat([tables, crossings, *lines], ignore_index=True))


def crossing(rows: DataFrame, few: str, many: str, x: str) -> dict[str, Any]:
    """n* of the rows of one panel, with its interval, and the seeds that have all sizes of both methods."""
    wide = cells.across(rows, ["algorithm", x]).dropna()
    sizes = np.array(sorted(set(wide[few].columns) & set(wide[many].columns)), dtype=float)
    curves = np.stack([wide[name][sizes].to_numpy() for name in (few, many)], axis=1)

    def of_seeds(drawn: NDArray, axis: int) -> NDArray:
        """n* of the seeds with these numbers, all their curves together."""
        return crossings(sizes, np.median(curves[drawn.astype(int)], axis=axis % drawn.ndim))

    found = interval(np.arange(len(curves)), statistic=of_seeds)
    return {"value": found.estimate, "low": found.low, "high": found.high, "seeds": len(curves)}


def crossings(sizes: NDArray, curves: NDArray) -> NDArray:
    """(...) n* of curves (..., 2, N), the second below the first from there on: 0 if everywhere, inf if not at the end."""
    first, second = np.moveaxis(curves, -2, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ahead = np.log(second) - np.log(first)
    ahead = np.where(np.isnan(ahead), np.inf, ahead)
    behind = ahead >= 0
    last = behind.shape[-1] - 1 - np.argmax(behind[..., ::-1], axis=-1)
    here = np.minimum(last, len(sizes) - 2)
    before, after = (np.take_along_axis(ahead, (here + step)[..., None], -1)[..., 0] for step in (0, 1))
    with np.errstate(invalid="ignore"):
        share = np.where(np.isinf(before), 1.0, np.clip(before / (before - after), 0.0, 1.0))
    log_n = np.log(sizes)
    found = np.exp(log_n[here] + share * (log_n[here + 1] - log_n[here]))
    return np.where(~behind.any(axis=-1), 0.0, np.where(behind[..., -1], np.inf, found))


def _mark(axes: Any, row: Any) -> None:
    """A line at n*, a band over its interval, and its value in figures."""
    left, right = axes.get_xlim()
    axes.axvspan(*np.clip([row["low"], row["high"]], left, right), color=INK, alpha=0.15, linewidth=0)
    axes.set_xlim(left, right)
    words = {0.0: "n* below all sizes", np.inf: "n* beyond all sizes"}.get(row["value"])
    if words is None:
        axes.axvline(row["value"], color=INK, linewidth=1)
        words = f"n* = {float(format(row['value'], '.2g')):,.0f}"
    side = "right" if row["value"] > np.sqrt(left * right) else "left"
    at = float(np.clip(row["value"], left, right))
    axes.text(at, 0.03, f" {words} ", transform=axes.get_xaxis_transform(), horizontalalignment=side, fontsize=7).set_in_layout(False)


def _by_setting(axes: Any, crossings: DataFrame, lines: Sequence[DataFrame], by: str, sizes: Sequence[float]) -> None:
    """n* against the setting; what lies outside the sizes is at the edge, as a triangle."""
    low, high = sizes[0] / 1.5, sizes[-1] * 1.5
    axes.set(yscale="log", ylim=(low, high), xlabel=cells.WORDS.get(by, by), ylabel="crossing n*")
    axes.grid(True)
    axes.margins(x=0.15)
    where, ends = crossings[by], [crossings[end].clip(low, high) for end in ("low", "high")]
    axes.vlines(where, *ends, color=INK, linewidth=1)
    marks = np.select([crossings["value"] < low, crossings["value"] > high], ["v", "^"], "o")
    for marker in np.unique(marks):
        at = crossings.loc[marks == marker, "value"].clip(low, high)
        axes.plot(where[marks == marker], at, linestyle="none", marker=marker, color=INK, clip_on=False)
    for line in lines:
        axes.plot(line[by], line["value"], color=INK, linestyle=(0, DASHES["theory"]), linewidth=1, label=line["label"].iloc[0])

"""Which steps are stable: how a method ended on every cell of rate and beta, a panel a method, with the limits of theory as lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from envs.invalid import require
from simlab.figures import cells, palette
from simlab.figures.curve import Curve
from simlab.figures.drawing import Drawing
from simlab.figures.rows import INSTANCE, OF_SELF_PLAY, methods, require_columns, require_one_setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from pandas import DataFrame

RATE, BETA = "algorithm.rate", "beta"

CELL = ["algorithm", BETA, RATE]

CONVERGED = 1e-6
"""A cell whose median instance ends below this share of its start has converged."""

FLOOR = 1e-16
"""Smaller gaps have this one's colour."""

POINTS = 200
"""At which a limit that is a function is drawn."""

COLORS = "viridis_r"

DIVERGED: dict[str, Any] = {"facecolor": "0.92", "edgecolor": "0.35", "hatch": "//////", "linewidth": 0}
SLOW: dict[str, Any] = {
    "marker": "o",
    "color": "white",
    "markeredgecolor": "black",
    "markersize": 2.6,
    "markeredgewidth": 0.5,
    "linestyle": "none",
}

LIMITS = (palette.SOLID, palette.DASHED, palette.DOTTED, palette.MIXED)
"""Dashes of limits, in the order in which they are given."""


def draw(
    frame: DataFrame,
    *,
    measure: str = "kl_to_equilibrium",
    limits: Sequence[Curve] = (),
    converged: float = CONVERGED,
    floor: float = FLOOR,
) -> Drawing:
    """Draw how runs over many rates and betas ended, on logarithmic axes; colour is the median over seeds and contexts of the last gap.

    A cell is diverged where an instance diverged or was not finite; else converged where the median of last over first gap is at most
    `converged`; else slow, which a cell on its way out is, too. Cells that were not run are left white.

    Parameters
    ----------
    frame : rows of `simlab run` with a number in each `algorithm.rate`
    measure : the gap, at least 0
    limits : each a rate as a function of beta, or points of both; of a method, or all
    converged, floor : numbers > 0

    Raises
    ------
    Refused, Invalid
        For a column that is not there or not filled, a beta of 0, or a setting besides rate and beta that varies.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    for key, value in (("converged", converged), ("floor", floor)):
        require(value > 0, key, value, "a number > 0")
    table = _table(frame, measure, converged)
    names = methods(table)
    shown = table.loc[table["outcome"] != "diverged", "last"].clip(lower=floor)
    norm = LogNorm(shown.min(), shown.max()) if len(shown) else LogNorm(floor, 1.0)
    extend = "min" if (table["last"] < floor).any() else "neither"
    rates, betas = (_edges(table[key].unique()) for key in (RATE, BETA))
    lines = list(_lines(limits, names, np.geomspace(betas[0], betas[-1], POINTS)))
    with palette.look():
        width = palette.COLUMN if len(names) == 1 else palette.PAGE
        figure = Figure(figsize=(width, 2.9), layout="constrained")
        panels = figure.subplots(1, len(names), sharex=True, sharey=True, squeeze=False)[0]
        for name, axes in zip(names, panels, strict=True):
            drawn = _panel(axes, table[table["algorithm"] == name], (rates, betas), norm, floor)
            for line in (line for line in lines if line["algorithm"] == name):
                axes.plot(line["rate"], line["beta"], color="black", linewidth=1.4, linestyle=(0, line["dash"]), label=line["label"])
            axes.set(xscale="log", yscale="log", xlim=rates[[0, -1]], ylim=betas[[0, -1]], title=palette.title(name))
        figure.colorbar(drawn, ax=panels, label=f"last {cells.WORDS.get(measure, measure)}", aspect=25, pad=0.02, extend=extend)
        figure.supxlabel("rate η", fontsize=palette.LOOK["axes.labelsize"])
        panels[0].set_ylabel("β")
        _legend(figure, set(table["outcome"]), width)
    return Drawing(figure, _with_limits(table, lines))


def _table(frame: DataFrame, measure: str, converged: float) -> DataFrame:
    """A row a cell: medians of first and last gap and of their ratio, how many of how many instances failed, the outcome in a word."""
    made = dict.fromkeys((*INSTANCE, "step", "status", "algorithm"), OF_SELF_PLAY)
    require_columns(frame, {**made, measure: f"measure=[{measure}]", RATE: f"{RATE}=0.1,0.3", BETA: "beta=0.01,0.1"})
    require_one_setting(frame, CELL)
    for key in (RATE, BETA):
        require((frame[key] > 0).all(), key, frame[key].min(), "above 0 in every row")
    rows = frame.sort_values("step").groupby([*CELL, *INSTANCE])
    ended = rows.tail(1)
    gone = ended["status"] != "ok"
    joined = ended.assign(last=ended[measure].mask(gone, np.inf), failed=gone).merge(
        rows[measure].first().rename("first"), on=[*CELL, *INSTANCE]
    )
    joined["ratio"] = joined["last"] / joined["first"].clip(lower=np.finfo(float).tiny)
    found = joined.groupby(CELL).agg(
        **{name: (name, "median") for name in ("first", "last", "ratio")}, failed=("failed", "sum"), instances=("failed", "size")
    )
    found["outcome"] = np.where(found["failed"] > 0, "diverged", np.where(found["ratio"] <= converged, "converged", "slow"))
    return found.reset_index()


def _edges(levels: Any) -> NDArray:
    """Between neighbours, half way in the logarithm, and as far outside."""
    logarithms = np.log(np.sort(np.asarray(levels, dtype=float)))
    if len(logarithms) == 1:
        return np.exp(logarithms[0] + np.array([-0.5, 0.5]))
    middle = (logarithms[1:] + logarithms[:-1]) / 2
    return np.exp(np.concatenate([[2 * logarithms[0] - middle[0]], middle, [2 * logarithms[-1] - middle[-1]]]))


def _lines(limits: Sequence[Curve], names: Sequence[str], betas: NDArray) -> Iterator[dict[str, Any]]:
    labels = list(dict.fromkeys(curve.label for curve in limits))
    for curve in limits:
        where, rate = curve.points(betas)
        dash = LIMITS[labels.index(curve.label) % len(LIMITS)]
        for name in names:
            if curve.algorithm in (None, name):
                yield {"algorithm": name, "label": curve.label, "beta": where, "rate": rate, "dash": dash}


def _panel(axes: Axes, table: DataFrame, edges: tuple[NDArray, NDArray], norm: Normalize, floor: float) -> Any:
    from matplotlib.patches import Rectangle

    rates, betas = edges
    values = np.full((len(betas) - 1, len(rates) - 1), np.nan)
    for cell in table.to_dict("records"):
        across, up = np.searchsorted(rates, cell[RATE]) - 1, np.searchsorted(betas, cell[BETA]) - 1
        if cell["outcome"] == "diverged":
            corner, size = (rates[across], betas[up]), (rates[across + 1] - rates[across], betas[up + 1] - betas[up])
            axes.add_patch(Rectangle(corner, *size, **DIVERGED))
            continue
        values[up, across] = max(cell["last"], floor)
        if cell["outcome"] == "slow":
            axes.plot(cell[RATE], cell[BETA], zorder=3, **SLOW)
    return axes.pcolormesh(rates, betas, np.ma.masked_invalid(values), norm=norm, cmap=COLORS)


def _legend(figure: Any, outcomes: set[str], width: float) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = {text: handle for axes in figure.axes for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    if "slow" in outcomes:
        handles["slow (neither yet)"] = Line2D([], [], **SLOW)
    if "diverged" in outcomes:
        handles["diverged"] = Patch(**DIVERGED)
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=palette.abreast(handles, width))


def _with_limits(table: DataFrame, lines: Sequence[dict[str, Any]]) -> DataFrame:
    """Cells, and points of limits, told apart by `kind`."""
    from pandas import DataFrame, concat

    points = [
        {"kind": "limit", "label": line["label"], "algorithm": line["algorithm"], RATE: rate, BETA: beta}
        for line in lines
        for rate, beta in zip(line["rate"], line["beta"], strict=True)
    ]
    return concat([table.assign(kind="cell"), DataFrame(points)], ignore_index=True) if points else table.assign(kind="cell")

"""The gap against iterations, queries or gradient evaluations: a colour a method, each seed, their median and 95% band.

Both axes are logarithmic; the abscissa is linear from 0 to the first record behind it, so that the start is shown. What is at or
below the numerical floor is drawn at the floor, with an open circle where a median arrives there. A seed that ended diverged or
nonfinite has a cross where that began; what is not a number counts as infinite in median and band.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from envs.invalid import require
from simlab.figures import cells, palette
from simlab.figures.curve import Curve
from simlab.figures.drawing import Drawing
from simlab.figures.rows import INSTANCE, OF_SELF_PLAY, extents, methods, require_columns, require_one_setting
from simlab.figures.trajectories import trajectories

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

AXES = {"step": "iterations", "queries": "preference queries", "gradients": "gradient evaluations"}

ORIGINAL_FLOOR, REGULARISED_FLOOR = 1e-16, 1e-30
"""What double precision resolves of a gap at beta = 0, a difference of win rates, and of a divergence or a gap that is one."""

MARKERS = 5
"""Of a method on its line."""


def draw(
    frame: DataFrame,
    *,
    measure: str = "duality_gap",
    x: str = "step",
    by: str | None = None,
    theory: Sequence[Curve] = (),
    floor: float | None = None,
) -> Drawing:
    """Draw trajectories of self-play methods.

    Parameters
    ----------
    frame : rows of `simlab run`, one a seed, context and recorded iteration
    measure : column on the ordinate
    x : step, queries or gradients
    by : a setting with a panel for each of its values; None: one panel
    theory : lines drawn dashed, in the colour of their method
    floor : the least value that means anything, > 0; None: 1e-16 for a gap at beta = 0, 1e-30 else

    Raises
    ------
    Refused, Invalid
        For a column that is not there, or a setting that varies and is not on the panels.
    """
    from matplotlib.figure import Figure

    require(x in AXES, "x", x, ", ".join(AXES))
    made = dict.fromkeys(("run", "algorithm", "seed", "context", "status", "status_step", *AXES), OF_SELF_PLAY)
    require_columns(frame, {**made, measure: f"measure={measure}", **({by: f"{by}=VALUE,VALUE"} if by else {})})
    require_one_setting(frame, [*([by] if by else []), "algorithm"])
    floor = _floor(frame, measure) if floor is None else floor
    require(floor > 0, "floor", floor, "a number > 0")
    table = trajectories(frame, measure, x, by, theory, floor)
    panels = list(dict.fromkeys(table["panel"]))
    with palette.look():
        width = min(palette.PAGE, palette.COLUMN if len(panels) == 1 else 2.3 * len(panels))
        figure = Figure(figsize=(width, 2.75), layout="constrained")
        for axes, panel in zip(figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0], panels, strict=True):
            _panel(axes, table[table["panel"] == panel], floor)
            if by:
                axes.set_title(f"{cells.WORDS.get(by, by)} = {panel:g}" if isinstance(panel, float) else f"{by} = {panel}")
        _scale(figure.axes, table, floor)
        figure.supxlabel(AXES[x], fontsize=palette.LOOK["axes.labelsize"])
        figure.axes[0].set_ylabel(_words(measure))
        handles = {text: handle for axes in figure.axes for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
        beside = palette.abreast(handles, width)
        figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=beside)
        figure.set_figheight(2.4 + 0.15 * -(-len(handles) // beside))
    return Drawing(figure, table)


def _floor(frame: DataFrame, measure: str) -> float:
    plain = measure.removeprefix("average_").startswith("original") or ("beta" in frame and (frame["beta"] == 0).any())
    return ORIGINAL_FLOOR if plain else REGULARISED_FLOOR


def _panel(axes: Axes, table: DataFrame, floor: float) -> None:
    kinds = dict(list(table.groupby("kind", sort=False)))
    for number, algorithm in enumerate(methods(kinds["median"])):
        style, part = palette.style(algorithm), table[table["algorithm"] == algorithm]
        seeds = part[part["kind"] == "seed"]
        for _, one in seeds.groupby(list(INSTANCE)):
            axes.plot(one["x"], one["shown"], color=style.color, linewidth=0.4, alpha=min(0.5, 4 / seeds["seed"].nunique()), zorder=1)
        ends = part[part["kind"] == "end"]
        axes.plot(ends["x"], ends["shown"], "x", color="black", zorder=6)
        middle = part[part["kind"] == "median"]
        low, high = (np.maximum(middle[name].to_numpy(), floor) for name in ("low", "high"))
        ceiling = table.loc[np.isfinite(table["shown"]), "shown"].max()
        low, high = np.minimum(low, ceiling), np.minimum(high, ceiling)
        axes.fill_between(middle["x"], low, high, color=style.color, alpha=0.2, linewidth=0, zorder=2)
        _line(axes, middle, algorithm, number)
        sinks = middle[(middle["value"] <= floor) & ~(middle["value"].shift() <= floor)]
        axes.plot(sinks["x"], sinks["shown"], "o", color=style.color, markerfacecolor="white", zorder=5)
    for label, line in table[table["kind"] == "theory"].groupby("label", sort=False):
        color = palette.style(line["algorithm"].iloc[0]).color if line["algorithm"].iloc[0] else "black"
        axes.plot(line["x"], line["shown"], color=color, linestyle=(0, palette.DASHED), linewidth=1, label=label, zorder=3)
    if len(kinds.get("end", ())):
        axes.plot([], [], "x", color="black", label=" or ".join(sorted(set(kinds["end"]["label"]))))


def _line(axes: Axes, middle: DataFrame, algorithm: str, number: int) -> None:
    """A median, with a few markers that do not fall on those of the method before."""
    style, drawn, x = palette.style(algorithm), middle["shown"].to_numpy(), middle["x"].to_numpy()
    apart = np.geomspace(max(1, x[1:2].sum()), max(1, x[-1]), MARKERS + 1)
    places = np.searchsorted(x, apart[:-1] * (apart[1] / apart[0]) ** (number / 4 % 1))
    axes.plot(
        middle["x"],
        np.where(np.isfinite(drawn), drawn, np.nan),
        color=style.color,
        marker=style.marker,
        markevery=np.unique(np.minimum(places, len(x) - 1)).tolist(),
        markeredgewidth=0,
        label=palette.label(algorithm),
        zorder=3,
    )


def _scale(panels: Sequence[Axes], table: DataFrame, floor: float) -> None:
    where = table.loc[table["x"] > 0, "x"]
    low, high = extents(table.loc[table["shown"] > 0, "shown"].to_numpy())
    margin = 2 * (high / low) ** 0.03
    for axes in panels:
        axes.set_xscale("symlog", linthresh=float(where.min()), linscale=0.4)
        axes.set_xlim(-0.2 * float(where.min()), float(where.max()) * 1.1)
        axes.set_yscale("log")
        axes.set_ylim(low / margin, high * margin)
        axes.grid(True)
        if low <= floor:
            axes.axhline(floor, color=palette.FAINT, linewidth=0.8, zorder=0)
            axes.annotate("numerical floor", (0.02, floor), xycoords=("axes fraction", "data"), va="bottom", fontsize=6, color="0.4")


def _words(measure: str) -> str:
    plain = measure.removeprefix("average_")
    return cells.WORDS.get(plain, plain) + (" of the average" if plain != measure else "")

"""Who wins: for every cell of two settings, the method that is shown to be best there."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from simlab.figures import cells, palette, squares
from simlab.figures.drawing import Drawing
from simlab.figures.rows import methods
from simlab.refusal import Refused
from simlab.statistics import holm, paired

if TYPE_CHECKING:
    from pandas import DataFrame

TIE, LOST, MISSING = "tie", "lost", "not run"
"""Outcomes of a cell that no method wins."""

GREY = "0.82"
"""Of ties."""

LETTERS = 22
"""In a line of the legend."""


class Cell(NamedTuple):
    """A cell before it is known how many others there are.

    Attributes
    ----------
    best : the method with the least median of those that lost no seed; "" where there is none
    median : of the best
    rival : the other method that is hardest to tell from it
    p : of the test against the rival, 1 where the rival is not worse; nan where nothing is tested
    seeds : in common to all methods
    missing : whether a method was not run
    """

    best: str
    median: float
    rival: str
    p: float
    seeds: int
    missing: bool


def draw(frame: DataFrame, measure: str = "exploitability", *, x: str = squares.X, y: str = squares.Y, level: float = 0.95) -> Drawing:
    """The winner of each cell of two settings in its colour, ties grey; hatched where every method lost a seed; open where one is missing.

    The best method is the one with the least median, over seeds, of the measure's last value; one that lost a seed of the cell (it
    diverged, say: `simlab.statistics.lost`) is never the best. It wins if it is lower than each other method, paired by seeds: the
    largest p-value of these signed-rank tests, adjusted by Holm over all cells, is at most 1 - level. Everything else is a tie. Lost
    seeds of a rival count as worse than any value.

    Parameters
    ----------
    frame : tidy rows of many runs, of two methods or more
    measure : a column that is better the lower
    x, y : columns of settings
    level : of confidence that no winner is one by chance, in (0, 1)

    Raises
    ------
    Refused
        For a column that is missing, a setting besides these that varies, or fewer seeds than any winner needs.
    """
    rows = cells.of_seeds(frame, measure, (x, y))
    names = methods(rows)
    if len(names) < 2:
        raise Refused(f"algorithm={names[0]}: must be of two or more methods, of which one can win")
    data = table(rows, x, y, level)
    with palette.look():
        figure = _figure(data, names, x, y)
        _legend(figure, names, set(data["outcome"]), cells.failures(rows), f"lowest {cells.WORDS.get(measure, measure)}")
    return Drawing(figure, data)


def table(rows: DataFrame, x: str, y: str, level: float) -> DataFrame:
    """A row a cell: its settings, the outcome (a method, tie, lost, not run), and what it rests on, as in `Cell`, p also adjusted."""
    import pandas as pd

    names = methods(rows)
    found = {where: _cell(part, names) for where, part in rows.groupby([y, x])}
    levels = (sorted(rows[y].unique()), sorted(rows[x].unique()))
    none = Cell("", np.nan, "", np.nan, 0, True)
    data = pd.DataFrame([dict(zip((y, x), at, strict=True)) | found.get(at, none)._asdict() for at in pd.MultiIndex.from_product(levels)])
    _require_enough(data, level)
    data["adjusted"] = holm(data["p"])
    judged = zip(data["best"], data["adjusted"], data["missing"], strict=True)
    data.insert(2, "outcome", [MISSING if m else LOST if not best else best if p <= 1 - level else TIE for best, p, m in judged])
    return data.drop(columns="missing")


def _cell(rows: DataFrame, names: list[str]) -> Cell:
    values = cells.across(rows, "algorithm")
    if (missing := len(values.columns) < len(names)) or (values := values.dropna()).empty:
        return Cell("", np.nan, "", np.nan, 0 if missing else len(values), True)
    kept = values.loc[:, ~np.isinf(values).any()].median()
    if kept.empty:
        return Cell("", np.nan, "", np.nan, len(values), False)
    best = kept.idxmin()
    tests = {name: paired(values[best].to_numpy(), values[name].to_numpy()) for name in names if name != best}
    p = {name: test.p if test.sign < 0 else 1.0 for name, test in tests.items()}
    rival = max(p, key=lambda name: p[name])
    return Cell(best, kept[best], rival, p[rival], len(values), False)


def _require_enough(data: DataFrame, level: float) -> None:
    tested = data["p"].notna().sum()
    seeds = data.loc[data["p"].notna(), "seeds"].max()
    least = 2 * tested / 2.0**seeds
    if tested and least > 1 - level:
        need = int(np.ceil(1 + np.log2(tested / (1 - level))))
        raise Refused(f"seeds={seeds}: must be at least {need} for one of {tested} cells to have a winner at level {level:g}")


def _figure(data: DataFrame, names: list[str], x: str, y: str) -> Any:
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    outcome = squares.array(data, x, y, "outcome")
    known = [*names, TIE]
    number = np.ma.masked_less(np.vectorize({name: place for place, name in enumerate(known)}.get, otypes=[int])(outcome, -1), 0)
    figure = Figure(figsize=(1.25 * palette.COLUMN, 0.75 * palette.COLUMN), layout="constrained")
    axes = figure.add_subplot()
    squares.lay(axes, data, x, y)
    colours = [*(palette.style(name).color for name in names), GREY]
    squares.mesh(axes, number, cmap=ListedColormap(colours), vmin=-0.5, vmax=len(known) - 0.5)
    for name in names:
        down, across = np.nonzero(outcome == name)
        axes.plot(across, down, linestyle="none", **_marker(name))
    squares.frames(axes, outcome == LOST, squares.HATCHED)
    squares.frames(axes, outcome == MISSING, squares.OPEN)
    return figure


def _marker(name: str) -> dict[str, Any]:
    """A method's marker on its colour, so that it is known in grey, too."""
    return {"marker": palette.style(name).marker, "color": "white", "markersize": 3.5, "markeredgewidth": 0}


def _legend(figure: Any, names: list[str], outcomes: set[str], failures: str, title: str) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    entries: dict[str, Any] = {
        fill(palette.label(name), LETTERS): (Patch(color=palette.style(name).color), Line2D([], [], linestyle="none", **_marker(name)))
        for name in names
        if name in outcomes
    }
    entries |= {"tie": Patch(color=GREY)} if TIE in outcomes else {}
    entries |= {f"all methods {failures}": Patch(**squares.HATCHED)} if LOST in outcomes else {}
    entries |= {"not run": Patch(**squares.OPEN)} if MISSING in outcomes else {}
    figure.legend(entries.values(), entries.keys(), loc="outside right upper", title=fill(title, LETTERS), alignment="left")

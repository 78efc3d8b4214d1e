"""Three actions: the way of the policy and of its average over the probability simplex, a panel a method, with both equilibria."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs.equilibrium import nash, regularised_nash
from envs.game import Game
from envs.invalid import require
from simlab.figures import palette
from simlab.figures.drawing import Drawing
from simlab.figures.rows import INSTANCE, OF_SELF_PLAY, methods, require_columns, require_one_setting
from simlab.refusal import Refused

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])
"""Where a policy that is certain of an action stands."""

ABREAST = 4
"""Panels beside each other."""

OF_POLICY = "measure=[policy,average_policy]"

AVERAGE_COLOR = "0.45"

LINES: dict[str, dict[str, Any]] = {
    "policy": {"linewidth": 0.8},
    "average policy": {"linewidth": 0.8, "color": AVERAGE_COLOR, "linestyle": (0, palette.DASHED)},
}

WAYS = {"policy": "policy", "average_policy": "average policy"}

MARKS: dict[str, dict[str, Any]] = {
    "start": {"marker": "o", "color": "white", "edgecolors": "black", "s": 14, "linewidths": 0.8},
    "reference": {"marker": "s", "color": "white", "edgecolors": "black", "s": 16, "linewidths": 0.8},
    "regularised equilibrium": {"marker": "*", "color": "#F0E442", "edgecolors": "black", "s": 90, "linewidths": 0.6},
    "original equilibrium": {"marker": "+", "color": "black", "s": 40, "linewidths": 1.0},
    "last average": {"marker": "D", "color": "none", "edgecolors": AVERAGE_COLOR, "s": 30, "linewidths": 1.0},
    "last iterate": {"marker": "o", "s": 12, "linewidths": 0},
}
"""How points are drawn, those below first."""


def draw(frame: DataFrame, game: Game, *, actions: Sequence[str] = ("1", "2", "3")) -> Drawing:
    """Draw trajectories of policies over three actions.

    The corner of an action is the policy that is certain of it; distances along a side are probabilities.

    Parameters
    ----------
    frame : rows of `simlab run` with lists of three probabilities in `policy` and `average_policy`; every seed is drawn
    game : the game they were run on, K = 3
    actions : three names

    Raises
    ------
    Refused, Invalid
        For a column that is not there, rows of another beta, policies of another number of actions, or a setting that varies.
    """
    from matplotlib.figure import Figure

    require_columns(frame, dict.fromkeys((*INSTANCE, "step", "algorithm"), OF_SELF_PLAY) | dict.fromkeys(WAYS, OF_POLICY))
    require_one_setting(frame, ["algorithm"])
    _require_three(frame, game, actions)
    table = _table(frame, game)
    names = methods(frame)
    high = -(-len(names) // ABREAST)
    wide = -(-len(names) // high)
    with palette.look():
        width = palette.COLUMN if wide <= 2 else palette.PAGE
        figure = Figure(figsize=(width, 0.8 + high * min(2.4, 0.9 * width / wide)), layout="constrained")
        panels = figure.subplots(high, wide, squeeze=False).flat
        for name, axes in zip(names, panels, strict=False):
            _triangle(axes, actions)
            _panel(axes, table[table["algorithm"] == name], palette.style(name).color)
            axes.set_title(palette.title(name))
        for axes in panels[len(names) :]:
            axes.remove()
        figure.legend(handles=list(_legend(game)), loc="outside lower center", ncols=2 if wide <= 2 else 4)
    return Drawing(figure, table)


def _require_three(frame: DataFrame, game: Game, actions: Sequence[str]) -> None:
    require(game.actions == 3, "game", f"K={game.actions}", "a game of three actions")
    require(len(actions) == 3, "actions", actions, "three names")
    sizes = sorted({np.size(policy) for way in WAYS for policy in frame[way]})
    require(sizes == [3], "policy", f"lists of {sizes} numbers", "of three probabilities")
    if "beta" in frame and not (frame["beta"] == game.beta).all():
        raise Refused(f"beta={frame['beta'].iloc[0]:g}: must be the game's, {game.beta:g}")


def _table(frame: DataFrame, game: Game) -> DataFrame:
    """A row a point: `kind` is policy, average policy, or one of MARKS; three probabilities, and x, y where they are drawn."""
    from pandas import DataFrame

    points: list[dict[str, Any]] = []
    for name in methods(frame):
        rows = frame[frame["algorithm"] == name].sort_values([*INSTANCE, "step"])
        for kind, mark in (("policy", "last iterate"), ("average_policy", "last average")):
            points += [{"algorithm": name, **point} for point in _ways(rows, kind, mark)]
        points += [{"algorithm": name, "kind": kind, "policy": policy} for kind, policy in _rests(game)]
    table = DataFrame(points)
    probabilities = np.stack(table.pop("policy").to_list())
    place = at(probabilities)
    return table.assign(p_1=probabilities[:, 0], p_2=probabilities[:, 1], p_3=probabilities[:, 2], x=place[:, 0], y=place[:, 1])


def _ways(rows: DataFrame, kind: str, mark: str) -> Iterator[dict[str, Any]]:
    for (run, seed, context), part in rows.groupby(list(INSTANCE)):
        known = {"run": run, "seed": seed, "context": context}
        for step, policy in zip(part["step"], part[kind], strict=True):
            yield {"kind": WAYS[kind], **known, "step": step, "policy": policy}
        if kind == "policy":
            yield {"kind": "start", **known, "step": part["step"].iloc[0], "policy": part[kind].iloc[0]}
        yield {"kind": mark, **known, "step": part["step"].iloc[-1], "policy": part[kind].iloc[-1]}


def _rests(game: Game) -> Iterator[tuple[str, NDArray]]:
    """What a game has to show: its reference and its equilibria."""
    yield "reference", np.exp(game.log_reference)
    if game.beta > 0:
        yield "regularised equilibrium", np.exp(regularised_nash(game))
    yield "original equilibrium", nash(game)


def at(policy: ArrayLike) -> NDArray:
    """(..., 2) where policies (..., 3) stand."""
    return np.asarray(policy) @ CORNERS


def _triangle(axes: Axes, actions: Sequence[str]) -> None:
    for share in (0.25, 0.5, 0.75):
        for corner in range(3):
            first, second = np.delete(np.eye(3), corner, axis=0)
            ends = np.array([share * np.eye(3)[corner] + (1 - share) * other for other in (first, second)])
            axes.plot(*at(ends).T, color="0.92", linewidth=0.5, zorder=0)
    axes.plot(*CORNERS[[0, 1, 2, 0]].T, color="black", linewidth=0.7, zorder=1)
    for name, corner, (across, up) in zip(actions, CORNERS, ((0, -3), (0, -3), (0, 2)), strict=True):
        axes.annotate(name, corner, (across, up), textcoords="offset points", ha="center", va="bottom" if up > 0 else "top", fontsize=7)
    axes.set_aspect("equal")
    axes.set(xlim=(-0.06, 1.06), ylim=(-0.1, 0.96))
    axes.set_axis_off()


def _panel(axes: Axes, table: DataFrame, color: str) -> None:
    for kind, line in LINES.items():
        for _, way in table[table["kind"] == kind].groupby(list(INSTANCE)):
            axes.plot(way["x"], way["y"], zorder=2, **{"color": color, **line})
    for number, (kind, mark) in enumerate(MARKS.items()):
        points = table[table["kind"] == kind]
        axes.scatter(points["x"], points["y"], zorder=3 + number, **{"color": color, **mark})


def _legend(game: Game) -> Iterator[Any]:
    from matplotlib.lines import Line2D

    for kind, line in LINES.items():
        yield Line2D([], [], label=kind, **{"color": "black", **line})
    for kind, mark in MARKS.items():
        if kind != "regularised equilibrium" or game.beta > 0:
            face, edge = mark.get("color", "black"), mark.get("edgecolors", mark.get("color", "black"))
            size: dict[str, Any] = {"markersize": np.sqrt(mark["s"]), "markeredgewidth": mark["linewidths"], "linestyle": "none"}
            yield Line2D([], [], marker=mark["marker"], markerfacecolor=face, markeredgecolor=edge, label=kind, **size)

"""Figures hold the numbers that they are drawn from."""

import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from games import ROCK_SCISSORS_PAPER, rock_scissors_paper
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

import simlab
from algorithms.egpo import EGPO
from algorithms.online_mirror_descent import OnlineMirrorDescent
from algorithms.sppo import SPPO
from envs.equilibrium import nash, regularised_nash
from envs.game import Game
from envs.invalid import Invalid
from simlab.figures import gap, palette, simplex, stability
from simlab.figures.curve import Curve
from simlab.figures.drawing import Drawing
from simlab.refusal import Refused, explain
from simlab.run import Method
from theory.linear_limit import linear_limit

COMPARED = ("egpo", "nash_mp", "nash_md", "online_mirror_descent", "sppo", "online_ipo", "nash_md_pg", "inpo", "comal")
OFFLINE = ("dpo", "rdpo", "cdpo", "ipo", "robust_ipo")

# Machado, Oliveira and Fernandes (2009): what is left of linear RGB without red cones, and without green ones.
VISIONS = {
    "all cones": np.eye(3),
    "no red cones": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green cones": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


def lab(color: str, vision: str) -> NDArray:
    """CIELAB of a colour as it is seen."""
    given = np.array(to_rgb(color))
    linear = np.where(given <= 0.04045, given / 12.92, ((given + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(VISIONS[vision]) @ linear, 0, 1)
    xyz = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
    x, y, z = np.cbrt(np.maximum(xyz @ seen / xyz.sum(axis=1), 1e-6))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def columns(
    game: Game, name: str, method: Method, *, steps: int = 60, seeds: int = 5, spread: float = 1.0, **settings: object
) -> pd.DataFrame:
    """Rows as `simlab run` writes them."""
    rng = np.random.default_rng(3)
    start = spread * rng.normal(size=(1, seeds, 3))
    start -= np.log(np.exp(start).sum(axis=2, keepdims=True))
    run = simlab.simulate(game, method, steps=steps, seeds=seeds, start=start, measure=["duality_gap", "kl_to_equilibrium"])
    records = len(run.steps)
    return pd.DataFrame(
        {
            "run": "-".join([name, *map(str, settings.values())]),
            "algorithm": name,
            "beta": game.beta,
            **settings,
            "seed": np.repeat(np.arange(seeds), records),
            "context": 0,
            "step": np.tile(run.steps, seeds),
            "queries": run.queries.ravel(),
            "gradients": run.gradients.ravel(),
            **{measure: values.ravel() for measure, values in run.measured.items()},
            "policy": list(np.exp(run.log_policy).reshape(-1, 3)),
            "average_policy": list(np.exp(run.log_average).reshape(-1, 3)),
            "status": np.repeat(run.status, records),
            "status_step": np.repeat(run.status_step, records),
        }
    )


def planted(values: dict[int, list[float]], algorithm: str = "egpo", **columns: object) -> pd.DataFrame:
    """Rows with these values of a gap by seed, at iterations 0, 1, 10."""
    parts = [
        pd.DataFrame({"seed": seed, "step": [0, 1, 10], "duality_gap": gaps, "status": "ok", "status_step": -1})
        for seed, gaps in values.items()
    ]
    frame = pd.concat(parts, ignore_index=True)
    return frame.assign(
        run=algorithm, algorithm=algorithm, beta=0.1, context=0, queries=2 * frame["step"], gradients=2 * frame["step"]
    ).assign(**columns)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Two methods at two betas on rock, scissors, paper."""
    return pd.concat(
        [
            columns(rock_scissors_paper(beta), name, method)
            for beta in (0.1, 0.5)
            for name, method in (("egpo", EGPO()), ("online_mirror_descent", OnlineMirrorDescent()))
        ],
        ignore_index=True,
    )


def labelled(axes: Axes, label: str) -> NDArray:
    """(n, 2) the line of this name."""
    (line,) = [line for line in axes.get_lines() if line.get_label() == label]
    return np.asarray(line.get_xydata())


def same_when_saved_again(drawing: Drawing, folder: Path) -> pd.DataFrame:
    """Save twice, compare the bytes, and read the table."""
    first, second = drawing.save(folder / "a"), drawing.save(folder / "b")
    assert [path.suffix for path in first] == [".png", ".pdf", ".csv"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    return pd.read_csv(first[2])


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("group", [COMPARED, OFFLINE, ("pal", "pooled")])
def test_methods_drawn_together_are_far_apart_to_every_eye(group: tuple[str, ...], vision: str) -> None:
    least = min(
        (np.linalg.norm(lab(a, vision) - lab(b, vision)), a, b) for a, b in combinations([palette.style(name).color for name in group], 2)
    )
    assert least[0] > 17.5, least


def test_every_method_is_told_apart_without_colour_and_is_seen_on_white() -> None:
    assert len({style.color for style in palette.STYLES.values()}) == len(palette.STYLES)
    for group in (COMPARED, OFFLINE):
        assert len({palette.style(name).marker for name in group}) == len(group)
    assert len({(style.dash, style.marker) for style in palette.STYLES.values()}) == len(palette.STYLES)
    assert max(lab(style.color, "all cones")[0] for style in palette.STYLES.values()) < 80


def test_a_method_nobody_listed_keeps_its_style_in_every_process() -> None:
    code = "from simlab.figures import palette; print(palette.style('my_method'))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == str(palette.style("my_method"))
    assert palette.style("my_method") != palette.style("my_other_method")


def test_a_method_is_called_what_its_file_says() -> None:
    names = {"egpo": "EGPO", "rdpo": "Robust DPO", "sppo_sampled": "SPPOSampled", "nobody": "nobody"}
    assert {name: palette.label(name) for name in names} == names


@pytest.mark.parametrize("x", ["step", "queries", "gradients"])
def test_medians_and_bands_are_those_of_the_seeds(frame: pd.DataFrame, x: str) -> None:
    drawing = gap.draw(frame, by="beta", x=x)
    for axes, beta in zip(drawing.figure.axes, (0.1, 0.5), strict=True):
        for number, name in enumerate(("egpo", "online_mirror_descent")):
            rows = frame[(frame["beta"] == beta) & (frame["algorithm"] == name)].groupby("step")
            drawn = labelled(axes, palette.label(name))
            np.testing.assert_allclose(drawn[:, 1], np.maximum(rows["duality_gap"].median(), 1e-30), rtol=1e-12)
            np.testing.assert_array_equal(drawn[:, 0], rows[x].first())
            band = axes.collections[number].get_paths()[0].vertices
            for share, edge in ((0.025, np.min), (0.975, np.max)):
                wanted = np.maximum(rows["duality_gap"].quantile(share), 1e-30)
                np.testing.assert_allclose([edge(band[band[:, 0] == place, 1]) for place in drawn[:, 0]], wanted, rtol=1e-9)


def inside(axes: Axes, drawn: NDArray) -> bool:
    """Whether points lie within the axes as they are on paper."""
    window, where = axes.get_window_extent(), axes.transData.transform(drawn)
    return bool(np.all((where >= [window.x0, window.y0]) & (where <= [window.x1, window.y1])))


def test_the_start_is_shown_and_nothing_is_cut(frame: pd.DataFrame) -> None:
    drawing = gap.draw(frame, by="beta")
    for axes, beta in zip(drawing.figure.axes, (0.1, 0.5), strict=True):
        seeds = [line.get_xydata() for line in axes.get_lines() if len(line.get_xdata()) > 2 and line.get_label().startswith("_")]
        drawn = np.concatenate(seeds[:10])
        assert len(drawn) == (frame["beta"] == beta).sum()
        assert drawn[:, 0].min() == 0 and inside(axes, drawn)
    left, right = drawing.figure.axes
    assert left.get_xlim() == right.get_xlim() and left.get_ylim() == right.get_ylim()


def test_nothing_is_cut_where_the_floor_is_far_away() -> None:
    (axes,) = gap.draw(planted({0: [1.0, 0.1, 1e-14], 1: [1e3, 0.1, 0.1]})).figure.axes
    assert inside(axes, np.array([[0, 1.0], [10, 1e-14], [0, 1e3], [10, 0.1]])) and not axes.texts


def test_what_is_below_the_floor_stands_at_the_floor_with_a_mark() -> None:
    drawing = gap.draw(planted({0: [1.0, 1e-3, 0.0], 1: [1.0, 1e-3, 1e-40]}), floor=1e-12)
    (axes,) = drawing.figure.axes
    np.testing.assert_array_equal(labelled(axes, "EGPO")[:, 1], [1.0, 1e-3, 1e-12])
    assert axes.get_ylim()[0] < 1e-12
    assert [text.get_text() for text in axes.texts] == ["numerical floor"]
    marks = [line for line in axes.get_lines() if line.get_markerfacecolor() == "white"]
    assert [line.get_xydata().tolist() for line in marks] == [[[10, 1e-12]]]
    measured = drawing.data[(drawing.data["kind"] == "seed") & (drawing.data["x"] == 10)]
    assert measured["value"].tolist() == [0.0, 1e-40] and measured["shown"].tolist() == [1e-12, 1e-12]
    assert not gap.draw(planted({0: [1.0, 0.1, 0.01]})).figure.axes[0].texts


def test_a_seed_that_is_lost_is_marked_and_counts_as_the_worst() -> None:
    nan = float("nan")
    frame = planted({0: [1.0, 0.1, 0.01], 1: [1.0, 0.2, nan], 2: [1.0, 0.3, nan]})
    frame.loc[frame["seed"] > 0, ["status", "status_step"]] = ["nonfinite", 5]
    drawing = gap.draw(frame)
    (axes,) = drawing.figure.axes
    np.testing.assert_array_equal(labelled(axes, "EGPO")[:, 1], [1.0, 0.2, nan])
    crosses = [line.get_xydata() for line in axes.get_lines() if line.get_marker() == "x" and len(line.get_xdata())]
    np.testing.assert_array_equal(np.concatenate(crosses), [[1, 0.2], [1, 0.3]])
    assert drawing.data.query("kind == 'median' and x == 10")["value"].tolist() == [np.inf]
    assert "nonfinite" in [text.get_text() for text in drawing.figure.legends[0].get_texts()]


def test_a_diverged_seed_is_marked_where_that_began(frame: pd.DataFrame) -> None:
    rows = columns(
        Game(ROCK_SCISSORS_PAPER, np.full(3, -np.log(3)), 0.05), "online_mirror_descent", OnlineMirrorDescent(5.0), steps=400, spread=0.1
    )
    assert (rows["status"] == "diverged").all()
    ends = gap.draw(rows).data.query("kind == 'end'")
    began = rows.groupby("seed")["status_step"].first()
    for seed, x in zip(ends["seed"], ends["x"], strict=True):
        steps = rows.loc[rows["seed"] == seed, "step"]
        assert x == steps[steps <= began[seed]].max()


def test_theory_is_dashed_on_its_panel_in_the_colour_of_its_method(frame: pd.DataFrame) -> None:
    line = Curve("rate", lambda t: 0.9**t, "egpo", panel=0.5)
    points = Curve("points", ([1, 10], [0.5, 0.25]))
    left, right = gap.draw(frame, by="beta", theory=[line, points]).figure.axes
    (drawn,) = [one for one in right.get_lines() if one.get_label() == "rate"]
    assert drawn.get_color() == palette.style("egpo").color and drawn.is_dashed()
    np.testing.assert_array_equal(drawn.get_ydata(), 0.9 ** drawn.get_xdata())
    assert "rate" not in [one.get_label() for one in left.get_lines()]
    for axes in (left, right):
        np.testing.assert_array_equal(labelled(axes, "points"), [[1, 0.5], [10, 0.25]])
    with pytest.raises(Invalid, match="values of points"):
        gap.draw(frame, by="beta", theory=[Curve("points", ([1, 2], [1.0]))])


def test_the_table_holds_what_is_drawn(frame: pd.DataFrame, tmp_path: Path) -> None:
    drawing = gap.draw(frame, by="beta", theory=[Curve("rate", lambda t: 0.9**t)])
    table = same_when_saved_again(drawing, tmp_path)
    for axes, beta in zip(drawing.figure.axes, (0.1, 0.5), strict=True):
        for kind, label in (("median", "EGPO"), ("theory", "rate")):
            rows = table[(table["panel"] == beta) & (table["kind"] == kind) & ((table["algorithm"] == "egpo") | (kind == "theory"))]
            np.testing.assert_array_equal(rows[["x", "shown"]], labelled(axes, label))
    assert (table["kind"] == "seed").sum() == len(frame)


def test_a_gap_that_cannot_be_drawn_is_refused_in_a_line(frame: pd.DataFrame) -> None:
    for words, wrong in {
        "original_duality_gap": {"measure": "original_duality_gap"},
        "feedback.flip": {"by": "feedback.flip"},
        "x=time": {"x": "time"},
        "floor=0": {"floor": 0, "by": "beta"},
        "beta: varies among the rows of algorithm=egpo": {},
    }.items():
        with pytest.raises((Refused, Invalid)) as caught:
            gap.draw(frame, **wrong)
        assert words in explain(caught.value) and "\n" not in explain(caught.value)
    with pytest.raises(Refused, match=r"simlab run makes it with measure=kl_to_reference"):
        gap.draw(frame, by="beta", measure="kl_to_reference")
    with pytest.raises(Invalid, match="at least one row"):
        gap.draw(frame[:0])


GAME = rock_scissors_paper(0.1)


@pytest.fixture(scope="module")
def ways() -> pd.DataFrame:
    return pd.concat([columns(GAME, "egpo", EGPO(), seeds=2), columns(GAME, "sppo", SPPO(), seeds=2)], ignore_index=True)


def scattered(axes: Axes) -> dict[str, NDArray]:
    """The points of each mark."""
    drawn = [collection for collection in axes.collections if isinstance(collection, PathCollection)]
    return dict(zip(simplex.MARKS, [np.asarray(collection.get_offsets()) for collection in drawn], strict=True))


def test_corners_of_the_triangle_are_actions_and_its_centre_is_uniform() -> None:
    np.testing.assert_allclose(simplex.at(np.eye(3)), [[0, 0], [1, 0], [0.5, 3**0.5 / 2]], atol=1e-15)
    np.testing.assert_allclose(simplex.at(np.full(3, 1 / 3)), [0.5, 3**0.5 / 6], atol=1e-15)


def test_ways_over_the_simplex_end_at_their_marks(ways: pd.DataFrame, tmp_path: Path) -> None:
    drawing = simplex.draw(ways, GAME, actions=("rock", "scissors", "paper"))
    table = same_when_saved_again(drawing, tmp_path)
    for axes, name in zip(drawing.figure.axes, ("egpo", "sppo"), strict=True):
        rows, marks = ways[ways["algorithm"] == name], scattered(axes)
        by_seed = rows.sort_values(["seed", "step"]).groupby("seed")
        for column, first, last in (("policy", "start", "last iterate"), ("average_policy", None, "last average")):
            kept = by_seed[column]
            np.testing.assert_allclose(marks[last], simplex.at(np.stack(kept.last())), atol=1e-15)
            if first:
                np.testing.assert_allclose(marks[first], simplex.at(np.stack(kept.first())), atol=1e-15)
            lines = [line.get_xydata() for line in axes.get_lines() if len(line.get_xdata()) > 4]
            for seed in (0, 1):
                way = simplex.at(np.stack(rows.loc[rows["seed"] == seed, column]))
                assert any(len(line) == len(way) and np.allclose(line, way, atol=1e-15) for line in lines)
        np.testing.assert_allclose(marks["reference"][0], simplex.at(np.exp(GAME.log_reference)))
        np.testing.assert_allclose(marks["regularised equilibrium"][0], simplex.at(np.exp(regularised_nash(GAME))))
        np.testing.assert_allclose(marks["original equilibrium"][0], simplex.at(nash(GAME)))
        kept = table[(table["algorithm"] == name) & (table["kind"] == "last iterate")]
        np.testing.assert_array_equal(kept[["x", "y"]], marks["last iterate"])
    np.testing.assert_allclose(table[["p_1", "p_2", "p_3"]].sum(axis=1), 1)
    egpo, sppo = map(scattered, drawing.figure.axes)
    assert np.linalg.norm(egpo["last iterate"] - egpo["regularised equilibrium"], axis=1).max() < 1e-3
    assert np.linalg.norm(sppo["last iterate"] - sppo["regularised equilibrium"], axis=1).min() > 0.05


def test_a_simplex_of_another_game_is_refused(ways: pd.DataFrame) -> None:
    with pytest.raises(Refused, match=r"measure=\[policy,average_policy\]"):
        simplex.draw(ways.drop(columns="average_policy"), GAME)
    with pytest.raises(Refused, match=r"beta=0.1: must be the game's, 0.2"):
        simplex.draw(ways, rock_scissors_paper(0.2))
    with pytest.raises(Invalid, match="K=4"):
        simplex.draw(ways, Game(np.full((4, 4), 0.5), np.full(4, -np.log(4)), 0.1))
    with pytest.raises(Invalid, match="three probabilities"):
        simplex.draw(ways.assign(policy=[np.full(4, 0.25)] * len(ways)), GAME)


def cell(gaps: list[float], rate: float, beta: float, status: str = "ok", seed: int = 0) -> pd.DataFrame:
    return planted({seed: gaps}, **{"algorithm.rate": rate, "beta": beta, "run": f"{rate}-{beta}", "status": status})


@pytest.fixture
def cells() -> pd.DataFrame:
    """Converged, slow; diverged in one of two seeds, and one cell that was not run."""
    return pd.concat(
        [
            cell([1.0, 0.1, 1e-9], 0.1, 0.1),
            cell([1.0, 0.5, 0.1], 0.1, 0.01),
            cell([1.0, 0.1, 1e-8], 1.0, 0.1),
            cell([1.0, 2.0, 3.0], 1.0, 0.1, "diverged", seed=1),
        ],
        ignore_index=True,
    )


def test_planted_outcomes_stand_in_their_cells(cells: pd.DataFrame, tmp_path: Path) -> None:
    drawing = stability.draw(cells, measure="duality_gap", limits=[Curve("limit", lambda beta: 2 * beta)])
    table = same_when_saved_again(drawing, tmp_path)
    axes = drawing.figure.axes[0]
    outcome = table[table["kind"] == "cell"].set_index(["beta", "algorithm.rate"])["outcome"].to_dict()
    assert outcome == {(0.1, 0.1): "converged", (0.01, 0.1): "slow", (0.1, 1.0): "diverged"}
    (mesh,) = [one for one in axes.collections if isinstance(one, QuadMesh)]
    np.testing.assert_array_equal(mesh.get_array().filled(-1), [[0.1, -1], [1e-9, -1]])
    np.testing.assert_allclose(mesh.get_coordinates()[0, :, 0], 0.1 * 10.0 ** np.array([-0.5, 0.5, 1.5]))
    (hatched,) = [patch for patch in axes.patches if isinstance(patch, Rectangle) and patch.get_hatch()]
    x, y = hatched.get_xy()
    assert x < 1.0 < x + hatched.get_width() and y < 0.1 < y + hatched.get_height()
    dots = [line.get_xydata()[0].tolist() for line in axes.get_lines() if line.get_marker() == "o"]
    assert dots == [[0.1, 0.01]]
    limit = labelled(axes, "limit")
    np.testing.assert_allclose(limit[:, 0], 2 * limit[:, 1])
    np.testing.assert_array_equal(table.loc[table["kind"] == "limit", ["algorithm.rate", "beta"]], limit)


def test_a_gap_below_the_floor_has_the_colour_of_the_floor(cells: pd.DataFrame) -> None:
    drawing = stability.draw(cells, measure="duality_gap", floor=1e-6)
    (mesh,) = [one for one in drawing.figure.axes[0].collections if isinstance(one, QuadMesh)]
    assert mesh.get_array().min() == 1e-6 == mesh.norm.vmin
    assert drawing.data["last"].min() == 1e-9


def test_a_stability_map_that_cannot_be_drawn_is_refused(cells: pd.DataFrame) -> None:
    with pytest.raises(Refused, match="kl_to_equilibrium"):
        stability.draw(cells)
    with pytest.raises(Refused, match=r"algorithm\.rate"):
        stability.draw(cells.drop(columns="algorithm.rate"), measure="duality_gap")
    with pytest.raises(Invalid, match=r"algorithm\.rate.*above 0"):
        stability.draw(cells.assign(**{"algorithm.rate": np.nan}), measure="duality_gap")
    with pytest.raises(Refused, match=r"env\.n: varies"):
        stability.draw(cells.assign(**{"env.n": range(len(cells))}), measure="duality_gap")


def test_runs_end_on_the_side_of_the_linear_limit_on_which_they_are() -> None:
    parts, games = [], [Game(ROCK_SCISSORS_PAPER, np.full(3, -np.log(3)), beta) for beta in (0.05, 0.1)]
    limits = [linear_limit(game, OnlineMirrorDescent, 1 / game.beta) for game in games]
    for game, limit in zip(games, limits, strict=True):
        for share in (0.8, 1.5):
            method = OnlineMirrorDescent(share * limit)
            parts.append(columns(game, "online_mirror_descent", method, steps=1500, spread=0.1, **{"algorithm.rate": share * limit}))
    drawing = stability.draw(pd.concat(parts), limits=[Curve("linear limit", ([0.05, 0.1], limits))])
    made = drawing.data[drawing.data["kind"] == "cell"]
    below = made["algorithm.rate"] < np.where(made["beta"] == 0.05, limits[0], limits[1])
    assert (made["outcome"] == np.where(below, "converged", "diverged")).all()

"""Maps and curves over settings: what is drawn is what the rows say, lost seeds and gaps are shown, and winners are shown only by proof."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import simlab
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from pandas import DataFrame, concat, read_csv

from algorithms.dpo import DPO
from algorithms.limit import expected_error
from algorithms.rdpo import RobustDPO
from envs.invalid import Invalid
from envs.pairs import Pairs
from simlab.collection import load
from simlab.figures import cells, crossover, heat, palette, sample_size, samples_per_user, winners
from simlab.figures.curve import Curve
from simlab.figures.drawing import Drawing
from simlab.refusal import Refused

pytestmark = pytest.mark.filterwarnings("error:constrained_layout not applied")

X, Y = "env.intransitivity", "feedback.flip"


def table(value: Callable[..., float], *, seeds: int = 12, methods: tuple[str, ...] = ("egpo", "nash_md"), **levels: Any) -> DataFrame:
    """Rows of self-play: two records each, of which the first is a thousand times the value of the last."""
    xs, ys = levels.get("x", (0.0, 0.5, 1.0)), levels.get("y", (0.0, 0.2))
    rows = [
        {"run": f"{name}-{x}-{y}", "algorithm": name, "env": "blend", "beta": 0.1, X: x, Y: y, "seed": seed, "context": 0}
        | {"step": step, "status": "ok", "exploitability": value(name, x, y, seed) * (1000 if step == 0 else 1)}
        for name, x, y, seed, step in product(methods, xs, ys, range(seeds), (0, 100))
    ]
    return DataFrame(rows)


def scattered(name: str, x: float, y: float, seed: int) -> float:
    rng = np.random.default_rng([seed, round(10 * x), round(10 * y), len(name)])
    return float(10 ** rng.uniform(-6, -1))


def lose(frame: DataFrame, seeds: int = 1000, status: str = "diverged", **where: object) -> DataFrame:
    """The same rows, with the first seeds of a cell lost, their values the best there are."""
    hit = frame["seed"] < seeds
    for key, value in where.items():
        hit &= frame[{"x": X, "y": Y}.get(key, key)] == value
    assert hit.any()
    return frame.assign(status=frame["status"].mask(hit, status), exploitability=frame["exploitability"].mask(hit, 1e-9))


def rectangles(axes: Any) -> dict[tuple[int, int], Rectangle]:
    """Marked cells, by the places of their levels on x and y."""
    found = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    return {(round(patch.get_x() + 0.46), round(patch.get_y() + 0.46)): patch for patch in found}


def words(drawing: Drawing) -> list[str]:
    """What legends say."""
    figure = drawing.figure
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]
    return [text.get_text().replace("\n", " ") for legend in legends for text in legend.get_texts()]


def same(drawing: Drawing, again: Drawing, folder: Path) -> DataFrame:
    """The table of a drawing as its CSV gives it back; another of the same rows gives the same files."""
    first = [path.read_bytes() for path in drawing.save(folder / "first")]
    assert first == [path.read_bytes() for path in again.save(folder / "second")]
    back = read_csv(io.BytesIO(first[2]))
    for name in drawing.data:
        kept = drawing.data[name]
        if kept.dtype.kind in "fi":
            np.testing.assert_array_equal(back[name].to_numpy(float), kept.to_numpy(float))
    return back


class TestHeat:
    def test_a_cell_is_the_median_over_seeds_of_the_last_record(self, tmp_path: Path) -> None:
        drawing = heat.draw(table(scattered))
        for name, axes in zip(("egpo", "nash_md"), drawing.figure.axes[:2], strict=True):
            assert axes.get_title() == palette.label(name)
            (mesh,) = axes.collections
            expected = [[np.median([scattered(name, x, y, s) for s in range(12)]) for x in (0.0, 0.5, 1.0)] for y in (0.0, 0.2)]
            np.testing.assert_allclose(mesh.get_array(), expected, rtol=1e-12)
            data = drawing.data[drawing.data["algorithm"] == name]
            np.testing.assert_allclose(data["median"], np.ravel(expected), rtol=1e-12)
            assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "0.5", "1"]
            assert [text.get_text() for text in axes.get_yticklabels()] == (["0", "0.2"] if name == "egpo" else [])
        first, second = (axes.collections[0].norm for axes in drawing.figure.axes[:2])
        assert (first.vmin, first.vmax) == (second.vmin, second.vmax) == (drawing.data["median"].min(), drawing.data["median"].max())
        same(drawing, heat.draw(table(scattered)), tmp_path)

    def test_contexts_of_a_seed_are_one_number(self) -> None:
        frame = table(lambda name, x, y, seed: 1.0 + seed, seeds=3)
        frame = concat([frame, frame.assign(context=1, exploitability=5 * frame["exploitability"])], ignore_index=True)
        data = heat.draw(frame).data
        assert set(data["median"]) == {6.0} and set(data["seeds"]) == {3}, "mean of 2 and 10"

    def test_lost_seeds_are_the_worst_however_good_their_numbers(self) -> None:
        frame = lose(lose(table(scattered), seeds=6, algorithm="egpo", x=0.5, y=0.2), seeds=2, algorithm="egpo", x=0.0, y=0.0)
        drawing = heat.draw(frame)
        axes, other = drawing.figure.axes[:2]
        assert np.ma.getmaskarray(axes.collections[0].get_array()).tolist() == [[False] * 3, [False, True, False]]
        assert list(rectangles(axes)) == [(1, 1)] and rectangles(axes)[1, 1].get_hatch() and not other.patches
        (dots,) = axes.lines
        assert (dots.get_xdata().round().tolist(), dots.get_ydata().round().tolist()) == ([0], [0])
        kept = sorted(scattered("egpo", 0.0, 0.0, seed) for seed in range(2, 12))
        cell = drawing.data.set_index(["algorithm", X, Y])
        assert cell.loc[("egpo", 0.0, 0.0), "median"] == pytest.approx((kept[5] + kept[6]) / 2), "as if the two lost ones were last"
        assert cell.loc[("egpo", 0.0, 0.0), ["seeds", "lost"]].tolist() == [12, 2]
        assert np.isinf(cell.loc[("egpo", 0.5, 0.2), "median"])
        assert words(drawing) == ["half the seeds or more: diverged", "some seeds: diverged"]

    def test_a_divergence_does_not_lose_what_is_measured_of_the_average(self) -> None:
        frame = lose(table(scattered), algorithm="egpo", x=0.5, y=0.2).rename(columns={"exploitability": "average_exploitability"})
        assert np.isfinite(heat.draw(frame, "average_exploitability").data["median"]).all()

    def test_what_was_not_run_is_open_and_not_zero(self) -> None:
        frame = table(scattered)
        drawing = heat.draw(frame[(frame["algorithm"] != "egpo") | (frame[X] != 1.0) | (frame[Y] != 0.0)])
        axes = drawing.figure.axes[0]
        assert np.ma.getmaskarray(axes.collections[0].get_array()).tolist() == [[False, False, True], [False] * 3]
        (patch,) = rectangles(axes).values()
        assert list(rectangles(axes)) == [(2, 0)] and patch.get_hatch() is None and to_hex(patch.get_facecolor()) == "#ffffff"
        assert words(drawing) == ["not run"]
        (row,) = drawing.data[drawing.data["seeds"] == 0].itertuples()
        assert np.isnan(row.median)

    def test_zeros_have_the_colour_of_the_floor(self) -> None:
        drawing = heat.draw(table(lambda name, x, y, seed: 0.0 if x == 0 else 1e-3))
        mesh = drawing.figure.axes[0].collections[0]
        assert mesh.norm.vmin == heat.FLOOR and mesh.get_array()[0, 0] == heat.FLOOR and drawing.data["median"].min() == 0

    def test_everything_may_be_lost_and_panels_wrap(self, tmp_path: Path) -> None:
        names = ("egpo", "nash_md", "nash_mp", "sppo", "comal")
        drawing = heat.draw(lose(table(scattered, methods=names)))
        assert all(len(axes.patches) == 6 for axes in drawing.figure.axes[:5])
        drawing.save(tmp_path / "lost")

    @pytest.mark.parametrize(
        ("frame", "message"),
        [
            (lambda f: f.drop(columns=X), "env.intransitivity: a column that this figure needs"),
            (lambda f: f.drop(columns="exploitability"), "simlab run makes it with measure=[exploitability]"),
            (lambda f: f.assign(**{Y: f[Y].where(f[Y] > 0)}), "feedback.flip: must have a value in every row; 72 of"),
            (lambda f: f.assign(beta=np.where(f["seed"] > 5, 0.1, 1.0)), "beta: varies among the rows of"),
            (lambda f: f.assign(beta=np.where(f["algorithm"] == "egpo", 0.1, 1.0)), "beta: varies among the rows of"),
            (lambda f: f.assign(**{"algorithm.rate": np.where(f["seed"] > 5, 0.1, 1.0)}), "algorithm.rate: varies"),
            (lambda f: f.assign(exploitability=np.nan), "exploitability: must have a value in every row"),
            (lambda f: f.assign(run=f["run"] + f["seed"].map(str), seed=0), "seed=0, context=0: must be in one run"),
        ],
    )
    def test_refusals(self, frame: Callable[[DataFrame], DataFrame], message: str) -> None:
        for draw in (heat.draw, winners.draw):
            with pytest.raises((Refused, Invalid)) as refusal:
                draw(frame(table(scattered)))
            assert message in str(refusal.value) and "\n" not in str(refusal.value)

    def test_a_methods_own_settings_may_differ_between_methods(self) -> None:
        frame = table(scattered)
        assert len(heat.draw(frame.assign(**{"algorithm.rate": np.where(frame["algorithm"] == "egpo", 0.1, 1.0)})).data) == 12


def paired_worlds(name: str, x: float, y: float, seed: int) -> float:
    """Seeds differ far more than methods; egpo is 2% lower at x = 0, nash_md at x = 1, and at x = 0.5 chance decides."""
    rng = np.random.default_rng([seed, round(10 * x), round(10 * y)])
    world, coin = 10 ** rng.uniform(-3, 0), rng.choice([0.98, 1.02])
    return float(world * {0.0: 0.98, 0.5: coin, 1.0: 1.02}[x] if name == "egpo" else world)


class TestWinners:
    def test_a_planted_winner_wins_and_chance_is_a_tie(self, tmp_path: Path) -> None:
        drawing = winners.draw(table(paired_worlds))
        outcome = drawing.data.set_index([X, Y])["outcome"]
        assert set(outcome[0.0]) == {"egpo"} and set(outcome[1.0]) == {"nash_md"} and set(outcome[0.5]) == {"tie"}
        axes = drawing.figure.axes[0]
        mesh = axes.collections[0]
        drawn = [[to_hex(mesh.cmap(mesh.norm(code))) for code in row] for row in mesh.get_array()]
        grey = to_hex(winners.GREY)
        egpo, nash_md = (palette.style(name).color.lower() for name in ("egpo", "nash_md"))
        assert drawn == [[egpo, grey, nash_md]] * 2
        assert {line.get_marker(): line.get_xdata().tolist() for line in axes.lines} == {"o": [0, 0], "^": [2, 2]}
        assert words(drawing) == ["EGPO", "Nash-MD", "tie"]
        assert same(drawing, winners.draw(table(paired_worlds)), tmp_path)["outcome"].tolist() == drawing.data["outcome"].tolist()

    def test_seeds_are_paired(self) -> None:
        """The same values in another order of one method's seeds show nothing."""
        frame = table(paired_worlds)
        assert "egpo" in set(winners.draw(frame).data["outcome"])
        turned = frame.assign(seed=np.where(frame["algorithm"] == "egpo", (frame["seed"] + 5) % 12, frame["seed"]))
        assert set(winners.draw(turned).data["outcome"]) == {"tie"}

    def test_a_method_that_lost_a_seed_never_wins(self) -> None:
        frame = lose(table(paired_worlds, seeds=24), seeds=1, algorithm="egpo", x=0.0, y=0.0)
        outcome = winners.draw(frame).data.set_index([X, Y])["outcome"]
        assert outcome[0.0, 0.0] == "tie" and outcome[0.0, 0.2] == "egpo", "one seed lost does not show that the other is better"
        frame = lose(table(paired_worlds), seeds=12, algorithm="egpo", x=0.0, y=0.0)
        assert winners.draw(frame).data.set_index([X, Y])["outcome"][0.0, 0.0] == "nash_md"

    def test_where_every_method_lost_a_seed_the_cell_is_hatched(self) -> None:
        drawing = winners.draw(lose(table(paired_worlds), seeds=2, x=0.5, y=0.2))
        axes = drawing.figure.axes[0]
        assert drawing.data.set_index([X, Y])["outcome"][0.5, 0.2] == "lost"
        assert list(rectangles(axes)) == [(1, 1)] and rectangles(axes)[1, 1].get_hatch()
        assert np.ma.getmaskarray(axes.collections[0].get_array())[1, 1] and words(drawing)[-1] == "all methods diverged"

    def test_a_cell_in_which_a_method_was_not_run_has_no_winner(self) -> None:
        frame = table(paired_worlds)
        drawing = winners.draw(frame[(frame["algorithm"] != "egpo") | (frame[X] != 1.0) | (frame[Y] != 0.0)])
        assert drawing.data.set_index([X, Y])["outcome"][1.0, 0.0] == "not run"
        (patch,) = rectangles(drawing.figure.axes[0]).values()
        assert patch.get_hatch() is None and words(drawing)[-1] == "not run"

    def test_a_winner_beats_every_other_method_and_not_only_the_one_with_the_next_median(self) -> None:
        """Nash-MP's median is the worst, but it is as often below EGPO as above."""

        def value(name: str, x: float, y: float, seed: int) -> float:
            return {"egpo": 1.0 + seed / 100, "nash_md": 1.2 + seed / 100, "nash_mp": 0.5 if seed % 2 else 5.0}[name]

        data = winners.draw(table(value, methods=("egpo", "nash_md", "nash_mp"))).data
        assert set(data["best"]) == {"egpo"} and set(data["rival"]) == {"nash_mp"} and set(data["outcome"]) == {"tie"}

    def test_p_values_are_adjusted_over_all_cells(self) -> None:
        """Eleven of twelve seeds: p = 0.0034 or so, enough in one cell and not in forty."""

        def value(name: str, x: float, y: float, seed: int) -> float:
            return 1.0 + seed / 100 - (0.01 * (seed + 1) if seed != 2 else -0.03) * (name == "egpo")

        one = winners.draw(table(value, x=(0.0,), y=(0.0,))).data
        many = winners.draw(table(value, x=tuple(np.arange(8.0)), y=tuple(np.arange(5.0)))).data
        assert one["p"].iloc[0] == many["p"].iloc[0] and 0.00125 < one["p"].iloc[0] < 0.05
        assert set(one["outcome"]) == {"egpo"} and set(many["outcome"]) == {"tie"}

    @pytest.mark.slow
    def test_by_chance_alone_hardly_any_map_has_a_winner(self) -> None:
        """Of 60 maps of exchangeable methods, at level 0.8 at most a fifth should: more than 24 would be one chance in 10^4."""
        found = 0
        for number in range(60):
            rng = np.random.default_rng(number)
            frame = table(lambda *_, rng=rng: float(rng.lognormal()), seeds=10, x=(0.0, 1.0), y=(0.0,))
            rows = cells.of_seeds(frame, "exploitability", (X, Y))
            found += bool(set(winners.table(rows, X, Y, 0.8)["outcome"]) - {"tie"})
        assert 1 <= found <= 24

    def test_refusals(self) -> None:
        with pytest.raises(Refused, match="algorithm=egpo: must be of two or more methods"):
            winners.draw(table(scattered, methods=("egpo",)))
        with pytest.raises(Refused, match=r"seeds=7: must be at least 8 for one of 6 cells to have a winner at level 0\.95"):
            winners.draw(table(scattered, seeds=7))
        winners.draw(table(scattered, seeds=8))


def errors(sizes: tuple[int, ...] = (100, 1000, 10_000, 100_000), seeds: int = 40, flips: tuple[float, ...] = (0.1, 0.3)) -> DataFrame:
    """DPO stops at its flip rate, robust DPO has error 10 / sqrt(n) (1 + flip); each seed has a factor of its own."""
    rows = []
    for name, n, flip, seed in product(("dpo", "rdpo"), sizes, flips, range(seeds)):
        factor = np.random.default_rng([seed, n]).lognormal(0, 0.2)
        error = factor * (10 * (1 + flip) / np.sqrt(n) if name == "rdpo" else flip)
        rows.append({"run": f"{name}{n}{flip}", "algorithm": name, "env": "pairs", "beta": 0.1, "env.n": n, "env.flip": flip})
        rows[-1] |= {"seed": seed, "estimation_error": error, "status": "ok"}
    return DataFrame(rows)


def without_minimiser(frame: DataFrame, share: float, **where: object) -> DataFrame:
    hit = frame["seed"] < share * frame["seed"].nunique()
    for key, value in where.items():
        hit &= frame[{"n": "env.n", "flip": "env.flip"}.get(key, key)] == value
    return frame.assign(status=frame["status"].mask(hit, "no minimiser"), estimation_error=frame["estimation_error"].mask(hit))


class TestSampleSize:
    def test_points_are_medians_and_slopes_those_that_were_planted(self, tmp_path: Path) -> None:
        frame = errors()
        drawing = sample_size.draw(frame, by="env.flip")
        for axes, flip in zip(drawing.figure.axes, (0.1, 0.3), strict=True):
            for name in ("dpo", "rdpo"):
                rows = frame[(frame["algorithm"] == name) & (frame["env.flip"] == flip)]
                (line,) = [line for line in axes.lines if line.get_label() == palette.label(name)]
                np.testing.assert_allclose(line.get_ydata(), rows.groupby("env.n")["estimation_error"].median(), rtol=1e-12)
                assert line.get_color() == palette.style(name).color
                found = drawing.data[(drawing.data["kind"] == "slope") & (drawing.data["env.flip"] == flip)].set_index("algorithm")
                assert found.loc[name, "low"] < {"dpo": 0.0, "rdpo": -0.5}[name] < found.loc[name, "high"]
                assert found.loc[name, "high"] - found.loc[name, "low"] < 0.1
            slope = found.loc["rdpo"]
            said = f"−{-slope['value']:.2f} (−{-slope['low']:.2f}, −{-slope['high']:.2f})"
            assert said in [text.get_text() for text in axes.get_legend().get_texts()]
        same(drawing, sample_size.draw(frame, by="env.flip"), tmp_path)

    def test_intervals_hold_the_medians(self) -> None:
        data = sample_size.draw(errors(), by="env.flip").data
        medians = data[data["kind"] == "median"]
        truth = np.where(medians["algorithm"] == "dpo", medians["env.flip"], 10 * (1 + medians["env.flip"]) / np.sqrt(medians["x"]))
        assert ((medians["low"] <= medians["value"]) & (medians["value"] <= medians["high"])).all()
        assert ((medians["low"] <= truth) & (truth <= medians["high"])).mean() > 0.7

    def test_seeds_without_minimiser_are_counted_and_not_dropped(self) -> None:
        frame = without_minimiser(without_minimiser(errors(), 0.7, algorithm="rdpo", n=100), 0.1, algorithm="rdpo", n=1000)
        drawing = sample_size.draw(frame, by="env.flip")
        axes = drawing.figure.axes[0]
        assert [text.get_text() for text in axes.texts] == ["70%", "10%"] and [text.get_position()[0] for text in axes.texts] == [100, 1000]
        (line,) = [line for line in axes.lines if line.get_label() == "Robust DPO"]
        assert np.isnan(line.get_ydata()).tolist() == [True, False, False, False], "a median that is lost has no point"
        data = drawing.data[(drawing.data["algorithm"] == "rdpo") & (drawing.data["env.flip"] == 0.1)]
        medians = data[data["kind"] == "median"].set_index("x")
        assert np.isinf(medians.loc[100, "value"]) and medians["lost"].tolist() == [28, 4, 0, 0]
        rows = frame[(frame["algorithm"] == "rdpo") & (frame["env.n"] == 1000) & (frame["env.flip"] == 0.1)]["estimation_error"]
        assert medians.loc[1000, "value"] == rows.fillna(np.inf).median() > rows.median()
        assert data[data["kind"] == "slope"]["value"].between(-0.6, -0.4).all()
        assert "of the seeds: no minimiser" in words(drawing)

    def test_lines_of_theory_and_floors_are_drawn_where_they_belong(self) -> None:
        theory = [Curve("expected", lambda n: 13 / np.sqrt(n), "rdpo", 0.3)]
        floors = [Curve("bias", lambda n, flip=flip: np.full(len(n), flip), "dpo", flip) for flip in (0.1, 0.3)]
        drawing = sample_size.draw(errors(), by="env.flip", theory=theory, floors=floors)
        first, second = ({line.get_label(): line for line in axes.lines} for axes in drawing.figure.axes)
        assert "expected" not in first and set(first["bias"].get_ydata()) == {0.1} and set(second["bias"].get_ydata()) == {0.3}
        line = second["expected"]
        np.testing.assert_allclose(line.get_ydata(), 13 / np.sqrt(line.get_xdata()))
        assert line.get_color() == palette.style("rdpo").color and line.is_dashed()
        rate = first["slope −0.5"]
        assert np.diff(np.log(rate.get_ydata())) / np.diff(np.log(rate.get_xdata())) == pytest.approx(-0.5)
        last = errors().query("algorithm == 'rdpo' and `env.n` == 100_000 and `env.flip` == 0.1")["estimation_error"].median()
        assert rate.get_ydata()[-1] == pytest.approx(last)
        assert "slope −0.5" not in words(sample_size.draw(errors(flips=(0.1,)), rate=None))

    def test_panels_that_are_not_asked_for_are_refused(self) -> None:
        with pytest.raises(Refused, match=r"env\.flip: varies among the rows of"):
            sample_size.draw(errors())


class TestCrossover:
    def test_the_crossing_of_lines_that_are_known(self) -> None:
        sizes = np.array([10.0, 100.0, 1000.0])
        level, falling = np.ones(3), np.array([10.0, 1.0 / 10**0.5, 0.01])
        assert crossover.crossings(sizes, np.stack([level, falling])) == pytest.approx(10 ** (1 + 2 / 3))
        assert crossover.crossings(sizes, np.stack([falling, level])) == np.inf
        assert crossover.crossings(sizes, np.stack([2 * falling, falling])) == 0
        touching = np.array([2.0, 1.0, 0.5])
        assert crossover.crossings(sizes, np.stack([level, touching])) == pytest.approx(100)
        again = np.array([0.5, 2.0, 0.5])
        assert crossover.crossings(sizes, np.stack([level, again])) == pytest.approx(10**2.5), "the last crossing counts"
        lost = np.array([np.inf, 0.5, 0.1])
        assert crossover.crossings(sizes, np.stack([level, lost])) == pytest.approx(100)
        both = np.stack([np.stack([level, falling]), np.stack([falling, level])])
        assert crossover.crossings(sizes, both).tolist() == [pytest.approx(10 ** (1 + 2 / 3)), np.inf]

    def test_planted_crossings_are_marked_with_their_intervals(self, tmp_path: Path) -> None:
        drawing = crossover.draw(errors())
        found = drawing.data[drawing.data["kind"] == "crossing"].set_index("env.flip")
        for axes, flip in zip(drawing.figure.axes, (0.1, 0.3), strict=False):
            star = (10 * (1 + flip) / flip) ** 2
            row = found.loc[flip]
            assert row["low"] <= row["value"] <= row["high"] and row["value"] == pytest.approx(star, rel=0.15) and row["seeds"] == 40
            assert axes.lines[-1].get_xdata() == [row["value"]] * 2
            assert axes.texts[-1].get_text().strip() == f"n* = {float(f'{row.value:.2g}'):,.0f}"
        last = drawing.figure.axes[-1]
        np.testing.assert_allclose(last.lines[0].get_xydata(), found.reset_index()[["env.flip", "value"]])
        same(drawing, crossover.draw(errors()), tmp_path)

    def test_the_interval_covers(self) -> None:
        """Independent noise at each size: in 40 samples of 20 seeds the 95% interval misses at most 7 (one chance in 10^3)."""
        sizes, missed = np.array([100.0, 1000.0, 10_000.0]), 0
        for number in range(40):
            rng = np.random.default_rng(number)
            rows = [
                {"algorithm": name, "env.n": n, "seed": seed, "value": rng.lognormal(0, 0.3) * (1.0 if name == "dpo" else 25 / np.sqrt(n))}
                for name, n, seed in product(("dpo", "rdpo"), sizes, range(20))
            ]
            found = crossover.crossing(DataFrame(rows), "dpo", "rdpo", "env.n")
            missed += not found["low"] <= 625 <= found["high"]
        assert missed <= 7

    def test_crossings_outside_the_sizes_are_said_to_be_there(self, tmp_path: Path) -> None:
        drawing = crossover.draw(errors(sizes=(100, 1000, 10_000), flips=(0.02, 0.3)))
        assert "n* beyond all sizes" in drawing.figure.axes[0].texts[-1].get_text()
        below = crossover.draw(errors(sizes=(10_000, 100_000)))
        assert "n* below all sizes" in below.figure.axes[1].texts[-1].get_text()
        assert {line.get_marker() for line in drawing.figure.axes[-1].lines} == {"o", "^"}
        drawing.save(tmp_path / "beyond")

    def test_refusals(self) -> None:
        frame = errors()
        with pytest.raises(Refused, match=r"must be dpo and rdpo at two sizes or more, and is not at env\.flip=0\.3"):
            crossover.draw(frame[(frame["algorithm"] == "dpo") | (frame["env.flip"] == 0.1)])


def people(seeds: int = 10) -> DataFrame:
    """Learners of users: accuracy and that of the worst grow with comparisons, pooled scores do not."""
    rows = []
    for seed, prototypes, (users, shots) in product(range(seeds), (0, 1, 3), [("seen", 150.0), ("new", 2.0), ("new", 20.0)]):
        right = 0.6 if prototypes < 3 else 0.7 + 0.05 * np.log10(shots)
        rows.append({"run": "pal", "algorithm": "pal", "env": "population", "seed": seed, "prototypes": prototypes, "users": users})
        rows[-1] |= {"chosen": prototypes == 3, "comparisons": shots, "accuracy": right + 0.01 * seed, "status": "ok"}
        rows[-1] |= {"worst_accuracy": right - 0.3 + 0.01 * seed, "excess_cross_entropy": 0.1}
    return DataFrame(rows)


class TestSamplesPerUser:
    def test_mean_and_worst_user_of_the_chosen_number_and_of_pooled_scores(self, tmp_path: Path) -> None:
        drawing = samples_per_user.draw(people())
        (axes,) = drawing.figure.axes
        lines = {line.get_label(): line for line in axes.lines}
        for name, prototypes in (("PAL", 3), ("pooled", 0)):
            for measure, whom in (("accuracy", "mean"), ("worst_accuracy", "worst")):
                rows = people().query(f"prototypes == {prototypes} and users == 'new'")
                np.testing.assert_allclose(lines[f"{name}, {whom} user"].get_ydata(), rows.groupby("comparisons")[measure].median())
            assert lines[f"{name}, worst user"].get_linewidth() > 2 * lines[f"{name}, mean user"].get_linewidth()
        assert lines["true ideal points"].get_ydata() == [1.0, 1.0] and lines["true ideal points"].is_dashed()
        same(drawing, samples_per_user.draw(people()), tmp_path)

    def test_without_truth_there_is_no_line_of_it(self) -> None:
        assert "true ideal points" not in words(samples_per_user.draw(people().assign(excess_cross_entropy=np.nan)))

    def test_fits_without_minimiser_count_as_the_worst_and_are_shown(self) -> None:
        frame = people()
        hit = (frame["prototypes"] == 3) & (frame["comparisons"] == 2) & (frame["seed"] >= 7)
        frame = frame.assign(status=frame["status"].mask(hit, "no minimiser"))
        frame[["accuracy", "worst_accuracy"]] = frame[["accuracy", "worst_accuracy"]].mask(hit)
        drawing = samples_per_user.draw(frame)
        cell = drawing.data.query("algorithm == 'pal' and comparisons == 2").set_index("measure")
        assert cell["lost"].tolist() == [3, 3]
        expected = np.sort([0.7 + 0.05 * np.log10(2) + 0.01 * seed for seed in range(7)])
        assert cell.loc["accuracy", "value"] == pytest.approx((expected[1] + expected[2]) / 2), "three of ten lie below"
        (text,) = drawing.figure.axes[0].texts
        assert text.get_text() == "30%" and "of the seeds: no minimiser" in words(drawing)

    def test_users_that_were_seen(self) -> None:
        data = samples_per_user.draw(people(), users="seen").data
        assert set(data["comparisons"]) == {150.0} and len(data) == 4

    def test_refusals(self) -> None:
        with pytest.raises(Refused, match=r"worst_accuracy: a column that this figure needs .* algorithm=pal"):
            samples_per_user.draw(people().drop(columns="worst_accuracy"))
        with pytest.raises(Invalid, match="users=old: must be new, or seen"):
            samples_per_user.draw(people(), users="old")
        several = [people().assign(**{"env.samples": n, "run": f"pal{n}"}) for n in (20, 50)]
        frame = concat(several, ignore_index=True)
        with pytest.raises(Refused, match=r"env\.samples: varies"):
            samples_per_user.draw(frame)
        assert set(samples_per_user.draw(frame, by="env.samples").data["env.samples"]) == {20, 50}


def sweep(here: Path, *words: str) -> DataFrame:
    outcome = simlab("run", "-m", *words, f"store={here / 'store'}")
    assert outcome.status == 0, outcome.err
    return load(here / "store")


class TestRealRuns:
    @pytest.mark.slow
    def test_learners_of_pairs(self, tmp_path: Path) -> None:
        """Robust DPO's error falls as its theory says, and it beats DPO, whose bias stays, once there is enough."""
        frame = sweep(tmp_path, "algorithm=dpo,rdpo", "env=pairs", "grid={env.flip:[0.2,0.3],env.n:[300,3000,30000]}", "seeds=30")
        data = winners.draw(frame, "estimation_error", x="env.n", y="env.flip").data.set_index(["env.n", "env.flip"])
        assert set(data["outcome"][30_000]) == set(data["outcome"][3000]) == {"rdpo"}
        crossings = crossover.draw(frame).data.query("kind == 'crossing'").set_index("env.flip")
        for flip in (0.2, 0.3):
            world = Pairs(flip=flip, beta=0.1)
            low, high = crossings.loc[flip, ["low", "high"]]
            assert expected_error(DPO(), world, int(low / 2)) < expected_error(RobustDPO(flip), world, int(low / 2))
            assert expected_error(DPO(), world, int(high * 2)) > expected_error(RobustDPO(flip), world, int(high * 2))
        assert len(heat.draw(frame, "estimation_error", x="env.n", y="env.flip").data) == 12

    def test_learners_of_users(self, tmp_path: Path) -> None:
        words = ["env=population", "algorithm=pal", "algorithm.prototypes=2,3", "env.shots=[2,50]", "seeds=5"]
        data = samples_per_user.draw(sweep(tmp_path, *words), by="algorithm.prototypes").data
        value = data.set_index(["algorithm.prototypes", "algorithm", "measure", "comparisons"])["value"]
        assert value[3, "pal", "accuracy", 50] > value[3, "pal", "accuracy", 2] and value[3, "pal", "worst_accuracy", 50] > 0.6
        assert (value.xs("worst_accuracy", level="measure") <= value.xs("accuracy", level="measure")).all()

    @pytest.mark.slow
    def test_self_play(self, tmp_path: Path) -> None:
        words = ["algorithm=egpo,nash_md", "env=blend", "feedback=duels", "grid={env.intransitivity:[0,1],feedback.flip:[0,0.3]}"]
        frame = sweep(tmp_path, *words, "seeds=12", "steps=200")
        data = heat.draw(frame).data
        for row in data.itertuples():
            cell = frame[(frame["algorithm"] == row.algorithm) & (frame[X] == row._3) & (frame[Y] == row._2) & (frame["step"] == 200)]
            assert row.median == pytest.approx(cell["exploitability"].median()) and row.seeds == len(cell) == 12
        assert set(winners.draw(frame).data["outcome"]) <= {"egpo", "nash_md", "tie"}

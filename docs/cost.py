"""Measures what a run costs and writes docs/cost.md with its figure (cost.png) and the numbers in it (cost.csv).

`python docs/cost.py [REPETITIONS]` (7 unless given) times EGPO with exact feedback on games whose pairs have uniform win probabilities. In
each repetition every point of every curve is visited once; medians are shown. A slope is that of the least-squares line through the
logarithms of the points from `since` on. Peak memory is read from /proc, so the script needs Linux; it is best run on an idle machine.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import simlab
from algorithms.egpo import EGPO
from envs.game import Game
from envs.random_game import RandomGame
from simlab.figures import palette

if TYPE_CHECKING:
    from pandas import DataFrame

PAGE = Path(__file__).with_name("cost.md")
BETA = 0.1
LANES = 32
"""Instances that are run side by side where a curve is not one of instances: as many as the kernel takes at once at small K."""
WORK = 1e8
"""Sums and products (about) that a timed run consists of, so that short iterations are repeated often."""
STEPS = 10_000
"""Iterations of a run whose instances or threads vary."""

Cost = Callable[[int], float]


@dataclass(frozen=True)
class Curve:
    """A cost against a size.

    Attributes
    ----------
    name : of the curve
    cost : of a size, in seconds or bytes
    sizes : increasing
    since : size from which on the cost is a power of the size
    expected : that power
    x, y : what the axes show
    """

    name: str
    cost: Cost
    sizes: tuple[int, ...]
    since: int
    expected: float
    x: str
    y: str


@cache
def games(actions: int, instances: int) -> list[Game]:
    """Different games, so that no instance can be had for another's price."""
    world = RandomGame(actions=actions)
    return [game for index in range(instances) for game in world.games(BETA, index=index)]


def seconds(played: Sequence[Game], steps: int, threads: int = 1) -> float:
    """Wall time of a run that records its last iteration's cost alone, and no policy."""
    began = time.perf_counter()
    simlab.simulate(played, EGPO(), steps=steps, record=[steps], slots=(), threads=threads)
    return time.perf_counter() - began


def iteration(actions: int, instances: int) -> float:
    """Seconds an iteration and instance: the difference of a long and a short run, which is without what is done once."""
    played, steps = games(actions, instances), 1 + max(2, round(WORK / (instances * actions * (actions + 20))))
    once = min(seconds(played, 1) for _ in range(3))
    return max(seconds(played, steps) - once, 1e-12) / ((steps - 1) * instances)


def peak(actions: int) -> float:
    """Bytes at the peak of a new process that makes one game and runs it, above those of one of three actions."""
    return float(max(_peak(actions) - _peak(3), 1))


def _peak(actions: int) -> int:
    code = f"import sys; sys.path[:0] = {sys.path!r}; import cost; cost.seconds(cost.games({actions}, 1), 2); print(cost.resident())"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    return int(done.stdout)


def resident() -> int:
    """Most memory that this process has held, in bytes."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def processors() -> int:
    return len(os.sched_getaffinity(0))


def powers(most: int) -> tuple[int, ...]:
    return tuple(2**n for n in range(most.bit_length()))


FEW, MANY = (3, 10, 30, 100, 300, 550, 1000), (1700, 3000)
LENGTHS = (10, 100, 1000, 10_000, 30_000, 100_000, 300_000)
NUMBERS = (1, 4, 16, 32, 64, 128, 256, 512, 1024)
EACH = "seconds an iteration and game"

CURVES = (
    Curve("one game", lambda k: iteration(k, 1), (*FEW, *MANY), 300, 2, "actions K", EACH),
    Curve(f"{LANES} games", lambda k: iteration(k, LANES), FEW, 300, 2, "actions K", EACH),
    Curve("instances", lambda n: seconds(games(10, n), STEPS), NUMBERS, 64, 1, "instances", "seconds"),
    Curve("steps", lambda n: seconds(games(10, LANES), n), LENGTHS, 10_000, 1, "iterations", "seconds"),
    Curve("threads", lambda n: seconds(games(10, 16 * LANES), STEPS, n), powers(processors()), 1, -1, "threads", "seconds"),
    Curve("memory", peak, (30, 100, 304, 1000, 1704, 2304, 3000), 1704, 2, "actions K", "bytes"),
)


def measure(curves: Sequence[Curve], repetitions: int) -> DataFrame:
    """A row a curve and size: the median of its costs, the lowest and the highest."""
    import pandas as pd

    places = [(curve, size) for curve in curves for size in curve.sizes]
    found: dict[tuple[str, int], list[float]] = {(curve.name, size): [] for curve, size in places}
    seconds(games(3, 1), 1)  # compiled, or loaded, before the first is timed
    for _ in range(repetitions):
        for curve, size in places:
            found[curve.name, size].append(curve.cost(size))
    rows = [(*key, statistics.median(costs), min(costs), max(costs), len(costs)) for key, costs in found.items()]
    return pd.DataFrame(rows, columns=["curve", "size", "median", "low", "high", "repetitions"])


def line(curve: Curve, table: DataFrame) -> tuple[float, float]:
    """Slope and intercept of log cost on log size from `since` on; nan where fewer than two sizes are there."""
    part = table[(table["curve"] == curve.name) & (table["size"] >= curve.since)]
    if len(part) < 2:
        return np.nan, np.nan
    slope, intercept = np.polyfit(np.log(part["size"]), np.log(part["median"]), 1)
    return float(slope), float(intercept)


PANELS = {
    "time against actions": ("one game", f"{LANES} games"),
    "peak memory against actions": ("memory",),
    "time against instances": ("instances",),
    "time against iterations": ("steps",),
    "time against threads": ("threads",),
}
COLOURS = (palette.STYLES["egpo"], palette.STYLES["nash_mp"])


def figure(curves: Sequence[Curve], table: DataFrame) -> Any:
    """A panel a cost: medians with their ranges, and lines of the expected slopes where these are to hold."""
    from matplotlib.figure import Figure

    by_name = {curve.name: curve for curve in curves}
    with palette.look():
        drawn = Figure(figsize=(palette.PAGE, 4.4), layout="constrained")
        panels = drawn.subplots(2, 3).ravel()
        for axes, (title, names) in zip(panels, PANELS.items(), strict=False):
            for name, style in zip(names, COLOURS, strict=False):
                _draw(axes, by_name[name], table, style)
            axes.set(title=title, xscale="log", yscale="log", xlabel=by_name[names[0]].x, ylabel=by_name[names[0]].y)
            axes.legend(loc="upper right" if by_name[names[0]].expected < 0 else "upper left")
        _whole(panels[list(PANELS).index("time against threads")], by_name["threads"].sizes)
        panels[-1].axis("off")
        panels[-1].text(0, 0.95, NOTE, va="top", transform=panels[-1].transAxes)
    return drawn


NOTE = "Points: medians, with ranges.\nSlopes: of the points above\nthe dashed lines, which\nhave the expected slopes."


def _draw(axes: Any, curve: Curve, table: DataFrame, style: palette.Style) -> None:
    part, (slope, _) = table[table["curve"] == curve.name], line(curve, table)
    spread = [part["median"] - part["low"], part["high"] - part["median"]]
    label = f"{curve.name}: slope {slope:.2f}"
    axes.errorbar(part["size"], part["median"], yerr=spread, color=style.color, marker=style.marker, label=label, elinewidth=0.8)
    kept = part[part["size"] >= curve.since]
    below = (part["median"].max() / part["median"].min()) ** -0.12
    middle = below * np.exp(np.log(kept["median"]).mean() - curve.expected * np.log(kept["size"]).mean())
    axes.plot(
        kept["size"],
        middle * kept["size"].astype(float) ** curve.expected,
        color="0.25",
        linestyle=(0, palette.DASHED),
        linewidth=0.9,
        zorder=3,
    )


def _whole(axes: Any, ticks: Sequence[int]) -> None:
    """Ticks at these numbers alone, and plain numbers beside the other axis, which spans no power of ten."""
    from matplotlib.ticker import NullLocator

    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")


def slopes(curves: Sequence[Curve], table: DataFrame) -> str:
    """Expected and measured exponents, in Markdown."""
    rows = [f"| {curve.name} | {curve.x} from {curve.since:,} | {curve.expected:g} | {line(curve, table)[0]:.2f} |" for curve in curves]
    return "\n".join(["| curve | against | expected exponent | measured |", "|---|---|---|---|", *rows])


def numbers(curves: Sequence[Curve], table: DataFrame) -> str:
    """Every median, in Markdown."""
    rows = []
    for curve in curves:
        for row in table[table["curve"] == curve.name].itertuples():
            rows.append(f"| {curve.name} | {curve.x} {row.size:,} | {_amount(row.median, curve.y)} |")
    return "\n".join(["| curve | at | median |", "|---|---|---|", *rows])


def _amount(value: float, unit: str) -> str:
    """To three digits, in a unit that suits its size."""
    scales = {"bytes": ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))}.get(unit, ((1, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")))
    scale, name = next(((scale, name) for scale, name in scales if value >= scale), scales[-1])
    return f"{value / scale:.3g} {name}" + unit.removeprefix("bytes").removeprefix("seconds")


def machine() -> str:
    """What it was measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((text.partition(":")[2].strip() for text in lines if text.startswith("model name")), "a processor without a name")
    return f"{model}, {processors()} processors"


TEXT = """\
# What a run costs

EGPO (two preference queries an iteration) with exact feedback, nothing recorded on the way, in double precision; `python docs/cost.py`
measures it and writes this page. Measured on {machine}; medians of {repetitions} interleaved repetitions.

![Cost against the number of actions, instances, iterations and threads](cost.png)

An iteration multiplies policies by a matrix of K × K numbers, so its time grows as K² once that outweighs the rest. Below some tens of
actions the fixed cost of an iteration counts; {lanes} games side by side share it. Where a matrix no longer fits into a cache it is read
from memory at every query, and the slope is a little steeper there. Instances and iterations cost their number times what one costs, beside
what is done once. Threads take whole blocks of instances. Memory is that of the game's matrix and of copies made of it.

{slopes}

Time is of one thread where it is not against threads; memory is what a process holds at its peak above one with three actions, the making
of the game included. [cost.csv](cost.csv) has the ranges.

{numbers}
"""


def main(repetitions: int) -> None:
    table = measure(CURVES, repetitions)
    table.to_csv(PAGE.with_suffix(".csv"), index=False, float_format="%.6g")
    figure(CURVES, table).savefig(PAGE.with_suffix(".png"), dpi=200, metadata={"Software": None})
    parts = {"slopes": slopes(CURVES, table), "numbers": numbers(CURVES, table), "machine": machine()}
    PAGE.write_text(TEXT.format(**parts, repetitions=repetitions, lanes=LANES), encoding="utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)

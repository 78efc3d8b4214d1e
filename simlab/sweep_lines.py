"""A sweep for the terminal: one line a run, with what varies and the figures that matter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.text import Text

from simlab.configuration import Plan
from simlab.finished import Finished
from simlab.words import count, median, statuses

HEADINGS = {
    "exploitability": "exploitability",
    "original_exploitability": "at beta=0",
    "kl_to_equilibrium": "KL to equil.",
    "average_original_exploitability": "avg, beta=0",
    "estimation_error": "error, H norm",
    "regularised_gap": "J gap",
    "reward_gap": "reward gap",
    "accuracy": "accuracy",
}
"""Figures that are shown where they are taken, with their headings."""

MOST = 4
"""Figures on a line."""

CELL = 15
"""Width of a figure."""


class SweepLines:
    """Lines for the runs of a plan, aligned; `measures` are those of any of its runs."""

    def __init__(self, plan: Plan, measures: Iterable[str]):
        taken = list(measures)
        self.plan = plan
        self.measures = [*(name for name in HEADINGS if name in taken), *(name for name in taken if name not in HEADINGS)][:MOST]
        self.values = [_values(job.overrides, plan.varies) for job in plan.jobs]
        ends = [key.rpartition(".")[2] for key in plan.varies]
        self.keys = [end if ends.count(end) == 1 else key for key, end in zip(plan.varies, ends, strict=True)]
        self.widths = [max(map(len, column)) for column in zip(self.keys, *self.values, strict=True)]
        self.skipped = 0

    def heading(self) -> Text:
        """The line above all others."""
        figures = [HEADINGS.get(name, name[1 - CELL :]) for name in self.measures]
        return Text(f"{self._left(self.keys)}{_right(figures)}  status", style="bold")

    def line(self, number: int, finished: Finished) -> Text:
        """What one run came to, each figure the median of its instances at the last iteration."""
        self.skipped += not finished.fresh
        last = finished.experiment.headline(finished.stored)
        figures = [median(last[name]) if name in last else "" for name in self.measures]
        text = Text(f"{self._left(self.values[number])}{_right(figures)}  ").append_text(statuses(finished))
        text.append(f"  {finished.stored.path.name}", style="green")
        return text.append("" if finished.fresh else "  (already there)", style="dim")

    def total(self, failed: int) -> str:
        """The line below all others."""
        parts = [f"{count(len(self.plan.jobs), 'run')} in {self.plan.jobs[0].config.store}"]
        parts += [f"{number} {what}" for number, what in ((self.skipped, "already there"), (failed, "failed")) if number]
        return ", ".join(parts)

    def _left(self, cells: Sequence[str]) -> str:
        return "".join(f"{cell:<{width + 2}}" for cell, width in zip(cells, self.widths, strict=True))


def _right(cells: Iterable[str]) -> str:
    return "".join(f"{cell:>{CELL}}" for cell in cells)


def _values(overrides: Iterable[str], keys: Iterable[str]) -> list[str]:
    given = {key.lstrip("+"): value for key, _, value in (word.partition("=") for word in overrides)}
    return [given[key] for key in keys]

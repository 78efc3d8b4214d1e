"""What `simlab run` shows: a page for one run, a line for each run of a sweep, a bar where there is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from simlab.configuration import Plan
from simlab.finished import Finished
from simlab.progress import listening
from simlab.summary import summary
from simlab.sweep_lines import SweepLines
from simlab.torchrun import leads

WIDTH = 120
"""Columns where the output is no terminal."""

FIRST = " (the first ever compiles for some 20 s)"


class Bar(Progress):
    """How many runs are done, were there before, and are left: `12 of 40, 8 already there, 20 left`."""

    def __init__(self, runs: int, there: Collection[int], console: Console, *, shown: bool):
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), TimeElapsedColumn(), TimeRemainingColumn())
        redirect = Console().is_terminal
        super().__init__(*columns, console=console, transient=True, disable=not shown, redirect_stdout=redirect)
        self.runs, self.there = runs, len(there)
        self.awaited = set(range(runs)) - set(there)
        self.bar = self.add_task(self._standing(0) + FIRST, total=len(self.awaited))

    def ended(self, number: int) -> None:
        """Count a run."""
        self.awaited.discard(number)
        done = self.runs - self.there - len(self.awaited)
        self.update(self.bar, completed=done, description=self._standing(done))

    def under_way(self, standing: str) -> None:
        """Show how far a run is."""
        self.update(self.bar, description=f"{self._standing(self.runs - self.there - len(self.awaited))}: {standing}")

    def _standing(self, done: int) -> str:
        there = f", {self.there:,} already there" if self.there else ""
        return f"{done:,} of {self.runs:,}{there}, {len(self.awaited):,} left"


class Screen:
    """Shows runs as they finish, and remembers how they went."""

    def __init__(self, plan: Plan, lines: SweepLines, bar: Bar, console: Console):
        self.plan, self.lines, self.bar, self.console = plan, lines, bar, console
        self.went_well: dict[int, bool] = {}
        self.lock = Lock()

    @property
    def succeeded(self) -> bool:
        """Whether every run finished and stayed finite."""
        return not self.waiting() and all(self.went_well.values())

    def waiting(self) -> list[int]:
        """Numbers of the runs that have not reported."""
        return [number for number in range(len(self.plan.jobs)) if number not in self.went_well]

    def finished(self, number: int, finished: Finished) -> None:
        """Show a run, once: where a launcher runs it in this process, who ran it and who looks for it both tell of it."""
        with self.lock:
            if number in self.went_well:
                return
            self._count(number, finished.is_finite)
            if self.plan.sweep:
                self._say(self.lines.line(number, finished))
            else:
                self._say(summary(finished), wrap=True)

    def failed(self, number: int) -> None:
        """Count a run that has told its error."""
        self._count(number, False)

    def open(self) -> None:
        """Head the lines of a sweep."""
        if self.plan.sweep:
            self._say(self.lines.heading())

    def close(self) -> None:
        """Say what a sweep came to."""
        if self.plan.sweep:
            self._say(self.lines.total(sum(not well for well in self.went_well.values())))

    def _say(self, text: RenderableType, *, wrap: bool = False) -> None:
        """Print without the blanks that pad a table's cells."""
        with self.console.capture() as printed:
            self.console.print(text, soft_wrap=not wrap, highlight=False)
        with suppress(BrokenPipeError):
            print("\n".join(line.rstrip() for line in printed.get().splitlines()), flush=True)

    def _count(self, number: int, well: bool) -> None:
        self.went_well[number] = well
        self.bar.ended(number)


@contextmanager
def screen(plan: Plan, measures: Iterable[str], there: Collection[int]) -> Iterator[Screen]:
    """A screen for the runs of a plan, with a bar on standard error, if that is a terminal.

    Parameters
    ----------
    plan : what is to run
    measures : those that any of its runs takes
    there : numbers of those whose files exist
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    with Bar(len(plan.jobs), there, Console(stderr=True), shown=sys.stderr.isatty() and leads()) as bar:
        shown = Screen(plan, SweepLines(plan, measures), bar, console)
        shown.open()
        with listening(bar.under_way):
            yield shown
        shown.close()

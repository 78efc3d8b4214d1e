"""What `simlab run` shows: a page for one run, a line for each run of a sweep, a bar where there is a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from simlab.configuration import Plan
from simlab.finished import Finished
from simlab.summary import summary
from simlab.sweep_lines import SweepLines
from simlab.words import count

WIDTH = 120
"""Columns where the output is no terminal."""


class Screen:
    """Shows runs as they finish, and remembers how they went."""

    def __init__(self, plan: Plan, lines: SweepLines, progress: Progress, console: Console):
        self.plan, self.lines, self.progress, self.console = plan, lines, progress, console
        self.bar = progress.add_task(f"{count(len(plan.jobs), 'run')} (the first ever compiles for some 20 s)", total=len(plan.jobs))
        self.went_well: dict[int, bool] = {}

    @property
    def succeeded(self) -> bool:
        """Whether every run finished and stayed finite."""
        return not self.waiting() and all(self.went_well.values())

    def waiting(self) -> list[int]:
        """Numbers of the runs that have not reported."""
        return [number for number in range(len(self.plan.jobs)) if number not in self.went_well]

    def finished(self, number: int, finished: Finished) -> None:
        """Show a run."""
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
        self.progress.update(self.bar, completed=len(self.went_well))


@contextmanager
def screen(plan: Plan, measures: Iterable[str]) -> Iterator[Screen]:
    """A screen for the runs of a plan and the measures they take, with a bar on standard error, if that is a terminal."""
    errors, console = Console(stderr=True), Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    options = {"transient": True, "disable": not errors.is_terminal, "redirect_stdout": console.is_terminal}
    with Progress(*columns, console=errors, **options) as progress:  # type: ignore[arg-type]
        shown = Screen(plan, SweepLines(plan, measures), progress, console)
        shown.open()
        yield shown
        shown.close()

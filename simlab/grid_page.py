"""What a block of a grid comes to, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from simlab import grid
from simlab.experiment import member_name
from simlab.finished import Finished
from simlab.gridded import Gridded
from simlab.packing import AVERAGE
from simlab.self_play import PROBABILITIES
from simlab.words import count, median, seeds, settings, statuses, value_range


def heading(finished: Finished[Gridded]) -> str:
    """The line above the page."""
    experiment = finished.experiment
    where = member_name(experiment.config, "env")
    return f"{type(experiment.method).__name__} on {where}, a grid of {count(len(experiment.cells), 'cell')}"


def rows(finished: Finished[Gridded]) -> Iterator[tuple[str, RenderableType]]:
    """Labels and what stands beside them."""
    experiment = finished.experiment
    axes = grid.axes(experiment.config)
    for key, values in axes.items():
        yield key, Text(", ".join(map(str, values)))
    fixed = grid.at(experiment.config, dict.fromkeys(axes, "varies"))
    for group in ("env", "algorithm", "feedback", "start"):
        yield group, Text(settings(fixed, group))
    yield "seeds", Text(seeds(finished))
    yield "status", statuses(finished)


def figures(finished: Finished[Gridded]) -> Table:
    """A row for each measure, over all cells and seeds."""
    last = finished.experiment.headline(finished.stored)
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    for heading in ("", "median of all", "range"):
        table.add_column(heading)
    for name in finished.experiment.figures:
        if name.removeprefix(AVERAGE) != PROBABILITIES:
            table.add_row(name, median(last[name]), value_range(last[name]))
    return table


def remarks(finished: Finished[Gridded]) -> Iterator[Text]:
    """Where the cells are."""
    yield Text(f"Each cell's rows bear its settings; simlab collect {finished.stored.path.parent} gathers them.", style="dim")

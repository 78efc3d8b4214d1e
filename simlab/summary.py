"""What a run comes to, for the terminal: a page whose parts each kind of experiment fills in."""

from __future__ import annotations

from importlib import import_module

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from simlab.finished import Finished


def summary(finished: Finished) -> RenderableType:
    """A page on one run."""
    page = import_module(finished.experiment.page)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in page.rows(finished):
        grid.add_row(label, text)
    return Group(Text(page.heading(finished), style="bold"), grid, Text(), page.figures(finished), *page.remarks(finished), _file(finished))


def _file(finished: Finished) -> Text:
    how = f"{float(finished.stored.metadata['seconds']):.2g} s" if finished.fresh else "already there, not run again"
    return Text(f"{finished.stored.path}  ({how})", style="green")

"""What a run comes to, for the terminal: a page whose parts each kind of experiment fills in."""

from __future__ import annotations

from types import ModuleType

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from simlab import grid_page, language_page, offline_page, pluralistic_page, self_play_page, training_page
from simlab.finished import Finished
from simlab.gridded import Gridded
from simlab.language_training import LanguageTraining
from simlab.offline import Offline
from simlab.pluralistic import Pluralistic
from simlab.self_play import SelfPlay
from simlab.training import Training

PAGES: dict[type, ModuleType] = {
    SelfPlay: self_play_page,
    Offline: offline_page,
    Pluralistic: pluralistic_page,
    Gridded: grid_page,
    Training: training_page,
    LanguageTraining: language_page,
}
"""Modules with `heading`, `rows`, `figures` and `remarks` of a finished run, by kind."""


def summary(finished: Finished) -> RenderableType:
    """A page on one run."""
    page = next(page for kind, page in PAGES.items() if isinstance(finished.experiment, kind))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in page.rows(finished):
        grid.add_row(label, text)
    return Group(Text(page.heading(finished), style="bold"), grid, Text(), page.figures(finished), *page.remarks(finished), _file(finished))


def _file(finished: Finished) -> Text:
    how = f"{float(finished.stored.metadata['seconds']):.2g} s" if finished.fresh else "already there, not run again"
    return Text(f"{finished.stored.path}  ({how})", style="green")

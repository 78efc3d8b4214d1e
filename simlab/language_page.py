"""What a language model's run comes to, for the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from simlab.finished import Finished
from simlab.language_training import LanguageTraining
from simlab.store import final
from simlab.training_figure import path_of
from simlab.words import count, median, range_heading, seeds, settings, statuses, value_range


def heading(finished: Finished[LanguageTraining]) -> str:
    """The line above the page."""
    experiment = finished.experiment
    return f"{type(experiment.method).__name__} on {experiment.model.model}, {count(experiment.config['steps'], 'iteration')}"


def rows(finished: Finished[LanguageTraining]) -> Iterator[tuple[str, RenderableType]]:
    """Labels and what stands beside them."""
    experiment, facts = finished.experiment, json.loads(finished.stored.metadata["world"])
    yield "data", f"{experiment.model.dataset}, {count(facts['rows'], 'row')}; beta={experiment.beta:g}"
    yield "method", Text(finished.stored.metadata["method"])
    yield "model", Text(settings(experiment.config, "scaled"))
    yield "", f"{count(facts['parameters'], 'parameter')}, {facts['trained']:,} of them trained; its start is the reference"
    yield "learns from", experiment.lesson
    yield "feedback", Text(settings(experiment.config, "feedback"))
    yield "seeds", seeds(finished)
    yield "status", statuses(finished)


def figures(finished: Finished[LanguageTraining]) -> Group:
    """A row for each measure."""
    last = final(finished.stored)
    instances = len(last["seed"])
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    for name in ("", "at first", f"iteration {last['step'].max()}", f"{range_heading(instances)} there"):
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    for name in finished.experiment.figures:
        table.add_row(name, median(_earliest(finished, name)), median(last[name]), value_range(last[name]))
    of = f"medians of {count(instances, 'instance')}; {finished.experiment.meaning}"
    return Group(Text(of, style="dim"), table)


def _earliest(finished: Finished[LanguageTraining], name: str) -> NDArray:
    """A measure at the first record that has it: the start, where it is exact."""
    steps, values = finished.stored.column("step"), finished.stored.column(name)
    known = steps[np.isfinite(values)]
    return values[steps == known.min()] if len(known) else values[:1]


def remarks(finished: Finished[LanguageTraining]) -> Iterator[Text]:
    """What a reader should know besides."""
    yield Text(f"{path_of(finished.stored)}", style="green")
    yield Text(f"{finished.experiment.folder(0)}: metrics.jsonl, model (for from_pretrained)", style="green")

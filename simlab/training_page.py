"""What a training run comes to, for the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from simlab.experiment import member_name
from simlab.finished import Finished
from simlab.store import final, first
from simlab.training import Training
from simlab.training_figure import path_of
from simlab.words import count, median, range_heading, seeds, settings, statuses, value_range


def heading(finished: Finished[Training]) -> str:
    """The line above the page."""
    experiment = finished.experiment
    names = f"{member_name(experiment.config, 'env')} by a {type(experiment.model).__name__}"
    return f"{type(experiment.method).__name__} on {names}, {count(experiment.config['steps'], 'iteration')}"


def rows(finished: Finished[Training]) -> Iterator[tuple[str, RenderableType]]:
    """Labels and what stands beside them."""
    experiment, world = finished.experiment, json.loads(finished.stored.metadata["world"])
    yield "world", f"K={world['actions']}, {count(world['prompts'], 'prompt')}, beta={experiment.beta:g}"
    yield "method", Text(finished.stored.metadata["method"])
    yield "model", Text(settings(experiment.config, "scaled"))
    yield (
        "",
        f"{count(world['parameters'], 'parameter')}; its start is the reference, of exploitability {world['reference_exploitability']:.3g}",
    )
    yield "learns from", experiment.lesson
    yield "feedback", Text(settings(experiment.config, "feedback"))
    yield "seeds", seeds(finished)
    yield "status", statuses(finished)


def figures(finished: Finished[Training]) -> Group:
    """A row for each measure, of the model and of the table."""
    start, last = first(finished.stored), final(finished.stored)
    instances = len(last["seed"])
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    for name in ("", "iteration 0", f"iteration {last['step'].max()}", f"{range_heading(instances)} there"):
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    for name in ("exploitability", "kl_to_equilibrium"):
        for column, words in ((name, "model"), (f"table_{name}", "table")):
            table.add_row(f"{name}, {words}", median(start[column]), median(last[column]), value_range(last[column]))
    table.add_row("residual", "", median(last["residual"]), value_range(last["residual"]))
    of = f"medians of {instances} instances (seeds and prompts); the model's figures are exact, over all responses"
    return Group(Text(of, style="dim"), table)


def remarks(finished: Finished[Training]) -> Iterator[Text]:
    """What a reader should know besides."""
    last = final(finished.stored)
    if np.nanmedian(last["exploitability"]) > json.loads(finished.stored.metadata["world"])["reference_exploitability"]:
        yield Text("The model ends more exploitable than it began.", style="yellow")
    yield Text(f"{path_of(finished.stored)}", style="green")

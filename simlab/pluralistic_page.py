"""What a run of a learner of users comes to, for the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from simlab.experiment import member_name
from simlab.finished import Finished
from simlab.pluralistic import POOLED, Pluralistic
from simlab.words import count, median, seeds, statuses

Columns = dict[str, NDArray]


def heading(finished: Finished[Pluralistic]) -> str:
    """The line above the page."""
    experiment, world = finished.experiment, _facts(finished)
    name = member_name(experiment.config, "env")
    return f"{type(experiment.method).__name__} on {name}, {count(world['seen'], 'user')} seen, {count(world['newcomers'], 'newcomer')}"


def rows(finished: Finished[Pluralistic]) -> Iterator[tuple[str, RenderableType]]:
    """Labels and what stands beside them."""
    world, config = _facts(finished), finished.experiment.config["algorithm"]
    size = f"{count(world['pairs'], 'pair')} of responses, ideal points of dimension {world['dimension']}"
    yield "world", f"{size}, {'truth known' if world['truth'] else 'truth unknown: scored on answers that were kept back'}"
    yield "given", f"{world['comparisons']:g} comparisons of each user"
    yield "model", Text(finished.stored.metadata["method"])
    yield "", f"shrinkage={config['shrinkage']:g}, restarts={config['restarts']}, prototypes={_chosen(finished)}"
    yield "seeds", seeds(finished)
    yield "status", statuses(finished)


def figures(finished: Finished[Pluralistic]) -> Group:
    """A row for each number of prototypes: how well it predicts the users it has seen, and newcomers after a few comparisons."""
    stored, truth = finished.stored, _facts(finished)["truth"]
    columns = stored.columns
    shots = np.unique(columns["comparisons"][columns["users"] == "new"])
    entropy = "excess_cross_entropy" if truth else "cross_entropy"
    titles = {"accuracy": "accuracy", "worst_accuracy": "accuracy of the worst user", entropy: entropy.replace("_", " ") + ", nats"}
    parts = [_table(columns, name, title, shots) for name, title in titles.items()]
    if truth:
        parts.append(_table(columns, "ideal_point_error", "distance from the true ideal point, root mean square", shots))
    return Group(*(part for pair in parts for part in (*pair, Text())))


def remarks(finished: Finished[Pluralistic]) -> Iterator[Text]:
    """What a reader should know besides."""
    stored = finished.stored
    if (stored.column("status") == "no minimiser").any():
        yield Text("No minimiser: some users' answers are separable; take algorithm.shrinkage > 0, or fewer prototypes.", style="yellow")
    excess = (stored.column("rank") + 1 < stored.column("prototypes")) & (stored.column("status") == "ok")
    if excess.any():
        least = int(stored.column("prototypes")[excess].min())
        yield Text(
            f"From {least} prototypes on their number is not identifiable: the users' ideal points span fewer dimensions than that.",
            style="yellow",
        )


def _facts(finished: Finished[Pluralistic]) -> dict:
    return json.loads(finished.stored.metadata["world"])


def _chosen(finished: Finished[Pluralistic]) -> str:
    stored = finished.stored
    chosen, times = np.unique(stored.column("prototypes")[stored.column("chosen")], return_counts=True)
    if finished.experiment.config["algorithm"]["prototypes"] is not None:
        return str(chosen[0])
    words = [f"{k}" if len(chosen) == 1 else f"{k} ({n / times.sum():.0%})" for k, n in zip(chosen, times, strict=True)]
    return f"{', '.join(words)}, by comparisons held out of what was given"


def _table(columns: Columns, name: str, title: str, shots: NDArray) -> tuple[Text, Table]:
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    table.add_column("prototypes", no_wrap=True)
    table.add_column("seen users", justify="right")
    for m in shots:
        table.add_column(f"new, {m:g}", justify="right")
    for k in np.unique(columns["prototypes"]):
        hit = columns["prototypes"] == k
        cells = [hit & (columns["users"] == "seen"), *(hit & (columns["users"] == "new") & (columns["comparisons"] == m) for m in shots)]
        values = [columns[name][cell] for cell in cells]
        if np.isfinite(np.concatenate(values)).any():
            style = "bold" if columns["chosen"][hit].all() else ""
            table.add_row("pooled scores" if k == POOLED else str(k), *map(median, values), style=style)
    return Text(f"{title}; new users after so many comparisons of theirs", style="dim"), table

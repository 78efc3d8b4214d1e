"""What a run of a self-play method comes to, for the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from algorithms.symbol import as_symbol
from algorithms.tableau import Tableau
from envs.game import INTRANSITIVITY_CLIP
from simlab import catalogue
from simlab.experiment import member_name
from simlab.finished import Finished
from simlab.packing import AVERAGE
from simlab.self_play import PROBABILITIES, SelfPlay
from simlab.store import final, first
from simlab.words import count, median, range_heading, seeds, settings, statuses, value_range

AT_EQUILIBRIUM = 1e-12
"""A start of smaller exploitability needs no method."""


def heading(finished: Finished[SelfPlay]) -> str:
    """The line above the page."""
    experiment = finished.experiment
    return f"{type(experiment.method).__name__} on {member_name(experiment.config, 'env')}, {count(experiment.steps, 'iteration')}"


def rows(finished: Finished[SelfPlay]) -> Iterator[tuple[str, RenderableType]]:
    """Labels and what stands beside them."""
    experiment, world = finished.experiment, json.loads(finished.stored.metadata["world"])
    yield "world", _world(finished, world)
    if "items" in world:
        yield "data", _data(world)
    yield "method", Text(finished.stored.metadata["method"])
    yield "", Text(", ".join(_coefficients(experiment.tableau)) + _origin(finished))
    yield "feedback", Text(settings(experiment.config, "feedback"))
    yield "start", Text(settings(experiment.config, "start"))
    yield "seeds", Text(seeds(finished))
    yield "spent", Text(_spent(finished))
    yield "status", statuses(finished)


def _world(finished: Finished[SelfPlay], world: dict[str, Any]) -> str:
    games = world["games"]
    winners = world["condorcet_winners"]
    if games == 1:
        winner = f"Condorcet winner {world['condorcet_winner']}" if winners else "no Condorcet winner"
    else:
        winner = f"Condorcet winner in {winners or 'none'} of them"
    clipped = f" (log-odds clipped at P={INTRANSITIVITY_CLIP:g})" if world["clipped"] else ""
    return ", ".join(
        [
            f"K={world['actions']}, {count(world['contexts'], 'context')}",
            *([f"{games} games"] if games > 1 else []),
            f"intransitivity {_spread(world['intransitivity'], '.3g')}{clipped}",
            winner,
            f"cyclic triangles {_spread(world['cyclic_triangles'], ',.0f')}",
        ]
    )


def _data(world: dict[str, Any]) -> str:
    missing = world["unobserved_pairs"]
    unseen = f"{count(missing, 'pair')} never compared, taken as ties" if missing else "every pair compared"
    smoothing = f"smoothing {world['smoothing']:g} on each side of a pair"
    return f"{len(world['items'])} items, {world['comparisons']:,} comparisons, {unseen}; {smoothing}"


def _spread(values: list[float], form: str) -> str:
    low, middle, high = (format(value, form) for value in values)
    return middle if low == high else f"{middle} ({low} to {high})"


def _coefficients(tableau: Tableau) -> list[str]:
    """The value of each coefficient that has a formula."""
    said = {}
    for stage in tableau.stages:
        for coefficient in (stage.rate, *stage.anchor.values(), *stage.opponent.values()):
            symbol = as_symbol(coefficient)
            if any(letter.isalpha() for letter in str(symbol)) and not str(symbol).startswith("-"):
                values = np.atleast_1d(symbol.value)
                said[str(symbol)] = f"{values[0]:.4g}" if len(values) == 1 else f"{values[0]:.4g} ... {values[-1]:.4g}"
    return [f"{text} = {said[text]}" for text in sorted(said, key=len)]


def _origin(finished: Finished[SelfPlay]) -> str:
    """The words of the method's own file on the rate that it takes when none is given."""
    experiment = finished.experiment
    node = experiment.config["algorithm"]
    if node.get("rate", "") not in (None, "published", "schedule"):
        return ""
    _, comment = catalogue.comments(f"algorithm/{member_name(experiment.config, 'algorithm')}").get("rate", ("", ""))
    return f"  (default rate: {comment.rpartition('null: ')[2]})" if comment else "  (default rate)"


def _spent(finished: Finished[SelfPlay]) -> str:
    last = final(finished.stored)
    queries, gradients = int(last["queries"].max()), int(last["gradients"].max())
    labels = finished.experiment.labels(queries)
    parts = [f"{queries:,} preference queries", *([f"{labels:,} labels"] if labels else []), f"{gradients:,} gradient evaluations"]
    return f"{', '.join(parts)}{' an instance' if len(last['seed']) > 1 else ''}"


def figures(finished: Finished[SelfPlay]) -> Group:
    """A row for each measure: its median at the start and at the end."""
    last, start = final(finished.stored), first(finished.stored)
    instances, at = len(last["seed"]), finished.stored.column("step")
    several = [f"{range_heading(instances)} at {at.max()}"] if instances > 1 else []
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    for heading in (f"iteration {at.min()}", f"iteration {at.max()}"):
        table.add_column(heading, justify="right")
    for heading in several:
        table.add_column(heading)
    for name in filter(lambda name: name.removeprefix(AVERAGE) != PROBABILITIES, finished.experiment.figures):
        table.add_row(name, median(start[name]), median(last[name]), *([value_range(last[name])] if several else []))
    of = f", medians of {instances} instances (seeds and contexts)" if several else ""
    return Group(Text(f"beta={finished.experiment.beta:g}{of}", style="dim"), table)


def remarks(finished: Finished[SelfPlay]) -> Iterator[Text]:
    """What a reader should know besides."""
    start = first(finished.stored)
    exploitability = start.get("exploitability")
    if exploitability is not None and not start["step"].any() and (exploitability < AT_EQUILIBRIUM).all():
        yield Text("The start is an equilibrium already; start=far begins elsewhere.", style="yellow")

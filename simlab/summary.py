"""What a run comes to, for the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from algorithms.symbol import as_symbol
from algorithms.tableau import Tableau
from envs.game import INTRANSITIVITY_CLIP
from simlab import catalogue
from simlab.finished import Finished, member_name
from simlab.store import final, first

MANY = 40
"""From so many instances on, a range leaves out the outer 5 %."""

AT_EQUILIBRIUM = 1e-12
"""A start of smaller exploitability needs no method."""


def summary(finished: Finished) -> RenderableType:
    """A page on one run."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in _rows(finished):
        grid.add_row(label, text)
    experiment = finished.experiment
    heading = f"{type(experiment.method).__name__} on {member_name(experiment, 'env')}, {count(experiment.steps, 'iteration')}"
    return Group(Text(heading, style="bold"), grid, Text(), _measures(finished), *_remarks(finished), _file(finished))


def _rows(finished: Finished) -> Iterator[tuple[str, RenderableType]]:
    experiment, world = finished.experiment, json.loads(finished.stored.metadata["world"])
    yield "world", _world(finished, world)
    if "items" in world:
        yield "data", _data(world)
    yield "method", Text(finished.stored.metadata["tableau"])
    yield "", Text(", ".join(_coefficients(experiment.tableau)) + _origin(finished))
    yield "feedback", Text(_settings(experiment.config, "feedback"))
    yield "start", Text(_settings(experiment.config, "start"))
    yield "seeds", Text(_seeds(finished))
    yield "spent", Text(_spent(finished))
    yield "status", statuses(finished)


def _world(finished: Finished, world: dict[str, Any]) -> str:
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


def _origin(finished: Finished) -> str:
    """The words of the method's own file on the rate that it takes when none is given."""
    experiment = finished.experiment
    node = experiment.config["algorithm"]
    if node.get("rate", "") not in (None, "published", "schedule"):
        return ""
    _, comment = catalogue.comments(f"algorithm/{member_name(experiment, 'algorithm')}").get("rate", ("", ""))
    return f"  (default rate: {comment.rpartition('null: ')[2]})" if comment else "  (default rate)"


def _settings(config: dict[str, Any], group: str) -> str:
    node = config[group]
    kind = node["_target_"].rpartition(".")[2]
    return ", ".join([kind, *(f"{key}={_short(value)}" for key, value in node.items() if key != "_target_")])


def _short(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{key}={_short(item)}" for key, item in value.items() if key != "_target_")
        return f"{value['_target_'].rpartition('.')[2]}({inner})" if "_target_" in value else inner
    return f"{value:g}" if isinstance(value, float) else str(value)


def _seeds(finished: Finished) -> str:
    experiment = finished.experiment
    asked, root = experiment.config["seeds"], experiment.config["seed"]
    if not experiment.random:
        return f"{asked} asked for, but nothing here is random: run once" if asked > 1 else "nothing here is random"
    return f"{asked}, root {root}"


def _spent(finished: Finished) -> str:
    last = final(finished.stored)
    queries, gradients = int(last["queries"].max()), int(last["gradients"].max())
    labels = finished.experiment.labels(queries)
    parts = [f"{queries:,} preference queries", *([f"{labels:,} labels"] if labels else []), f"{gradients:,} gradient evaluations"]
    return f"{', '.join(parts)}{' an instance' if len(last['seed']) > 1 else ''}"


def statuses(finished: Finished) -> Text:
    """How many instances ended how, and since when."""
    last = final(finished.stored)
    text = Text()
    for status, style in (("ok", ""), ("diverged", "yellow"), ("nonfinite", "bold red")):
        hit = last["status"] == status
        if hit.any():
            since = "" if status == "ok" else f" (from iteration {last['status_step'][hit].min()} on)"
            number = f"{hit.sum()} " if len(hit) > 1 else ""
            text.append(f"{', ' if text else ''}{number}{status}{since}", style=style)
    return text


def _measures(finished: Finished) -> Group:
    """A row for each measure: its median at the start and at the end."""
    last, start = final(finished.stored), first(finished.stored)
    instances, at = len(last["seed"]), finished.stored.column("step")
    several = [f"{'95 %' if instances >= MANY else 'range'} at {at.max()}"] if instances > 1 else []
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    for heading in (f"iteration {at.min()}", f"iteration {at.max()}"):
        table.add_column(heading, justify="right")
    for heading in several:
        table.add_column(heading)
    for name in finished.experiment.measure:
        table.add_row(name, median(start[name]), median(last[name]), *([_range(last[name])] if several else []))
    of = f", medians of {instances} instances (seeds and contexts)" if several else ""
    return Group(Text(f"beta={finished.experiment.beta:g}{of}", style="dim"), table)


def median(values: NDArray) -> str:
    """The median of the finite values, to three digits."""
    finite = values[np.isfinite(values)]
    return f"{np.median(finite):.3g}" if len(finite) else "not finite"


def _range(values: NDArray) -> str:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return ""
    low, high = np.quantile(finite, [0.025, 0.975] if len(values) >= MANY else [0, 1])
    rest = len(values) - len(finite)
    return f"{low:.3g} to {high:.3g}" + (f", {rest} not finite" if rest else "")


def _remarks(finished: Finished) -> Iterator[Text]:
    start = first(finished.stored)
    exploitability = start.get("exploitability")
    if exploitability is not None and not start["step"].any() and (exploitability < AT_EQUILIBRIUM).all():
        yield Text("The start is an equilibrium already; start=far begins elsewhere.", style="yellow")


def _file(finished: Finished) -> Text:
    how = f"{float(finished.stored.metadata['seconds']):.2g} s" if finished.fresh else "already there, not run again"
    return Text(f"{finished.stored.path}  ({how})", style="green")


def count(number: int, noun: str) -> str:
    """`1 game`, `2 games`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

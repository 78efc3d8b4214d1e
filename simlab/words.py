"""Figures and settings in words, for everything that is printed about a run."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from simlab.finished import Finished

MANY = 40
"""From so many instances on, a range leaves out the outer 5 %."""

STYLES = {"ok": "", "nonfinite": "bold red"}
"""Of statuses; yellow for the rest."""


def count(number: int, noun: str) -> str:
    """`1 game`, `2 games`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def median(values: NDArray) -> str:
    """The median of the finite values, to three digits."""
    values = _flat(values)
    finite = values[np.isfinite(values)]
    return f"{np.median(finite):.3g}" if len(finite) else "not finite"


def value_range(values: NDArray) -> str:
    """Smallest to largest of the finite values, or the middle 95 % of many."""
    values = _flat(values)
    finite = values[np.isfinite(values)]
    if not len(finite):
        return ""
    low, high = np.quantile(finite, [0.025, 0.975] if len(values) >= MANY else [0, 1])
    rest = len(values) - len(finite)
    return f"{low:.3g} to {high:.3g}" + (f", {rest} not finite" if rest else "")


def _flat(values: NDArray) -> NDArray:
    """A column of numbers, or of arrays with one number a user."""
    return np.concatenate(values) if values.dtype == object else values


def range_heading(instances: int) -> str:
    """What `value_range` shows of so many instances."""
    return "95 %" if instances >= MANY else "range"


def settings(config: dict[str, Any], group: str) -> str:
    """The chosen member of a group with its values."""
    node = config[group]
    kind = node["_target_"].rpartition(".")[2]
    return ", ".join([kind, *(f"{key}={_short(value)}" for key, value in node.items() if key != "_target_")])


def _short(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{key}={_short(item)}" for key, item in value.items() if key != "_target_")
        return f"{value['_target_'].rpartition('.')[2]}({inner})" if "_target_" in value else inner
    return f"{value:g}" if isinstance(value, float) else str(value)


def seeds(finished: Finished) -> str:
    """How many, from which root."""
    experiment = finished.experiment
    asked, root = experiment.config["seeds"], experiment.config["seed"]
    if not experiment.random:
        return f"{asked} asked for, but nothing here is random: run once" if asked > 1 else "nothing here is random"
    return f"{asked}, root {root}"


def statuses(finished: Finished) -> Text:
    """How many instances ended how, and since when."""
    last = finished.experiment.headline(finished.stored)
    text = Text()
    for status in sorted(set(last["status"]), key=lambda status: (status != "ok", status)):
        hit = last["status"] == status
        since = f" (from iteration {last['status_step'][hit].min()} on)" if status != "ok" and "status_step" in last else ""
        number = f"{hit.sum()} " if len(hit) > 1 else ""
        text.append(f"{', ' if text else ''}{number}{status}{since}", style=STYLES.get(status, "yellow"))
    return text

"""`simlab train ... dry_run=true`: what a run of a language model would need, before anything is loaded."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from envs.invalid import require
from simlab.checked import checked
from simlab.configuration import Plan
from simlab.experiment import Experiment
from simlab.language_training import LanguageTraining
from simlab.terminal import WIDTH
from simlab.words import count


def show(planned: Plan) -> None:
    """Print what each run would need.

    Raises
    ------
    Invalid, Refused
        For the first run that is not accepted, or whose device has no room for it; the latter when its needs are printed.
    """
    console = Console()
    console = console if console.is_terminal else Console(width=WIDTH)
    for job in planned.jobs:
        experiment = checked(job.config)
        _require_language(experiment)
        if planned.sweep:
            console.print(" ".join(job.overrides), style="bold", highlight=False)
        _show(console, experiment, experiment.need)  # type: ignore[attr-defined]
        experiment.require_room()  # type: ignore[attr-defined]


def _require_language(experiment: Experiment) -> None:
    require(isinstance(experiment, LanguageTraining), "dry_run", True, "left out: only a run with scaled=lm has it")


def _show(console: Console, experiment: Any, need: Any) -> None:
    config, going_on = experiment.config, [slot for slot in need.slots if slot in need.kept]
    spread = f" on each of {config['processes']} processes" if config["processes"] > 1 else ""
    left_out = "; passes not looked at" if need.unknown else ""
    lines = [
        ("model", f"{config['scaled']['model']}, {count(need.parameters, 'parameter')}, {need.trained:,} of them trained"),
        ("slots", f"{', '.join(need.slots)}; kept as weights: {', '.join(going_on)}"),
        ("iteration", f"{need.tokens:,} tokens at most ({experiment.lesson})"),
        (
            "memory",
            f"GiB{spread}, by moment; libraries' own and fragments come on top{left_out}",
        ),
    ]
    for name, text in lines:
        console.print(f"{name:<10} {text}", highlight=False)
    console.print(_table(need))


def _table(need: Any) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    table.add_column("")
    parts = list(dict.fromkeys(part for each in need.moments.values() for part in each))
    for moment in need.moments:
        table.add_column(moment, justify="right")
    for part in parts:
        sizes = [each.get(part, 0) for each in need.moments.values()]
        if any(sizes):
            table.add_row(part, *map(_gib, sizes))
    table.add_row("together", *(_gib(sum(each.values())) for each in need.moments.values()), style="bold")
    return table


def _gib(size: float) -> str:
    return f"{size / 2**30:,.2f}" if size else ""

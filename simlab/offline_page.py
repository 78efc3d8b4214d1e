"""What a run of an offline learner comes to, for the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from simlab.experiment import member_name
from simlab.finished import Finished
from simlab.offline import Offline
from simlab.store import final
from simlab.words import count, median, range_heading, seeds, statuses, value_range

MEANINGS = {
    "estimation_error": "|theta - theta*|, H norm",
    "regularised_gap": "J(pi*) - J(pi) = beta KL(pi | pi*)",
    "reward_gap": "E r of pi* less that of pi; of either sign",
    "kl_to_optimum": "KL(pi | pi*)",
    "objective": "J(pi) = E r - beta KL(pi | pi_ref)",
    "accuracy": "pairs whose likelier winner is ranked first",
    "borda_agreement": "pairs ordered as by Borda score",
}


def heading(finished: Finished[Offline]) -> str:
    """The line above the page."""
    experiment = finished.experiment
    comparisons = count(experiment.world.n, "comparison")
    return f"{type(experiment.method).__name__} on {member_name(experiment.config, 'env')}, {comparisons}"


def rows(finished: Finished[Offline]) -> Iterator[tuple[str, RenderableType]]:
    """Labels and what stands beside them."""
    experiment, world = finished.experiment, json.loads(finished.stored.metadata["world"])
    size = f"{count(world['contexts'], 'prompt')}, K={world['actions']}, d={world['d']}, beta={experiment.beta:g}"
    equal = "kept" if world["keep_equal"] else "dropped"
    yield "world", f"{size}, reward sd {world['scale']:g}; {count(world['rows'], 'distinct pair')}, equal draws {equal}"
    yield "labels", f"{world['flip_rate']:.3g} of them wrong"
    yield "loss", Text(finished.stored.metadata["method"])
    yield "", _assumed(finished)
    yield "ridge", f"{experiment.ridge:g}" if experiment.ridge else "none"
    yield "in theory", f"bias {world['bias']:.3g}; root mean square error at this n {world['expected_error']:.3g} (large n, no ridge)"
    yield "seeds", seeds(finished)
    yield "status", statuses(finished)


def figures(finished: Finished[Offline]) -> Group:
    """A row for each figure: its median over samples."""
    last = final(finished.stored)
    samples = len(last["seed"])
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    table.add_column(f"median of {samples} samples" if samples > 1 else "", justify="right")
    if samples > 1:
        table.add_column(range_heading(samples))
    table.add_column("")
    for name in finished.experiment.figures:
        spread = [value_range(last[name])] if samples > 1 else []
        table.add_row(name, median(last[name]), *spread, Text(MEANINGS[name], style="dim"))
    return Group(table)


def remarks(finished: Finished[Offline]) -> Iterator[Text]:
    """What a reader should know besides."""
    status = final(finished.stored)["status"]
    if (status == "no minimiser").any():
        yield Text(
            "No minimiser: the objective falls for ever in some direction of theta. Add comparisons (n well above d / (1 - 2 flip)^2), "
            "or ask for ridge=...; conservative DPO (algorithm=cdpo) always has one.",
            style="yellow",
        )
    if (status == "not converged").any():
        yield Text("Not converged to rounding: ask for ridge=..., or a smaller env.scale.", style="yellow")


def _assumed(finished: Finished[Offline]) -> str:
    values = {key: value for key, value in finished.experiment.config["algorithm"].items() if key != "_target_"}
    return ", ".join(f"{key}={value:.4g}" for key, value in values.items())

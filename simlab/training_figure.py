"""The figure of a training run: exact exploitability and divergence of the model, beside those of the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simlab.experiment import member_name
from simlab.figures.palette import style
from simlab.store import Stored, replacing

PANELS = {"exploitability": "exploitability at beta", "kl_to_equilibrium": "KL(p* | p)"}


def path_of(stored: Stored) -> Path:
    """Beside the rows, which it is drawn from."""
    return stored.path.with_suffix(".png")


def draw(stored: Stored, title: str) -> Path:
    """One panel for each measure: medians over prompts and seeds, with their ranges."""
    from matplotlib.figure import Figure

    method = member_name(stored.config, "algorithm")
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, (name, label) in zip(figure.subplots(1, 2), PANELS.items(), strict=True):
        for column, words, colour in ((f"table_{name}", "table (compiled kernel)", "0.45"), (name, "model", style(method).color)):
            steps, low, middle, high = bands(stored, column)
            axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
            axes.plot(steps, middle, color=colour, label=words, linestyle="--" if column != name else "-")
        axes.set(xlabel="iteration", ylabel=label, yscale="log")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
    figure.suptitle(title, fontsize="medium")
    path = path_of(stored)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    return path


def bands(stored: Stored, column: str) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Iterations; least, median and largest value of each."""
    step, values = stored.column("step"), stored.column(column)
    steps = np.unique(step)
    groups = [values[step == at] for at in steps]
    low, middle, high = (np.array([reduce(group) for group in groups]) for reduce in (np.min, np.median, np.max))
    return steps, low, middle, high

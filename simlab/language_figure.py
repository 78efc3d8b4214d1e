"""The figure of a language model's run: each measure over the iterations."""

from __future__ import annotations

import numpy as np

from simlab.experiment import member_name
from simlab.figures.palette import style
from simlab.store import Stored, replacing
from simlab.training_figure import bands, path_of

LOGARITHMIC = ("exploitability", "tail_exploitability", "kl_to_equilibrium", "residual", "loss")


def draw(stored: Stored, names: tuple[str, ...], title: str) -> None:
    """A panel for each measure: medians over seeds, and prompts where these are measured, with their ranges."""
    from matplotlib.figure import Figure

    across = min(len(names), 4)
    down = -(-len(names) // across)
    figure = Figure(figsize=(3.2 * across, 2.7 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    colour = style(member_name(stored.config, "algorithm")).color
    for axes, name in zip(panels, names, strict=False):
        steps, low, middle, high = bands(stored, name)
        axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(steps, middle, color=colour)
        axes.set(xlabel="iteration", title=name.replace("_", " "), yscale="log" if _positive(name, low) else "linear")
        axes.grid(alpha=0.25)
    for axes in panels[len(names) :]:
        axes.axis("off")
    figure.suptitle(title, fontsize="medium")
    with replacing(path_of(stored)) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def _positive(name: str, low: np.ndarray) -> bool:
    known = low[np.isfinite(low)]
    return name in LOGARITHMIC and bool(len(known)) and bool((known > 0).all())

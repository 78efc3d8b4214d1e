"""The gap of self-play methods against iterations, a figure for each cell of settings, as pictures within the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from simlab.refusal import Refused
from simlab.report.runs import Group, in_words

if TYPE_CHECKING:
    from pandas import DataFrame

MEASURES = ("duality_gap", "exploitability", "original_exploitability", "kl_to_equilibrium")
"""The first of these that a cell has is drawn."""

MOST = 8
"""Figures of one group of runs."""


class Trajectory(NamedTuple):
    """A figure: `source` is the picture itself, as a data URI."""

    caption: str
    source: str


def trajectories(group: Group) -> tuple[list[Trajectory], int]:
    """Figures of the first MOST cells in which methods can be drawn together, and how many cells there are."""
    if "status_step" not in group.frame:
        return [], 0
    return list(islice(_figures(group), MOST)), sum(1 for _ in _cells(group))


def _figures(group: Group) -> Iterator[Trajectory]:
    from simlab.figures import gap

    for values, rows in _cells(group):
        measure = next((name for name in MEASURES if name in rows and rows[name].notna().any()), None)
        if measure is None:
            continue
        try:
            drawing = gap.draw(rows[rows[measure].notna() | (rows["status"] != "ok")], measure=measure)
        except Refused:
            continue  # several settings of one method: no curve is the method's
        picture = io.BytesIO()
        drawing.figure.savefig(picture, format="png", dpi=180, metadata={"Software": None})
        caption = in_words(dict(zip(group.cells, values, strict=True)))
        yield Trajectory(caption, f"data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}")


def _cells(group: Group) -> Iterator[tuple[tuple, DataFrame]]:
    if not group.cells:
        yield (), group.frame
        return
    yield from group.frame.groupby(group.cells, dropna=False)

"""A figure with the numbers that are drawn in it, saved together."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simlab.store import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

DPI = 200
"""Of the PNG."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure and the table it was drawn from.

    Attributes
    ----------
    figure : matplotlib's
    data : every number that is drawn, a row a point, line or cell
    """

    figure: Figure
    data: DataFrame

    def __post_init__(self) -> None:
        """Lay the figure out and keep that: laid out anew at each saving, axes of a fixed shape would move a little each time."""
        for _ in range(2):
            self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")

    def save(self, stem: str | os.PathLike[str]) -> tuple[Path, Path, Path]:
        """Write STEM.png, STEM.pdf and STEM.csv, each whole or not at all; makes the folder where it is missing.

        The same figure gives the same bytes: no date is written.
        """
        beside = Path(stem).expanduser()
        beside.parent.mkdir(parents=True, exist_ok=True)
        png, pdf, csv = (beside.with_name(f"{beside.name}.{ending}") for ending in ("png", "pdf", "csv"))
        with replacing(png) as temporary:
            self.figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})
        with replacing(pdf) as temporary:
            self.figure.savefig(temporary, format="pdf", metadata={"CreationDate": None})
        with replacing(csv) as temporary:
            self.data.to_csv(temporary, index=False)
        return png, pdf, csv

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        written = io.BytesIO()
        self.figure.savefig(written, format="png", dpi=DPI / 2)
        return written.getvalue()

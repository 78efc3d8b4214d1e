"""A block of a grid: the experiments of its cells one after another, their rows in one table with the settings of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from simlab import grid
from simlab.experiment import Experiment
from simlab.sharing import sharing
from simlab.store import Stored


@dataclass(frozen=True, eq=False)
class Gridded(Experiment):
    """One job of `simlab run` with a grid; its rows are those of the cells' own runs, bit for bit.

    Attributes
    ----------
    config : with `grid` and `block`
    world, method : those of the first cell
    settings : what varies, for each cell of the block
    cells : the experiment of each
    """

    settings: tuple[dict[str, Any], ...]
    cells: tuple[Experiment, ...]

    page: ClassVar[str] = "simlab.grid_page"

    @property
    def figures(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for cell in self.cells for name in cell.figures))

    @property
    def random(self) -> bool:
        return any(cell.random for cell in self.cells)

    @property
    def equations(self) -> str:
        """Of the first cell."""
        return self.cells[0].equations

    def facts(self) -> dict[str, Any]:
        return {"cells": len(self.cells)}

    def run(self) -> dict[str, NDArray]:
        """Run cell by cell, keeping nothing of one but its rows; `cell` is its number in the grid."""
        first = self.config["block"] * self.config["cells"]
        with sharing():
            parts = [replace(cell).run() for cell in self.cells]
        rows = [len(next(iter(part.values()))) for part in parts]
        columns = {"cell": np.repeat(np.arange(first, first + len(parts)), rows)}
        for key, values in grid.axes(self.config).items():
            shown = dict(zip(map(str, values), grid.alike(values), strict=True))
            columns[key] = np.repeat(np.array([shown[str(cell[key])] for cell in self.settings]), rows)
        names = dict.fromkeys(name for part in parts for name in part)
        return columns | {name: _joined(name, parts, rows) for name in names}

    def headline(self, stored: Stored) -> dict[str, NDArray]:
        """The rows that say most of every cell: those of its last iteration."""
        columns = stored.columns
        if "step" not in columns:
            return self.cells[0].headline(stored)
        cell = columns["cell"] - columns["cell"].min()
        last = np.zeros(cell.max() + 1, dtype=np.int64)
        np.maximum.at(last, cell, columns["step"])
        return {name: values[columns["step"] == last[cell]] for name, values in columns.items()}


def _joined(name: str, parts: list[dict[str, NDArray]], rows: list[int]) -> Any:
    """One column of all cells; a measure that a cell does not take (at beta=0 there may be none) is nan."""
    given: list[Any] = [part.get(name, np.full(length, np.nan)) for part, length in zip(parts, rows, strict=True)]
    if any(isinstance(values, list) for values in given):
        return [value for values in given for value in values]
    return np.concatenate(given)


def check_cells(config: dict[str, Any], check: Callable[[dict[str, Any]], Experiment]) -> Gridded:
    """Make the experiment of every cell of a configuration's block.

    Raises
    ------
    Invalid, Refused
        For the first cell that is wrong, or a grid that is.
    """
    settings = grid.cells(config)
    with sharing():
        cells = [check(grid.at(config, cell)) for cell in settings]
    return Gridded(config, cells[0].world, cells[0].method, tuple(settings), tuple(cells))

"""The world that is given: one preference matrix, written out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.dials import numbers
from envs.game import Game
from envs.invalid import Invalid, require
from envs.world import World


@dataclass(frozen=True, kw_only=True)
class Matrix(World):
    """P[i, j] = rows[i][j].

    Parameters
    ----------
    rows : K lists of K probabilities
        Row i holds the probabilities that action i beats each; P + P' = 1 to 1e-12, 1/2 on the diagonal, K at least 2.

    Raises
    ------
    Invalid
        With the key `rows` where this is no table of numbers, with `rows[i,j]` where that entry is wrong.
    """

    rows: Sequence[Sequence[float]]

    random = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", _table(self.rows))
        super().__post_init__()
        actions = len(self.rows)
        square = actions >= 2 and all(len(row) == actions for row in self.rows)
        require(square, "rows", [list(row) for row in self.rows], "K >= 2 lists of K probabilities")
        try:
            Game(np.array(self.rows), np.full(actions, -np.log(actions)), 0.0)
        except Invalid as error:
            key, value = (str(part).replace("preference", "rows") for part in (error.key, error.value))
            raise Invalid(key, value, error.allowed) from None

    def preference(self, rng: np.random.Generator) -> NDArray:
        del rng
        return np.array(self.rows)


def _table(rows: object) -> tuple[tuple[float, ...], ...]:
    require(not isinstance(rows, str), "rows", rows, "a list of lists of numbers")
    try:
        return tuple(numbers("rows", row) for row in rows)  # type: ignore[attr-defined]
    except (Invalid, TypeError):
        raise Invalid("rows", rows, "a list of lists of numbers") from None

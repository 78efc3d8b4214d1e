"""nashpy: its linear programme for zero-sum games."""

from collections.abc import Callable

import nashpy
import numpy as np
from numpy.typing import NDArray

from benchmarks.instances import games, gaps
from benchmarks.work import Size

LIBRARY = "nashpy"


def prepare(size: Size) -> Callable[[], NDArray]:
    given = games(size)
    return lambda: gaps(given, np.stack([nashpy.Game(game.preference - 0.5).linear_program()[0] for game in given]))

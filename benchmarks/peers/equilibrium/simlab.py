"""simlab: a linear programme, solved by HiGHS, then the equations on its support."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.instances import games, gaps
from benchmarks.work import Size
from envs.equilibrium import nash

LIBRARY = "simlab"


def prepare(size: Size) -> Callable[[], NDArray]:
    given = games(size)
    return lambda: gaps(given, np.stack([nash(game) for game in given]))

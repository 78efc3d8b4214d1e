"""numpy: one policy after the other, a product of matrix and vector an iteration."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.instances import one_game, starts
from benchmarks.peers.shared_game.numpy_together import gaps
from benchmarks.work import Size

LIBRARY = "numpy"


def prepare(size: Size) -> Callable[[], NDArray]:
    game, start = one_game(size), starts(size)
    return lambda: np.concatenate([gaps(game, policy[:, None], size["iterations"]) for policy in start])

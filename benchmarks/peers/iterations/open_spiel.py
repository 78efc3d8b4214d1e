"""OpenSpiel's magnetic mirror descent over sequences, on the zero-sum game P - 1/2 as an extensive game; one instance.

Its magnet is uniform, as our reference is. With magnet strength alpha = beta its step s is ours at 1/rate = beta + 1/s, and both
players move as one in a symmetric game from a symmetric start, so its gap is the duality gap.
"""

from collections.abc import Callable

import numpy as np
import pyspiel
from numpy.typing import NDArray
from open_spiel.python.algorithms.mmd_dilated import MMDDilatedEnt

from benchmarks.instances import BETA, SLOW, advantages, told
from benchmarks.work import Size

LIBRARY = "open_spiel"


def prepare(size: Size) -> Callable[[], NDArray]:
    (payoff,) = advantages(size | {"instances": 1}, 0)
    actions = [str(action) for action in range(len(payoff))]
    matrix = pyspiel.create_matrix_game("preference", "a preference game", actions, actions, payoff.tolist(), (-payoff).tolist())
    game = pyspiel.convert_to_turn_based(matrix)

    def work() -> NDArray:
        solver = MMDDilatedEnt(game, alpha=BETA, stepsize=1 / (1 / SLOW - BETA))
        gaps = [solver.get_gap()]
        for _ in range(size["iterations"]):
            solver.update_sequences()
            gaps.append(solver.get_gap())
        return told(np.array([gaps], dtype=np.float64))

    return work

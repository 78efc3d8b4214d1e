"""simlab: duels drawn in the kernel, on one thread."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import simlab
from benchmarks.instances import RATE, games, method, outcome
from benchmarks.work import Size
from envs.feedback import Duels

LIBRARY = "simlab"


def prepare(size: Size) -> Callable[[], NDArray]:
    given, chosen, seeds, steps = games(size), method(size, RATE), size["seeds"], size["iterations"]
    feedback = Duels(per_action=size["per_action"])
    preference = np.stack([game.preference for game in given])

    def work() -> NDArray:
        run = simlab.simulate(given, chosen, steps=steps, seeds=seeds, feedback=feedback, record=[steps], threads=1)
        return outcome(preference, np.exp(run.log_policy[:, 0]).reshape(len(given), seeds, -1))

    return work

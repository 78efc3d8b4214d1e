"""simlab: one pass of the fit over the features."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from algorithms.fit import Objective
from algorithms.rdpo import RobustDPO
from benchmarks.instances import FLIP, labelled, point
from benchmarks.work import Size
from envs.comparisons import Comparisons

LIBRARY = "simlab"


def prepare(size: Size) -> Callable[[], NDArray]:
    features, won = labelled(size)
    objective, theta = Objective(RobustDPO(FLIP), Comparisons(features, won, 1 - won), 0.0), point(size)

    def work() -> NDArray:
        there = objective.at(theta)
        return np.append(there.value, there.gradient)[None]

    return work

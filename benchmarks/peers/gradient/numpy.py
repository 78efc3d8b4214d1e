"""numpy and scipy: the loss of each pair's winner, in two passes over the features."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from benchmarks.instances import FLIP, labelled, point
from benchmarks.work import Size

LIBRARY = "numpy"


def prepare(size: Size) -> Callable[[], NDArray]:
    features, won = labelled(size)
    sign, theta, tilt = 2 * won - 1, point(size), FLIP / (1 - 2 * FLIP)

    def work() -> NDArray:
        margin = sign * (features @ theta)
        value = np.mean(np.logaddexp(0, -margin) - tilt * margin)
        return np.append(value, -(sign * (expit(-margin) + tilt)) @ features / len(margin))[None]

    return work

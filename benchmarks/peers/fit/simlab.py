"""simlab: from arrays that may not be written to, so that nobody copies them, to the minimiser, with the proof that there is one."""

from collections.abc import Callable

from numpy.typing import NDArray

from algorithms.fit import fit
from algorithms.rdpo import RobustDPO
from benchmarks.instances import RIDGE, labelled
from benchmarks.work import Size
from envs.comparisons import Comparisons

LIBRARY = "simlab"


def prepare(size: Size) -> Callable[[], NDArray]:
    features, won = labelled(size)
    lost = 1 - won
    for array in (features, won, lost):
        array.setflags(write=False)
    return lambda: fit(RobustDPO(0.0), Comparisons(features, won, lost), RIDGE).theta[None]

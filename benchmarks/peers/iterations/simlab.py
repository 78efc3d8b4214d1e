"""simlab: the kernel, on one thread."""

from collections.abc import Callable

from numpy.typing import NDArray

import simlab
from benchmarks.instances import SLOW, games, method, told
from benchmarks.work import Size

LIBRARY = "simlab"


def prepare(size: Size) -> Callable[[], NDArray]:
    given, chosen, steps = games(size), method(size, SLOW), size["iterations"]

    def work() -> NDArray:
        run = simlab.simulate(given, chosen, steps=steps, record="every", measure=("duality_gap",), slots=(), threads=1)
        return told(run.measured["duality_gap"])

    return work

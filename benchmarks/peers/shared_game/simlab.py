"""simlab: one game, a random start for each seed."""

from collections.abc import Callable

from numpy.typing import NDArray

import simlab
from benchmarks.instances import RATE, method, one_game, starts, told
from benchmarks.work import Size

LIBRARY = "simlab"


def prepare(size: Size) -> Callable[[], NDArray]:
    game, chosen, many, steps = one_game(size), method(size, RATE), size["instances"], size["iterations"]
    start = starts(size)[None]

    def work() -> NDArray:
        run = simlab.simulate(
            game, chosen, steps=steps, seeds=many, start=start, record="every", measure=("duality_gap",), slots=(), threads=1
        )
        return told(run.measured["duality_gap"])

    return work

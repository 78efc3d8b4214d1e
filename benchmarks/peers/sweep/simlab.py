"""simlab: one command, `simlab run grid=...`, into a new folder, which is then read."""

import tempfile
from collections.abc import Callable

from numpy.typing import NDArray

import simlab
from benchmarks.instances import axes
from benchmarks.work import Size
from simlab.cli import main

LIBRARY = "simlab"


def prepare(size: Size) -> Callable[[], NDArray]:
    steps = size["iterations"]
    grid = ",".join(f"{key}:[{','.join(map(str, values))}]" for key, values in axes(size).items())
    words = ["env=blend", "env.actions=10", f"steps={steps}", f"record=[{steps}]", "measure=exploitability", f"grid={{{grid}}}"]

    def work() -> NDArray:
        with tempfile.TemporaryDirectory() as store:
            status = main(["run", *words, f"store={store}", "threads=1"])
            assert status == 0, f"simlab run ended with status {status}"
            return simlab.load(store).sort_values("cell").exploitability.to_numpy()[:, None]

    return work

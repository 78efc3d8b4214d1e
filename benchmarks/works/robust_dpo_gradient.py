"""How near a pair loss and its gradient are to what memory allows."""

from benchmarks.agreement import relative
from benchmarks.work import Case, Target, Work

WORK = Work(
    what="Robust DPO's loss and gradient at one point; the ratio to `memory` is the share of one reading of the features.",
    peers="gradient",
    unit="gradient",
    units=lambda size: 1,
    cases={
        "n=1,000,000, d=50": Case(
            {"instances": 1, "pairs": 1_000_000, "dimension": 50}, quick={"pairs": 2000}, targets={"memory": Target(0.5, 0.8)}
        )
    },
    difference=relative,
    limit=1e-9,
)

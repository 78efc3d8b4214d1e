"""Many small settings."""

from benchmarks.agreement import relative
from benchmarks.work import Case, Target, Work

WORK = Work(
    what="A grid of 10,000 settings of a few iterations each, into files; Hydra runs 20 of them, and is told for each setting.",
    peers="sweep",
    unit="setting",
    units=lambda size: 1,
    cases={
        "10,000 settings": Case(
            {"instances": 10_000, "each": 10, "iterations": 20},
            quick={"instances": 16, "each": 2},
            targets={"hydra": Target(100, 300)},
        )
    },
    difference=relative,
    limit=1e-9,
)

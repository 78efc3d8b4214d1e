"""How far the kernel is from the least arithmetic that an iteration needs."""

from benchmarks.agreement import relative
from benchmarks.work import Case, Target, Work

NEAR = {"floor": Target(1 / 3, 1 / 1.5)}
SIZE = {"actions": 10, "instances": 320, "iterations": 2000}
QUICK = {"instances": 32, "iterations": 20}

WORK = Work(
    what="The time of the exponentials, logarithms and products that an iteration with its duality gap needs, and nothing else.",
    peers="floor",
    unit="iteration and instance",
    units=lambda size: size["iterations"],
    cases={
        "mirror descent": Case(SIZE | {"queries": 1}, quick=QUICK, targets=NEAR),
        "EGPO": Case(SIZE | {"queries": 2}, quick=QUICK, targets=NEAR),
    },
    difference=relative,
    limit=1e-9,
)

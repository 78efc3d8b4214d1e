"""Seeds that share one large game."""

from benchmarks.agreement import relative
from benchmarks.work import Case, Target, Work

WORK = Work(
    what="Online mirror descent from 32 random starts on one game, with the duality gap at every iteration.",
    peers="shared_game",
    unit="iteration and policy",
    units=lambda size: size["iterations"],
    cases={
        "K=1000": Case(
            {"queries": 1, "actions": 1000, "instances": 32, "iterations": 30},
            quick={"actions": 50, "instances": 4, "iterations": 5},
            targets={"numpy": Target(1.5, 2.3)},
        )
    },
    difference=relative,
    limit=1e-9,
)

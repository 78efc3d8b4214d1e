"""Methods that learn from single duels."""

from benchmarks.agreement import sigmas
from benchmarks.work import Case, Target, Work

SIZE = {"actions": 10, "instances": 80, "seeds": 4, "iterations": 20, "per_action": 100}
QUICK = {"instances": 8, "iterations": 3, "per_action": 10}

WORK = Work(
    what="Mirror descent and EGPO from 100 duels an action and query. Draws differ, so answers agree up to their noise.",
    peers="sampled",
    unit="duel",
    units=lambda size: size["seeds"] * size["iterations"] * size["queries"] * size["actions"] * size["per_action"],
    cases={
        "mirror descent, K=10": Case(SIZE | {"queries": 1}, quick=QUICK, targets={"numpy": Target(8, 20)}, per_second=5e7),
        "EGPO, K=10": Case(SIZE | {"queries": 2}, quick=QUICK, targets={"numpy": Target(8, 20)}, per_second=5e7),
    },
    difference=sigmas,
    limit=5.0,
)

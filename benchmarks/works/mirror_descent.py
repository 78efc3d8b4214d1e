"""Online mirror descent with exact feedback, and the duality gap at every iteration."""

from benchmarks.agreement import relative
from benchmarks.work import Case, Target, Work

ONE = {"queries": 1}
SMALL_ONLY = ("open_spiel", "numpy_lanes")

WORK = Work(
    what="Online mirror descent, exact feedback, with the duality gap at every iteration, on random games.",
    peers="iterations",
    unit="iteration and instance",
    units=lambda size: size["iterations"],
    cases={
        "K=10": Case(
            ONE | {"actions": 10, "instances": 320, "iterations": 2000},
            quick={"instances": 8, "iterations": 20},
            targets={"jax": Target(3, 5)},
        ),
        "K=10, 100 instances": Case(
            ONE | {"actions": 10, "instances": 100, "iterations": 2000}, targets={"numpy": Target(8, 12)}, without=("open_spiel",)
        ),
        "K=100": Case(
            ONE | {"actions": 100, "instances": 32, "iterations": 500},
            quick={"instances": 4, "iterations": 10},
            targets={"numpy": Target(1.5, 3)},
            without=SMALL_ONLY,
        ),
        "K=1000": Case(ONE | {"actions": 1000, "instances": 1, "iterations": 300}, targets={"numpy": Target(1.5, 1.8)}, without=SMALL_ONLY),
    },
    difference=relative,
    limit=1e-9,
)

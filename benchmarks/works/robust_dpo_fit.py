"""The fit of an offline learner."""

from benchmarks.agreement import absolute
from benchmarks.work import Case, Target, Work

WORK = Work(
    what="Robust DPO's fit at flip 0, where it is logistic regression; every pair has features of its own.",
    peers="fit",
    unit="fit",
    units=lambda size: 1,
    cases={
        "n=1,000,000, d=10": Case(
            {"instances": 1, "pairs": 1_000_000, "dimension": 10}, quick={"pairs": 2000}, targets={"scikit_learn": Target(5, 8)}
        )
    },
    difference=absolute,
    limit=1e-6,
)

"""EGPO with exact feedback, and the duality gap at every iteration: mirror descent's cases with two queries an iteration."""

from dataclasses import replace

from benchmarks.works import mirror_descent

WORK = replace(
    mirror_descent.WORK,
    what="EGPO (an extragradient: two queries an iteration), otherwise as mirror_descent.",
    cases={
        name: replace(case, size=case.size | {"queries": 2}, without=(*case.without, "open_spiel"))
        for name, case in mirror_descent.WORK.cases.items()
    },
)

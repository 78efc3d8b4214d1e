"""Equilibria of games without regularisation."""

from benchmarks.agreement import itself
from benchmarks.work import Case, Work

WORK = Work(
    what="An equilibrium of the unregularised game; the answer is its duality gap, at most 1e-9.",
    peers="equilibrium",
    unit="game",
    units=lambda size: 1,
    cases={"K=10": Case({"actions": 10, "instances": 100}, quick={"instances": 3})},
    difference=itself,
    limit=1e-9,
)

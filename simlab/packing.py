"""Between games and the kernel: instances as arrays, lane by lane, and room for what a block is to record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms import kernel
from algorithms.tableau import KINDS, POLICY, Tableau
from envs.feedback import Exact
from envs.game import Game

MEASURES = {
    "exploitability": (kernel.EXPLOITABILITY, 1.0),
    "duality_gap": (kernel.EXPLOITABILITY, 2.0),
    "original_exploitability": (kernel.ORIGINAL_EXPLOITABILITY, 1.0),
    "original_duality_gap": (kernel.ORIGINAL_EXPLOITABILITY, 2.0),
    "kl_to_equilibrium": (kernel.KL_TO_EQUILIBRIUM, 1.0),
    "kl_to_reference": (kernel.KL_TO_REFERENCE, 1.0),
}
"""What the kernel can measure, of the returned policy or (with the prefix `average_`) of the average policy."""

AVERAGE = "average_"


@dataclass(frozen=True, eq=False)
class Plan:
    """What every block of a run shares."""

    target: str
    feedback: Exact
    steps: NDArray
    slots: tuple[str, ...]
    measure: tuple[str, ...]
    tableaus: dict[float, Tableau]
    equilibria: dict[int, NDArray]

    @property
    def with_average(self) -> bool:
        return POLICY in self.slots or any(name.startswith(AVERAGE) for name in self.measure)


def run_block(plan: Plan, games: list[Game], seeds: int, streams: NDArray, starts: NDArray, block: NDArray) -> kernel.Records:
    """Run the instances whose numbers are in `block` (all at one beta); instance n is game n // seeds, seed n % seeds."""
    members = [games[number // seeds] for number in block]
    tableau = plan.tableaus[members[0].beta]
    instances = kernel.Block(
        streams=streams[block],
        **_policies(plan, members, [starts[number // seeds, number % seeds] for number in block]),
        **_feedback(plan, members),
    )
    _, actions, lanes = instances.fixed.shape
    records = _records(plan, tableau, actions, lanes)
    kernel.run_block(_table(tableau), instances, _state(tableau, actions, lanes), records)
    return records


def _table(tableau: Tableau) -> kernel.Table:
    index = {slot: number for number, slot in enumerate(tableau.slots)}
    stages = tableau.stages
    ends = np.cumsum([len(loop.stages) for loop in tableau.loops])
    return kernel.Table(
        kind=np.array([KINDS.index(stage.kind) for stage in stages]),
        to=np.array([index[stage.to] for stage in stages]),
        base=np.array([index[stage.base] for stage in stages]),
        source=np.array([index.get(stage.source, -1) for stage in stages]),
        copied=np.array([-1 if stage.copied is None else index[stage.copied] for stage in stages]),
        samples=np.array([stage.samples for stage in stages]),
        every=np.array([stage.every for stage in stages]),
        loops=np.array([(end - len(loop.stages), end, loop.times) for loop, end in zip(tableau.loops, ends, strict=True)]),
        tolerances=np.array([loop.tolerance for loop in tableau.loops]),
        anchors=tableau.weights("anchor"),
        opponents=tableau.weights("opponent"),
        rates=tableau.rates(),
        returned=index[tableau.returns],
    )


def _policies(plan: Plan, games: list[Game], starts: list[NDArray]) -> dict[str, Any]:
    references = [game.log_reference for game in games]
    equilibria = [plan.equilibria[id(game)] for game in games] if plan.equilibria else references
    fixed = np.stack([_lanes(references), _lanes(starts), _lanes(equilibria)])
    beta, regularised = games[0].beta, plan.target == "regularised"
    return {
        "fixed": fixed,
        "fixed_probs": np.exp(fixed),
        "beta": beta,
        "watched_beta": beta if regularised else 0.0,
        "watch_equilibrium": bool(plan.equilibria) and regularised,
    }


def _feedback(plan: Plan, games: list[Game]) -> dict[str, Any]:
    feedback = plan.feedback
    labels = [feedback.labels(game) if feedback.random else feedback.debiased(feedback.labels(game)) for game in games]
    unchanged = all(np.array_equal(matrix, game.preference) for matrix, game in zip(labels, games, strict=True))
    advantage = _lanes([game.preference.T - 0.5 for game in games])
    return {
        "advantage": advantage,
        "labels": advantage if unchanged else _lanes([matrix.T - 0.5 for matrix in labels]),
        "clean": unchanged and not feedback.random,
        "duels": feedback.per_action,
        "assumed_flip": float(feedback.assumed_flip),
    }


def _lanes(arrays: list[NDArray]) -> NDArray:
    return np.ascontiguousarray(np.stack(arrays, axis=-1))


def _state(tableau: Tableau, actions: int, lanes: int) -> kernel.State:
    slots, samples = len(tableau.slots), max(stage.samples for stage in tableau.stages)
    policies, columns = (slots + 2, actions, lanes), (actions, lanes)
    average = np.zeros((2, *columns))
    average[0] = -np.inf
    return kernel.State(
        logs=np.zeros(policies),
        probs=np.zeros(policies),
        wins=np.zeros(policies),
        known=np.zeros(slots, dtype=np.bool_),
        written=np.zeros(slots, dtype=np.bool_),
        ready=np.zeros(slots + 2, dtype=np.bool_),
        counts=np.zeros(5, dtype=np.int64),
        move=np.zeros(columns),
        field=np.zeros(columns),
        before=np.zeros(columns),
        average=average,
        look=np.zeros((3, lanes)),
        sums=np.zeros((2, actions)),
        tally=np.zeros((2, samples)),
    )


def _records(plan: Plan, tableau: Tableau, actions: int, lanes: int) -> kernel.Records:
    at, average = len(plan.steps), len(tableau.slots)
    kept = [tableau.slots.index(tableau.returns if slot == POLICY else slot) for slot in plan.slots]
    if POLICY in plan.slots:
        kept.append(average)
    codes = [(MEASURES[name.removeprefix(AVERAGE)][0], int(name.startswith(AVERAGE))) for name in plan.measure]
    return kernel.Records(
        steps=plan.steps,
        slots=np.array(kept, dtype=np.int64),
        measures=np.array(codes, dtype=np.int64).reshape(len(codes), 2),
        with_average=plan.with_average,
        logs=np.zeros((len(kept), at, actions, lanes)),
        measured=np.zeros((len(codes), at, lanes)),
        spent=np.zeros((at, 2), dtype=np.int64),
        status=np.zeros(lanes, dtype=np.int64),
        status_step=np.full(lanes, -1),
    )

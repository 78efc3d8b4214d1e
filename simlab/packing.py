"""Between games and the kernel: instances as arrays, lane by lane, and room for what a block is to record."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms import kernel
from algorithms.tableau import KINDS, POLICY, Tableau
from envs.feedback import Exact
from envs.game import Game
from simlab.sharing import once

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

    @cached_property
    def tables(self) -> dict[float, kernel.Table]:
        """The tableaus as the kernel reads them, by beta."""
        return {beta: once("tables", (), partial(_table, tableau), of=tableau) for beta, tableau in self.tableaus.items()}

    @property
    def with_average(self) -> bool:
        return POLICY in self.slots or any(name.startswith(AVERAGE) for name in self.measure)


def run_block(plan: Plan, games: list[Game], seeds: int, streams: NDArray, starts: NDArray, block: NDArray) -> kernel.Records:
    """Run the instances whose numbers are in `block` (all at one beta); instance n is game n // seeds, seed n % seeds."""
    wanted, block = len(block), _filled(block)
    members = [games[number // seeds] for number in block]
    tableau = plan.tableaus[members[0].beta]
    instances = kernel.Block(
        streams=streams[block],
        **_policies(plan, members, [starts[number // seeds, number % seeds] for number in block]),
        **_feedback(plan, members),
    )
    actions, lanes = members[0].actions, len(members)
    records = _records(plan, tableau, actions, lanes)
    kernel.run_block(plan.tables[members[0].beta], instances, _state(tableau, actions, lanes), records)
    return records._replace(
        logs=records.logs.reshape(*records.logs.shape[:2], actions, lanes)[..., :wanted],
        measured=records.measured[..., :wanted],
        status=records.status[:wanted],
        status_step=records.status_step[:wanted],
    )


def _filled(block: NDArray) -> NDArray:
    """The instances of a block, one alone or with its last one repeated until eights are full, which is how the kernel takes them."""
    return block if len(block) == 1 else np.append(block, np.repeat(block[-1], -len(block) % kernel.EIGHT))


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
    together = np.concatenate([*references, *starts, *equilibria]).reshape(3, len(games), -1)
    fixed = together.transpose(0, 2, 1).reshape(3, -1)
    regularised = kernel.KL_TO_EQUILIBRIUM if plan.equilibria else kernel.EXPLOITABILITY
    return {
        "fixed": fixed,
        "fixed_probs": np.exp(fixed),
        "beta": games[0].beta,
        "watched": regularised if plan.target == "regularised" else kernel.ORIGINAL_EXPLOITABILITY,
    }


def _feedback(plan: Plan, games: list[Game]) -> dict[str, Any]:
    """What is asked and what is true, of every instance, or of the one game that a block has where games are large."""
    feedback, games = plan.feedback, games if games[0].actions <= kernel.INTERLEAVED else games[:1]
    labels = [feedback.labels(game) for game in games]
    if feedback.assumed_flip and not feedback.random:
        labels = [feedback.debiased(matrix) for matrix in labels]
    pairs = zip(labels, games, strict=True)
    unchanged = all(matrix is game.preference or np.array_equal(matrix, game.preference) for matrix, game in pairs)
    advantage = _matrix([game.preference for game in games])
    return {
        "advantage": advantage,
        "labels": advantage if unchanged else _matrix(labels),
        "clean": unchanged and not feedback.random,
        "duels": feedback.per_action,
        "assumed_flip": float(feedback.assumed_flip),
    }


LINE = 64
"""Bytes of a line of the cache."""


def _room(*shape: int) -> NDArray:
    """Zeros that begin where a line of the cache does, so that eight lanes are one line."""
    size, spare = prod(shape), LINE // 8
    room = np.zeros(size + spare)
    first = -room.ctypes.data % LINE // 8
    return room[first : first + size].reshape(shape)


def _matrix(preferences: list[NDArray]) -> kernel.Matrix:
    actions = len(preferences[0])
    lanes, eights = _room(actions, actions, len(preferences)), np.zeros((0, 0, kernel.EIGHT))
    together = np.concatenate(preferences) if len(preferences) > 1 else preferences[0]
    np.subtract(together.reshape(-1, actions, actions).transpose(2, 1, 0), 0.5, out=lanes)
    if actions <= kernel.INTERLEAVED:  # what is read of it is above the diagonal
        above, below = np.triu_indices(actions, 1), np.tril_indices(actions)
        lanes[below] = 0.0
        lanes[above[::-1]] = -lanes[above]
    if actions > kernel.WHOLE:
        rest = -actions % kernel.EIGHT
        eights = (np.pad(lanes[:, :, 0], (0, rest)) if rest else lanes).reshape(actions + rest, -1, kernel.EIGHT)
    return kernel.Matrix(lanes=lanes, rows=lanes.reshape(actions, -1), eights=eights)


PANEL = 256
"""Duels whose random numbers are drawn at a time, or two for every action where those are more."""


def _state(tableau: Tableau, actions: int, lanes: int) -> kernel.State:
    slots, samples = len(tableau.slots), max(stage.samples for stage in tableau.stages)
    policies, columns = (slots + 2, actions, lanes), (actions, lanes)
    arrays = {name: _room(*policies) for name in ("logs", "probs", "wins")}
    arrays |= {"move": _room(*columns), "field": _room(*columns), "average": _room(2, *columns)}
    arrays["average"][0] = -np.inf
    eights = np.zeros((2, -(-actions // kernel.EIGHT) * (1 if lanes == 1 else kernel.EIGHT), kernel.EIGHT))
    pairs = max(1, PANEL // (2 * actions))
    return kernel.State(
        **arrays,
        cells=kernel.Cells(
            **{name: array.reshape(*array.shape[:-2], actions * lanes) for name, array in arrays.items()}, eights=eights.reshape(2, -1)
        ),
        known=np.zeros(slots, dtype=np.bool_),
        written=np.zeros(slots, dtype=np.bool_),
        ready=np.zeros(slots + 2, dtype=np.bool_),
        counts=np.zeros(5, dtype=np.int64),
        before=np.zeros(columns),
        look=_room(3, lanes),
        threshold=np.zeros(lanes),
        streak=np.zeros(lanes, dtype=np.int64),
        eights=eights,
        partial=np.zeros((2 * kernel.EIGHT, kernel.EIGHT)),
        sums=np.zeros((2, actions)),
        tally=np.zeros((2, samples)),
        panel=np.stack([np.repeat(np.arange(pairs), actions), np.tile(np.arange(actions), pairs)]).astype(np.uint64),
        drawn=np.zeros((2, 2 * pairs * actions)),
        chosen=np.zeros(2 * pairs * actions, dtype=np.uint64),
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
        logs=np.zeros((len(kept), at, actions * lanes)),
        measured=np.zeros((len(codes), at, lanes)),
        spent=np.zeros((at, 2), dtype=np.int64),
        status=np.zeros(lanes, dtype=np.int64),
        status_step=np.full(lanes, -1),
    )

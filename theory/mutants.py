"""Wrong methods made from right ones: each operator changes one entry of a tableau.

A claim's check is worth what it rejects. Transposing P is not listed: P' q = 1 - P q, so it is `negated`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from algorithms.symbol import Coefficient, Symbol, as_symbol
from algorithms.tableau import REFERENCE, Loop, Stage, Tableau, copy, mix
from simlab.run import Method

Operator = Callable[[Tableau], Tableau]


@dataclass(frozen=True)
class Mutant:
    """A method whose tableau is another's, changed.

    Parameters
    ----------
    original : Method
    operator : Tableau -> Tableau
    """

    original: Method
    operator: Operator

    @property
    def target(self) -> str:
        """The original's."""
        return self.original.target

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        return self.operator(self.original.tableau(beta, steps=steps, actions=actions))


def each_stage(change: Callable[[Stage], Stage]) -> Operator:
    """Apply `change` to every stage."""

    def operator(tableau: Tableau) -> Tableau:
        loops = (replace(loop, stages=tuple(change(stage) for stage in loop.stages)) for loop in tableau.loops)
        return Tableau(*loops, returns=tableau.returns)

    return operator


def one_stage(number: int, change: Callable[[Stage], Stage]) -> Operator:
    """Apply `change` to stage `number` (counted over all loops)."""

    def operator(tableau: Tableau) -> Tableau:
        chosen = tableau.stages[number]
        return each_stage(lambda stage: change(stage) if stage is chosen else stage)(tableau)

    return operator


def dropped(number: int) -> Operator:
    """Leave out stage `number`."""

    def operator(tableau: Tableau) -> Tableau:
        chosen = tableau.stages[number]
        rest = [(loop, tuple(stage for stage in loop.stages if stage is not chosen)) for loop in tableau.loops]
        return Tableau(*(Loop(stages, loop.times, loop.tolerance) for loop, stages in rest if stages), returns=tableau.returns)

    return operator


def around(number: int, change: Callable[[Stage], tuple[Stage, ...]]) -> Operator:
    """Put several stages in the place of stage `number`, in its loop."""

    def operator(tableau: Tableau) -> Tableau:
        chosen = tableau.stages[number]
        widened = [
            replace(loop, stages=tuple(new for stage in loop.stages for new in (change(stage) if stage is chosen else (stage,))))
            for loop in tableau.loops
        ]
        return Tableau(*widened, returns=tableau.returns)

    return operator


def in_turn(number: int) -> Operator:
    """Let stage `number` and the next one change places; each keeps its loop's length."""

    def operator(tableau: Tableau) -> Tableau:
        order = list(tableau.stages)
        order[number : number + 2] = reversed(order[number : number + 2])
        rest = iter(order)
        loops = [replace(loop, stages=tuple(next(rest) for _ in loop.stages)) for loop in tableau.loops]
        return Tableau(*loops, returns=tableau.returns)

    return operator


def one_pass(tableau: Tableau) -> Tableau:
    """Cut every inner loop to one pass."""
    return Tableau(*(replace(loop, times=1) for loop in tableau.loops), returns=tableau.returns)


def scaled(factor: float) -> Callable[[Stage], Stage]:
    """Multiply the rate."""
    return lambda stage: replace(stage, rate=as_symbol(stage.rate) * factor)


negated = scaled(-1.0)


def facing(opponent: str | dict[str, Coefficient]) -> Callable[[Stage], Stage]:
    """Meet another opponent."""
    weights = {opponent: 1.0} if isinstance(opponent, str) else opponent
    return lambda stage: replace(stage, opponent=weights)


def anchored(source: str, target: str) -> Callable[[Stage], Stage]:
    """Take slot `target` for `source` in the anchor."""
    return lambda stage: replace(stage, anchor={target if slot == source else slot: weight for slot, weight in stage.anchor.items()})


def unpulled(stage: Stage) -> Stage:
    """Drop the pull to the reference: its weight goes to the first slot of the anchor."""
    kept = [slot for slot in stage.anchor if slot != REFERENCE]
    return replace(stage, anchor=dict.fromkeys(kept[:1], 1.0)) if len(kept) < len(stage.anchor) else stage


def overpulled(factor: float) -> Callable[[Stage], Stage]:
    """Multiply the weight of the reference, and take the difference from the first slot of the anchor."""

    def change(stage: Stage) -> Stage:
        if REFERENCE not in stage.anchor:
            return stage
        first, extra = next(iter(stage.anchor)), as_symbol(stage.anchor[REFERENCE]) * (factor - 1.0)
        weights = dict(stage.anchor)
        weights[REFERENCE] = as_symbol(weights[REFERENCE]) + extra
        weights[first] = as_symbol(weights[first]) - extra
        return replace(stage, anchor=weights)

    return change


def weighing(slot: str, factor: float) -> Callable[[Stage], Stage]:
    """Multiply a slot's weight in the anchor; in a prox stage the first of the others takes the difference."""

    def change(stage: Stage) -> Stage:
        weights = dict(stage.anchor)
        kept = as_symbol(weights[slot]) * factor
        others = [other for other in weights if other != slot]
        if stage.kind == "prox" and others:
            weights[others[0]] = as_symbol(weights[others[0]]) + as_symbol(weights[slot]) - kept
        weights[slot] = kept
        return replace(stage, anchor=weights)

    return change


def undiscounted(stage: Stage) -> Stage:
    """Give the first slot of the anchor the weight 1 and let the others stand: 1 for 1 - eta beta."""
    return replace(stage, anchor={slot: weight if number else 1.0 for number, (slot, weight) in enumerate(stage.anchor.items())})


def exchanged(stage: Stage) -> Stage:
    """Let the first and the last slot of the anchor exchange their weights."""
    slots, weights = list(stage.anchor), list(stage.anchor.values())
    weights[0], weights[-1] = weights[-1], weights[0]
    return replace(stage, anchor=dict(zip(slots, weights, strict=True)))


def without(slot: str) -> Callable[[Stage], Stage]:
    """Leave a slot out of the opponent."""
    return lambda stage: replace(stage, opponent={other: weight for other, weight in stage.opponent.items() if other != slot})


def meeting(source: str, target: str, share: float = 1.0) -> Callable[[Stage], Stage]:
    """Meet slot `target` in the place of a share of slot `source`."""

    def change(stage: Stage) -> Stage:
        weights = {slot: weight for slot, weight in stage.opponent.items() if slot != source or share < 1}
        met = as_symbol(stage.opponent[source])
        if share < 1:
            weights[source] = met * (1.0 - share)
        return replace(stage, opponent=weights | {target: met * share})

    return change


def from_base(slot: str) -> Callable[[Stage], Stage]:
    """Move the logits of another slot."""
    return lambda stage: replace(stage, base=slot)


def drawn_from(slot: str) -> Callable[[Stage], Stage]:
    """Draw pairs from another slot; uniformly where it is empty."""
    return lambda stage: replace(stage, source=slot)


def stale(slot: str) -> Callable[[Stage], tuple[Stage, ...]]:
    """Meet a slot of the opponent as the stage would have met it the time before; at first, the start."""

    def change(stage: Stage) -> tuple[Stage, ...]:
        return copy("met now", slot), meeting(slot, "met before")(stage), copy("met before", "met now")

    return change


def mixing_probabilities(stage: Stage) -> tuple[Stage, ...]:
    """Start a step from the arithmetic mixture of its anchor in place of the geometric one."""
    return mix("mean", stage.anchor, every=stage.every), replace(stage, anchor={"mean": 1.0})


def rescheduled(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Stage], Stage]:
    """Change every coefficient that is a schedule."""

    def other(weight: Coefficient) -> Coefficient:
        symbol = as_symbol(weight)
        return Symbol(symbol.text, change(symbol.value)) if symbol.value.ndim else weight

    def changed(stage: Stage) -> Stage:
        anchor, opponent = ({slot: other(weight) for slot, weight in weights.items()} for weights in (stage.anchor, stage.opponent))
        return replace(stage, rate=other(stage.rate), anchor=anchor, opponent=opponent)

    return changed


def early(schedule: np.ndarray) -> np.ndarray:
    """Every entry one iteration too early."""
    return schedule[1:] if len(schedule) > 1 else schedule


def late(schedule: np.ndarray) -> np.ndarray:
    """Every entry one iteration too late."""
    return np.concatenate([schedule[:1], schedule])


def arithmetic(stage: Stage) -> Stage:
    """Mix probabilities instead of log-probabilities (a stage that only mixes)."""
    return stage if stage.opponent else mix(stage.to, stage.anchor, every=stage.every)


def returning(slot: str) -> Operator:
    """Return another slot."""
    return lambda tableau: Tableau(*tableau.loops, returns=slot)

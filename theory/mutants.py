"""Wrong methods made from right ones: each operator changes one entry of a tableau.

A claim's check is worth what it rejects. Transposing P is not listed: P' q = 1 - P q, so it is `negated`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from algorithms.symbol import Coefficient, as_symbol
from algorithms.tableau import REFERENCE, Loop, Stage, Tableau, mix
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


def arithmetic(stage: Stage) -> Stage:
    """Mix probabilities instead of log-probabilities (a stage that only mixes)."""
    return stage if stage.opponent else mix(stage.to, stage.anchor, every=stage.every)


def returning(slot: str) -> Operator:
    """Return another slot."""
    return lambda tableau: Tableau(*tableau.loops, returns=slot)

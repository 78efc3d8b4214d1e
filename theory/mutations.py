"""Every mutant of a tableau that the operators of `theory.mutants` make, stage by stage: enumerated, not listed by hand.

What they make may be the same map as the original, or no tableau at all; both is found out by running it. A draw shared between
two queries of an iteration is not among them: no tableau can ask for it, since the stage is part of every draw's name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from algorithms.symbol import as_symbol
from algorithms.tableau import REFERENCE, Stage, Tableau
from theory.mutants import (
    Operator,
    anchored,
    arithmetic,
    around,
    drawn_from,
    dropped,
    early,
    exchanged,
    from_base,
    in_turn,
    late,
    meeting,
    mixing_probabilities,
    negated,
    one_pass,
    one_stage,
    rescheduled,
    returning,
    scaled,
    stale,
    undiscounted,
    weighing,
    without,
)

Changes = Iterator[tuple[str, Callable[[Stage], Stage]]]
MIXING = ("prox", "gradient")
"""Kinds of stages whose opponent may be several slots."""


def of_tableau(tableau: Tableau) -> dict[str, Operator]:
    """Every mutant of a tableau of this shape, by what it changes; stages are counted from 1."""
    found = dict(_whole(tableau))
    for number, stage in enumerate(tableau.stages):
        changes = [*_anchor(stage, tableau.slots), *_opponent(stage, tableau.slots), *_rate(stage), *_logits(stage, tableau.slots)]
        named = {words: one_stage(number, change) for words, change in [*changes, *_schedule(stage)]}
        named |= {words: around(number, change) for words, change in _several(stage)}
        found |= {f"stage {number + 1}, {stage.to}: {words}": operator for words, operator in named.items()}
    return found


def _whole(tableau: Tableau) -> Iterator[tuple[str, Operator]]:
    """Stages left out or in another order, another slot returned, inner loops cut short."""
    for number, stage in enumerate(tableau.stages):
        if len(tableau.stages) > 1:
            yield f"without stage {number + 1}, {stage.to}", dropped(number)
        if number + 1 < len(tableau.stages):
            yield f"stages {number + 1} and {number + 2} in the other order", in_turn(number)
    for slot in tableau.slots:
        if slot != tableau.returns:
            yield f"returns {slot}", returning(slot)
    if any(loop.times > 1 for loop in tableau.loops):
        yield "inner loops of one pass", one_pass


def _anchor(stage: Stage, slots: tuple[str, ...]) -> Changes:
    """Other slots, weights and means."""
    for slot in stage.anchor:
        for other in slots:
            if other not in stage.anchor:
                yield f"{other} for {slot} in the anchor", anchored(slot, other)
    if len(stage.anchor) < 2:
        return
    for slot in list(stage.anchor)[stage.kind == "prox" :]:
        for words, factor in (("no", 0.0), ("half", 0.5), ("twice", 2.0)):
            yield f"{words} {slot} in the anchor", weighing(slot, factor)
    yield "weights of the anchor exchanged", exchanged
    if stage.kind == "prox" and (as_symbol(next(iter(stage.anchor.values()))).value != 1).any():
        yield "anchor not discounted", undiscounted
    if stage.kind == "prox" and not stage.opponent:
        yield "arithmetic for geometric mixture", arithmetic


def _opponent(stage: Stage, slots: tuple[str, ...]) -> Changes:
    """Other opponents, wholly and by half, and fewer of them."""
    for slot in stage.opponent:
        for other in slots:
            if other not in stage.opponent:
                yield f"{other} for {slot} as opponent", meeting(slot, other)
                if stage.kind in MIXING and len(stage.opponent) == 1:
                    yield f"{other} and {slot}, half each, as opponent", meeting(slot, other, 0.5)
        if len(stage.opponent) > 1:
            yield f"no {slot} as opponent", without(slot)


def _rate(stage: Stage) -> Changes:
    """Another step; where it is negated, P and its transpose are confused (P'q = 1 - P q)."""
    if stage.opponent and stage.kind != "mix":
        yield from (("rate negated", negated), ("rate halved", scaled(0.5)), ("rate doubled", scaled(2.0)))


def _logits(stage: Stage, slots: tuple[str, ...]) -> Changes:
    """Logits and pairs of other slots."""
    if stage.kind in ("prox", "mix"):
        return
    for slot in (slot for slot in slots if slot != stage.base):
        yield f"logits of {slot}", from_base(slot)
    if stage.kind == "pairs":
        yield from ((f"pairs from {slot or 'the uniform policy'}", drawn_from(slot)) for slot in (*slots, "") if slot != stage.source)


def _schedule(stage: Stage) -> Changes:
    """Schedules that are constant, or off by one."""
    weights = (stage.rate, *stage.anchor.values(), *stage.opponent.values())
    if any(as_symbol(weight).value.ndim for weight in weights):
        changes = {"held at its first value": lambda table: table[:1], "held at its last value": lambda table: table[-1:]}
        changes |= {"one iteration early": early, "one iteration late": late}
        yield from ((f"schedule {words}", rescheduled(change)) for words, change in changes.items())


def _several(stage: Stage) -> Iterator[tuple[str, Callable[[Stage], tuple[Stage, ...]]]]:
    """What takes more stages than one."""
    yield from ((f"stale {slot} as opponent", stale(slot)) for slot in stage.opponent if slot != REFERENCE and stage.kind != "mix")
    if stage.kind == "prox" and len(stage.anchor) > 1 and stage.opponent:
        yield "arithmetic for geometric mixture", mixing_probabilities

"""When a mutant is no mutant: it does what the original does, to 1e-12, wherever the suite may put it.

Methods are run beside each other on games drawn anew, at every beta of the suite, from the reference and from far; what any slot of
the original holds at any iteration must agree. Functions of games and policies are called on the same games.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from algorithms.tableau import Loop, Tableau
from envs.feedback import Duels
from envs.invalid import Invalid
from envs.random_game import RandomGame
from envs.tournament import Tournament
from simlab.run import Method, Run, simulate
from theory.claim import Instance
from theory.instances import instances_of
from theory.mutants import Mutant

ERROR = 1e-12
"""Allowed difference, as a share of 1 + the size."""

STEPS = 30
INNER = 1000
"""Passes of an inner loop that stops at a residual, which both methods then make in full: where that is enough, both are solved."""


def same(ours: ArrayLike, theirs: ArrayLike, error: float = ERROR) -> bool:
    """Whether two arrays agree; equal infinities do, nan agrees with nothing."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    with np.errstate(invalid="ignore"):
        close = np.abs(ours - theirs) <= error * (1 + np.abs(theirs))
    return ours.shape == theirs.shape and bool((close | (ours == theirs)).all())


def same_method(original: Method, mutant: Method, beta: float) -> bool:
    """Whether two methods have the same trajectories, in every slot of the original, at one beta."""
    return all(_agree(original, mutant, batch) for batch in _drawn(beta))


@cache
def _drawn(beta: float) -> tuple[tuple[Instance, ...], ...]:
    """Games of each size without structure, and tournaments, from both starts."""
    games = [
        (f"{type(world).__name__} {index}", world.games(beta, seed=1, index=index)[0])
        for world in (
            *(RandomGame(actions=actions, reference="random") for actions in (3, 5, 10)),
            Tournament(actions=5, reference="random"),
        )
        for index in range(3)
    ]
    every = instances_of(games, (beta,))
    return tuple(tuple(one for one in every if one.game.actions == actions) for actions in (3, 5, 10))


def drawn(betas: Sequence[float]) -> list[Instance]:
    """The same at several betas, in a list."""
    return [instance for beta in betas for batch in _drawn(beta) for instance in batch]


def _agree(original: Method, mutant: Method, batch: Sequence[Instance]) -> bool:
    """On games of one size."""
    slots = original.tableau(batch[0].game.beta, steps=STEPS, actions=batch[0].game.actions).slots
    try:
        ours, theirs = (_run(method, batch, slots) for method in (mutant, original))
    except Invalid:
        return False
    return same(ours.log_policy, theirs.log_policy) and all(same(kept, theirs.log_slots[slot]) for slot, kept in ours.log_slots.items())


def _run(method: Method, batch: Sequence[Instance], slots: tuple[str, ...]) -> Run:
    games, start = [instance.game for instance in batch], np.stack([instance.start for instance in batch])
    options: dict[str, Any] = {"steps": STEPS, "start": start, "record": "every", "slots": slots, "feedback": Duels(1)}
    tableau = method.tableau(games[0].beta, steps=STEPS, actions=games[0].actions)
    if not any(stage.samples for stage in tableau.stages):
        del options["feedback"]
    with np.errstate(all="ignore"):
        return simulate(games, Mutant(method, in_full), **options)


def in_full(tableau: Tableau) -> Tableau:
    """Inner loops that stop at a residual make INNER passes instead."""
    loops = (Loop(loop.stages, min(loop.times, INNER)) if loop.tolerance else loop for loop in tableau.loops)
    return Tableau(*loops, returns=tableau.returns)


def same_function(function: Callable[..., Any], other: Callable[..., Any], call: Callable[..., Any], betas: Sequence[float]) -> bool:
    """Whether two functions give the same where `call(function, instance)` calls them, on every drawn game."""
    return all(same(call(function, instance), call(other, instance)) for instance in drawn(betas))

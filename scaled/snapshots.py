"""How many states of what is trained exist at once: those of the slots that go on, and copies for a moment.

A state that was taken is bytes of weights and of the optimizer; the start has no optimizer's state. Slots that are one share theirs.
It follows `scaled.iteration`, `scaled.trained` and what calls them.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import lcm
from typing import NamedTuple

from algorithms.tableau import POLICY, Stage, Tableau
from scaled.iteration import JUDGED


class Held(NamedTuple):
    """Bytes at most, besides the model and its optimizer themselves.

    Attributes
    ----------
    drawing : while responses are drawn
    moving : while gradients are taken and steps made
    changing : while a state is taken, or put back by way of a copy
    """

    drawing: int
    moving: int
    changing: int


class Tally:
    """Goes through an iteration's stages with numbers for states; 0 is the start.

    Parameters
    ----------
    kept : slots that go on
    weights, state : bytes of a state's weights and of its optimizer
    """

    def __init__(self, kept: Iterable[str], weights: int, state: int) -> None:
        self.slots = dict.fromkeys(kept, 0)
        self.weights, self.state, self.taken = weights, state, 0
        self.drawing = self.moving = self.changing = 0

    def iterate(self, number: int, tableau: Tableau) -> None:
        """Iteration number `number`."""
        before, start = set(self.slots.values()), self.slots[POLICY]
        self.drawing = max(self.drawing, self._bytes(before))
        self._restore(before, start)
        origin = start
        for loop in tableau.loops:
            for _ in range(min(loop.times, 3)):  # each pass lets go of the one before it
                origin = start if loop.times == 1 else self.slots[POLICY]
                for stage in loop.stages:
                    if (number + 1) % stage.every == 0:
                        self._run(stage, before | {origin}, origin)
        self._restore(before | {origin}, self.slots[POLICY])

    def _run(self, stage: Stage, before: set[int], origin: int) -> None:
        goes_on = stage.to in self.slots
        if stage.copied and (not goes_on or stage.copied in self.slots):
            if goes_on:
                self.slots[stage.to] = self.slots[stage.copied]
            return
        if goes_on or (stage.kind in JUDGED and stage.opponent):
            self._restore(before, origin)
            self.moving = max(self.moving, self._bytes(before | {*self.slots.values()}))
        if goes_on:
            self.taken += 1
            self.changing = max(self.changing, self._bytes(before | {*self.slots.values(), self.taken}))
            self.slots[stage.to] = self.taken

    def _restore(self, before: set[int], wanted: int) -> None:
        copied = self.state if wanted else 0
        self.changing = max(self.changing, self._bytes(before | {*self.slots.values()}) + copied)

    def _bytes(self, states: set[int]) -> int:
        return sum(self.weights + (self.state if number else 0) for number in states)


def in_self_play(tableau: Tableau, kept: Iterable[str], steps: int, weights: int, state: int) -> Held:
    """By a tableau whose `kept` slots go on, in so many iterations."""
    tally = Tally(kept, weights, state)
    period = lcm(*(stage.every for stage in tableau.stages))
    for number in range(min(steps, 2 * period + 2)):
        tally.iterate(number, tableau)
    return Held(tally.drawing, tally.moving, tally.changing)


def on_pairs(steps: int, weights: int, state: int) -> Held:
    """By a pair loss: the reference, the policy before an iteration, and the one after it."""
    before = weights + (weights + state if steps > 1 else 0)
    return Held(0, before, before + weights + state)

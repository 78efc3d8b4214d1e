"""Games with a start, as points of a box, so that an optimiser can move among them.

A point of [0, 1]^D holds, in this order: beta and the dial, both on a log scale; whether it starts at the reference (below 1/3)
and whether that is uniform (below 1/3); K logits of the reference, K of the start, and the upper triangle of P. Entries of P and
the dial have room beyond their ends, so that 0, 1 and the limit of a step are reached and not only approached.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.divergence import log_normalise
from envs.game import Game
from theory.bound import Bound, Dial
from theory.claim import Instance

BETAS = (0.005, 2.0)
REFERENCE_LOGITS, START_LOGITS = 4.0, 10.0
"""Largest differences, in nats."""

BEYOND = 0.2
"""Room beyond an end, as a share of the range."""

HEAD = 4
FEWEST = 2


@dataclass(frozen=True, eq=False)
class Case:
    """What a bound is put to.

    Attributes
    ----------
    game : Game
    start : (K,) log-probabilities
    value : of the bound's dial; None without one
    """

    game: Game
    start: NDArray
    value: float | None

    @property
    def instance(self) -> Instance:
        """The game and the start, as checks take them."""
        return Instance("the case", self.game, self.start)

    def ratio(self, bound: Bound) -> float | None:
        """The bound's ratio here, None where it does not speak of this or has nothing to say."""
        instance = self.instance
        return bound.ratio(instance, self.value) if all(holds(instance) for holds in bound.ground.values()) else None


def dimension(actions: int) -> int:
    """D, of games with K actions."""
    return HEAD + 2 * actions + actions * (actions - 1) // 2


def drawn(seed: int, number: int, largest: int) -> tuple[int, NDArray]:
    """K in 2 .. largest and a point: candidate `number` under the root `seed`, whatever else is drawn.

    A third of them have 0 and 1 for entries, a third 0, 1/2 and 1.
    """
    rng = np.random.default_rng([seed, number])
    actions, kind = int(rng.integers(FEWEST, largest + 1)), rng.integers(3)
    point = rng.random(dimension(actions))
    entries = point[HEAD + 2 * actions :]
    if kind:
        levels = kind + 1
        entries[:] = np.minimum((entries * levels).astype(int), kind) / kind
    return actions, point


def case(point: NDArray, actions: int, dial: Dial | None) -> Case:
    """The game, the start and the value that a point stands for."""
    beta, value, starts, uniform = point[:HEAD]
    reference, start = point[HEAD : HEAD + actions], point[HEAD + actions : HEAD + 2 * actions]
    upper = np.zeros((actions, actions))
    upper[np.triu_indices(actions, 1)] = _stretched(point[HEAD + 2 * actions :])
    preference = upper + np.tril(1 - upper.T, -1) + np.eye(actions) / 2
    log_reference = log_normalise(REFERENCE_LOGITS * (np.zeros(actions) if uniform < 1 / 3 else reference))
    game = Game(preference, log_reference, _geometric(beta, *BETAS))
    log_start = game.log_reference if starts < 1 / 3 else log_normalise(START_LOGITS * start)
    return Case(game, log_start, None if dial is None else _geometric(float(_stretched(value)), dial.low, dial.high))


def _stretched(share: NDArray) -> NDArray:
    """[0, 1] to itself, the ends each from a stretch of their own, the middle exactly."""
    return np.clip(0.5 + (1 + 2 * BEYOND) * (share - 0.5), 0.0, 1.0)


def _geometric(share: float, low: float, high: float) -> float:
    """low at 0, high at 1, exactly."""
    return float(high if share == 1 else low * (high / low) ** share)

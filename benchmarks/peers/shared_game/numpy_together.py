"""numpy: all policies at once, a product of two matrices an iteration."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.instances import BETA, RATE, one_game, starts, told
from benchmarks.work import Size
from envs.game import Game

LIBRARY = "numpy"


def prepare(size: Size) -> Callable[[], NDArray]:
    game, start = one_game(size), np.ascontiguousarray(starts(size).T)
    return lambda: gaps(game, start, size["iterations"])


def gaps(game: Game, policy: NDArray, iterations: int) -> NDArray:
    """What is told of mirror descent's gaps from policies (K, instances)."""
    advantage, reference, found = game.preference - 0.5, game.log_reference[:, None], []
    for step in range(iterations + 1):
        p = np.exp(policy)
        mine = advantage @ p
        best = reference + mine / BETA
        peak = best.max(axis=0)
        found.append(2 * BETA * (peak + np.log(np.exp(best - peak).sum(axis=0)) + (p * (policy - reference)).sum(axis=0)))
        if step < iterations:
            logits = (1 - RATE * BETA) * policy + RATE * BETA * reference + RATE * mine
            shifted = logits - logits.max(axis=0)
            policy = shifted - np.log(np.exp(shifted).sum(axis=0))
    return told(np.stack(found, axis=1))

"""numpy: opponents by inverse distribution function and Bernoulli labels, for all instances at once; its own generator.

The inverse is counted, a comparison for each action, which at K = 10 takes 60 % of the time of `searchsorted`.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.instances import BETA, RATE, games, outcome
from benchmarks.work import Size

LIBRARY = "numpy"


def prepare(size: Size) -> Callable[[], NDArray]:
    given, seeds = games(size), size["seeds"]
    preference = np.stack([game.preference for game in given])
    reference = np.repeat([game.log_reference for game in given], seeds, axis=0)
    rows = np.repeat(np.arange(preference[..., 0].size).reshape(*preference.shape[:2], 1), seeds, axis=0) * size["actions"]

    def work() -> NDArray:
        rng, policy = np.random.default_rng(size.get("seed", 0)), reference
        for _ in range(size["iterations"]):
            pull, opponent = (1 - RATE * BETA) * policy + RATE * BETA * reference, policy
            for _ in range(size["queries"]):
                opponent = _normalise(pull + RATE * _duels(rng, preference, rows, np.exp(opponent), size["per_action"]))
            policy = opponent
        return outcome(preference, np.exp(policy).reshape(len(given), seeds, -1))

    return work


def _duels(rng: np.random.Generator, preference: NDArray, rows: NDArray, p: NDArray, per_action: int) -> NDArray:
    """(instances, K) shares of won duels against opponents drawn from p; `rows` are the places of an action's row in P."""
    instances, actions = p.shape
    ends, drawn = np.cumsum(p, axis=1), rng.random((instances, actions * per_action))
    opponents = np.zeros(drawn.shape, dtype=np.int64)
    for action in range(actions - 1):
        opponents += drawn > ends[:, action, None]
    chances = preference.ravel().take(rows + opponents.reshape(instances, actions, per_action))
    return (rng.random(chances.shape) < chances).mean(axis=2)


def _normalise(logits: NDArray) -> NDArray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

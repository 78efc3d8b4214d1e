"""What claims on offline losses share: exact fits of a pair, of a table, and of a world, and preferences of every kind."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from algorithms.fit import fit
from algorithms.pair_loss import PairLoss
from envs.comparisons import Comparisons, tabular
from envs.game import Game
from envs.pairs import Pairs
from envs.random_game import RandomGame
from theory.pair_statistics import flip_of, one_flip_rate

BLOCK = 30
"""Pairs fitted at once where each has a parameter of its own: a fit's time grows with the cube of their number."""


def own_margins(loss: PairLoss, shares: ArrayLike) -> NDArray:
    """(m,) margins fitted to pairs that have a parameter of their own each; nan where one beside them has no minimiser.

    shares : (m,) array, how often the first response of each is preferred
    """
    shares = np.asarray(shares, dtype=np.float64)
    blocks = [shares[start : start + BLOCK] for start in range(0, len(shares), BLOCK)]
    return np.concatenate([fit(loss, Comparisons(np.eye(len(block)), block, 1.0 - block)).theta for block in blocks])


def scores(loss: PairLoss, counts: ArrayLike) -> NDArray:
    """(K,) parameters of sum 0 whose differences are the fitted margins: beta log(pi/ref) of the DPO family, log(pi/ref) of IPO.

    counts : (K, K) array, how often the row's response is preferred to the column's
    """
    return fit(loss, tabular(counts)).theta


def flips_alike(world: Pairs) -> bool:
    """Whether every label is wrong with one and the same probability above 0."""
    return one_flip_rate(world) and flip_of(world) > 0


def decided(world: Pairs) -> Comparisons:
    """The pairs of a world, won always by the response of the larger reward (on ties by the first)."""
    rows = world.rows
    wins = rows.weight * (rows.clean >= 0.5)
    return Comparisons(rows.features, wins, rows.weight - wins)


def any_preferences(world: Pairs, draws: int) -> Iterator[tuple[str, Game]]:
    """Games without structure (entries of P independent and uniform, a random reference), as large as the world's."""
    source = RandomGame(actions=world.actions, reference="random")
    for draw in range(draws):
        yield f"random P {draw}", source.games(world.beta, seed=world.seed, index=draw)[0]


def any_weights(world: Pairs, draw: int, actions: int) -> NDArray:
    """(K, K) symmetric weights of pairs, far from those of any product: squares of exponential variables."""
    upper = np.triu(np.random.default_rng([world.seed, 29, draw]).standard_exponential((actions, actions)) ** 2, 1)
    return upper + upper.T


def furthest(found: ArrayLike, truth: ArrayLike) -> float:
    """Largest difference of two arrays relative to the truth's largest entry (at least 1); nan where one is nan."""
    truth = np.asarray(truth)
    return float(np.abs(np.asarray(found) - truth).max() / max(1.0, np.abs(truth).max()))

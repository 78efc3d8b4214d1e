"""The instances that all peers of a work are given; `seed` in a size draws others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from algorithms.egpo import EGPO
from algorithms.online_mirror_descent import OnlineMirrorDescent
from benchmarks.work import Size
from envs.game import Game
from envs.random_game import RandomGame
from envs.start import FarStart
from simlab.run import Method

BETA, RATE, SLOW = 0.1, 0.1, 0.01
"""Regularisation, the rate of runs of few iterations, and that of long ones, whose gap is to stay far above rounding error to the end."""
FLIP, RIDGE = 0.1, 1e-4
SMALL = 32
"""Up to so many actions the array libraries do best with instances in the last axis."""


def games(size: Size) -> list[Game]:
    """`instances` random games of `actions` responses, with a uniform reference."""
    world = RandomGame(actions=size["actions"])
    return [game for index in range(size["instances"]) for game in world.games(BETA, seed=size.get("seed", 0), index=index)]


def method(size: Size, rate: float) -> Method:
    """The method of so many `queries` an iteration: mirror descent or the extragradient of EGPO."""
    return OnlineMirrorDescent(rate) if size["queries"] == 1 else EGPO(rate)


def advantages(size: Size, axis: int) -> NDArray:
    """P - 1/2 of every game, the instances in axis `axis`."""
    return np.ascontiguousarray(np.stack([game.preference - 0.5 for game in games(size)], axis))


def references(size: Size, axis: int) -> NDArray:
    """log ref of every game, which is also where a method starts."""
    return np.ascontiguousarray(np.stack([game.log_reference for game in games(size)], axis))


def starts(size: Size) -> NDArray:
    """(instances, actions) random log-probabilities to start from on one game."""
    game = one_game(size)
    return np.stack([FarStart(spread=1.0).log_policy(game, seed=size.get("seed", 0), index=index) for index in range(size["instances"])])


def one_game(size: Size) -> Game:
    """A random game of `actions` responses."""
    (game,) = games(size | {"instances": 1})
    return game


def told(gaps: NDArray) -> NDArray:
    """(instances, 2): the last of an instance's duality gaps, and their mean over iterations, from (instances, iterations + 1)."""
    return np.stack([gaps[:, -1], gaps.mean(axis=1)], axis=1)


def outcome(preference: NDArray, policy: NDArray) -> NDArray:
    """(games, seeds, 2): how often final policies (games, seeds, K) beat the uniform one, and their original exploitability."""
    wins = policy @ preference.transpose(0, 2, 1)
    return np.stack([1 - wins.mean(axis=2), wins.max(axis=2) - 0.5], axis=2)


def gaps(given: list[Game], policies: NDArray) -> NDArray:
    """(instances,) duality gap of each policy in the original game; nan for what is no policy."""
    found = [2 * float(((game.preference - 0.5) @ policy).max()) for game, policy in zip(given, policies, strict=True)]
    valid = (policies >= 0).all(axis=1) & (np.abs(policies.sum(axis=1) - 1) <= 1e-9)
    return np.where(valid, found, np.nan)


def labelled(size: Size) -> tuple[NDArray, NDArray]:
    """Features (pairs, dimension) of pairs, and whether the first won, 0 or 1, under a linear reward."""
    rng = np.random.default_rng([size.get("seed", 0), 4])
    features = rng.standard_normal((size["pairs"], size["dimension"])) / np.sqrt(size["dimension"])
    reward = features @ rng.standard_normal(size["dimension"])
    return features, (rng.random(size["pairs"]) < 1 / (1 + np.exp(-reward))).astype(np.float64)


def point(size: Size) -> NDArray:
    """(dimension,) where a gradient is taken."""
    return np.random.default_rng([size.get("seed", 0), 5]).standard_normal(size["dimension"])


def axes(size: Size) -> dict[str, list[float]]:
    """The settings of a sweep, `each` values of four keys: `instances` combinations, the last key varying fastest."""
    last = size["each"] - 1
    values = {"beta": (0.1, 1.0), "env.intransitivity": (0.0, 1.0), "algorithm.rate": (0.1, 1.0), "feedback.flip": (0.0, 0.405)}
    return {key: [round(low + (high - low) * i / last, 3) for i in range(size["each"])] for key, (low, high) in values.items()}

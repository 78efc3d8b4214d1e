"""Conditions that several claims share: what a statement asks of an instance, in words, and how that is decided.

A claim joins them with `|`. Each predicate takes any instance of its subject, whatever the others say of it.
"""

from __future__ import annotations

import numpy as np

from envs.game import Game
from theory.claim import Conditions, Instance
from theory.pair_statistics import one_flip_rate


def is_rock_paper_scissors(game: Game) -> bool:
    """Whether the game is the deterministic 3-cycle."""
    return game.actions == 3 and bool(np.isin(game.preference, (0.0, 0.5, 1.0)).all()) and game.cyclic_triangles() == 1


def interior(instance: Instance) -> bool:
    """Whether an equilibrium of the original game gives every action weight."""
    return bool(instance.original_equilibrium.min() > 1e-6)


REGULARISED: Conditions = {"beta > 0": lambda instance: instance.game.beta > 0}
FROM_REFERENCE: Conditions = {"starts at the reference": lambda instance: instance.at_reference}
ROCK_PAPER_SCISSORS: Conditions = {"rock-paper-scissors": lambda instance: is_rock_paper_scissors(instance.game)}
INTERIOR: Conditions = {"an equilibrium of the original game gives every action weight": interior}

ONE_FLIP_RATE: Conditions = {"labels are wrong at one rate": lambda testbed: one_flip_rate(testbed.world)}
FLIPS: Conditions = {"some labels are wrong": lambda testbed: bool(testbed.world.rows.rates.max() > 0)}
FLIPS_ALIKE: Conditions = ONE_FLIP_RATE | FLIPS
REWARD: Conditions = {"responses differ in reward": lambda testbed: testbed.world.scale > 0}


def beta_up_to(largest: float) -> Conditions:
    """Of games that are regularised a little."""
    return {f"0 < beta <= {largest:g}": lambda instance: 0 < instance.game.beta <= largest}


def beta_from(smallest: float) -> Conditions:
    """Of games that are regularised so much."""
    return {f"beta >= {smallest:g}": lambda instance: instance.game.beta >= smallest}


def at_least_actions(smallest: int) -> Conditions:
    """Of games that are large enough."""
    return {f"at least {smallest} actions": lambda instance: instance.game.actions >= smallest}


def at_most_actions(largest: int) -> Conditions:
    """Of games that are not too large."""
    return {f"at most {largest} actions": lambda instance: instance.game.actions <= largest}


def at_most_pairs(largest: int) -> Conditions:
    """Of worlds with so few pairs that each can be looked at."""
    return {f"at most {largest} pairs of responses": lambda testbed: len(testbed.world.rows.weight) <= largest}


def witness(beginning: str) -> Conditions:
    """Of the standard instances whose names begin so, on which a failure is known."""
    return {f"the standard instance {beginning.rstrip(', ')}": lambda instance: instance.name.startswith(beginning)}

"""The standard instances: games on which wrong methods have been seen to fail, at three betas, from two starts; labelled pairs.

Always among them: rock-paper-scissors at beta = 0.01 with a non-uniform reference (where a missing extrapolation shows), games
whose equilibrium has partial support (where a transposed matrix shows), Bradley-Terry games, an all-tie game, K up to 100.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from envs.bradley_terry import BradleyTerry
from envs.cyclic import Cyclic
from envs.game import Game
from envs.low_rank import LowRank
from envs.matrix import Matrix
from envs.pairs import Pairs
from envs.population import Population
from envs.population_bradley_terry import PopulationBradleyTerry
from envs.population_cycle import PopulationCycle
from envs.population_tournament import PopulationTournament
from envs.population_world import PopulationWorld
from envs.random_game import RandomGame
from envs.start import FarStart
from envs.tournament import Tournament
from envs.world import World
from theory.claim import Instance
from theory.testbed import PairTestbed, PopulationTestbed

BETAS = (0.01, 0.1, 1.0)

SKEWED = [[0.5, 0.9, 0.2], [0.1, 0.5, 0.7], [0.8, 0.3, 0.5]]
"""A 3-cycle of unequal margins: its equilibrium is interior and not uniform."""

DOMINATED = [[0.5, 1.0, 0.0, 0.9], [0.0, 0.5, 1.0, 0.8], [1.0, 0.0, 0.5, 0.7], [0.1, 0.2, 0.3, 0.5]]
"""Rock-paper-scissors and a fourth action that loses to each: its equilibrium has partial support."""


def standard_worlds() -> dict[str, tuple[World, int]]:
    """Worlds of the standard instances by name, each with the seed number of its draw."""
    tie = np.full((5, 5), 0.5).tolist()
    worlds: dict[str, tuple[World, int]] = {
        "rps": (Cyclic(n=3, win=1.0, reference="random"), 0),
        "rps 0.7": (Cyclic(n=3, win=0.7, reference="random"), 1),
        "cycle of 5": (Cyclic(n=5, win=1.0, reference="random"), 0),
        "skewed rps": (Matrix(rows=SKEWED, reference="random"), 0),
        "dominated": (Matrix(rows=DOMINATED, reference="random"), 0),
        "tie": (Matrix(rows=tie, reference="random"), 0),
        "low rank 10": (LowRank(actions=10, rank=1, strength=2.0, reference="random"), 0),
    }
    for actions, number in ((3, 0), (5, 0), (5, 2), (10, 0), (10, 1), (100, 0)):
        worlds[f"uniform {actions}.{number}"] = (RandomGame(actions=actions, reference="random"), number)
    for actions, number in ((5, 0), (10, 0), (10, 1)):
        worlds[f"tournament {actions}.{number}"] = (Tournament(actions=actions, reference="random"), number)
    for actions in (5, 100):
        worlds[f"Bradley-Terry {actions}"] = (BradleyTerry(actions=actions, reference="random"), 0)
    return worlds


def standard_subjects(betas: Sequence[float] = BETAS) -> list[Any]:
    """Everything that claims are put to."""
    return [*standard_instances(betas), *standard_pairs(), *standard_populations()]


def standard_instances(betas: Sequence[float] = BETAS) -> list[Instance]:
    """18 games x betas x {from the reference, from far}."""
    games = [(name, world.games(1.0, index=number)[0]) for name, (world, number) in standard_worlds().items()]
    return instances_of(games, betas)


def instances_of(games: Iterable[tuple[str, Game]], betas: Sequence[float] = BETAS) -> list[Instance]:
    """Every game at every beta, started at its reference and far from everything."""
    far = FarStart()
    return [
        Instance(f"{name}, beta={beta:g}, from {start}", game.with_beta(beta), log_start)
        for name, game in games
        for beta in betas
        for start, log_start in (("the reference", game.log_reference), ("far", far.log_policy(game)))
    ]


def standard_pairs() -> list[PairTestbed]:
    """Worlds of labelled pairs: one label in five wrong, two in five, and a small one with large margins."""
    worlds = {
        "d=8, flip=0.2": Pairs(flip=0.2),
        "d=8, flip=0.4": Pairs(flip=0.4, seed=1),
        "d=3, flip=0.1": Pairs(contexts=3, actions=4, d=3, beta=1.0, flip=0.1, scale=1.0, seed=2),
    }
    return [PairTestbed(f"pairs, {name}", world) for name, world in worlds.items()]


def standard_populations() -> list[PopulationTestbed]:
    """Drawn populations of both models, exact cycles, any tournament, a mixture of Bradley-Terry users."""
    worlds: dict[str, PopulationWorld] = {
        "drawn": Population(concentration=1.0),
        "prompt-dependent": Population(prompt_features=2, contexts=3, concentration=1.0),
        "one prototype a user": Population(concentration=0.0),
        **{f"cycle at {delta:g} degrees": PopulationCycle(delta=delta) for delta in (0.0, 15.0, 30.0, 60.0)},
        "sharp cycle": PopulationCycle(delta=30.0, temperature=0.01),
        "tournament": PopulationTournament(),
        "Bradley-Terry users": PopulationBradleyTerry(),
    }
    return [PopulationTestbed(f"population, {name}", world) for name, world in worlds.items()]


def subjects_of(name: str, world: Any, betas: Sequence[float], *, seed: int, seeds: int) -> list[Any]:
    """The games that a world gives, at every beta and from both starts, and the world itself where it is a testbed."""
    several = {"seed": world.varies, "context": world.contexts > 1}
    games = [
        (" ".join([name, *(f"{word} {number}" for word, number in zip(several, place, strict=True) if several[word])]), game)
        for index in range(seeds if world.varies else 1)
        for context, game in enumerate(world.games(1.0, seed=seed, index=index))
        for place in [(index, context)]
    ]
    pairs = [PairTestbed(f"{name}, beta={beta:g}", replace(world, beta=beta)) for beta in betas] if isinstance(world, Pairs) else []
    people = [PopulationTestbed(name, world)] if isinstance(world, PopulationWorld) else []
    return [*instances_of(games, betas), *pairs, *people]

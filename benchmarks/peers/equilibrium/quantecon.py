"""QuantEcon: the Lemke-Howson algorithm, compiled."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from quantecon.game_theory import NormalFormGame, Player, lemke_howson

from benchmarks.instances import games, gaps
from benchmarks.work import Size
from envs.game import Game

LIBRARY = "quantecon"


def prepare(size: Size) -> Callable[[], NDArray]:
    given = games(size)
    return lambda: gaps(given, np.stack([_solved(game) for game in given]))


def _solved(game: Game) -> NDArray:
    player = Player(game.preference)  # own action first: the same matrix for both
    return lemke_howson(NormalFormGame((player, player)))[0]

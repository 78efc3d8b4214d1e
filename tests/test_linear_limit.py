"""The spectral radius of any method, against eigenvalues by hand and against what runs do."""

import numpy as np
import pytest
from games import ROCK_SCISSORS_PAPER, TEN, rock_scissors_paper

import simlab
from algorithms.egpo import EGPO
from algorithms.nash_md import NashMD
from algorithms.nash_mp import NashMP
from algorithms.online_ipo import OnlineIPO
from algorithms.online_mirror_descent import OnlineMirrorDescent
from algorithms.optimistic import RegularisedOptimistic
from envs.divergence import kl, log_normalise
from envs.equilibrium import regularised_nash
from envs.game import Game
from envs.invalid import Invalid
from simlab.run import Method
from theory.linear_limit import linear_limit, spectral_radius


def uniform_ring(beta: float) -> Game:
    return Game(ROCK_SCISSORS_PAPER, np.full(3, -np.log(3.0)), beta)


@pytest.mark.parametrize("beta", [0.01, 0.05, 0.1])
def test_limits_on_rock_scissors_paper_are_those_of_the_eigenvalues(beta: float) -> None:
    closed = 2 * beta / (beta**2 + 1 / 12)
    assert linear_limit(uniform_ring(beta), OnlineMirrorDescent, 1 / beta) == pytest.approx(closed, rel=1e-6)
    assert linear_limit(uniform_ring(beta), OnlineIPO, 100.0) == pytest.approx(3 * closed, rel=1e-6)


@pytest.mark.parametrize("rate", [0.3, 0.9])
def test_the_radius_of_egpo_is_its_eigenvalue(rate: float) -> None:
    kept, turn = 1 - rate * 0.1, 1j * rate / (2 * np.sqrt(3))
    assert spectral_radius(uniform_ring(0.1), EGPO(rate)) == pytest.approx(abs(kept + turn * (kept + turn)), rel=1e-8)


@pytest.mark.parametrize("name", ["two", "uniform 5", "Bradley-Terry 5"])
@pytest.mark.parametrize("method", [EGPO(0.5), OnlineMirrorDescent(0.2), NashMP(0.4), NashMP(0.4, inner=3)])
def test_runs_near_the_equilibrium_shrink_by_the_radius(name: str, method: Method) -> None:
    game = TEN[name]
    rest = regularised_nash(game)
    near = log_normalise(rest + 1e-6 * np.random.default_rng(0).normal(size=game.actions))
    distance = kl(rest, simlab.simulate(game, method, steps=200, start=near, record="every").log_policy[0])
    radius = spectral_radius(game, method)
    last = np.flatnonzero(distance > 1e-21)[-1]
    assert last > 8
    first = last // 2
    assert (distance[last] / distance[first]) ** (0.5 / (last - first)) == pytest.approx(radius, rel=0.05)


def test_a_limit_is_the_largest_rate_where_none_is_unstable() -> None:
    transitive = Game(np.array([[0.5, 0.6], [0.4, 0.5]]), np.log([0.5, 0.5]), 1.0)
    assert linear_limit(transitive, OnlineMirrorDescent, 0.9) == 0.9


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (NashMD(0.5), "at rest"),
        (NashMD(), "without sampling, schedule or memory"),
        (EGPO(0.5, pairs=2), "without sampling, schedule or memory"),
        (RegularisedOptimistic(0.2), "without sampling, schedule or memory"),
    ],
)
def test_methods_without_such_a_map_are_refused(method: Method, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        spectral_radius(rock_scissors_paper(0.1), method)

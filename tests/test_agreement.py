"""Answers beside those of other libraries: equilibria of a thousand random games, and Bradley-Terry scores."""

from collections.abc import Callable

import numpy as np
import pytest
from conftest import Score
from games import complemented
from numpy.typing import NDArray
from scipy.special import expit

from algorithms.dpo import DPO
from algorithms.fit import fit
from envs.equilibrium import nash
from envs.game import Game
from envs.pairs import Comparisons
from simlab.metrics import duality_gap

ACTIONS = range(2, 13)
SEEDS = 16

WORLDS: dict[str, Callable[[np.random.Generator, int], NDArray]] = {
    "uniform": lambda rng, k: rng.random((k, k)),
    "tournament": lambda rng, k: rng.integers(0, 2, (k, k)).astype(float),
    "wins, ties and losses": lambda rng, k: rng.integers(0, 3, (k, k)) / 2,
    "Bradley-Terry": lambda rng, k: expit(np.subtract.outer(*[2 * rng.standard_normal(k)] * 2)),
    "two planes": lambda rng, k: expit(_plane(rng, k) + _plane(rng, k)),
    "every action twice": lambda rng, k: _doubled(rng, k),
}
"""Upper triangles; the third and the last have many equilibria."""


def _plane(rng: np.random.Generator, actions: int) -> NDArray:
    x, y = rng.standard_normal((2, actions))
    return np.outer(x, y) - np.outer(y, x)


def _doubled(rng: np.random.Generator, actions: int) -> NDArray:
    once = complemented(rng.random((actions, actions)))
    which = np.arange(actions) // 2
    return once[np.ix_(which, which)]


def games(world: str) -> list[NDArray]:
    """The matrices P - 1/2 of a world, 176 of them."""
    drawn = (WORLDS[world](np.random.default_rng([seed, actions]), actions) for actions in ACTIONS for seed in range(SEEDS))
    return [complemented(upper) - 0.5 for upper in drawn]


def ours(skew: NDArray) -> NDArray:
    return nash(Game(skew + 0.5, np.full(len(skew), -np.log(len(skew))), 0.1))


def by_nashpy(skew: NDArray) -> tuple[NDArray, float]:
    nashpy = pytest.importorskip("nashpy")
    row, column = nashpy.Game(skew).linear_program()
    return row, float(row @ skew @ column)


def by_quantecon(skew: NDArray) -> tuple[NDArray, float]:
    theory = pytest.importorskip("quantecon.game_theory")
    player = theory.Player(skew)
    row, column = theory.lemke_howson(theory.NormalFormGame((player, player)))
    return row, float(row @ skew @ column)


OTHERS = {"nashpy": by_nashpy, "QuantEcon": by_quantecon}


def only(skew: NDArray, p: NDArray) -> bool:
    """Whether an equilibrium is seen to be the only one: every action outside its support loses, and the ties within determine it."""
    played = p > 1e-6
    within = np.vstack([skew[np.ix_(played, played)], np.ones(played.sum())])
    return bool((skew[~played] @ p < -1e-6).all() and np.linalg.matrix_rank(within, tol=1e-6) == played.sum())


def test_there_are_a_thousand_games() -> None:
    assert sum(len(games(world)) for world in WORLDS) >= 1000


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("world", WORLDS)
def test_equilibria(world: str, other: str, score: Score) -> None:
    """To 1e-9: the value, what can be gained against either answer, and the answer itself where there is one only."""
    alone = 0
    for skew in games(world):
        p, (q, value) = ours(skew), OTHERS[other](skew)
        assert abs(float(p @ skew @ p) - value) <= 1e-9 and abs((p @ skew).min() - value) <= 1e-9
        assert (skew @ p).max() <= 1e-9 and (skew @ q).max() <= 1e-9
        if only(skew, p):
            np.testing.assert_allclose(p, q, atol=1e-9)
            alone += 1
    assert alone > 150 or world in ("wins, ties and losses", "every action twice")
    assert alone < SEEDS * len(ACTIONS) or world not in ("wins, ties and losses", "every action twice")
    score(f"equilibria of random games that agree with {other} to 1e-9", len(games(world)), len(games(world)))


@pytest.mark.parametrize("world", WORLDS)
def test_what_open_spiel_can_gain(world: str, score: Score) -> None:
    """Its NashConv of an equilibrium is nothing, and of any other policy the duality gap of the original game."""
    spiel = pytest.importorskip("pyspiel")
    exploitability = pytest.importorskip("open_spiel.python.algorithms.exploitability")
    policies = pytest.importorskip("open_spiel.python.policy")
    for number, skew in enumerate(games(world)):
        game = spiel.convert_to_turn_based(spiel.create_matrix_game(skew.tolist(), (-skew).tolist()))
        drawn = np.random.default_rng(number).dirichlet(np.ones(len(skew)))
        for p in (ours(skew), drawn):
            policy = policies.TabularPolicy(game)
            policy.action_probability_array[:] = p
            given = Game(skew + 0.5, np.full(len(skew), -np.log(len(skew))), 0.0)
            with np.errstate(divide="ignore"):
                gap = duality_gap(given, np.log(p))
            assert exploitability.nash_conv(game, policy) == pytest.approx(gap, abs=1e-9)
            assert gap <= 1e-9 or p is drawn
    score("duality gaps of policies of random games that agree with OpenSpiel to 1e-9", 2 * len(games(world)), 2 * len(games(world)))


# Bradley-Terry scores are what DPO's loss has on features e_i - e_j.


def contest(seed: int, players: int, most: int = 20) -> NDArray:
    """(n, n) how often each beat each, all pairs met and nobody won always."""
    rng = np.random.default_rng([seed, players])
    scores = rng.standard_normal(players)
    wins = 1.0 + rng.binomial(most, expit(np.subtract.outer(scores, scores)))
    np.fill_diagonal(wins, 0)
    return wins


def centred_scores(wins: NDArray) -> NDArray:
    first, second = np.triu_indices(len(wins), 1)
    features = np.eye(len(wins))[first] - np.eye(len(wins))[second]
    return fit(DPO(), Comparisons(features, wins[first, second], wins[second, first])).theta


CONTESTS = [(seed, players) for players in (2, 3, 6, 15) for seed in range(10)]


def test_bradley_terry_scores_by_choix(score: Score) -> None:
    choix = pytest.importorskip("choix")
    for seed, players in CONTESTS:
        wins = contest(seed, players)
        np.testing.assert_allclose(centred_scores(wins), choix.ilsr_pairwise_dense(wins, tol=1e-12, max_iter=10_000), atol=1e-8)
    score("Bradley-Terry fits that agree with choix to 1e-8", len(CONTESTS), len(CONTESTS))


def test_bradley_terry_scores_by_scikit_learn(score: Score) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    for seed, players in CONTESTS:
        wins = contest(seed, players)
        i, j = np.nonzero(wins)
        features, won = np.eye(players)[i] - np.eye(players)[j], np.ones(len(i))
        both = {"X": np.vstack([features, -features]), "y": np.concatenate([won, 0 * won]), "sample_weight": np.tile(wins[i, j], 2) / 2}
        model = linear.LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-12, max_iter=10_000, solver="lbfgs").fit(**both)
        scores = model.coef_[0]
        np.testing.assert_allclose(centred_scores(wins), scores - scores.mean(), atol=1e-6)
    score("Bradley-Terry fits that agree with scikit-learn to 1e-6", len(CONTESTS), len(CONTESTS))


def test_the_least_likely_order_is_not_found_likely() -> None:
    """A contest with its results turned round has the scores turned round, so neither side is blind to order."""
    wins = contest(0, 6)
    np.testing.assert_allclose(centred_scores(wins.T), -centred_scores(wins), atol=1e-10)

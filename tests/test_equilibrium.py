"""Equilibria against their own equations, closed forms, and independent solvers."""

import warnings
from itertools import combinations

import nashpy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.special import log_softmax

from envs.divergence import kl
from envs.equilibrium import nash, regularised_nash, residual
from envs.game import Game
from envs.invalid import Invalid

BETAS = (1e-3, 0.01, 0.1, 1.0, 10.0)
ACTIONS = (2, 3, 5, 10, 100)
ROCK_PAPER_SCISSORS = [[0.5, 0, 1], [1, 0.5, 0], [0, 1, 0.5]]


def uniform(rng, actions):
    return complementary(rng.random((actions, actions)))


def tournament(rng, actions):
    return complementary(rng.integers(0, 2, (actions, actions)))


def ternary(rng, actions):
    return complementary(rng.integers(0, 3, (actions, actions)) / 2)


def bradley_terry(rng, actions):
    scores = 2 * rng.standard_normal(actions)
    return complementary(1 / (1 + np.exp(scores[None, :] - scores[:, None])))


def cyclic(rng, actions):
    ahead = (np.arange(actions)[:, None] - np.arange(actions)[None, :]) % actions
    return complementary(np.where(ahead <= actions // 2, 0.9, 0.1))


def tied(rng, actions):
    return np.full((actions, actions), 0.5)


WORLDS = (uniform, tournament, ternary, bradley_terry, cyclic, tied)


def complementary(upper):
    above = np.triu(upper, 1).astype(float)
    preference = above + np.tril(1 - above.T, -1)
    np.fill_diagonal(preference, 0.5)
    return preference


def draw(world, actions, beta, seed=0):
    """A game of a world with a reference drawn uniformly from the simplex."""
    rng = np.random.default_rng([seed, actions])
    return Game(world(rng, actions), np.log(rng.dirichlet(np.ones(actions))), beta)


def extragradient(game, rate, constant=0.0):
    """The certified method, written in the papers' form, until its iterates stop moving."""
    pull, log_p = rate * game.beta, game.log_reference
    for _ in range(100_000):
        half = log_softmax((1 - pull) * log_p + pull * game.log_reference + rate * (game.preference @ np.exp(log_p) + constant))
        new = log_softmax((1 - pull) * log_p + pull * game.log_reference + rate * (game.preference @ np.exp(half) + constant))
        moved, log_p = np.ptp(new - log_p), new
        if moved < 1e-14:
            break
    return log_p


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("world", WORLDS)
def test_regularised_nash_solves_its_equation(world, beta, actions):
    game = draw(world, actions, beta)
    log_p = regularised_nash(game)
    assert log_p.shape == (actions,)
    assert np.exp(log_p).sum() == pytest.approx(1, abs=1e-14)
    assert np.ptp(beta * (log_p - game.log_reference) - game.preference @ np.exp(log_p)) <= 1e-13
    assert residual(game, log_p) <= 1e-14 * max(1, beta)


@pytest.mark.parametrize("beta", [1e-6, 1e-4, 1e-3, 0.1])
@pytest.mark.parametrize("world", WORLDS)
def test_regularised_nash_copes_with_a_reference_that_hardly_plays_some_actions(world, beta):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        game = Game(world(rng, 10), log_softmax(30 * rng.standard_normal(10)), beta)
        assert residual(game, regularised_nash(game)) <= 1e-13 * max(1, beta * np.abs(game.log_reference).max())


@pytest.mark.parametrize("constant", [0.0, 7.0])
@pytest.mark.parametrize("beta", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("world", WORLDS)
def test_regularised_nash_is_where_extragradient_stops_whatever_constant_is_added_to_the_win_rates(world, beta, constant):
    game = draw(world, 5, beta)
    certified = 0.98 * 2 * (np.sqrt(1 + beta**2) - beta)
    assert extragradient(game, certified, constant) == pytest.approx(regularised_nash(game), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("beta", [*BETAS, 1000.0])
def test_ties_leave_the_reference(beta):
    game = draw(tied, 5, beta)
    assert regularised_nash(game) == pytest.approx(game.log_reference, abs=1e-14)


@pytest.mark.parametrize("win", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("beta", [1e-4, *BETAS])
def test_two_actions_in_closed_form(beta, win):
    """(P p)_0 - (P p)_1 = P[0,1] - 1/2 for every p, so the log-odds are those of the reference plus that over beta."""
    game = Game([[0.5, win], [1 - win, 0.5]], np.log([0.2, 0.8]), beta)
    odds = np.log(0.2 / 0.8) + (win - 0.5) / beta
    assert regularised_nash(game) == pytest.approx([-np.logaddexp(0, -odds), -np.logaddexp(0, odds)], rel=1e-12)


@pytest.mark.parametrize("beta", [1e-2, 1e-3, 1e-4])
def test_a_dominant_action_takes_all_as_beta_falls(beta):
    """With p -> e_0, log p_i / p_0 -> log ref_i / ref_0 + (P[i,0] - 1/2) / beta: near -5000 at beta = 1e-4."""
    scores = np.array([3.0, 1.0, 0.0, -6.0])
    game = Game(1 / (1 + np.exp(scores[None, :] - scores[:, None])), np.log([0.1, 0.2, 0.3, 0.4]), beta)
    expected = game.log_reference - game.log_reference[0] + (game.preference[:, 0] - 0.5) / beta
    assert regularised_nash(game) == pytest.approx(expected, rel=1e-10, abs=1e-14)


def test_symmetric_cycle_keeps_the_uniform_policy_and_tilts_another():
    for beta in BETAS:
        assert regularised_nash(Game(ROCK_PAPER_SCISSORS, np.full(3, -np.log(3)), beta)) == pytest.approx(np.full(3, -np.log(3)), abs=1e-14)
        tilted = regularised_nash(Game(ROCK_PAPER_SCISSORS, np.log([0.6, 0.3, 0.1]), beta))
        assert np.ptp(tilted) > beta / 10 * min(1, 1 / beta)


@given(seed=st.integers(0, 10**6), actions=st.integers(2, 8), beta=st.sampled_from(BETAS), world=st.sampled_from(WORLDS))
def test_relabelling_the_actions_relabels_the_equilibria(seed, actions, beta, world):
    game = draw(world, actions, beta, seed)
    order = np.random.default_rng(seed).permutation(actions)
    relabelled = Game(game.preference[np.ix_(order, order)], game.log_reference[order], beta)
    assert regularised_nash(relabelled) == pytest.approx(regularised_nash(game)[order], rel=1e-9, abs=1e-9)
    assert gain(relabelled, nash(game)[order]) <= 1e-12


@given(seed=st.integers(0, 10**6), actions=st.integers(2, 8), beta=st.sampled_from(BETAS), scale=st.sampled_from([1e-6, 1e-3, 1.0]))
def test_residual_bounds_the_distance_to_equilibrium(seed, actions, beta, scale):
    game = draw(uniform, actions, beta, seed)
    log_star = regularised_nash(game)
    log_p = log_softmax(log_star + scale * np.random.default_rng(seed).standard_normal(actions))
    bound = residual(game, log_p) / (2 * beta)
    assert residual(game, log_p) > 1e-3 * scale * beta * np.ptp(log_p - log_star)
    assert np.abs(np.exp(log_p) - np.exp(log_star)).sum() <= bound * (1 + 1e-6)
    assert kl(log_p, log_star) + kl(log_star, log_p) <= bound**2 * (1 + 1e-6)


def test_residual_by_hand():
    """log(p / ref) = (log 3/2, log 3/4) and P p = (0.7, 0.3)."""
    game = Game([[0.5, 0.9], [0.1, 0.5]], np.log([1 / 3, 2 / 3]), 0.1)
    assert residual(game, np.log([0.5, 0.5])) == pytest.approx(0.4 - 0.1 * np.log(2), rel=1e-14)


def test_residual_takes_leading_axes():
    game = draw(uniform, 4, 0.1)
    policies = log_softmax(np.random.default_rng(0).standard_normal((2, 3, 4)), axis=-1)
    each = [[residual(game, policy) for policy in row] for row in policies]
    assert residual(game, policies).tolist() == each
    with pytest.raises(Invalid, match=r"log_policy=array of shape \(3,\): must be of shape \(\.\.\., 4\), K = 4 actions"):
        residual(game, np.zeros(3))


def test_plain_best_response_iteration_is_no_ground_truth():
    """log p <- log ref + P p / beta contracts for beta > 1/2 only; here it leaves the equilibrium below 1 / (2 sqrt 3) = 0.2887."""
    for beta, converges in [(0.285, False), (0.292, True)]:
        game = Game(ROCK_PAPER_SCISSORS, np.full(3, -np.log(3)), beta)
        log_p = np.log([0.334, 0.333, 0.333])  # 7e-4 away
        for _ in range(3000):
            log_p = log_softmax(game.log_reference + game.preference @ np.exp(log_p) / beta)
        distance = np.abs(np.exp(log_p) - np.exp(regularised_nash(game))).max()
        assert distance < 1e-12 if converges else distance > 0.05


def test_beta_that_cannot_be_served_is_refused():
    game = draw(uniform, 5, 0.0)
    with pytest.raises(Invalid, match=r"beta=0\.0: must be positive; the game at beta = 0 is solved by envs\.equilibrium\.nash"):
        regularised_nash(game)
    for beta in (1e-15, 1e-100, 1e-320):
        with pytest.raises(Invalid, match=r"beta=.*: must be larger: double precision"):
            regularised_nash(game.with_beta(beta))


def gain(game, p):
    """The best win rate against p, less 1/2."""
    return ((game.preference - 0.5) @ p).max()


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("world", WORLDS)
def test_nothing_beats_nash(world, actions):
    for seed in range(3):
        game = draw(world, actions, 0.3, seed)
        p = nash(game)
        assert p.shape == (actions,) and (p >= 0).all() and p.sum() == pytest.approx(1, abs=1e-14)
        assert gain(game, p) <= 1e-14


def test_nash_of_games_solved_by_hand():
    a, b, c = 0.1, 0.2, 0.4
    skewed = Game(np.array([[0, a, -b], [-a, 0, c], [b, -c, 0]]) + 0.5, np.log([0.5, 0.25, 0.25]), 1.0)
    assert nash(skewed) == pytest.approx(np.array([c, b, a]) / (a + b + c), abs=1e-14)
    winner = Game([[0.5, 0.2, 0.4], [0.8, 0.5, 0.6], [0.6, 0.4, 0.5]], np.full(3, -np.log(3)), 1.0)
    assert nash(winner).tolist() == [0, 1, 0]
    dominated = np.full((4, 4), 0.5)
    dominated[:3, :3] = ROCK_PAPER_SCISSORS
    dominated[:3, 3], dominated[3, :3] = 0.7, 0.3
    assert nash(Game(dominated, np.full(4, -np.log(4)), 1.0)) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0], abs=1e-14)


def test_nash_of_a_faint_cycle_is_that_of_the_cycle():
    """Solvers' tolerances are absolute: preferences within 1e-12 of 1/2 must not drown in them."""
    loud = draw(uniform, 9, 1.0)
    faint = Game(0.5 + 2.0**-40 * (loud.preference - 0.5), loud.log_reference, 1.0)
    assert nash(faint) == pytest.approx(nash(loud), abs=1e-3)
    assert gain(faint, nash(faint)) <= 1e-16


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("actions", [3, 4, 5])
@pytest.mark.parametrize("world", [uniform, tournament])
def test_nash_agrees_with_every_support_and_with_nashpy(world, actions, seed):
    """Generic games and tournaments have one equilibrium, of odd support."""
    game = draw(world, actions, 1.0, seed)
    found = equilibria_by_support(game.preference - 0.5)
    assert len(found) == 1
    assert (found[0] > 0).sum() % 2 == 1
    assert nash(game) == pytest.approx(found[0], abs=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        pairs = list(nashpy.Game(game.preference - 0.5).support_enumeration())
    assert len(pairs) >= 1
    for row, column in pairs:
        assert row == pytest.approx(nash(game), abs=1e-9) and column == pytest.approx(nash(game), abs=1e-9)


def equilibria_by_support(skew):
    """Every p that makes the actions of its (odd) support tie and the others lose."""
    found = []
    for size in range(1, len(skew) + 1, 2):
        for support in map(list, combinations(range(len(skew)), size)):
            ties = np.vstack([skew[np.ix_(support, support)], np.ones(size)])
            weights, _, rank, _ = np.linalg.lstsq(ties, np.append(np.zeros(size), 1.0), rcond=None)
            p = np.zeros(len(skew))
            p[support] = weights
            if rank == size and (weights > 1e-12).all() and (skew @ p).max() <= 1e-12:
                found.append(p)
    return found


@pytest.mark.parametrize("world", WORLDS)
def test_value_is_a_half_by_the_minimising_player_s_programme(world):
    """min v with P q <= v, the dual of what `nash` solves."""
    game = draw(world, 7, 1.0, seed=3)
    dual = linprog(
        np.append(np.zeros(7), 1.0),
        A_ub=np.column_stack([game.preference, -np.ones(7)]),
        b_ub=np.zeros(7),
        A_eq=[[1.0] * 7 + [0.0]],
        b_eq=[1.0],
    )
    assert dual.fun == pytest.approx(0.5, abs=1e-9)
    assert (nash(game) @ game.preference).min() == pytest.approx(dual.fun, abs=1e-9)


@pytest.mark.parametrize("beta", [1e-3, 1e-2, 1e-1])
@pytest.mark.parametrize("world", [uniform, tournament, cyclic])
def test_regularised_nash_approaches_nash(world, beta):
    """KL(p* | ref) and the gain against p* are bounded; a unique interior equilibrium is approached at rate beta."""
    game = draw(world, 5, beta, seed=1)
    log_p = regularised_nash(game)
    toward = -game.log_reference.min() - kl(log_p, game.log_reference)
    assert gain(game, np.exp(log_p)) <= beta * toward + 1e-15
    assert kl(log_p, game.log_reference) <= 1 / (2 * beta)
    assert np.abs(np.exp(log_p) - nash(game)).max() <= 30 * beta

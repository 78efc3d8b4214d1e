"""Metrics against fifty-digit arithmetic, direct maximisation, hand-computed values and the inequalities that bind them."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax

from envs.divergence import kl, log_normalise
from envs.equilibrium import regularised_nash
from envs.game import Game
from envs.invalid import Invalid
from simlab import metrics

BETAS = (1e-3, 0.01, 0.1, 1.0, 10.0)
ROCK_PAPER_SCISSORS = np.array([[0.5, 0, 1], [1, 0.5, 0], [0, 1, 0.5]])


def random_game(seed, actions, beta, decisive=False):
    rng = np.random.default_rng([seed, actions])
    above = np.triu(rng.integers(0, 2, (actions, actions)) if decisive else rng.random((actions, actions)), 1).astype(float)
    preference = above + np.tril(1 - above.T, -1)
    np.fill_diagonal(preference, 0.5)
    return Game(preference, np.log(rng.dirichlet(np.ones(actions))), beta)


def random_policy(seed, *shape, spread=3.0):
    return log_softmax(spread * np.random.default_rng([seed, *shape, 1]).standard_normal(shape), axis=-1)


def exact_kl(log_p, log_q):
    """Sum of p (log p - log q) + q - p in fifty digits: KL for policies whose log-probabilities are rounded."""
    with localcontext(prec=50):
        pairs = [(Decimal(float(a)), Decimal(float(b))) for a, b in zip(log_p, log_q, strict=True)]
        return float(sum(a.exp() * (a - b) + b.exp() - a.exp() for a, b in pairs))


def exact_exploitability(game, log_p, beta):
    """beta log sum ref exp((P p - 1/2) / beta) + beta KL(p | ref) in fifty digits, p and ref normalised there."""
    with localcontext(prec=50):
        p, reference = (normalised([Decimal(float(x)).exp() for x in logs]) for logs in (log_p, game.log_reference))
        wins = [sum(Decimal(float(x)) * y for x, y in zip(row, p, strict=True)) - Decimal("0.5") for row in game.preference]
        b = Decimal(beta)
        best = sum(r * (w / b).exp() for r, w in zip(reference, wins, strict=True)).ln()
        return float(b * best + b * sum(x * (x / r).ln() for x, r in zip(p, reference, strict=True)))


def normalised(weights):
    return [weight / sum(weights) for weight in weights]


def value(game, log_u, log_p, beta):
    """J(u, p), from its definition."""
    u, p = np.exp(log_u), np.exp(log_p)
    drift = (u * (log_u - game.log_reference)).sum() - (p * (log_p - game.log_reference)).sum()
    return u @ game.preference @ p - beta * drift


def lowest(function, start):
    """Least value of a function of log-probabilities, and where, by a search that knows no gradient."""
    options = {"xatol": 1e-8, "fatol": 1e-14, "maxfev": 20_000}
    found = minimize(lambda z: function(log_softmax(np.append(0.0, z))), start[1:] - start[0], method="Nelder-Mead", options=options)
    return found.fun, log_softmax(np.append(0.0, found.x))


# ---- KL -------------------------------------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 10**6),
    actions=st.integers(2, 12),
    scale=st.sampled_from([1e-15, 1e-12, 1e-6, 1e-4, 1e-3, 2e-3, 0.1, 1.0, 10.0, 31.0, 300.0, 2000.0]),
)
def test_kl_has_every_digit_at_every_distance(seed, actions, scale):
    log_p = random_policy(seed, actions)
    log_q = log_softmax(log_p + scale * np.random.default_rng(seed).standard_normal(actions))
    assert kl(log_p, log_q) == pytest.approx(exact_kl(log_p, log_q), rel=2e-12, abs=0)
    assert kl(log_p, log_q) >= 0 and kl(log_p, log_p) == 0


@pytest.mark.parametrize("d", [1e-9, 9.9e-4, -9.9e-4, 1.01e-3, 0.05, 3.0, 29.9, 30.1, -30.1, 100.0, 800.0])
def test_kl_on_either_side_of_its_branches(d):
    log_q = np.log([0.1, 0.9])
    log_p = np.array([log_q[0] - d, np.log1p(-np.exp(log_q[0] - d))]) if d > -2 else log_softmax([log_q[0] - d, log_q[1]])
    assert kl(log_p, log_q) == pytest.approx(exact_kl(log_p, log_q), rel=2e-12 if abs(d) < 1 else 1e-13, abs=0)


def test_kl_resolves_1e_30():
    log_p = np.log([0.5, 0.5])
    log_q = log_p + np.array([1, -1]) * 2.0**-50
    assert kl(log_p, log_q) == pytest.approx(2.0**-101, rel=1e-9, abs=0)
    assert kl(log_p, log_q) < 1e-30


def test_kl_at_the_ends():
    inf = np.inf
    assert kl([0.0, -inf], [0.0, -inf]) == 0
    assert kl([-inf, 0.0], np.log([0.25, 0.75])) == pytest.approx(np.log(4 / 3), rel=1e-15)
    assert kl(np.log([0.25, 0.75]), [-inf, 0.0]) == inf
    assert kl([-800.0, 0.0], [-inf, 0.0]) == inf
    assert kl([-5000.0, 0.0], [0.0, -5000.0]) == pytest.approx(5000, rel=1e-15)
    assert kl([-0.0, -1e5], [-1e5, -0.0]) == pytest.approx(1e5, rel=1e-15)
    assert kl([-30.0, np.log1p(-np.exp(-30.0))], [np.log1p(-np.exp(-700.0)), -700.0]) == pytest.approx(700, rel=1e-9)
    assert np.isnan(kl([np.nan, 0.0], [-1.0, -1.0]))


def test_kl_broadcasts_over_leading_axes_and_metrics_hands_it_on():
    log_p, log_q = random_policy(0, 2, 3, 4), random_policy(1, 3, 4)
    assert kl(log_p, log_q).tolist() == [[kl(p, q) for p, q in zip(row, log_q, strict=True)] for row in log_p]
    assert kl(log_p, log_q[0]).shape == (2, 3)
    assert kl(log_p[0, 0], log_q).tolist() == [kl(log_p[0, 0], q) for q in log_q]
    assert metrics.kl is kl


def test_sums_run_in_one_order_however_the_array_is_laid_out():
    log_p, log_q = random_policy(0, 50, 33), random_policy(1, 50, 33)
    turned = np.asfortranarray(log_p)
    assert kl(turned, np.asfortranarray(log_q)).tolist() == kl(log_p, log_q).tolist()
    assert log_normalise(turned + 0.1).tolist() == log_normalise(log_p + 0.1).tolist()


@pytest.mark.parametrize("shift", [0.0, 5000.0, -5000.0])
def test_log_normalise_neither_overflows_nor_underflows(shift):
    logits = np.array([0.0, -745.2, -4942.0, 1.0]) + shift
    expected = np.array([0.0, -745.2, -4942.0, 1.0]) - np.log(1 + np.e)
    assert log_normalise(logits) == pytest.approx(expected, rel=1e-14)
    assert log_normalise([[0.0, -np.inf], [3.0, 3.0]]).tolist() == [[0.0, -np.inf], [-np.log(2), -np.log(2)]]


# ---- exploitability -------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10**6), actions=st.integers(2, 8), beta=st.sampled_from(BETAS), decisive=st.booleans())
def test_exploitability_in_fifty_digits(seed, actions, beta, decisive):
    game, log_p = random_game(seed, actions, beta, decisive), random_policy(seed, actions)
    assert metrics.exploitability(game, log_p) == pytest.approx(exact_exploitability(game, log_p, beta), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("beta", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_exploitability_is_the_gain_found_by_maximising(seed, beta):
    game, log_p = random_game(seed, 4, 0.7, decisive=seed % 2 == 0), random_policy(seed, 4, spread=1.0)
    best, log_best = lowest(lambda log_u: -value(game, log_u, log_p, beta), game.log_reference)
    assert metrics.exploitability(game, log_p, beta) == pytest.approx(-best - 0.5, abs=1e-9)
    assert np.exp(metrics.best_response(game, log_p, beta)) == pytest.approx(np.exp(log_best), abs=1e-4)
    worst, _ = lowest(lambda log_u: value(game, log_p, log_u, beta), game.log_reference)
    assert metrics.duality_gap(game, log_p, beta) == pytest.approx(-best - worst, abs=1e-9)


@given(seed=st.integers(0, 10**6), actions=st.integers(2, 8), beta=st.sampled_from([0.0, *BETAS]))
def test_no_opponent_gains_more_and_the_best_response_gains_it(seed, actions, beta):
    game, log_p = random_game(seed, actions, beta), random_policy(seed, actions)
    claimed = metrics.exploitability(game, log_p)
    for log_u in random_policy(seed + 1, 5, actions):
        assert value(game, log_u, log_p, beta) - 0.5 <= claimed + 1e-12
    response = metrics.best_response(game, log_p)
    if beta > 0:
        assert value(game, response, log_p, beta) - 0.5 == pytest.approx(claimed, abs=1e-12)
    else:
        assert np.exp(response) @ game.preference @ np.exp(log_p) - 0.5 == pytest.approx(claimed, abs=1e-14)


@pytest.mark.parametrize("beta", [0.01, 0.25, 2.0])
def test_exploitability_of_the_uniform_policy_by_hand(beta):
    """An action that always wins: P p = (3/4, 1/4), so e = beta log cosh(1 / (4 beta))."""
    game = Game([[0.5, 1], [0, 0.5]], np.log([0.5, 0.5]), beta)
    expected = beta * np.log(np.cosh(0.25 / beta))
    assert metrics.exploitability(game, np.log([0.5, 0.5])) == pytest.approx(expected, rel=1e-14, abs=0)
    assert metrics.duality_gap(game, np.log([0.5, 0.5])) == pytest.approx(2 * expected, rel=1e-14, abs=0)


def test_exploitability_of_the_original_game_by_hand():
    game = Game(ROCK_PAPER_SCISSORS, np.log([0.5, 0.3, 0.2]), 0.1)
    assert metrics.exploitability(game, [0.0, -np.inf, -np.inf], beta=0) == 0.5
    assert metrics.best_response(game, [0.0, -np.inf, -np.inf], beta=0).tolist() == [-np.inf, 0, -np.inf]
    assert metrics.exploitability(game, np.log([0.5, 0.25, 0.25]), beta=0) == pytest.approx(0.125, rel=1e-15)
    tie = Game(np.full((3, 3), 0.5), game.log_reference, 0.0)
    assert metrics.exploitability(tie, random_policy(0, 100, 3)).tolist() == [0.0] * 100
    assert metrics.best_response(tie, random_policy(0, 3)) == pytest.approx(game.log_reference, abs=1e-15)


def test_rounding_at_an_equilibrium_leaves_no_negative_exploitability():
    rng = np.random.default_rng(0)
    for a, b, c in rng.uniform(0.1, 0.4, (50, 3)):
        game = Game(np.array([[0, a, -b], [-a, 0, c], [b, -c, 0]]) + 0.5, np.log([0.5, 0.3, 0.2]), 0.0)
        assert 0 <= metrics.exploitability(game, np.log([c, b, a]) - np.log(a + b + c)) < 1e-15


@given(seed=st.integers(0, 10**6), actions=st.integers(2, 6))
def test_exploitability_falls_short_of_the_original_by_at_most_beta_times_the_reference_gap(seed, actions):
    """max_u of <u, P p> - beta KL(u | ref) lies within beta max log 1/ref below the maximum at beta = 0."""
    game, log_p = random_game(seed, actions, 0.0), random_policy(seed, actions)
    for beta in (1e-1, 1e-4, 1e-7):
        drift = beta * kl(log_p, game.log_reference)
        short = metrics.exploitability(game, log_p) - (metrics.exploitability(game, log_p, beta) - drift)
        assert -1e-12 <= short <= -beta * game.log_reference.min() + 1e-12


@given(seed=st.integers(0, 10**6), actions=st.integers(2, 8), beta=st.sampled_from(BETAS), scale=st.sampled_from([1e-6, 1e-2, 1.0, 10.0]))
def test_exploitability_lies_between_two_divergences_from_equilibrium(seed, actions, beta, scale):
    """beta KL(p | p*) <= e(p) <= KL(p* | p) / (4 beta) + beta KL(p | p*)."""
    game = random_game(seed, actions, beta, decisive=seed % 2 == 0)
    log_star = regularised_nash(game)
    log_p = log_softmax(log_star + scale * np.random.default_rng(seed).standard_normal(actions))
    found, lower = metrics.exploitability(game, log_p), beta * kl(log_p, log_star)
    assert lower * (1 - 1e-6) - 1e-18 <= found <= (kl(log_star, log_p) / (4 * beta) + lower) * (1 + 1e-6) + 1e-18


@pytest.mark.parametrize("actions", [2, 3, 10])
def test_exploitability_resolves_1e_30_near_equilibrium(actions):
    game = random_game(0, actions, 1.0)
    log_star = regularised_nash(game)
    log_p = log_normalise(log_star + 2.0**-46 * (-1.0) ** np.arange(actions))
    found, lower = metrics.exploitability(game, log_p), kl(log_p, log_star)
    assert 1e-32 < 0.9 * lower <= found <= 1.1 * (kl(log_star, log_p) / 4 + lower) < 1e-27
    assert metrics.exploitability(game, log_star) < 1e-30


def test_log_probabilities_of_minus_5000():
    game = Game(ROCK_PAPER_SCISSORS, np.log([0.5, 0.3, 0.2]), 1e-3)
    log_p = log_normalise([0.0, -500.0, -5000.0])
    for beta in (1e-4, 1e-3, 1.0):
        assert metrics.exploitability(game, log_p, beta) == pytest.approx(exact_exploitability(game, log_p, beta), rel=1e-12)
    assert metrics.best_response(game, log_p)[2] == pytest.approx(np.log(0.2 / 0.3) - 1000, rel=1e-12)


@given(seed=st.integers(0, 10**6), beta=st.sampled_from([0.0, *BETAS]))
def test_relabelling_the_actions_changes_no_metric(seed, beta):
    game, log_p = random_game(seed, 6, beta), random_policy(seed, 6)
    order = np.random.default_rng(seed).permutation(6)
    relabelled = Game(game.preference[np.ix_(order, order)], game.log_reference[order], beta)
    assert metrics.exploitability(relabelled, log_p[order]) == pytest.approx(metrics.exploitability(game, log_p), rel=1e-9, abs=1e-15)


# ---- shapes and refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [None, 0.0, 0.3])
@pytest.mark.parametrize("measure", [metrics.exploitability, metrics.duality_gap, metrics.best_response])
@pytest.mark.parametrize("actions", [3, 10, 33])
def test_a_policy_is_measured_alike_wherever_it_stands(measure, beta, actions):
    game, policies = random_game(0, actions, 0.1), random_policy(0, 4, 5, actions)
    alone = [[measure(game, policy, beta).tolist() for policy in row] for row in policies]
    assert measure(game, policies, beta).tolist() == alone
    assert measure(game, np.asfortranarray(policies), beta).tolist() == alone
    assert measure([game] * 4, policies, beta).tolist() == alone


def test_a_list_of_games_pairs_with_the_first_axis():
    games = [random_game(seed, 3, beta) for seed, beta in enumerate([0.1, 0.0, 2.0])]
    policies = random_policy(0, 3, 7, 3)
    for beta, betas in [(None, [0.1, 0.0, 2.0]), (0.5, [0.5] * 3), ([0.0, 1.0, 0.2], [0.0, 1.0, 0.2])]:
        expected = [metrics.exploitability(games[i], policies[i], betas[i]).tolist() for i in range(3)]
        assert metrics.exploitability(games, policies, beta).tolist() == expected
        assert metrics.exploitability(games, policies[:, 0], beta).shape == (3,)


def test_nan_is_passed_on():
    policies = random_policy(0, 2, 3)
    policies[0] = np.nan
    for beta in (0.0, 0.5):
        assert np.isnan(metrics.exploitability(random_game(0, 3, beta), policies)).tolist() == [True, False]


@pytest.mark.parametrize(
    ("games", "log_policy", "beta", "message"),
    [
        (1, np.zeros(4), None, "log_policy=array of shape (4,): must be of shape (..., 3), K = 3 actions in the last axis"),
        (1, 0.0, None, "log_policy=array of shape (): must be of shape (..., 3), K = 3 actions in the last axis"),
        (1, [[0.0], [0.0, 1.0]], None, "log_policy=[[0.0], [0.0, 1.0]]: must be an array of numbers"),
        (2, random_policy(0, 3), None, "log_policy=array of shape (3,): must be of shape (2, ..., 3), K = 3 actions in the last axis"),
        (2, random_policy(0, 3, 3), None, "log_policy=array of shape (3, 3): must be of shape (2, ..., 3), K = 3 actions in the last axis"),
        (1, [0.2, 0.3, 0.5], None, "log_policy=probabilities summing to 4.21998: must be log-probabilities, normalised"),
        (1, [1e4, 0.0, 0.0], None, "log_policy=probabilities summing to inf: must be log-probabilities, normalised"),
        (1, random_policy(0, 3), -0.1, "beta=-0.1: must be finite and >= 0"),
        (1, random_policy(0, 3), np.inf, "beta=inf: must be finite and >= 0"),
        (1, random_policy(0, 3), [0.1], "beta=array of shape (1,): must be a number"),
        (2, random_policy(0, 2, 3), [0.1] * 3, "beta=array of shape (3,): must be a number, or one for each of 2 games"),
        (0, random_policy(0, 2, 3), None, "game=[]: must be a game or a list of games"),
    ],
)
def test_refusals_name_the_argument(games, log_policy, beta, message):
    game = random_game(0, 3, 0.1) if games == 1 else [random_game(0, 3, 0.1)] * games
    for measure in (metrics.exploitability, metrics.duality_gap, metrics.best_response):
        with pytest.raises(Invalid) as refusal:
            measure(game, log_policy, beta)
        assert str(refusal.value) == message


def test_games_of_one_list_have_one_number_of_actions():
    with pytest.raises(Invalid, match=r"game=games of \[3, 4\] actions: must be of one K"):
        metrics.exploitability([random_game(0, 3, 0.1), random_game(0, 4, 0.1)], random_policy(0, 2, 3))

"""The offline world: its enumeration, its samples, and its exact truths."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logsumexp
from scipy.stats import chi2

from algorithms.fit import fit
from algorithms.rdpo import RobustDPO
from envs.feedback import MarginFlip
from envs.invalid import Invalid
from envs.pair_truth import (
    information,
    objective,
    policy_fisher,
    regularised_gap,
    reward,
    reward_gap,
    robust_covariance,
    second_moment,
)
from envs.pairs import Comparisons, Pairs

WORLDS = {
    "default": Pairs(flip=0.2),
    "equal kept": Pairs(flip=0.2, keep_equal=True),
    "small": Pairs(contexts=1, actions=3, d=2, beta=2.0, scale=1.0, seed=3),
    "wide": Pairs(contexts=12, actions=4, d=30, flip=MarginFlip(0.3), seed=1),
}
each_world = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)


def by_loops(world: Pairs, value: Callable[[float], float]) -> tuple[float, np.ndarray]:
    """Share of pairs that count, and the mean of value(p) z z' over them, over all ordered pairs of draws."""
    q, total, counted = np.exp(world.log_reference), np.zeros((world.d, world.d)), 0.0
    for x in range(world.contexts):
        for a in range(world.actions):
            for b in range(world.actions):
                if a == b and not world.keep_equal:
                    continue
                chance = q[x, a] * q[x, b] / world.contexts
                z = world.beta * (world.phi[x, a] - world.phi[x, b])
                counted += chance
                total += chance * value(expit(z @ world.shift)) * np.outer(z, z)
    return counted, total / counted


class TestRows:
    @each_world
    def test_weights_and_probabilities(self, world: Pairs) -> None:
        rows = world.rows
        assert rows.weight.sum() == pytest.approx(1, abs=1e-14) and rows.weight.min() > 0
        np.testing.assert_allclose(rows.clean, expit(rows.features @ world.shift), rtol=1e-12)
        assert len(rows.weight) == world.contexts * world.actions * (world.actions + (1 if world.keep_equal else -1)) // 2

    def test_flips(self) -> None:
        rows = WORLDS["default"].rows
        np.testing.assert_allclose(rows.observed, 0.2 + 0.6 * rows.clean, rtol=1e-13)
        rows = WORLDS["wide"].rows
        rate = 0.3 * (1 - np.abs(2 * rows.clean - 1))
        np.testing.assert_allclose(rows.observed, rows.clean + rate * (1 - 2 * rows.clean), rtol=1e-12)

    def test_equal_pairs_dilute_the_information_and_nothing_else(self) -> None:
        dropped, kept = WORLDS["default"], WORLDS["equal kept"]
        share = (np.exp(2 * kept.log_reference).sum(axis=1)).mean()
        assert kept.rows.weight[(kept.rows.features == 0).all(axis=1)].sum() == pytest.approx(share, rel=1e-12)
        np.testing.assert_allclose(information(kept), (1 - share) * information(dropped), rtol=1e-12)
        np.testing.assert_allclose(robust_covariance(kept, 0.2), robust_covariance(dropped, 0.2) / (1 - share), rtol=1e-9)

    @each_world
    def test_moments_by_loops(self, world: Pairs) -> None:
        np.testing.assert_allclose(second_moment(world), by_loops(world, lambda p: 1.0)[1], atol=1e-14)
        np.testing.assert_allclose(information(world), by_loops(world, lambda p: p * (1 - p))[1], atol=1e-14)

    @pytest.mark.parametrize("scale", [0.0, 0.5, 3.0])
    def test_the_scale_is_the_spread_of_the_reward(self, scale: float) -> None:
        world = Pairs(scale=scale, beta=0.1)
        q = np.exp(world.log_reference)
        mean = (q * world.reward).sum(axis=1, keepdims=True)
        assert np.sqrt((q * (world.reward - mean) ** 2).sum(axis=1).mean()) == pytest.approx(scale, rel=1e-12)

    def test_a_seed_is_a_world(self) -> None:
        np.testing.assert_array_equal(Pairs(seed=4).phi, Pairs(seed=4, flip=0.3, beta=2.0).phi)
        assert not np.array_equal(Pairs(seed=4).phi, Pairs(seed=5).phi)


class TestSamples:
    @each_world
    def test_counts(self, world: Pairs) -> None:
        data = world.comparisons(1000, 7)
        assert data.total == 1000
        assert (data.wins == data.wins.round()).all()
        np.testing.assert_array_equal(data.wins, world.comparisons(1000, 7).wins)
        assert not np.array_equal(data.wins, world.comparisons(1000, 8).wins)
        assert world.comparisons().total == world.n

    @each_world
    def test_their_distribution(self, world: Pairs) -> None:
        """Pearson's statistic of (pair, label) cells, two-sided at 1e-6."""
        n, cells = 2_000_000, 2 * len(world.rows.weight) - 1
        data, expected = world.comparisons(n, 1), world.population()
        counts, mean = (np.concatenate([source.wins, source.losses]) for source in (data, expected))
        statistic = ((counts - n * mean) ** 2 / (n * mean)).sum()
        assert chi2.ppf(5e-7, cells) < statistic < chi2.isf(5e-7, cells)

    @each_world
    def test_expected_counts(self, world: Pairs) -> None:
        data = world.population()
        assert data.total == pytest.approx(1, abs=1e-14)
        np.testing.assert_allclose(data.wins + data.losses, world.rows.weight, rtol=1e-13)
        np.testing.assert_allclose(data.wins / world.rows.weight, world.rows.observed, rtol=1e-13)

    @each_world
    def test_log_ratios_are_margins_without_beta(self, world: Pairs) -> None:
        np.testing.assert_allclose(world.beta * world.population(log_ratio=True).features, world.population().features, rtol=1e-13)
        np.testing.assert_array_equal(world.comparisons(9, 1, log_ratio=True).wins, world.comparisons(9, 1).wins)


class TestTruths:
    @each_world
    @given(st.integers(0, 10**6), st.floats(0, 3))
    def test_the_gap_is_a_divergence(self, world: Pairs, seed: int, spread: float) -> None:
        logits = spread * np.random.default_rng(seed).normal(size=world.reward.shape)
        policy = logits - logsumexp(logits, axis=1, keepdims=True)
        gap = objective(world, world.log_policy(world.shift)) - objective(world, policy)
        assert regularised_gap(world, policy) == pytest.approx(gap, abs=1e-12 * (1 + world.beta) * (1 + spread) ** 2 * 10)
        assert regularised_gap(world, policy) >= 0

    @each_world
    def test_the_optimum_is_the_tilted_reference(self, world: Pairs) -> None:
        logits = world.log_reference + world.reward / world.beta
        np.testing.assert_allclose(world.log_policy(world.shift), logits - logsumexp(logits, axis=1, keepdims=True), atol=1e-12)
        assert regularised_gap(world, world.log_policy(world.shift)) == 0
        assert reward_gap(world, world.log_policy(world.shift)) == 0
        np.testing.assert_array_equal(world.log_policy(np.zeros(world.d)), world.log_reference)

    @each_world
    def test_more_reward_than_the_optimum_is_possible(self, world: Pairs) -> None:
        assert reward_gap(world, world.log_policy(1.5 * world.shift)) < 0 < reward_gap(world, world.log_reference)

    @each_world
    def test_the_policy_fisher_is_the_derivative_of_the_mean_feature(self, world: Pairs) -> None:
        shift, step = 0.3 * world.shift, 1e-5

        def mean(at: np.ndarray) -> np.ndarray:
            return np.einsum("xa,xad->d", np.exp(world.log_policy(at)), world.phi) / world.contexts

        columns = [(mean(shift + step * e) - mean(shift - step * e)) / (2 * step) for e in np.eye(world.d)]
        np.testing.assert_allclose(policy_fisher(world, shift), columns, atol=1e-9)

    def test_the_reward_s_slope_at_the_optimum(self) -> None:
        world, step = WORLDS["default"], 1e-5
        gradient = world.beta * policy_fisher(world, world.shift) @ world.shift
        for e in np.eye(8):
            up, down = (reward(world, world.log_policy(world.shift + sign * step * e)) for sign in (1, -1))
            assert (up - down) / (2 * step) == pytest.approx(gradient @ e, abs=1e-9)

    @pytest.mark.parametrize("flip", [0.0, 0.2, 0.45])
    @pytest.mark.parametrize("keep_equal", [False, True])
    def test_the_covariance_is_the_sandwich(self, flip: float, keep_equal: bool) -> None:
        """B^-1 M B^-1 with B the mean curvature and M the mean square of the gradient of one label at the truth."""
        world, loss = Pairs(flip=flip, keep_equal=keep_equal), RobustDPO(flip)
        rows = world.rows
        u = rows.features @ world.shift
        square = rows.weight * (rows.observed * loss.slope(u) ** 2 + (1 - rows.observed) * loss.slope(-u) ** 2)
        curved = rows.weight * loss.curvature(u)
        bread = np.linalg.inv(rows.features.T @ (curved[:, None] * rows.features))
        expected = bread @ (rows.features.T @ (square[:, None] * rows.features)) @ bread
        np.testing.assert_allclose(robust_covariance(world, flip), expected, rtol=1e-8, atol=1e-10)

    def test_the_regularised_gap_of_a_fit(self) -> None:
        """n E gap tends to beta/2 tr(F C), as a weighted sum of chi-squares; 200 fits, five standard errors."""
        world, n = WORLDS["default"], 200_000
        gaps = [n * regularised_gap(world, world.log_policy(fit(RobustDPO(0.2), world.comparisons(n, s)).theta)) for s in range(200)]
        product = world.beta / 2 * policy_fisher(world, world.shift) @ robust_covariance(world, 0.2)
        error = np.sqrt(2 * np.trace(product @ product) / 200)
        assert abs(np.mean(gaps) - np.trace(product)) < 5 * error


class TestRefusals:
    @pytest.mark.parametrize(
        ("key", "value", "allowed"),
        [
            ("n", 0, "an integer >= 1"),
            ("n", 1.5, "an integer >= 1"),
            ("contexts", 0, "an integer >= 1"),
            ("actions", 1, "an integer >= 2"),
            ("d", 0, "an integer >= 1"),
            ("d", 25, r"at most contexts \(actions - 1\) = 24"),
            ("beta", 0.0, r"a number in \[1e-06, 1e\+06\]"),
            ("beta", np.nan, r"a number in"),
            ("scale", -1.0, "a number in"),
            ("flip", 0.5, r"a rate in \[0, 1/2\)"),
            ("flip", "x", r"a rate in \[0, 1/2\)"),
            ("keep_equal", 1, "true or false"),
            ("seed", -1, "an integer >= 0"),
        ],
    )
    def test_of_worlds(self, key: str, value: object, allowed: str) -> None:
        with pytest.raises(Invalid, match=rf"^{key}=.*: must be {allowed}"):
            Pairs(**{key: value})

    @pytest.mark.parametrize(
        ("features", "wins", "losses", "said"),
        [
            ([1.0, 2.0], [1, 2], [1, 2], r"^features=array of shape \(2,\): must be of shape \(m, D\)"),
            (np.zeros((0, 2)), [], [], r"^features=array of shape \(0, 2\)"),
            ([[np.nan]], [1], [1], "^features=.*: must be finite"),
            ([["a"]], [1], [1], "^features=.*: must be an array of numbers"),
            ([[1.0]], [1, 2], [1], r"^wins=array of shape \(2,\): must be of shape \(1,\)"),
            ([[1.0]], [1], [np.inf], "^losses=.*: must be finite"),
            ([[1.0]], [1], [-1], "^losses=-1.0: must be counts >= 0"),
            ([[np.inf], [-np.inf]], [1, 1], [1, 1], "^features=.*: must be finite"),
            ([[1.0]], [0], [0], "^wins=all 0, as losses: must be at least one comparison"),
            ([[1.0]], [6e99], [5e99], r"^wins=1.1e\+100 with losses, added up: must be 1e\+100 at most"),
            ([[1.0]], [1e308], [1.7e308], r"^wins=inf with losses, added up: must be 1e\+100 at most"),
        ],
    )
    def test_of_comparisons(self, features: object, wins: object, losses: object, said: str) -> None:
        with pytest.raises(Invalid, match=said):
            Comparisons(features, wins, losses)

    def test_comparisons_cannot_be_changed(self) -> None:
        given_features = np.ones((1, 1))
        data = Comparisons(given_features, [1], [2])
        given_features[0] = 5
        assert data.features[0, 0] == 1
        with pytest.raises(ValueError, match="read-only"):
            data.wins[0] = 3

"""The fit: when a minimiser exists, that it is found, and what is said when it is not."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import binom

from algorithms import fit as module
from algorithms.cdpo import ConservativeDPO
from algorithms.dpo import DPO
from algorithms.fit import CHUNK, INSIDE, MANY, Objective, Point, fit, slope_slack
from algorithms.ipo import IPO
from algorithms.pair_loss import PairLoss, terms
from algorithms.rdpo import RobustDPO
from algorithms.robust_ipo import RobustIPO
from envs.invalid import Invalid
from envs.pairs import Comparisons, Pairs

LOSSES = [DPO(), RobustDPO(0.1), RobustDPO(0.3), ConservativeDPO(0.1), IPO(0.5), RobustIPO(0.5, 0.3)]
ENDLESS = [DPO(), RobustDPO(0.1), RobustDPO(0.3)]
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=str)


def small(seed: int, dimension: int, pairs: int, *, grid: bool = False, labels: int = 3) -> Comparisons:
    """Up to this many labels of random pairs; on a grid, features and counts tie often and labels are often (quasi-)separable."""
    rng = np.random.default_rng([seed, dimension, pairs, grid])
    features = rng.integers(-1, 2, (pairs, dimension)).astype(float) if grid else rng.normal(size=(pairs, dimension))
    counts = rng.integers(1, labels + 1, pairs)
    wins = rng.binomial(counts, 1 / (1 + np.exp(-features[:, 0] / labels**0.5)))
    return Comparisons(features, wins, counts - wins)


def recession(data: Comparisons, direction: NDArray, flip: float) -> float:
    """(1 - eps) sum (v . z)_- - eps sum (v . z)_+, z pointing to each label's winner."""
    margin = data.features @ direction
    margin[np.abs(margin) < 1e-12] = 0.0
    away, along = np.maximum(-margin, 0), np.maximum(margin, 0)
    losing = data.wins @ away + data.losses @ along
    return float((1 - flip) * losing - flip * (data.wins @ along + data.losses @ away))


def extreme_directions(features: NDArray) -> list[NDArray]:
    """Where the linear pieces of the recession function meet in lines: orthogonal to D - 1 independent features."""
    dimension, found = features.shape[1], []
    for rows in itertools.combinations(features, dimension - 1):
        _, singular, vectors = np.linalg.svd(np.reshape(rows, (dimension - 1, dimension)))
        if dimension == 1 or singular[-1] > 1e-9:
            found += [vectors[-1], -vectors[-1]]
    return found


def exists_by_enumeration(data: Comparisons, flip: float) -> bool:
    return all(recession(data, direction, flip) > 1e-9 for direction in extreme_directions(data.features))


class TestExistence:
    @pytest.mark.parametrize("grid", [False, True])
    @pytest.mark.parametrize("dimension", [1, 2, 3])
    @pytest.mark.parametrize("flip", [0.0, 0.1, 0.3, 0.45])
    def test_the_program_the_fit_and_the_enumeration_agree(self, flip: float, dimension: int, grid: bool) -> None:
        answers = []
        for seed in range(60):
            data = small(seed, dimension, (3, 6, 20)[seed % 3], grid=grid, labels=(1, 20, 3000)[seed // 3 % 3])
            if np.linalg.matrix_rank(data.features) < dimension:
                continue
            expected = exists_by_enumeration(data, flip)
            assert (slope_slack(RobustDPO(flip), data) > INSIDE) == expected
            found = fit(RobustDPO(flip), data)
            assert found.exists == found.converged == expected
            assert np.isnan(found.theta).all() == (not expected)
            answers.append(expected)
        assert len(answers) >= 20 and {True, False} == set(answers)

    @pytest.mark.parametrize("flip", [0.1, 0.3])
    def test_the_sign_of_the_slack_tells_unbounded_from_unattained(self, flip: float) -> None:
        for seed in range(60):
            data = small(seed, 2, 6, grid=True)
            if np.linalg.matrix_rank(data.features) < 2:
                continue
            least = min(recession(data, direction, flip) for direction in extreme_directions(data.features))
            assert (slope_slack(RobustDPO(flip), data) < -INSIDE) == (least < -1e-9)

    @pytest.mark.parametrize("flip", [0.1, 0.25, 0.4])
    @pytest.mark.parametrize("n", [7, 40])
    def test_its_probability_for_one_pair_is_binomial(self, n: int, flip: float) -> None:
        wins = np.arange(n + 1)
        chance = binom.pmf(wins, n, flip + (1 - 2 * flip) * 0.8)
        missing = [not fit(RobustDPO(flip), Comparisons([[0.7]], [k], [n - k])).exists for k in wins]
        beyond = (wins <= flip * n * (1 + 1e-12)) | (wins >= (1 - flip) * n * (1 - 1e-12))
        np.testing.assert_array_equal(missing, beyond)
        assert 0 < chance[missing].sum() < 1

    @pytest.mark.parametrize("loss", ENDLESS, ids=str)
    def test_separable_data(self, loss: PairLoss) -> None:
        data = Comparisons([[1.0, 0.2], [0.5, -1.0], [2.0, 1.0]], [3, 1, 2], [0, 0, 0])
        found = fit(loss, data)
        assert not found.exists and not found.converged
        assert np.isnan(found.theta).all() and np.isnan(found.value) and np.isnan(found.gradient_norm)
        assert "add comparisons" in found.message and "ridge > 0" in found.message

    @pytest.mark.parametrize("loss", ENDLESS, ids=str)
    def test_ridge_gives_every_data_set_a_minimiser(self, loss: PairLoss) -> None:
        data = Comparisons([[1.0, 0.2], [0.5, -1.0], [2.0, 1.0]], [3, 1, 2], [0, 0, 0])
        found = fit(loss, data, ridge=1e-3)
        assert found.exists and found.converged and found.gradient_norm < 1e-12
        assert found.ridge == 1e-3

    @pytest.mark.parametrize("loss", [ConservativeDPO(0.01), IPO(0.5), RobustIPO(0.5, 0.4)], ids=str)
    @given(st.integers(0, 10**6))
    def test_smoothed_and_square_losses_always_have_one(self, loss: PairLoss, seed: int) -> None:
        data = small(seed, 2, 3, grid=True)
        found = fit(loss, data)
        assert found.exists and found.converged and np.isfinite(found.theta).all()

    @pytest.mark.parametrize("flip", [0.0, 0.2, 0.4, 0.499])
    def test_populations_always_have_one(self, flip: float) -> None:
        for seed in range(5):
            assert fit(RobustDPO(flip), Pairs(flip=flip, seed=seed, scale=1.5).population()).converged

    def test_certain_but_extreme_probabilities_are_found(self) -> None:
        found = fit(DPO(), Comparisons([[1.0], [0.5]], [1 - 1e-7, 1], [1e-7, 1]))
        assert found.exists and found.converged

    def test_many_labels_take_no_time(self) -> None:
        rng = np.random.default_rng(0)
        features = rng.normal(size=(20_000, 4))
        turned = features * np.sign(features[:, :1])
        assert not fit(DPO(), Comparisons(turned, np.ones(20_000), np.zeros(20_000))).exists
        noisy = rng.random(20_000) < 0.9
        assert fit(DPO(), Comparisons(turned, noisy, ~noisy)).converged


class TestObjective:
    """One pass over the features, in chunks, against plain numpy."""

    @each_loss
    def test_terms_are_those_of_the_losses_functions(self, loss: PairLoss) -> None:
        rng = np.random.default_rng(0)
        margin = np.concatenate([rng.normal(size=500), [0.0, 1e-9, -1e-9, 30, -30, 700, -700, 1e5, -1e5]])
        wins, losses = rng.random((2, len(margin))) * rng.integers(0, 2, (2, len(margin)))
        found = terms(loss, margin, wins, losses)
        value = wins @ loss.value(margin) + losses @ loss.value(-margin)
        assert found.value == pytest.approx(float(value), rel=1e-12)
        slopes = wins * loss.slope(margin) - losses * loss.slope(-margin)
        np.testing.assert_allclose(found.slopes, slopes, rtol=1e-13, atol=1e-15)
        curvatures = wins * loss.curvature(margin) + losses * loss.curvature(-margin)
        np.testing.assert_allclose(found.curvatures, curvatures, rtol=1e-13, atol=1e-300)

    @each_loss
    @pytest.mark.parametrize(("pairs", "dimension"), [(1, 1), (7, 3), (9, 10), (77, 12), (1003, 8), (2001, 19), (CHUNK // 40 + 3, 50)])
    def test_derivatives(self, loss: PairLoss, pairs: int, dimension: int) -> None:
        rng = np.random.default_rng(pairs)
        features, x = rng.normal(size=(pairs, dimension)), rng.normal(size=dimension)
        wins, losses = rng.random((2, pairs))
        objective = Objective(loss, Comparisons(features, wins, losses), 0.1)
        basis, total = objective.basis, (wins + losses).sum()
        there, u = objective.at(basis.T @ x, curved=True), features @ basis @ basis.T @ x
        x = basis @ basis.T @ x
        value = (wins @ loss.value(u) + losses @ loss.value(-u)) / total + 0.05 * x @ x
        assert there.value == pytest.approx(float(value), rel=1e-12) and there.largest_margin == pytest.approx(np.abs(u).max())
        gradient = (wins * loss.slope(u) - losses * loss.slope(-u)) @ features / total + 0.1 * x
        np.testing.assert_allclose(basis @ there.gradient, gradient, rtol=1e-10, atol=1e-13)
        weighted = features * ((wins * loss.curvature(u) + losses * loss.curvature(-u)) / total)[:, None]
        hessian = weighted.T @ features + 0.1 * basis @ basis.T
        np.testing.assert_allclose(basis @ there.hessian @ basis.T, hessian, rtol=1e-9, atol=1e-13)

    @each_loss
    def test_from_a_sample_or_from_nothing_to_the_same_end(self, loss: PairLoss, monkeypatch: pytest.MonkeyPatch) -> None:
        rng = np.random.default_rng(1)
        features = rng.normal(size=(MANY + 7, 3))
        won = rng.random(len(features)) < 1 / (1 + np.exp(-features @ [1.0, -0.5, 0.2]))
        own = Comparisons(features, won, ~won)
        near = fit(loss, own)
        monkeypatch.setattr(module, "MANY", 10**9)
        far = fit(loss, own)
        assert near.exists == far.exists
        np.testing.assert_allclose(near.theta, far.theta, rtol=1e-9, atol=1e-11)

    def test_many_pairs_are_gone_through_three_times(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the Hessian of a sample; with their own; with that once more."""
        rng, passes = np.random.default_rng(1), []
        features = rng.normal(size=(3 * MANY, 3))
        won = rng.random(len(features)) < 1 / (1 + np.exp(-features @ [1.0, -0.5, 0.2]))
        measured = Objective.at

        def at(objective: Objective, x: NDArray, *, curved: bool = False) -> Point:
            if len(objective.features) == len(features):
                passes.append(curved)
            return measured(objective, x, curved=curved)

        monkeypatch.setattr(Objective, "at", at)
        found = fit(DPO(), Comparisons(features, won, ~won), 1e-6)
        assert passes == [False, True, False]
        there = Objective(DPO(), Comparisons(features, won, ~won), 1e-6).at(found.theta)
        assert found.value == pytest.approx(there.value, rel=1e-14)
        assert np.linalg.norm(there.gradient) < 1e-3 * found.gradient_norm < 1e-9


class TestMinimiser:
    @each_loss
    @pytest.mark.parametrize("ridge", [0.0, 0.01])
    @pytest.mark.parametrize("n", [500, 100_000])
    def test_an_optimiser_on_the_sum_over_labels_agrees(self, loss: PairLoss, ridge: float, n: int) -> None:
        data = Pairs(flip=0.1, scale=1.0).comparisons(n, 2)

        def objective(theta: NDArray) -> float:
            u = data.features @ theta
            return float(data.wins @ loss.value(u) + data.losses @ loss.value(-u)) / n + ridge / 2 * theta @ theta

        found = fit(loss, data, ridge)
        if not found.exists:
            assert ridge == 0 and loss == RobustDPO(0.3)  # more flips assumed than made
            return
        other = minimize(objective, np.zeros(8), method="BFGS", options={"gtol": 1e-8})
        np.testing.assert_allclose(found.theta, other.x, atol=3e-4)
        assert found.value == pytest.approx(objective(found.theta), rel=1e-12)
        assert found.value <= other.fun + 1e-14
        assert found.converged and found.gradient_norm < 1e-12 and "unique" in found.message

    @each_loss
    def test_sides_order_and_scale_do_not_matter(self, loss: PairLoss) -> None:
        data = Pairs(flip=0.1).comparisons(20_000, 2)
        theta = fit(loss, data).theta
        turned = Comparisons(-data.features, data.losses, data.wins)
        tripled = Comparisons(data.features[::-1], 3 * data.wins[::-1], 3 * data.losses[::-1])
        idle = Comparisons(np.vstack([data.features, 9 * np.ones(8)]), np.append(data.wins, 0), np.append(data.losses, 0))
        for other in (turned, tripled, idle):
            np.testing.assert_allclose(fit(loss, other).theta, theta, rtol=1e-10, atol=1e-12)
        halved = Comparisons(data.features / 2, data.wins, data.losses)
        np.testing.assert_allclose(fit(loss, halved).theta, 2 * theta, rtol=1e-10, atol=1e-12)

    @each_loss
    def test_the_least_norm_where_features_do_not_span(self, loss: PairLoss) -> None:
        data = Pairs(flip=0.1).comparisons(50_000, 2)
        plane = np.linalg.qr(np.random.default_rng(1).normal(size=(11, 8)))[0]
        wide = Comparisons(data.features @ plane.T, data.wins, data.losses)
        found, narrow = fit(loss, wide), fit(loss, data)
        np.testing.assert_allclose(found.theta, plane @ narrow.theta, atol=1e-10)
        assert (found.rank, narrow.rank) == (8, 8)
        assert "least norm" in found.message and "least norm" not in narrow.message
        assert "least norm" not in fit(loss, wide, ridge=0.1).message

    @each_loss
    def test_pairs_that_say_nothing(self, loss: PairLoss) -> None:
        found = fit(loss, Comparisons(np.zeros((2, 3)), [1, 2], [3, 0]))
        assert found.exists and found.converged and found.rank == 0
        np.testing.assert_array_equal(found.theta, 0)

    @each_loss
    @pytest.mark.parametrize("ridge", [0.0, 0.05])
    def test_many_dimensions(self, loss: PairLoss, ridge: float, monkeypatch: pytest.MonkeyPatch) -> None:
        data = Pairs(flip=0.1).comparisons(50_000, 4)
        direct = fit(loss, data, ridge)
        monkeypatch.setattr(module, "NEWTON_LIMIT", 3)
        found = fit(loss, data, ridge)
        assert found.exists and found.converged
        assert found.iterations != direct.iterations or direct.iterations < 3
        np.testing.assert_allclose(found.theta, direct.theta, atol=1e-5)

    def test_many_dimensions_without_a_minimiser(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "NEWTON_LIMIT", 1)
        always, one_way = Comparisons([[1.0, 0.2], [0.5, -1.0]], [3, 1], [0, 0]), Comparisons([[1.0, 0.0], [0.0, 1.0]], [3, 5], [0, 5])
        for loss, data in zip([DPO(), *ENDLESS], [one_way, always, one_way, always], strict=True):
            assert not fit(loss, data).exists

    @pytest.mark.parametrize("size", ["2e+100", "1e+152", "1e+155"])
    def test_features_that_would_overflow_are_refused(self, size: str) -> None:
        rows = np.ones((20_000, 1))
        assert fit(DPO(), Comparisons(1e99 * rows, rows[:, 0], rows[:, 0]), 0.1).converged
        with pytest.raises(Invalid, match=r"^features=.* a row of norm (2e\+100|1e\+152|inf): must be rows of norm 1e\+100 at most"):
            fit(DPO(), Comparisons(float(size) * rows, rows[:, 0], rows[:, 0]))

    @pytest.mark.parametrize("ridge", [-1.0, np.nan, np.inf, None, "1", True])
    def test_a_wrong_ridge_is_refused(self, ridge: object) -> None:
        with pytest.raises(Invalid, match=r"^ridge=.*: must be a finite number >= 0"):
            fit(DPO(), Comparisons([[1.0]], [1], [1]), ridge)

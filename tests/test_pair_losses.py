"""The offline losses: their literal two-term forms, what flips do to them, and where one pair and whole populations end."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import binom, chi2

from algorithms.cdpo import ConservativeDPO
from algorithms.dpo import DPO
from algorithms.fit import Fit, fit
from algorithms.ipo import IPO
from algorithms.pair_loss import PairLoss, TiltedLogistic, TiltedSquare
from algorithms.rdpo import RobustDPO
from algorithms.robust_ipo import RobustIPO
from envs.invalid import Invalid
from envs.pair_truth import information, robust_covariance
from envs.pairs import Comparisons, Pairs

FLIPS = [0.0, 0.1, 0.2, 0.4, 0.499]
LOSSES = [
    DPO(),
    *[RobustDPO(flip) for flip in FLIPS],
    *[ConservativeDPO(flip) for flip in FLIPS],
    IPO(0.1),
    IPO(3.0),
    *[RobustIPO(0.5, flip) for flip in FLIPS],
]
MARGINS = np.concatenate([np.linspace(-40, 40, 161), [-1e-9, 1e-9, 300.0, -300.0]])
WORLD = Pairs(flip=0.2)

each_loss = pytest.mark.parametrize("loss", LOSSES, ids=str)
each_flip = pytest.mark.parametrize("flip", FLIPS)


@dataclass(frozen=True)
class Tilted(TiltedLogistic):
    """Any tilt: the wrong versions below."""

    tilt: float = 0.0


@dataclass(frozen=True)
class Square(TiltedSquare):
    target: float = 0.0
    tilt: float = 0.0


@dataclass(frozen=True)
class Scaled:
    """A loss times a factor: the same minimiser."""

    loss: PairLoss
    factor: float

    def value(self, margin: NDArray) -> NDArray:
        return self.factor * self.loss.value(margin)

    def slope(self, margin: NDArray) -> NDArray:
        return self.factor * self.loss.slope(margin)

    def curvature(self, margin: NDArray) -> NDArray:
        return self.factor * self.loss.curvature(margin)


def one_pair(loss: PairLoss, share: float, ridge: float = 0.0) -> Fit:
    """The fit to a single pair whose first response wins this share of its labels."""
    return fit(loss, Comparisons([[1.0]], [share], [1 - share]), ridge)


def observed(clean: float, flip: float) -> float:
    return flip + (1 - 2 * flip) * clean


def factor(loss: PairLoss, world: Pairs) -> float:
    """How much of theta* - theta0 the population minimiser keeps, in the metric of H."""
    weighted = information(world) @ world.shift
    return fit(loss, world.population()).theta @ weighted / (world.shift @ weighted)


class TestDerivatives:
    @each_loss
    def test_slope_and_curvature_are_those_of_the_value(self, loss: PairLoss) -> None:
        margins, step = np.linspace(-15, 15, 61), 1e-4
        for function, derivative in [(loss.value, loss.slope), (loss.slope, loss.curvature)]:
            difference = (function(margins + step) - function(margins - step)) / (2 * step)
            scale = 1 + np.abs(function(margins)).max()
            np.testing.assert_allclose(difference, derivative(margins), atol=3e-9 * scale)

    @each_loss
    @given(st.floats(-50, 50), st.floats(-50, 50), st.floats(0, 1))
    def test_convex(self, loss: PairLoss, u: float, v: float, share: float) -> None:
        chord = share * loss.value(u) + (1 - share) * loss.value(v)
        scale = 1 + abs(loss.value(u)) + abs(loss.value(v))
        assert loss.value(share * u + (1 - share) * v) <= chord + 1e-13 * scale
        assert loss.curvature(u) > 0

    @each_loss
    def test_shapes_and_numbers_pass_through(self, loss: PairLoss) -> None:
        grid = np.linspace(-2, 2, 6).reshape(2, 3)
        for function in (loss.value, loss.slope, loss.curvature):
            assert function(grid).shape == (2, 3)
            assert function(0.5) == function(np.array([0.5]))[0]


def logistic(margin: NDArray) -> NDArray:
    return np.logaddexp(np.longdouble(0), -margin.astype(np.longdouble))


class TestLiteralForms:
    """The published two-term forms, in extended precision."""

    @each_flip
    def test_robust_dpo(self, flip: float) -> None:
        e = np.longdouble(flip)
        literal = ((1 - e) * logistic(MARGINS) - e * logistic(-MARGINS)) / (1 - 2 * e)
        np.testing.assert_allclose(RobustDPO(flip).value(MARGINS), literal.astype(float), rtol=1e-14, atol=1e-15)

    @each_flip
    def test_conservative_dpo(self, flip: float) -> None:
        literal = (1 - flip) * logistic(MARGINS) + flip * logistic(-MARGINS)
        np.testing.assert_allclose(ConservativeDPO(flip).value(MARGINS), literal.astype(float), rtol=1e-14)

    @each_flip
    @pytest.mark.parametrize("tau", [0.05, 0.5, 4.0])
    def test_robust_ipo(self, flip: float, tau: float) -> None:
        e, a, h = np.longdouble(flip), 1 / (2 * np.longdouble(tau)), MARGINS.astype(np.longdouble)
        literal = ((1 - e) * (h - a) ** 2 - e * (h + a) ** 2) / (1 - 2 * e)
        scale = float(np.abs(literal).max())
        np.testing.assert_allclose(RobustIPO(tau, flip).value(MARGINS), literal.astype(float), rtol=1e-14, atol=1e-15 * scale)
        shifted = RobustIPO(tau, flip).value(MARGINS) - (h - a / (1 - 2 * e)) ** 2
        np.testing.assert_allclose(shifted.astype(float), float(a**2 - (a / (1 - 2 * e)) ** 2), rtol=1e-11, atol=1e-12)

    def test_no_flips_are_the_plain_losses(self) -> None:
        for loss in (RobustDPO(0.0), ConservativeDPO(0.0)):
            np.testing.assert_array_equal(loss.value(MARGINS), DPO().value(MARGINS))
        np.testing.assert_array_equal(RobustIPO(0.3, 0.0).value(MARGINS), IPO(0.3).value(MARGINS))

    def test_by_hand(self) -> None:
        assert DPO().value(0.0) == np.log(2) and DPO().slope(0.0) == -0.5 and DPO().curvature(0.0) == 0.25
        assert RobustDPO(0.25).slope(0.0) == -1.0  # c = 1/2
        assert ConservativeDPO(0.25).slope(0.0) == -0.25
        assert (IPO(0.5).value(0.0), IPO(0.5).value(3.0), IPO(0.5).slope(0.0)) == (1.0, 4.0, -2.0)
        assert RobustIPO(0.5, 0.25).slope(0.0) == -4.0  # towards 1 / (1 - 2/4) = 2
        assert RobustIPO(0.5, 0.25).slope(2.0) == 0.0


def bias_of_value(loss: PairLoss, clean: PairLoss, flip: float) -> float:
    """Largest |E_flip loss - clean loss|, relative to the size of the terms."""
    straight, turned = (1 - flip) * loss.value(MARGINS), flip * loss.value(-MARGINS)
    return float((np.abs(straight + turned - clean.value(MARGINS)) / (1 + np.abs(straight) + np.abs(turned))).max())


def bias_of_slope(loss: PairLoss, clean: PairLoss, flip: float) -> float:
    straight, turned = (1 - flip) * loss.slope(MARGINS), flip * loss.slope(-MARGINS)
    return float((np.abs(straight - turned - clean.slope(MARGINS)) / (1 + np.abs(straight) + np.abs(turned))).max())


class TestUnbiasedness:
    @each_flip
    @pytest.mark.parametrize("kind", ["logistic", "square"])
    def test_over_flips(self, flip: float, kind: str) -> None:
        loss, clean = (RobustDPO(flip), DPO()) if kind == "logistic" else (RobustIPO(0.4, flip), IPO(0.4))
        assert bias_of_value(loss, clean, flip) < 2e-15
        assert bias_of_slope(loss, clean, flip) < 2e-15

    WRONG: ClassVar = {
        "no 1 / (1 - 2 eps)": Scaled(RobustDPO(0.2), 0.6),
        "1 / (1 - eps)": Scaled(RobustDPO(0.2), 0.6 / 0.8),
        "c = eps": Tilted(-0.2),
        "c = eps / (1 - eps)": Tilted(-0.25),
        "half the rate": RobustDPO(0.1),
        "plus": Tilted(0.2 / 0.6),
        "cDPO": ConservativeDPO(0.2),
        "DPO": DPO(),
    }

    @pytest.mark.parametrize("name", WRONG)
    def test_wrong_versions_are_biased(self, name: str) -> None:
        assert bias_of_value(self.WRONG[name], DPO(), 0.2) > 1e-3
        assert bias_of_slope(self.WRONG[name], DPO(), 0.2) > 1e-3

    def test_the_missing_factor_acts_as_a_weaker_loss_under_ridge(self) -> None:
        wrong = fit(self.WRONG["no 1 / (1 - 2 eps)"], WORLD.population())
        np.testing.assert_allclose(wrong.theta, WORLD.shift, atol=1e-10)  # without ridge it hides
        stronger = fit(RobustDPO(0.2), WORLD.population(), ridge=0.01 / 0.6).theta
        np.testing.assert_allclose(fit(self.WRONG["no 1 / (1 - 2 eps)"], WORLD.population(), 0.01).theta, stronger, atol=1e-10)
        assert np.abs(stronger - fit(RobustDPO(0.2), WORLD.population(), 0.01).theta).max() > 1e-2

    @each_flip
    def test_variance_over_flips(self, flip: float) -> None:
        u = np.linspace(-5, 5, 11)
        straight, turned = RobustDPO(flip).value(u), RobustDPO(flip).value(-u)
        variance = flip * (1 - flip) * (straight - turned) ** 2
        np.testing.assert_allclose(variance, flip * (1 - flip) / (1 - 2 * flip) ** 2 * u**2, rtol=1e-10, atol=1e-12)

    @pytest.mark.parametrize("flip", FLIPS[1:])
    def test_weights_of_gradients(self, flip: float) -> None:
        u = np.linspace(-20, 20, 41)
        robust, plain, smooth = -RobustDPO(flip).slope(u), -DPO().slope(u), -ConservativeDPO(flip).slope(u)
        assert (robust > plain).all() and (plain > smooth).all()
        np.testing.assert_allclose(robust - plain, flip / (1 - 2 * flip), rtol=1e-12)
        np.testing.assert_allclose(plain - smooth, flip, rtol=1e-12)


class TestOnePair:
    @each_flip
    @given(st.floats(0.001, 0.999))
    def test_robust_dpo_inverts_the_flips(self, flip: float, inside: float) -> None:
        found = one_pair(RobustDPO(flip), observed(inside, flip))
        assert found.exists and found.converged
        assert found.theta[0] == pytest.approx(logit(inside), abs=1e-9 / (1 - 2 * flip))

    @pytest.mark.parametrize("flip", FLIPS[1:])
    @pytest.mark.parametrize("share", ["below", "at", "above", "all"])
    def test_robust_dpo_has_no_end_beyond_the_flips(self, flip: float, share: str) -> None:
        shares = {"below": flip / 2, "at": flip, "above": 1 - flip / 2, "all": 1.0}
        found = one_pair(RobustDPO(flip), shares[share])
        assert not found.exists and not found.converged and np.isnan(found.theta).all()

    @pytest.mark.parametrize("assumed", [0.1, 0.25, 0.3])
    def test_a_wrong_rate(self, assumed: float) -> None:
        labels = observed(0.8, 0.2)
        u = one_pair(RobustDPO(assumed), labels).theta[0]
        assert u == pytest.approx(logit((labels - assumed) / (1 - 2 * assumed)), abs=1e-12)
        small = 0.6 / (1 - 2 * assumed)
        assert one_pair(RobustDPO(assumed), observed(expit(1e-3), 0.2)).theta[0] / 1e-3 == pytest.approx(small, rel=1e-6)
        assert factor(RobustDPO(assumed), Pairs(flip=0.2, scale=1e-3)) == pytest.approx(small, rel=1e-5)
        assert (factor(RobustDPO(assumed), WORLD) > small) == (assumed > 0.2)  # larger margins make the error larger

    @pytest.mark.parametrize(
        ("wrong", "end"),
        [
            (ConservativeDPO(0.2), 0.439),
            (Tilted(0.2 / 0.6), 0.241),
            (DPO(), 0.754),
            (RobustDPO(0.1), 0.969),
            (Tilted(-0.2), 1.109),
            (RobustDPO(0.4), None),
            (Tilted(-0.8 / 0.6), None),
        ],
    )
    def test_wrong_versions_end_elsewhere(self, wrong: PairLoss, end: float | None) -> None:
        found = one_pair(wrong, observed(0.8, 0.2))
        assert one_pair(RobustDPO(0.2), observed(0.8, 0.2)).theta[0] == pytest.approx(1.3862943611, abs=1e-9)
        assert found.exists == (end is not None)
        assert end is None or found.theta[0] == pytest.approx(end, abs=5e-4)

    @pytest.mark.parametrize("flip", FLIPS)
    @pytest.mark.parametrize("clean", [0.3, 0.6, 0.99])
    def test_dpo_and_its_smoothed_form_shrink(self, flip: float, clean: float) -> None:
        labels = observed(clean, flip)
        assert one_pair(DPO(), labels).theta[0] == pytest.approx(logit(labels), abs=1e-11)
        shrunk = 0.5 - (1 - 2 * flip) ** 2 * (1 - 2 * clean) / 2
        assert one_pair(ConservativeDPO(flip), labels).theta[0] == pytest.approx(logit(shrunk), abs=1e-11)
        assert one_pair(ConservativeDPO(flip), clean).theta[0] == pytest.approx(logit(labels), abs=1e-11)

    @pytest.mark.parametrize("flip", FLIPS[1:])
    def test_bounds(self, flip: float) -> None:
        bound = np.log((1 - flip) / flip)
        assert one_pair(DPO(), observed(1.0, flip)).theta[0] == pytest.approx(bound, abs=1e-11)
        assert one_pair(ConservativeDPO(flip), 1.0).theta[0] == pytest.approx(bound, abs=1e-11)

    @pytest.mark.parametrize("flip", FLIPS)
    @pytest.mark.parametrize("tau", [0.05, 0.5, 4.0])
    def test_ipo(self, flip: float, tau: float) -> None:
        labels = observed(0.8, flip)
        assert one_pair(IPO(tau), 0.8).theta[0] == pytest.approx(0.3 / tau, rel=1e-12)
        assert one_pair(IPO(tau), labels).theta[0] == pytest.approx(one_pair(IPO(tau / (1 - 2 * flip)), 0.8).theta[0], rel=1e-10)
        assert one_pair(RobustIPO(tau, flip), labels).theta[0] == pytest.approx(0.3 / tau, rel=1e-10)

    def moments(self, loss: PairLoss, n: int = 40) -> tuple[float, float]:
        """Exact mean and variance of the estimate of n labels of a pair, p = 0.8, flips 0.2."""
        wins = np.arange(n + 1)
        chance = binom.pmf(wins, n, observed(0.8, 0.2))
        ends = np.array([fit(loss, Comparisons([[1.0]], [k], [n - k])).theta[0] for k in wins])
        mean = chance @ ends
        return mean, chance @ (ends - mean) ** 2

    def test_robust_ipo_is_unbiased_with_the_stated_variance(self) -> None:
        mean, variance = self.moments(RobustIPO(0.5, 0.2))
        assert mean == pytest.approx(0.6, abs=1e-12)
        assert variance == pytest.approx(0.0604444444444, abs=1e-12)
        wrong_mean, wrong_variance = self.moments(Square(2 * 1.0, -4 * 2.0 * 0.2 / 0.6))  # 1 / tau for 1 / (2 tau)
        assert wrong_mean == pytest.approx(1.2) and wrong_variance == pytest.approx(4 * variance)


class TestPopulation:
    @each_flip
    def test_robust_dpo_is_consistent(self, flip: float) -> None:
        found = fit(RobustDPO(flip), Pairs(flip=flip).population())
        np.testing.assert_allclose(found.theta, WORLD.shift, atol=1e-14 / (1 - 2 * flip) ** 2 * 10)
        assert found.exists and found.converged and found.gradient_norm < 1e-12

    def test_newton_is_bfgs_on_the_literal_loss(self) -> None:
        data = WORLD.comparisons(4000, 3)

        def literal(theta: NDArray) -> float:
            u = data.features @ theta
            mixed = [0.8 * np.logaddexp(0, -s * u) - 0.2 * np.logaddexp(0, s * u) for s in (1, -1)]
            return float(data.wins @ mixed[0] + data.losses @ mixed[1]) / 0.6 / 4000

        other = minimize(literal, np.zeros(8), method="BFGS", options={"gtol": 1e-9})
        np.testing.assert_allclose(fit(RobustDPO(0.2), data).theta, other.x, atol=1e-5)

    @pytest.mark.parametrize("weights", ["equal", "random"])
    def test_dpo_on_bradley_terry_data_is_the_regularised_optimum(self, weights: str) -> None:
        rng, actions, beta = np.random.default_rng(4), 6, 0.3
        first, second = np.triu_indices(actions, 1)
        reward = rng.normal(size=actions)
        weight = np.ones(len(first)) if weights == "equal" else rng.exponential(size=len(first))
        win = expit(reward[first] - reward[second])
        found = fit(DPO(), Comparisons(beta * (np.eye(actions)[first] - np.eye(actions)[second]), weight * win, weight * (1 - win)))
        np.testing.assert_allclose(found.theta, (reward - reward.mean()) / beta, atol=1e-9)
        assert found.rank == actions - 1 and "least norm" in found.message

    @pytest.mark.parametrize("flip", [0.2, 0.4])
    def test_biases_of_dpo_and_its_smoothed_form(self, flip: float) -> None:
        world = Pairs(flip=flip)
        plain, smooth = factor(DPO(), world), factor(ConservativeDPO(flip), world)
        assert plain == pytest.approx(1 - 2 * flip, abs=0.06) and smooth == pytest.approx((1 - 2 * flip) ** 2, abs=0.06)
        assert smooth < plain < 1 - 2 * flip
        small = Pairs(flip=flip, scale=1e-3)
        assert factor(DPO(), small) == pytest.approx(1 - 2 * flip, rel=1e-5)
        assert factor(ConservativeDPO(flip), small) == pytest.approx((1 - 2 * flip) ** 2, rel=1e-5)

    @given(st.integers(2, 6), st.integers(0, 10**6), st.floats(0.05, 5))
    def test_ipo_ends_at_the_exponential_of_win_rates(self, actions: int, seed: int, tau: float) -> None:
        rng = np.random.default_rng(seed)
        first, second = np.triu_indices(actions, 1)
        mu, win = rng.dirichlet(np.ones(actions)), rng.random(len(first))
        preference = np.full((actions, actions), 0.5)
        preference[first, second], preference[second, first] = win, 1 - win
        weight = mu[first] * mu[second]
        found = fit(IPO(tau), Comparisons(np.eye(actions)[first] - np.eye(actions)[second], weight * win, weight * (1 - win)))
        expected = preference @ mu / tau
        np.testing.assert_allclose(found.theta, expected - expected.mean(), atol=1e-7 / tau)

    @pytest.mark.parametrize(("actions", "tau", "span"), [(4, 0.1, 7.5), (2, 2 / 3, 0.75)])
    def test_ipo_is_bounded_on_a_total_order(self, actions: int, tau: float, span: float) -> None:
        first, second = np.triu_indices(actions, 1)
        data = Comparisons(np.eye(actions)[first] - np.eye(actions)[second], np.ones(len(first)), np.zeros(len(first)))
        assert np.ptp(fit(IPO(tau), data).theta) == pytest.approx(span, rel=1e-12)


class TestOneFit:
    """T = n e' C^-1 e of one fit follows chi-square with D degrees of freedom; a false alarm has probability 1e-6."""

    LIMIT = chi2.isf(1e-6, 8)

    def distance(self, loss: PairLoss, n: int, flip: float = 0.2, seed: int = 1) -> float:
        world = Pairs(flip=flip)
        error = fit(loss, world.comparisons(n, seed)).theta - world.shift
        distance = n * error @ np.linalg.solve(robust_covariance(world, flip), error)
        return np.inf if np.isnan(distance) else distance  # no minimiser

    @pytest.mark.parametrize("flip", [0.0, 0.2, 0.4])
    @pytest.mark.parametrize("n", [100_000, 1_000_000])
    def test_robust_dpo_passes(self, flip: float, n: int) -> None:
        assert self.distance(RobustDPO(flip), n, flip) < self.LIMIT

    WRONG: ClassVar = {
        "sign": (Tilted(0.2 / 0.6), 12_000),
        "cDPO": (ConservativeDPO(0.2), 12_000),
        "DPO": (DPO(), 30_000),
        "half the rate": (RobustDPO(0.1), 73_000),
        "1 - eps for eps": (Tilted(0.8 / 0.6), 12_000),
        "1 - eps for eps in c's numerator": (Tilted(-0.8 / 0.6), 12_000),
        "1 / (1 - eps) on c": (Tilted(-0.25), 440_000),
        "a tenth too much": (RobustDPO(0.22), 810_000),
    }

    @pytest.mark.parametrize("name", WRONG)
    def test_wrong_versions_do_not(self, name: str) -> None:
        loss, n = self.WRONG[name]
        assert all(self.distance(loss, n, seed=seed) > self.LIMIT for seed in range(3))

    @pytest.mark.parametrize("flip", [0.2, 0.4])
    def test_its_distribution(self, flip: float) -> None:
        """The sum over 100 fits, two-sided at 1e-6: the constant, which no slope in n can see."""
        total = sum(self.distance(RobustDPO(flip), 200_000, flip, seed) for seed in range(100))
        assert chi2.ppf(5e-7, 800) < total < chi2.isf(5e-7, 800)


class TestNearOneHalf:
    FLIP = 0.499

    def test_estimates_are_exact(self) -> None:
        labels = observed(0.8, self.FLIP)
        assert one_pair(RobustDPO(self.FLIP), labels).theta[0] == pytest.approx(logit(0.8), abs=1e-11)
        assert one_pair(RobustIPO(0.5, self.FLIP), labels).theta[0] == pytest.approx(0.6, abs=1e-11)

    def test_the_population_minimiser(self) -> None:
        found = fit(RobustDPO(self.FLIP), Pairs(flip=self.FLIP).population())
        np.testing.assert_allclose(found.theta, WORLD.shift, atol=1e-11)

    def test_a_small_sample_has_none(self) -> None:
        found = fit(RobustDPO(self.FLIP), Pairs(flip=self.FLIP).comparisons(10_000))
        assert not found.exists and np.isnan(found.theta).all()


@pytest.mark.parametrize("flip", [-0.1, 0.5, 0.7, np.nan, np.inf, None, "0.1", True])
def test_wrong_rates_are_refused(flip: object) -> None:
    for make, key in [(RobustDPO, "flip"), (ConservativeDPO, "smoothing"), (lambda flip: RobustIPO(1.0, flip), "flip")]:
        with pytest.raises(Invalid, match=rf"^{key}=.*: must be a rate in \[0, 1/2\)"):
            make(flip)


@pytest.mark.parametrize("tau", [0, -1.0, np.nan, np.inf, None, "1", True])
def test_wrong_tau_is_refused(tau: object) -> None:
    for make in (IPO, lambda tau: RobustIPO(tau, 0.1)):
        with pytest.raises(Invalid, match=r"^tau=.*: must be a finite number > 0"):
            make(tau)

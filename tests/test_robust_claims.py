"""Every claim on robust DPO comes out as predicted on the standard worlds of pairs, and rejects a wrong ingredient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import OmegaConf
from scipy.stats import chi2, norm

import conf
from algorithms.cdpo import ConservativeDPO
from algorithms.dpo import DPO
from algorithms.fit import fit, slope_slack
from algorithms.pair_loss import PairLoss, TiltedLogistic
from algorithms.rdpo import RobustDPO
from envs.comparisons import Comparisons
from envs.feedback import MarginFlip
from envs.pair_truth import information, policy_fisher, robust_covariance, second_moment
from envs.pairs import Pairs
from theory.claim import judge
from theory.instances import standard_pairs
from theory.pair_statistics import estimates, from_middle, log_slope, mean_limits, minimiser, slope_weights
from theory.robust_claim import RobustClaim
from theory.robust_existence import contradicted, edges
from theory.robust_growth import Dimension, FlipRate, SampleSize
from theory.robust_rates import GrowthRate, RateClaim
from theory.robust_risks import RegularisedGap, SquaredError, SquaredRewardGap
from theory.testbed import PairTestbed

FOLDER = Path(conf.__file__).parent / "claim"
CLAIMS = sorted(path.stem for path in FOLDER.glob("robust_*.yaml"))
RATES = [name for name in CLAIMS if "_growth_" in name or "_limit" in name or name.endswith(("_sign", "_sqrt_d"))]
PAIRS = standard_pairs()
MANY_FLIPS = PAIRS[1:2]
"""Two labels in five are wrong, where a wrong loss shows most."""


def load(name: str) -> RobustClaim:
    return instantiate(OmegaConf.load(FOLDER / f"{name}.yaml"))


default_fits = pytest.mark.xdist_group("fits of robust DPO")
"""What looks at the fits of the default dials, which are kept, runs in one process."""


def outcome(claim: RobustClaim, testbeds: list[PairTestbed] = PAIRS) -> str:
    return judge(claim, testbeds).outcome


def test_the_catalogue_is_complete() -> None:
    ids = {load(name).id for name in CLAIMS}
    assert ids >= {f"RDPO-{number}" for number in (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14)} | {"RDPO-W", "RDPO-12c", "RDPO-6b"}
    assert ids >= {f"RDPO-8-{dial}" for dial in ("n", "flip", "d")}


def test_only_worlds_of_one_flip_rate_are_spoken_of() -> None:
    assert outcome(load("robust_one_fit"), [PairTestbed("margin", Pairs(flip=MarginFlip(0.3)))]) == "does not apply"


@dataclass(frozen=True)
class Tilted(TiltedLogistic):
    """The logistic loss with any linear term."""

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


LOSSES: dict[str, Callable[[float], PairLoss]] = {
    "sign": lambda e: Scaled(ConservativeDPO(e), 1 / (1 - 2 * e)),
    "sign of the linear term": lambda e: Tilted(e / (1 - 2 * e)),
    "conservative DPO": ConservativeDPO,
    "half the rate": lambda e: RobustDPO(e / 2),
    "twice the rate": lambda e: RobustDPO(min(2 * e, 0.49)),
    "a tenth too much": lambda e: RobustDPO(min(1.1 * e, 0.499)),
    "DPO": lambda e: DPO(),
    "labels ignored": lambda e: Tilted(0.5),
    "c = eps": lambda e: Tilted(-e),
    "eps and 1 - eps swapped": lambda e: Tilted((1 - e) / (1 - 2 * e)),
    "1/(1 - eps) on c": lambda e: Tilted(-e / (1 - e)),
}
"""Wrong losses by what is wrong: flip rate -> loss."""

FACTORS: dict[str, Callable[[float], PairLoss]] = {
    "no 1/(1 - 2 eps)": lambda e: Scaled(RobustDPO(e), 1 - 2 * e),
    "1/(1 - eps)": lambda e: Scaled(RobustDPO(e), (1 - 2 * e) / (1 - e)),
}
"""Wrong losses whose minimiser is right."""


def beta_missing(loss: PairLoss, world: Pairs, sample: Comparisons) -> NDArray:
    return minimiser(loss, world, replace(sample, features=sample.features / world.beta))


def beta_squared(loss: PairLoss, world: Pairs, sample: Comparisons) -> NDArray:
    return minimiser(loss, world, replace(sample, features=sample.features * world.beta))


def reference_dropped(loss: PairLoss, world: Pairs, sample: Comparisons) -> NDArray:
    """theta takes the place of theta - theta0."""
    return minimiser(loss, world, sample) - world.theta0


def flips_twice(loss: PairLoss, world: Pairs, sample: Comparisons) -> NDArray:
    flip = world.rows.rates[0]
    wins, losses = sample.wins, sample.losses
    return minimiser(loss, world, replace(sample, wins=(1 - flip) * wins + flip * losses, losses=(1 - flip) * losses + flip * wins))


ESTIMATORS = {"beta missing": beta_missing, "beta squared": beta_squared, "no theta0": reference_dropped, "flips twice": flips_twice}

BLIND = {
    ("robust_variance", "eps and 1 - eps swapped"),
    ("robust_existence_one_pair", "eps and 1 - eps swapped"),
    ("robust_existence", "eps and 1 - eps swapped"),
}
"""Swapping mirrors the loss, L(-u) for L(u): the same variance, and a minimiser (of the wrong sign) where the right one has one."""

EXACT = ("robust_loss", "robust_unbiased_loss", "robust_unbiased_gradient", "robust_gradient_weights", "robust_variance")
MINIMISERS = ("robust_one_pair", "robust_population", "robust_literal_minimiser", "robust_wrong_rate", "robust_one_fit")
LEARNT = ("robust_population", "robust_literal_minimiser", "robust_one_fit")


def small_wrong_rate(claim: RobustClaim) -> RobustClaim:
    """RDPO-11 tells the learner a wrong rate: told twice of it, a rate above 1/2 is capped, which this leaves out."""
    return replace(claim, towards=(-1 / 6, 1 / 6)) if claim.id == "RDPO-11" else claim  # type: ignore[call-arg]


@pytest.mark.parametrize("mutant", LOSSES)
@pytest.mark.parametrize("name", [*EXACT, *MINIMISERS, "robust_existence_population", "robust_existence_one_pair"])
def test_wrong_losses_are_rejected(name: str, mutant: str) -> None:
    wrong = replace(small_wrong_rate(load(name)), learner=LOSSES[mutant])
    if (name, mutant) in BLIND:
        assert outcome(wrong) == "holds"
    else:
        assert outcome(wrong, MANY_FLIPS) == "violated"


@pytest.mark.parametrize("mutant", FACTORS)
@pytest.mark.parametrize("name", [*EXACT, "robust_existence_population"])
def test_factors_are_seen_in_values_and_gradients(name: str, mutant: str) -> None:
    assert outcome(replace(load(name), learner=FACTORS[mutant]), MANY_FLIPS) == "violated"


@pytest.mark.parametrize("mutant", FACTORS)
@pytest.mark.parametrize("name", MINIMISERS)
def test_factors_hide_from_minimisers(name: str, mutant: str) -> None:
    """Why values are checked, and not estimates alone."""
    assert outcome(replace(load(name), learner=FACTORS[mutant])) == "holds"


@pytest.mark.parametrize("mutant", ESTIMATORS)
@pytest.mark.parametrize("name", LEARNT)
def test_wrong_estimators_are_rejected(name: str, mutant: str) -> None:
    assert outcome(replace(load(name), estimator=ESTIMATORS[mutant]), MANY_FLIPS) == "violated"


@pytest.mark.parametrize("mutant", [*LOSSES, *ESTIMATORS])
def test_one_fit_sees_every_bias_in_every_world(mutant: str) -> None:
    """But where beta is 1."""
    for testbed in PAIRS[: 2 if mutant.startswith("beta") else 3]:
        wrong = {"learner": LOSSES[mutant]} if mutant in LOSSES else {"estimator": ESTIMATORS[mutant]}
        assert outcome(replace(load("robust_one_fit"), **wrong), [testbed]) == "violated"


SHORT = {"SampleSize": SampleSize(terms=200), "FlipRate": FlipRate(terms=200), "Dimension": Dimension(draws=4, fits=5)}
"""Dials of a tenth of the fits or less: enough for a bias, which grows without bound in standard errors."""
BIASED = sorted(set(RATES) - {"robust_reward_gap_growth_d", "robust_reward_gap_sqrt_d"})
"""In d the reward gap is level with and without a bias."""


def short(name: str) -> RateClaim:
    claim = load(name)
    assert isinstance(claim, RateClaim)
    fewer = 32 * 12 / (4 * 5) if isinstance(claim.dial, Dimension) else 10
    claim = replace(claim, dial=SHORT[type(claim.dial).__name__])
    return replace(claim, allowance=np.sqrt(fewer) * claim.allowance) if isinstance(claim, GrowthRate) else claim


@pytest.mark.parametrize("name", BIASED)
def test_short_dials_do(name: str) -> None:
    assert outcome(short(name), PAIRS[:1]) == "holds"


@pytest.mark.parametrize("mutant", [*LOSSES, *ESTIMATORS])
def test_rates_and_limits_reject_biases(mutant: str) -> None:
    """All in one test, as they look at the same fits."""
    wrong = {"learner": LOSSES[mutant]} if mutant in LOSSES else {"estimator": ESTIMATORS[mutant]}
    assert {name: outcome(replace(short(name), **wrong), PAIRS[:1]) for name in BIASED} == dict.fromkeys(BIASED, "violated")


def with_middle(world: Pairs, flip: float, factor: float, middle: NDArray) -> NDArray:
    """H^-1 + factor H^-1 middle H^-1."""
    inverse = np.linalg.inv(information(world))
    return inverse + factor * inverse @ middle @ inverse


CONSTANTS: dict[str, Callable[[Pairs, float], NDArray]] = {
    "doubled": lambda world, e: 2 * robust_covariance(world, e),
    "no flips": lambda world, e: robust_covariance(world, 0.0),
    "no square": lambda world, e: with_middle(world, e, e * (1 - e) / (1 - 2 * e), second_moment(world)),
    "eps for eps (1 - eps)": lambda world, e: with_middle(world, e, e / (1 - 2 * e) ** 2, second_moment(world)),
    "H for S": lambda world, e: with_middle(world, e, e * (1 - e) / (1 - 2 * e) ** 2, information(world)),
    "equal pairs counted": lambda world, e: robust_covariance(replace(world, keep_equal=True), e),
}


@pytest.mark.parametrize("mutant", CONSTANTS)
def test_limits_reject_wrong_constants(mutant: str) -> None:
    claim = replace(load("robust_error_limit"), dial=SampleSize(multiples=(3_200,), terms=8_000))
    assert outcome(claim, PAIRS[:1]) == "holds"
    assert outcome(replace(claim, covariance=CONSTANTS[mutant]), PAIRS[:1]) == "violated"


def test_slopes_do_not() -> None:
    """Why limits are checked, and not slopes alone."""
    assert outcome(replace(short("robust_error_growth_n"), covariance=CONSTANTS["doubled"]), PAIRS[:1]) == "holds"


def test_constants_of_worlds_that_keep_equal_pairs() -> None:
    kept = PairTestbed("kept", replace(PAIRS[0].world, keep_equal=True))
    claim = replace(load("robust_error_limit"), dial=SampleSize(multiples=(3_200,)))
    assert outcome(claim, [kept]) == outcome(load("robust_one_fit"), [kept]) == "holds"


def uncentred(world: Pairs, shift: NDArray) -> NDArray:
    policy = np.exp(world.log_policy(shift))
    return np.einsum("xa,xad,xae->de", policy, world.phi, world.phi) / world.contexts


@pytest.mark.parametrize("risk", [RegularisedGap, SquaredRewardGap])
def test_an_uncentred_fisher_matrix_is_rejected(risk: type) -> None:
    name = {RegularisedGap: "robust_gap_limit", SquaredRewardGap: "robust_reward_gap_limit"}[risk]
    claim = replace(load(name), dial=SampleSize(multiples=(3_200,)))
    assert outcome(replace(claim, risk=risk()), PAIRS[:1]) == "holds"
    assert outcome(replace(claim, risk=risk(fisher=uncentred)), PAIRS[:1]) == "violated"
    assert outcome(replace(claim, risk=risk(fisher=lambda world, shift: policy_fisher(world, 0 * shift))), PAIRS[2:]) == "violated"


@pytest.mark.slow
@default_fits
def test_growth_in_d_rejects_a_wrong_order() -> None:
    """A covariance d times too large where the constants are held against fits; and the slope of the wrong risk."""
    claim = load("robust_reward_gap_growth_d")
    assert outcome(replace(claim, covariance=lambda world, e: world.d * robust_covariance(world, e)), PAIRS[:1]) == "violated"
    assert outcome(replace(load("robust_gap_growth_d"), exponent=0.5), PAIRS[:1]) == "violated"
    of_error = replace(load("robust_reward_gap_sqrt_d"), risk=SquaredError())
    assert outcome(of_error, PAIRS[:1]) == "does not apply"  # sqrt(d) is right of the error
    assert outcome(replace(of_error, sense="tight"), PAIRS[:1]) == "holds"


def test_the_gap_is_of_both_signs() -> None:
    """A shift of a tenth along the reward makes all fits better, or worse, than pi*."""
    claim = load("robust_reward_gap_sign")
    for factor in (0.9, 1.1):
        moved = replace(claim, estimator=lambda loss, world, sample, factor=factor: factor * minimiser(loss, world, sample))
        assert outcome(replace(moved, dial=SHORT["SampleSize"]), PAIRS[:1]) == "violated"


class TestRequirements:
    """What the project asks of robust DPO's rates, by the fits of the default dials."""

    @pytest.mark.slow
    @default_fits
    @pytest.mark.parametrize("testbed", PAIRS, ids=lambda testbed: testbed.name)
    def test_slopes(self, testbed: PairTestbed) -> None:
        in_n, in_flips = load("robust_error_growth_n"), load("robust_error_growth_flip")
        assert -0.52 <= in_n.measured(in_n.dial.points(testbed.world)) <= -0.48
        points = in_flips.dial.points(testbed.world)
        assert abs(in_flips.measured(points) - in_flips.exact(points)) <= 0.03

    @pytest.mark.slow
    @default_fits
    @pytest.mark.parametrize("testbed", PAIRS, ids=lambda testbed: testbed.name)
    def test_the_mean_square_at_five_n_within_four_standard_errors(self, testbed: PairTestbed) -> None:
        world = testbed.world
        flip, inverse = world.rows.rates[0], np.linalg.inv(information(world))
        claimed = world.d + flip * (1 - flip) / (1 - 2 * flip) ** 2 * np.trace(second_moment(world) @ inverse)
        points = SampleSize().points(world)
        assert len(points) == 5
        for seed, point in enumerate(points):
            (at,) = point.worlds
            squares = at.n * SquaredError().of(at, estimates(at, RobustDPO(flip), point.fits, seed))
            weights = SquaredError().weights(at, robust_covariance(at, flip))
            assert weights.sum() == pytest.approx(claimed, rel=1e-10)
            assert abs(squares.mean() - claimed) <= 4 * np.sqrt(2 * (weights**2).sum() / point.fits)

    @pytest.mark.parametrize("name", [name for name in RATES if "_growth_" in name])
    def test_allowances_are_beyond_chance(self, name: str) -> None:
        """At one in a million, by the exact law of the fits."""
        claim = load(name)
        assert isinstance(claim, GrowthRate)
        for testbed in PAIRS:
            points = claim.dial.points(testbed.world)
            spread = []
            for point in points:
                weights = [claim.weights(world) for world in point.worlds]
                variance = 2 * sum((some**2).sum() for some in weights) / point.fits / sum(some.sum() for some in weights) ** 2
                spread.append(claim.risk.power**2 * variance)
            deviation = np.sqrt(slope_weights([point.x for point in points]) ** 2 @ np.array(spread))
            assert norm.isf(5e-7) * deviation <= claim.allowance


class TestExistence:
    def test_edges_are_the_worst_directions(self) -> None:
        """No direction of a fine search has a smaller share of contradictions than the least of the edges."""
        rng = np.random.default_rng([3, 0, 0, 0])
        for d in (1, 2, 3, 4):
            sample = Comparisons(rng.normal(size=(7, d)), rng.integers(0, 6, 7) + 1.0, rng.integers(0, 6, 7) + 0.0)
            directions = rng.normal(size=(20_000, d))
            least = contradicted(sample, edges(sample.features)).min()
            assert least <= contradicted(sample, directions).min() + 1e-12
            if d <= 2:
                assert least == pytest.approx(contradicted(sample, directions).min(), abs=1e-3)

    def test_by_hand(self) -> None:
        sample = Comparisons(np.ones((1, 1)), np.array([8.0]), np.array([2.0]))
        assert sorted(contradicted(sample, edges(sample.features))) == [0.2, 0.8]

    WRONG: dict = {  # noqa: RUF012
        "ignores the flips": lambda loss, data: slope_slack(DPO(), data),
        "half the flips": lambda loss, data: slope_slack(Tilted(loss.tilt / 2), data),
        "always": lambda loss, data: 1.0,
        "never": lambda loss, data: -1.0,
        "turned": lambda loss, data: slope_slack(loss, replace(data, wins=data.losses, losses=data.wins)) * (-1),
        "unconverged iterations": lambda loss, data: 1.0 if fit(loss, data, ridge=1e-6).converged else -1.0,
    }

    @pytest.mark.parametrize("mutant", WRONG)
    def test_wrong_criteria_are_rejected(self, mutant: str) -> None:
        claim = replace(load("robust_existence"), slack=self.WRONG[mutant], worlds=((2, 6, 5), (3, 2, 5)), samples=8)
        assert outcome(claim, PAIRS[:1]) == "violated"

    @pytest.mark.parametrize("mutant", LOSSES)
    def test_wrong_losses_are_rejected(self, mutant: str) -> None:
        wrong = replace(load("robust_existence"), learner=LOSSES[mutant], worlds=((2, 6, 5), (3, 2, 5)), samples=4)
        if ("robust_existence", mutant) in BLIND:
            assert outcome(wrong) == "holds"
        else:
            assert outcome(wrong, MANY_FLIPS) == "violated"

    def test_the_prediction_of_failure_can_be_refuted(self) -> None:
        verdict = judge(
            replace(load("robust_existence_separable"), learner=lambda flip: DPO(), slack=self.WRONG["ignores the flips"]), PAIRS
        )
        assert verdict.outcome == "holds" and not verdict.expected

    def test_wrong_labels_are_seen_in_the_share_without_minimiser(self) -> None:
        """The law of the drawn counts, not of the fit alone."""
        claim = replace(load("robust_existence_one_pair"), labels=(10,))
        world = PAIRS[0].world

        class FlippedTwice(Pairs):
            def comparisons(self, n: int | None = None, seed: int = 0, index: int = 0, *, log_ratio: bool = False) -> Comparisons:
                return replace(self, flip=2 * 0.2 * 0.8).as_drawn(n, seed, index)

            def as_drawn(self, n: int | None, seed: int, index: int) -> Comparisons:
                return super().comparisons(n, seed, index)

        twice = FlippedTwice(flip=0.2, scale=2.0)
        assert outcome(claim, [PairTestbed("once", replace(world, scale=2.0))]) == "holds"
        assert outcome(claim, [PairTestbed("twice", twice)]) == "violated"


class TestCoverage:
    @pytest.mark.parametrize(
        "kappa",
        [
            lambda world, shift: 1.0,
            lambda world, shift: np.sqrt(load("robust_coverage").kappa(world, shift)),
            lambda world, shift: load("robust_coverage").kappa(world, shift) / 2,
        ],
        ids=["no coverage", "its root", "half of it"],
    )
    def test_less_coverage_is_not_enough(self, kappa: Callable) -> None:
        assert outcome(replace(load("robust_coverage"), kappa=kappa), PAIRS[:1]) == "violated"

    def test_any_estimate_meets_it(self) -> None:
        """The bound is about policies, not about how they were learnt."""
        assert outcome(replace(load("robust_coverage"), learner=LOSSES["sign"])) == "holds"


class TestStatistics:
    @pytest.mark.parametrize("alarm", [1e-6, 1e-2])
    @pytest.mark.parametrize(("terms", "draws", "error"), [(1, 1, 0.15), (1, 8, 0.02), (8, 1, 0.02), (8, 250, 1e-4), (1, 100_000, 1e-4)])
    def test_limits_of_equal_weights_are_those_of_chi_square(self, terms: int, draws: int, alarm: float, error: float) -> None:
        low, high = mean_limits(np.full(terms, 3.0), draws, alarm)
        freedom = terms * draws
        assert chi2.cdf(low * draws / 3, freedom) == pytest.approx(alarm / 2, rel=error)
        assert chi2.sf(high * draws / 3, freedom) == pytest.approx(alarm / 2, rel=error)

    def test_limits_of_unequal_weights_are_left_as_often_as_said(self) -> None:
        weights, rng = np.array([5.0, 1.0, 0.2, 0.0]), np.random.default_rng([5, 0, 0, 0])
        means = rng.chisquare(4, size=(1_000_000, 4)) @ weights / 4
        low, high = mean_limits(weights, 4, 2e-2)
        for share in ((means < low).mean(), (means > high).mean()):
            assert share == pytest.approx(1e-2, rel=0.06)  # 5 standard errors and the approximation

    def test_small_things(self) -> None:
        assert from_middle(3.0, 1.0, 3.0) == from_middle(1.0, 1.0, 3.0) == 1.0 and from_middle(2.0, 1.0, 3.0) == 0.0
        assert np.isnan(from_middle(np.nan, 1.0, 3.0))
        assert log_slope([1, 2, 4, 8], 3 * np.array([1, 2, 4, 8]) ** -0.5) == pytest.approx(-0.5, rel=1e-12)

    def test_fits_are_those_of_the_world_and_are_not_changed(self) -> None:
        world = Pairs(flip=0.2, n=5000)
        found = estimates(world, RobustDPO(0.2), 2, 7)
        np.testing.assert_array_equal(found[1], fit(RobustDPO(0.2), world.comparisons(seed=7, index=1)).theta)
        assert not found.flags.writeable

    @pytest.mark.parametrize("name", ["robust_error_limit", "robust_error_growth_n", "robust_reward_gap_sign", "robust_one_fit"])
    def test_a_missing_minimiser_never_passes(self, name: str) -> None:
        def sometimes(loss: PairLoss, world: Pairs, sample: Comparisons) -> NDArray:
            return minimiser(loss, world, sample) * (np.nan if sample.wins[0] % 2 else 1.0)

        claims = [load(name)] if name == "robust_one_fit" else [replace(load(name), dial=SHORT["SampleSize"])]
        claims += [replace(claim, allowance=1e9) for claim in claims if isinstance(claim, GrowthRate)]
        world = replace(
            PAIRS[0].world, seed=next(s for s in range(99) if replace(PAIRS[0].world, n=10**7, seed=s).comparisons().wins[0] % 2)
        )
        for claim in claims:
            assert outcome(replace(claim, estimator=sometimes), [PairTestbed("odd", world)]) == "violated"

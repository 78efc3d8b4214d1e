"""Claims on DPO, conservative DPO and offline IPO: each comes out as predicted on labelled pairs, and rejects what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import OmegaConf

import conf
from algorithms.cdpo import ConservativeDPO
from algorithms.dpo import DPO
from algorithms.ipo import IPO
from algorithms.pair_loss import PairLoss, TiltedLogistic, TiltedSquare
from algorithms.rdpo import RobustDPO
from algorithms.robust_ipo import RobustIPO
from envs.divergence import kl, log_normalise
from envs.feedback import MarginFlip
from envs.pair_truth import reward
from envs.pairs import Pairs
from theory.claim import Claim, judge
from theory.dpo_fits import any_preferences, any_weights
from theory.dpo_floor import limit
from theory.dpo_order import even
from theory.instances import standard_pairs
from theory.ipo_minimiser import least_squares, product, win_rates
from theory.testbed import PairTestbed

FOLDER = Path(conf.__file__).parent / "claim"
CLAIMS = sorted(path.stem for start in ("dpo", "conservative", "ipo") for path in FOLDER.glob(f"{start}_*.yaml"))


def load(name: str) -> Claim:
    return instantiate(OmegaConf.load(FOLDER / f"{name}.yaml"))


def quick(name: str) -> Claim:
    """The claim with fewer fits, if it has many: still enough to reject what is wrong."""
    claim = load(name)
    return replace(claim, n=(1_000_000,), repeats=50) if name.endswith("floor") else claim


@cache
def beds() -> tuple[PairTestbed, ...]:
    return tuple(standard_pairs())


# --- wrong losses


@dataclass(frozen=True)
class Tilted(TiltedLogistic):
    """The logistic loss with any linear term."""

    tilt: float = 0.0


@dataclass(frozen=True)
class Square(TiltedSquare):
    """The square loss with any target and linear term."""

    target: float = 0.0
    tilt: float = 0.0


@dataclass(frozen=True)
class Changed:
    """times L(stretch u): chosen and rejected swapped at stretch = -1, h for u at stretch = 1/beta."""

    loss: PairLoss
    times: float = 1.0
    stretch: float = 1.0

    def value(self, margin: NDArray) -> NDArray:
        return self.times * self.loss.value(self.stretch * np.asarray(margin))

    def slope(self, margin: NDArray) -> NDArray:
        return self.times * self.stretch * self.loss.slope(self.stretch * np.asarray(margin))

    def curvature(self, margin: NDArray) -> NDArray:
        return self.times * self.stretch**2 * self.loss.curvature(self.stretch * np.asarray(margin))


def constantly(loss: PairLoss) -> Callable[..., PairLoss]:
    return lambda *rates: loss


def swapped(learner: Callable[..., PairLoss]) -> Callable[..., PairLoss]:
    """Chosen and rejected swapped."""
    return lambda *rates: Changed(learner(*rates), stretch=-1.0)


def times(factor: float, learner: Callable[..., PairLoss]) -> Callable[..., PairLoss]:
    return lambda *rates: Changed(learner(*rates), times=factor)


def stretched(factor: float, learner: Callable[..., PairLoss]) -> Callable[..., PairLoss]:
    """A margin that holds `factor` too much."""
    return lambda *rates: Changed(learner(*rates), stretch=factor)


def weights_swapped(s: float) -> PairLoss:
    """s l(u) + (1 - s) l(-u)."""
    return Tilted(1 - s)


def divided(s: float) -> PairLoss:
    """Conservative DPO over 1 - 2 s."""
    return Changed(ConservativeDPO(s), times=1 / (1 - 2 * s))


def half_smoothed(s: float) -> PairLoss:
    return ConservativeDPO(s / 2)


def half_debiased(flip: float) -> PairLoss:
    return RobustDPO(flip / 2)


def one_over_tau(tau: float) -> PairLoss:
    """1/tau for 1/(2 tau)."""
    return Square(1 / tau)


def times_tau(tau: float) -> PairLoss:
    """tau for 1/tau."""
    return Square(tau / 2)


plain = constantly(DPO())
WRONG_DPO = {"cDPO": ConservativeDPO, "rDPO": RobustDPO, "swapped": swapped(plain), "half debiased": half_debiased}
WRONG_MARGIN = {"half the margin": stretched(2, plain), "tenth too much": stretched(1 / 1.1, plain), "IPO": constantly(IPO(0.3))}
WRONG_CDPO = {"DPO": plain, "rDPO": RobustDPO, "weights swapped": weights_swapped, "half smoothed": half_smoothed}
A_LITTLE = {"rDPO 0.01": constantly(RobustDPO(0.01)), "cDPO 0.01": constantly(ConservativeDPO(0.01))}
WRONG_IPO = {
    "1/tau": one_over_tau,
    "tau/2": times_tau,
    "DPO": plain,
    "swapped": swapped(IPO),
    "debiased": lambda tau: RobustIPO(tau, 0.1),
}

LEARNERS: dict[str, dict[str, Callable[..., PairLoss]]] = {
    "dpo_optimum": {**A_LITTLE, **WRONG_MARGIN, "swapped": swapped(plain)},
    "dpo_one_pair": {**WRONG_DPO, **WRONG_MARGIN, **A_LITTLE},
    "dpo_shrinkage": {**WRONG_DPO, **WRONG_MARGIN, **A_LITTLE},
    "dpo_floor": {**WRONG_DPO, **WRONG_MARGIN, **A_LITTLE},
    "dpo_divergence": {**A_LITTLE, "swapped": swapped(plain), "IPO": constantly(IPO(0.3)), "twice": times(2, plain)},
    "dpo_order": {"swapped": swapped(plain), "debiased beyond the labels": constantly(RobustDPO(0.49))},
    "dpo_order_flips": {"swapped": swapped(plain), "debiased beyond the labels": constantly(RobustDPO(0.49))},
    "dpo_displacement": {"swapped": swapped(plain), "tenth of the slope": times(0.1, plain), "cDPO": constantly(ConservativeDPO(0.4))},
    "dpo_displacement_sign": {**A_LITTLE, **WRONG_MARGIN, "swapped": swapped(plain), "twice": times(2, plain)},
    "conservative_loss": {**WRONG_CDPO, "divided by 1 - 2s": divided, "swapped": swapped(ConservativeDPO)},
    "conservative_one_pair": {**WRONG_CDPO, "swapped": swapped(ConservativeDPO)},
    "conservative_is_noise": {**WRONG_CDPO, "swapped": swapped(ConservativeDPO)},
    "conservative_bounded": {"DPO": plain, "rDPO": RobustDPO, "half smoothed": half_smoothed, "IPO": constantly(IPO(0.01))},
    "conservative_shrinkage": {**WRONG_CDPO, "swapped": swapped(ConservativeDPO)},
    "conservative_bias": {"rDPO": RobustDPO, "half debiased": half_debiased},
    "conservative_floor": {**WRONG_CDPO, "swapped": swapped(ConservativeDPO), "a tenth more": lambda s: ConservativeDPO(1.1 * s)},
    "conservative_existence": {"DPO": plain, "rDPO": RobustDPO},
    "ipo_minimiser": WRONG_IPO,
    "ipo_weights": WRONG_IPO,
    "ipo_bounded": WRONG_IPO,
    "ipo_flips": WRONG_IPO,
    "ipo_debiasing": {
        "IPO": lambda tau, flip: IPO(tau),
        "half the rate": lambda tau, flip: RobustIPO(tau, flip / 2),
        "sign": lambda tau, flip: Square(0.5 / tau, 2 / tau * flip / (1 - 2 * flip)),
        "no 1 / (1 - 2 eps)": lambda tau, flip: Changed(RobustIPO(tau, flip), times=1 - 2 * flip),
        "1/tau": lambda tau, flip: RobustIPO(tau / 2, flip),
    },
    "ipo_estimate": {
        "IPO": lambda tau, flip: IPO(tau),
        "half the rate": lambda tau, flip: RobustIPO(tau, flip / 2),
        "1/tau": lambda tau, flip: RobustIPO(tau / 2, flip),
        "swapped": swapped(RobustIPO),
    },
}


@pytest.mark.parametrize(("name", "mutant"), [(name, mutant) for name, mutants in LEARNERS.items() for mutant in mutants])
def test_rejects_wrong_losses(name: str, mutant: str) -> None:
    assert judge(replace(quick(name), learner=LEARNERS[name][mutant]), beds()).outcome == "violated"


def test_what_moves_no_minimiser_shows_in_the_loss_alone() -> None:
    """Dividing by 1 - 2 s leaves every fit where it is."""
    for name in ("conservative_one_pair", "conservative_shrinkage"):
        assert judge(replace(load(name), learner=divided), beds()).outcome == "holds"
    assert judge(replace(load("conservative_loss"), learner=divided), beds()).outcome == "violated"


def test_the_comparison_of_two_ipo_fits_is_blind_to_the_factor_of_tau() -> None:
    claim, (testbed, *_) = replace(load("ipo_flips"), learner=one_over_tau), beds()
    ratios = {"pair by pair" in finding.instance: finding.ratio for finding in claim.findings([testbed])}
    assert ratios[True] > 1 >= ratios[False]


# --- wrong ingredients besides the loss


def reverse_value(world: Pairs, log_policy: NDArray) -> float:
    return reward(world, log_policy) - world.beta * float(kl(world.log_reference, log_policy).mean())


def optimum(world: Pairs) -> NDArray:
    return log_normalise(world.log_reference + world.reward / world.beta)


def self_play(weights: NDArray, preference: NDArray, tau: float) -> NDArray:
    """IPO's closed form with the policy, from a uniform reference, in mu's place."""
    policy = np.full(len(preference), 1 / len(preference))
    for _ in range(200):
        policy = 0.5 * policy + 0.5 * np.exp(log_normalise(preference @ policy / tau))
    return preference @ policy / tau


INGREDIENTS = {
    "beta missing": ("dpo_optimum", "policy", lambda game, score: log_normalise(game.log_reference + score)),
    "beta squared": ("dpo_optimum", "policy", lambda game, score: log_normalise(game.log_reference + score / game.beta**2)),
    "times beta": ("dpo_optimum", "policy", lambda game, score: log_normalise(game.log_reference + score * game.beta)),
    "no reference": ("dpo_optimum", "policy", lambda game, score: log_normalise(score / game.beta)),
    "reference twice": ("dpo_optimum", "policy", lambda game, score: log_normalise(2 * game.log_reference + score / game.beta)),
    "forward KL in J": ("dpo_gap", "value", reverse_value),
    "no KL in J": ("dpo_gap", "value", reward),
    "no beta in J": ("dpo_gap", "value", lambda w, p: reward(w, p) - float(kl(p, w.log_reference).mean())),
    "forward KL in the gap": ("dpo_gap", "gap", lambda w, p: w.beta * float(kl(optimum(w), p).mean())),
    "no beta in the gap": ("dpo_gap", "gap", lambda w, p: float(kl(p, optimum(w)).mean())),
    "gap from the reference": ("dpo_gap", "gap", lambda w, p: w.beta * float(kl(p, w.log_reference).mean())),
    "shrunk once": ("conservative_one_pair", "shrinkages", 1),
    "not shrunk": ("dpo_one_pair", "shrinkages", 0),
    "(1-2e)^2 for DPO": ("dpo_shrinkage", "times", 2),
    "1-2e for cDPO": ("conservative_shrinkage", "times", 1),
    "large margins": ("dpo_shrinkage", "scale", 0.5),
    "floor without smoothing": ("conservative_floor", "smoothing", lambda flip: 0.0),
    "floor with smoothing": ("dpo_floor", "smoothing", lambda flip: flip),
    "learning rate beta^-1": ("dpo_divergence", "learning_rate", lambda beta: 1 / beta),
    "learning rate 1": ("dpo_divergence", "learning_rate", lambda beta: 1.0),
    "uneven pairs": ("dpo_order", "weights", any_weights),
    "uneven flipped pairs": ("dpo_order_flips", "weights", any_weights),
    "a table": ("dpo_displacement", "features", np.eye(3).tolist()),
    "the third close by": ("dpo_displacement", "features", [[1.0, 0.0], [0.8, 0.0], [0.9, 0.0]]),
    "longer features": ("dpo_displacement_sign", "features", lambda world: 1.01 * world.phi),
    "Borda transposed": ("ipo_minimiser", "claimed", lambda weights, p, tau: win_rates(weights, p.T, tau)),
    "tau times": ("ipo_minimiser", "claimed", lambda weights, p, tau: win_rates(weights, p, 1 / tau)),
    "uniform mu": ("ipo_minimiser", "claimed", lambda weights, p, tau: win_rates(np.ones_like(p), p, tau)),
    "the policy for mu": ("ipo_minimiser", "claimed", self_play),
    "no 1/2": ("ipo_weights", "claimed", lambda weights, p, tau: least_squares(weights, p, tau / 2)),
    "weights squared": ("ipo_weights", "claimed", lambda weights, p, tau: least_squares(weights**2, p, tau)),
}


@pytest.mark.parametrize("mutant", INGREDIENTS)
def test_rejects_a_wrong_ingredient(mutant: str) -> None:
    name, field, value = INGREDIENTS[mutant]
    assert judge(replace(quick(name), **{field: value}), beds()).outcome == "violated"


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("dpo_consistent", {"learner": RobustDPO}),
        ("conservative_consistent", {"learner": RobustDPO}),
        ("dpo_order_weights", {"weights": even}),
        ("ipo_product", {"weights": product}),
        ("ipo_product", {"claimed": least_squares}),
    ],
)
def test_a_prediction_of_failure_can_be_refuted(name: str, right: dict) -> None:
    verdict = judge(replace(load(name), **right), beds())
    assert verdict.outcome == "holds" and not verdict.expected


class TestFloor:
    """The formulas of DPO-5 and CDPO-3, and how closely repeated fits hold them."""

    def ratios(self, factor: float) -> list[float]:
        """Findings of fits whose scatter about DPO's limit is `factor` times what it should be."""
        claim = replace(load("dpo_floor"), n=(100_000,))
        world, flip = beds()[0].world, beds()[0].world.flip_rate
        centre = limit(world, 0.0)[0] + world.shift

        @dataclass(frozen=True)
        class Wider(Pairs):
            def comparisons(self, n=None, seed=0, index=0, *, log_ratio=False):  # fewer labels, so a wider scatter
                return super().comparisons(round(n / factor), seed, index, log_ratio=log_ratio)

        wider = Wider(flip=flip)
        np.testing.assert_array_equal(wider.shift, world.shift)
        assert np.abs(centre - world.shift).max() > 0.1
        return [finding.ratio for finding in claim.findings([PairTestbed("wider", wider)])]

    def test_a_wrong_scatter_is_seen(self) -> None:
        assert max(self.ratios(1.0)) <= 1
        assert max(self.ratios(1.25)) > 1
        assert max(self.ratios(0.75)) > 1

    def test_the_information_identity_without_flips(self) -> None:
        """Well specified: no bias, and the inverse Fisher information for a covariance."""
        world = Pairs()
        bias, covariance = limit(world, 0.0)
        rows = world.rows
        fisher = (rows.features * (rows.weight * rows.clean * (1 - rows.clean))[:, None]).T @ rows.features
        np.testing.assert_allclose(bias, 0.0, atol=1e-10)
        np.testing.assert_allclose(covariance @ fisher, np.eye(world.d), atol=1e-8)


def test_the_random_preferences_are_often_cyclic() -> None:
    """Else the order of Borda counts would be that of any score."""
    games = [game for testbed in beds() for _, game in any_preferences(testbed.world, 20)]
    assert sum(game.cyclic_triangles() > 0 for game in games) > 20


def test_both_signs_of_the_chosen_occur() -> None:
    claim = load("dpo_displacement_sign")
    for world in (testbed.world for testbed in beds()[1:]):
        pairs = [(x, w, l) for x in range(world.contexts) for w, l in permutations(range(world.actions), 2)]
        found = [claim._claimed(world, 0 * world.shift, *pair) for pair in pairs]
        assert min(found) < 0 < max(found)


class TestOtherWorlds:
    def test_without_flips_what_speaks_of_flips_does_not_apply(self) -> None:
        clean = [PairTestbed("clean", Pairs())]
        for name in CLAIMS:
            verdict = judge(load(name), clean)
            assert verdict.expected, verdict
        for name in ("dpo_shrinkage", "dpo_floor", "conservative_one_pair", "ipo_estimate", "dpo_consistent"):
            assert judge(load(name), clean).outcome == "does not apply"

    @pytest.mark.parametrize(
        "world",
        [
            Pairs(flip=MarginFlip(0.3)),
            Pairs(contexts=10, actions=2, flip=0.2),
            Pairs(contexts=1, actions=3, d=2, flip=0.2, seed=4),
            Pairs(scale=0.0, flip=0.2),
            Pairs(scale=5.0, flip=0.2),
            Pairs(beta=100.0, flip=0.49),
            Pairs(beta=1e-3, flip=0.3, keep_equal=True),
        ],
        ids=["margin flips", "two responses", "one prompt", "no reward", "large reward", "large beta", "small beta"],
    )
    def test_nothing_comes_out_against_its_prediction(self, world: Pairs) -> None:
        verdicts = [judge(load(name), [PairTestbed("other", world)]) for name in CLAIMS if "floor" not in name]
        assert not [verdict for verdict in verdicts if not verdict.expected]

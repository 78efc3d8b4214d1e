"""Feedback: labels by hand, duels with the mean and variance of theory, debiasing that is unbiased, and what is refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from games import TEN, games, random_policy, uniform
from hydra.utils import get_class, instantiate
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from omegaconf import OmegaConf

import conf
import simlab
from algorithms.egpo import EGPO
from algorithms.online_mirror_descent import OnlineMirrorDescent
from algorithms.sppo import SPPO
from envs.equilibrium import regularised_nash
from envs.feedback import AnnotatorFlip, Duels, Exact, Flip, MarginFlip, SymmetricFlip, TargetedFlip
from envs.game import Game
from envs.invalid import Invalid

MEMBERS = sorted(path.stem for path in (Path(conf.__path__[0]) / "feedback").glob("*.yaml"))
THREE = Game([[0.5, 0.9, 0.2], [0.1, 0.5, 0.7], [0.8, 0.3, 0.5]], np.log([0.2, 0.3, 0.5]), 0.2)


def load(name: str, **changes: object) -> Exact:
    config = OmegaConf.merge(OmegaConf.load(Path(conf.__path__[0]) / "feedback" / f"{name}.yaml"), changes)
    return instantiate(config, _convert_="all")


# Labels by hand.

LABELS = {
    "symmetric": (0.1, [[0.5, 0.82, 0.26], [0.18, 0.5, 0.66], [0.74, 0.34, 0.5]]),
    # |2 P - 1| is 0.8, 0.6, 0.4: rates 0.2 (1 - that)
    "margin": (MarginFlip(0.2), [[0.5, 0.868, 0.248], [0.132, 0.5, 0.652], [0.752, 0.348, 0.5]]),
    # rates 0.2 (1 - that)^2
    "steep margin": (MarginFlip(0.2, sharpness=2), [[0.5, 0.8936, 0.2192], [0.1064, 0.5, 0.6712], [0.7808, 0.3288, 0.5]]),
    "targeted": (TargetedFlip(0.25, [[2, 0]]), [[0.5, 0.9, 0.35], [0.1, 0.5, 0.7], [0.65, 0.3, 0.5]]),
    # mean rate (0.1 + 3 x 0.3)/4 = 1/4
    "annotators": (AnnotatorFlip([0.1, 0.3], weights=[1, 3]), [[0.5, 0.7, 0.35], [0.3, 0.5, 0.6], [0.65, 0.4, 0.5]]),
    "equal annotators": (AnnotatorFlip([0.0, 0.2]), [[0.5, 0.82, 0.26], [0.18, 0.5, 0.66], [0.74, 0.34, 0.5]]),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_by_hand(name: str) -> None:
    flip, expected = LABELS[name]
    for feedback in (Exact(flip=flip), Duels(flip=flip)):
        np.testing.assert_allclose(feedback.labels(THREE), expected, rtol=1e-14)


def test_without_a_flip_labels_are_the_preferences() -> None:
    for feedback in (Exact(), Duels(per_action=3), Exact(flip=TargetedFlip(0.0, [[0, 1]])), Exact(flip=0)):
        np.testing.assert_array_equal(feedback.labels(THREE), THREE.preference)


@given(games(), st.floats(0, 0.49))
def test_labels_are_a_preference_matrix_on_the_same_side_of_a_half(game: Game, flip: float) -> None:
    for kind in (flip, MarginFlip(flip, 3.0), TargetedFlip(flip, [(0, 1)]), AnnotatorFlip([flip, flip / 2])):
        labels = Exact(flip=kind).labels(game)
        np.testing.assert_allclose(labels + labels.T, 1.0, rtol=1e-14)
        assert ((labels >= 0) & (labels <= 1)).all()
        assert ((labels - 0.5) * (game.preference - 0.5) >= 0).all()
        assert (np.abs(labels - 0.5) <= np.abs(game.preference - 0.5) + 1e-15).all()


@given(games(), st.floats(0, 0.45))
def test_debiasing_undoes_a_symmetric_flip(game: Game, flip: float) -> None:
    feedback = Exact(flip=flip, assumed_flip=flip)
    np.testing.assert_allclose(feedback.debiased(feedback.labels(game)), game.preference, rtol=0, atol=1e-13)


def test_debiasing_by_hand() -> None:
    np.testing.assert_allclose(Exact(assumed_flip=0.1).debiased(np.array([0.0, 0.1, 0.5, 1.0])), [-0.125, 0.0, 0.5, 1.125], rtol=1e-14)


# What a method sees of it.


@pytest.mark.parametrize("world", TEN)
def test_exact_flipped_labels_are_the_flipped_game(world: str) -> None:
    game = TEN[world]
    for method in (EGPO(), OnlineMirrorDescent(), SPPO()):
        flipped = simlab.simulate(game, method, steps=30, feedback=Exact(flip=0.2))
        other = simlab.simulate(game.flipped(0.2), method, steps=30)
        np.testing.assert_allclose(flipped.log_policy, other.log_policy, rtol=1e-13, atol=1e-13)
        debiased = simlab.simulate(game, method, steps=30, feedback=Exact(flip=0.2, assumed_flip=0.2))
        clean = simlab.simulate(game, method, steps=30)
        np.testing.assert_allclose(debiased.log_policy, clean.log_policy, rtol=1e-11, atol=1e-11)
        assert np.abs(flipped.log_policy - clean.log_policy).max() > 1e-3


def test_flipped_labels_lead_to_the_equilibrium_of_a_stronger_pull() -> None:
    """Win rates eps + (1 - 2 eps) P q: beta becomes beta/(1 - 2 eps). Measures keep the clean game."""
    run = simlab.simulate(THREE, EGPO(), steps=300, feedback=Exact(flip=0.2), record=[300], measure=["kl_to_equilibrium"])
    expected = regularised_nash(THREE.with_beta(THREE.beta / 0.6))
    np.testing.assert_allclose(run.log_policy[0, 0], expected, rtol=0, atol=1e-10)
    assert run.measured["kl_to_equilibrium"][0, 0] == pytest.approx(simlab.metrics.kl(regularised_nash(THREE), expected), rel=1e-6)
    assert run.measured["kl_to_equilibrium"][0, 0] > 1e-4


# Duels. A run of SPPO at rate 1 reveals one query: log p_1 - log p_0 is the sampled win rates, up to a constant.

SEEDS = 20_000
FLIPS = {
    "none": 0.0,
    "symmetric": 0.2,
    "margin": MarginFlip(0.3, 1.5),
    "targeted": TargetedFlip(0.4, [[0, 1], [2, 3]]),
    "annotators": AnnotatorFlip([0.05, 0.4], [1, 2]),
}


def duelled(feedback: Duels, game: Game, start: NDArray) -> NDArray:
    """(SEEDS, K, K) sampled win rates of i less those of j."""
    run = simlab.simulate(game, SPPO(1.0), steps=1, seeds=SEEDS, start=start, feedback=feedback, record=[0, 1])
    rates = run.log_policy[:, 1] - run.log_policy[:, 0]
    return rates[:, :, None] - rates[:, None, :]


def differences(values: NDArray) -> NDArray:
    return values[:, None] - values[None, :]


def sums(values: NDArray) -> NDArray:
    """Variances of differences of independent values."""
    return (values[:, None] + values[None, :]) * (1 - np.eye(len(values)))


def off_by(sampled: NDArray, mean: NDArray, variance: NDArray) -> tuple[float, float]:
    """How many standard errors the sample's mean and variance are away from theory, at worst."""
    count, upper = len(sampled), np.triu_indices(len(mean), 1)
    centred = sampled - sampled.mean(axis=0)
    second, fourth = (centred**2).mean(axis=0), (centred**4).mean(axis=0)
    of_mean = np.abs(sampled.mean(axis=0) - mean)[upper] / np.sqrt(second / count)[upper]
    of_variance = np.abs(second - variance)[upper] / np.sqrt((fourth - second**2) / count)[upper]
    return of_mean.max(), of_variance.max()


@pytest.mark.parametrize("per_action", [1, 4])
@pytest.mark.parametrize("name", FLIPS)
def test_duels_have_the_mean_and_variance_of_their_labels(name: str, per_action: int) -> None:
    """Bernoulli labels of mean (L q)_i, independent from action to action: within 5 standard errors, over 20000 seeds."""
    game, start = uniform(4, 6, 0.2), random_policy(np.random.default_rng(2), 4)
    feedback = Duels(per_action=per_action, flip=FLIPS[name])
    wins = feedback.labels(game) @ np.exp(start)
    sampled = duelled(feedback, game, start)
    mean, variance = off_by(sampled, differences(wins), sums(wins * (1 - wins) / per_action))
    assert mean < 5 and variance < 5
    if name != "none":
        clean = game.preference @ np.exp(start)
        assert off_by(sampled, differences(clean), sums(clean * (1 - clean) / per_action))[0] > 5


@pytest.mark.parametrize(("flip", "per_action"), [(0.1, 1), (0.2, 3), (0.4, 2)])
def test_debiased_duels_are_unbiased_at_a_price(flip: float, per_action: int) -> None:
    """Variance of an action: p (1 - p)/n + eps (1 - eps)/(n (1 - 2 eps)^2), p its clean win rate.

    A label of mean c = eps + (1 - 2 eps) p has c (1 - c) = (1 - 2 eps)^2 p (1 - p) + eps (1 - eps), so that only the second term
    is blown up by 1/(1 - 2 eps)^2; the sample tells this from blowing up both.
    """
    game, start = uniform(4, 6, 0.2), random_policy(np.random.default_rng(2), 4)
    wins = game.preference @ np.exp(start)
    price = flip * (1 - flip) / (1 - 2 * flip) ** 2
    sampled = duelled(Duels(per_action=per_action, flip=flip, assumed_flip=flip), game, start)
    mean, variance = off_by(sampled, differences(wins), sums((wins * (1 - wins) + price) / per_action))
    assert mean < 5 and variance < 5
    both = sums((wins * (1 - wins) / (1 - 2 * flip) ** 2 + price) / per_action)
    assert off_by(sampled, differences(wins), both)[1] > 5


def test_assuming_the_wrong_rate_leaves_a_bias() -> None:
    game, start = uniform(4, 6, 0.2), random_policy(np.random.default_rng(2), 4)
    wins = game.preference @ np.exp(start)
    sampled = duelled(Duels(flip=0.3, assumed_flip=0.1), game, start)
    shrunk = (0.3 + 0.4 * wins - 0.1) / 0.8
    assert off_by(sampled, differences(shrunk), sums(wins))[0] < 5
    assert off_by(sampled, differences(wins), sums(wins))[0] > 5


def test_the_noise_of_an_action_is_its_own() -> None:
    """With a certain opponent and certain wins nothing is random; elsewhere each entry is 0 or 1."""
    game = Game([[0.5, 1.0, 1.0], [0.0, 0.5, 0.5], [0.0, 0.5, 0.5]], np.log([0.2, 0.3, 0.5]), 0.2)
    start = np.array([-800.0, 0.0, -800.0])
    rates = duelled(Duels(), game, start)
    assert set(np.round(rates[:, 0, 1], 12).ravel()) == {0.0, 1.0}
    assert set(np.round(rates[:, 1, 2], 12).ravel()) == {-1.0, 0.0, 1.0}
    sure = duelled(Duels(), game, np.array([0.0, -800.0, -800.0]))
    np.testing.assert_allclose(sure[:, 1, 2], 0.0, rtol=0, atol=1e-12)


# The files of conf/feedback.


def test_the_files_are_found() -> None:
    assert {"exact", "duels", "duels_margin", "duels_targeted", "duels_annotators"} <= set(MEMBERS)


@pytest.mark.parametrize("name", MEMBERS)
def test_the_file_is_the_class_and_its_defaults(name: str) -> None:
    config = OmegaConf.load(Path(conf.__path__[0]) / "feedback" / f"{name}.yaml")
    feedback = get_class(config.pop("_target_"))
    assert set(config) == {field.name for field in dataclasses.fields(feedback)}
    plain = {field.name: field.default for field in dataclasses.fields(feedback) if field.name != "flip"}
    assert {key: config[key] for key in plain} == plain


@pytest.mark.parametrize("name", MEMBERS)
def test_every_file_makes_feedback_that_runs(name: str) -> None:
    changes = {"flip": {"pairs": [[0, 1], [2, 3]]}} if name == "duels_targeted" else {}
    run = simlab.simulate(uniform(4, 0), EGPO(), steps=10, feedback=load(name, **changes))
    assert run.status[0] == "ok"
    assert isinstance(load(name, **changes), Duels) == name.startswith("duels")


def test_lists_may_be_lists_tuples_or_omegaconf() -> None:
    for pairs in ([[0, 1], [2, 0]], ((0, 1), (2, 0)), OmegaConf.create([[0, 1], [2, 0]]), np.array([[0, 1], [2, 0]])):
        np.testing.assert_array_equal(
            Exact(flip=TargetedFlip(0.1, pairs)).labels(THREE), Exact(flip=TargetedFlip(0.1, [[1, 0], [0, 2]])).labels(THREE)
        )
    for flips in ([0.1, 0.3], (0.1, 0.3), OmegaConf.create([0.1, 0.3]), np.array([0.1, 0.3])):
        assert AnnotatorFlip(flips, weights=type(flips)([1, 1]) if isinstance(flips, list | tuple) else None).rates(THREE.preference) == 0.2


# What is refused.

NOISE = "a rate in [0, 1/2]"
RATE = "a rate in [0, 1/2): at 1/2 a label carries nothing"
BAD_RATES = [0.7, 1, -0.1, -1e-9, float("nan"), float("inf"), True, "much", None, [0.1]]


@pytest.mark.parametrize("rate", BAD_RATES, ids=str)
@pytest.mark.parametrize(
    ("make", "key", "allowed"),
    [
        (SymmetricFlip, "flip", NOISE),
        (MarginFlip, "flip", NOISE),
        (lambda rate: TargetedFlip(rate, [[0, 1]]), "flip", NOISE),
        (lambda rate: AnnotatorFlip([0.1, rate]), "flips", NOISE),
        (lambda rate: Exact(flip=rate), "flip", NOISE),
        (lambda rate: Duels(flip=rate), "flip", NOISE),
        (lambda rate: Exact(assumed_flip=rate), "assumed_flip", RATE),
        (lambda rate: Duels(assumed_flip=rate), "assumed_flip", RATE),
    ],
    ids=["symmetric", "margin", "targeted", "annotators", "exact", "duels", "assumed", "assumed of duels"],
)
def test_a_bad_rate_is_refused(make: type, key: str, allowed: str, rate: object) -> None:
    with pytest.raises(Invalid) as refusal:
        make(rate)
    assert str(refusal.value) == f"{key}={rate}: must be {allowed}"


def test_labels_may_be_pure_noise_where_nobody_corrects_for_it() -> None:
    np.testing.assert_array_equal(Exact(flip=0.5).labels(THREE), 0.5)
    for make in (Exact, Duels):
        with pytest.raises(Invalid, match=r"assumed_flip=0\.5: must be a rate in"):
            make(flip=0.5, assumed_flip=0.5)


PAIRS = "a list of pairs of actions, as [[0,1],[2,3]]"
REFUSED = {
    "one number": (lambda: TargetedFlip(0.1, 3), "pairs=3", PAIRS),
    "numbers": (lambda: TargetedFlip(0.1, [0, 1]), "pairs=[0, 1]", PAIRS),
    "text": (lambda: TargetedFlip(0.1, "[[0,1]]"), "pairs=[[0,1]]", PAIRS),
    "texts": (lambda: TargetedFlip(0.1, ["01"]), "pairs=['01']", PAIRS),
    "no list": (lambda: TargetedFlip(0.1, None), "pairs=None", PAIRS),
    "no pair": (lambda: TargetedFlip(0.1, []), "pairs=[]", "a list of at least one pair of actions"),
    "three": (lambda: TargetedFlip(0.1, [[0, 1, 2]]), "pairs=[0, 1, 2]", "pairs of two different action indices >= 0"),
    "itself": (lambda: TargetedFlip(0.1, [[0, 1], [1, 1]]), "pairs=[1, 1]", "pairs of two different action indices >= 0"),
    "negative": (lambda: TargetedFlip(0.1, [[0, -1]]), "pairs=[0, -1]", "pairs of two different action indices >= 0"),
    "between": (lambda: TargetedFlip(0.1, [[0, 1.5]]), "pairs=[0, 1.5]", "pairs of two different action indices >= 0"),
    "beyond K": (lambda: Exact(flip=TargetedFlip(0.1, [[0, 1], [1, 3]])).labels(THREE), "pairs=[1, 3]", "of actions below K=3"),
    "sharpness 0": (lambda: MarginFlip(0.1, 0.0), "sharpness=0.0", "a finite number > 0"),
    "sharpness in words": (lambda: MarginFlip(0.1, "sharp"), "sharpness=sharp", "a finite number > 0"),
    "infinite sharpness": (lambda: MarginFlip(0.1, np.inf), "sharpness=inf", "a finite number > 0"),
    "nan sharpness": (lambda: MarginFlip(0.1, np.nan), "sharpness=nan", "a finite number > 0"),
    "no annotator": (lambda: AnnotatorFlip([]), "flips=[]", "a list of at least one rate"),
    "one rate": (lambda: AnnotatorFlip(0.1), "flips=0.1", "a list of at least one rate"),
    "few weights": (lambda: AnnotatorFlip([0.1, 0.2], [1.0]), "weights=[1.0]", "2 positive numbers, one an annotator"),
    "zero weight": (lambda: AnnotatorFlip([0.1, 0.2], [1.0, 0.0]), "weights=[1.0, 0.0]", "2 positive numbers, one an annotator"),
    "nan weight": (lambda: AnnotatorFlip([0.1, 0.2], [1.0, np.nan]), "weights=[1.0, nan]", "2 positive numbers, one an annotator"),
    "infinite weight": (lambda: AnnotatorFlip([0.1, 0.2], [1.0, np.inf]), "weights=[1.0, inf]", "2 positive numbers, one an annotator"),
    "weights in words": (lambda: AnnotatorFlip([0.1, 0.2], ["a", "b"]), "weights=['a', 'b']", "2 positive numbers, one an annotator"),
    "one weight": (lambda: AnnotatorFlip([0.1, 0.2], 1.0), "weights=1.0", "2 positive numbers, one an annotator"),
    "no duel": (lambda: Duels(per_action=0), "per_action=0", "an integer >= 1"),
    "half a duel": (lambda: Duels(per_action=0.5), "per_action=0.5", "an integer >= 1"),
    "two duels": (lambda: Duels(per_action=2.0), "per_action=2.0", "an integer >= 1"),
    "true duels": (lambda: Duels(per_action=True), "per_action=True", "an integer >= 1"),
    "duels in words": (lambda: Duels(per_action="many"), "per_action=many", "an integer >= 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_value_is_refused_with_key_value_and_what_is_allowed(case: str) -> None:
    make, value, allowed = REFUSED[case]
    with pytest.raises(Invalid) as refusal:
        make()
    assert str(refusal.value) == f"{value}: must be {allowed}"


def test_arguments_are_named() -> None:
    with pytest.raises(TypeError):
        Exact(0.1)
    assert Duels(3) == Duels(per_action=3)


def test_any_flip_of_ones_own_will_do() -> None:
    class Rank(Flip):
        def rates(self, preference: NDArray) -> NDArray:
            return np.full_like(preference, 0.25)

    np.testing.assert_allclose(Exact(flip=Rank()).labels(THREE), 0.25 + 0.5 * THREE.preference, rtol=1e-15)

"""Start policies: normalised, keyed by the seed alone, and refusing what is no policy."""

from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from scipy.special import log_softmax, logit, logsumexp
from scipy.stats import kstest

from envs.bradley_terry import BradleyTerry
from envs.invalid import Invalid
from envs.random_game import RandomGame
from envs.start import FarStart, GivenStart, ReferenceStart, Start

ROOT = Path(__file__).resolve().parents[1]
MANDATORY = {"given": {"policy": [0.1, 0.2, 0.7]}}
STARTS = [path.stem for path in sorted((ROOT / "conf" / "start").glob("*.yaml"))]
WORLD = RandomGame(actions=3, reference="random", contexts=2)


def make(name: str) -> Start:
    return instantiate(OmegaConf.merge(OmegaConf.load(ROOT / "conf" / "start" / f"{name}.yaml"), MANDATORY.get(name, {})))


def test_the_starts_are_found() -> None:
    assert {"reference", "far", "given"} <= set(STARTS)


@pytest.mark.parametrize("name", STARTS)
def test_a_start_is_a_policy_and_a_function_of_seed_and_index(name: str) -> None:
    first, second = WORLD.games(0.1)
    start = make(name)
    log_policy = start.log_policy(first, seed=3, index=5)
    assert log_policy.shape == (3,) and np.isfinite(log_policy).all() and abs(logsumexp(log_policy)) < 1e-12
    start.log_policy(second, seed=4, index=6)
    assert (make(name).log_policy(first.with_beta(2.0), seed=3, index=5) == log_policy).all()
    assert hash(start) == hash(make(name))


@pytest.mark.parametrize("name", STARTS)
def test_random_says_whether_the_start_is_drawn(name: str) -> None:
    game = WORLD.games(0.1)[0]
    draws = {make(name).log_policy(game, seed=seed, index=index).tobytes() for seed in range(2) for index in range(3)}
    assert len(draws) == (6 if make(name).random else 1)


def test_the_reference_start_is_the_reference() -> None:
    for game in WORLD.games(0.1):
        assert (ReferenceStart().log_policy(game) == game.log_reference).all()


def test_a_given_start_is_given() -> None:
    game = WORLD.games(0.1)[0]
    np.testing.assert_allclose(np.exp(make("given").log_policy(game)), [0.1, 0.2, 0.7], rtol=1e-15)
    assert make("given") == GivenStart(policy=[0.1, 0.2, 0.7])


def test_the_logits_of_far_starts_are_normal_with_the_spread() -> None:
    game = RandomGame(actions=2).games(0.1)[0]
    gaps = [np.subtract(*FarStart(spread=5.0).log_policy(game, index=index)) for index in range(400)]
    assert kstest(gaps / (5 * np.sqrt(2)), "norm").pvalue > 0.001
    near, far = (FarStart(spread=spread).log_policy(game, seed=1) for spread in (0.5, 2.0))
    assert np.subtract(*far) == pytest.approx(4 * np.subtract(*near), rel=1e-12)


def test_every_game_of_one_size_has_the_same_far_start() -> None:
    first, second = WORLD.games(0.1)
    assert (FarStart().log_policy(first, seed=2) == FarStart().log_policy(second, seed=2)).all()


@pytest.mark.parametrize(("seed", "index"), [(0, 0), (0, 1), (7, 2)])
def test_far_starts_do_not_repeat_the_draws_of_any_context(seed: int, index: int) -> None:
    games = BradleyTerry(actions=8, contexts=5).games(0.1, seed=seed, index=index)
    for game in games:
        scores = log_softmax(logit(game.preference)[:, 0])
        start = FarStart(spread=1.0).log_policy(game, seed=seed, index=index)
        assert np.abs(scores - start).max() > 0.1


@pytest.mark.parametrize(
    "policy", [[0.5, 0.6], [1.0, 0.0], [1.5, -0.5], [np.nan, 1.0], [], [0.5, 0.5 + 2e-9], "1", 1, None, ["a", 1.0], [[0.5], [0.5]]]
)
def test_what_is_no_policy_is_refused(policy: object) -> None:
    with pytest.raises(Invalid) as refusal:
        GivenStart(policy=policy)
    assert refusal.value.key == "policy" and str(policy) in str(refusal.value)


def test_a_policy_of_another_size_is_refused() -> None:
    with pytest.raises(Invalid, match=r"policy=\[0.5, 0.5\]: must be 3 probabilities, one for each action"):
        GivenStart(policy=[0.5, 0.5]).log_policy(WORLD.games(0.1)[0])


@pytest.mark.parametrize("spread", [0, -1, np.nan, np.inf, True, "3", 1001])
def test_a_bad_spread_is_refused(spread: object) -> None:
    with pytest.raises(Invalid, match=r"spread=.*: must be a number in \[1e-06, 1000\]"):
        FarStart(spread=spread)

"""Every method that conf/algorithm names: one step by hand, plain transcriptions of the published updates, rates and constructors."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from games import ROCK_SCISSORS_PAPER, TEN, games, random_policy, uniform
from hydra.utils import get_class, instantiate
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from omegaconf import OmegaConf
from scipy.special import expit

import conf
import simlab
from algorithms.comal import COMAL
from algorithms.dno import DNO
from algorithms.dno_prct import DNOPrct
from algorithms.egpo import EGPO
from algorithms.inpo import INPO
from algorithms.magnetic import MagneticPO
from algorithms.nash_md import NashMD
from algorithms.nash_md_pg import NashMDPG
from algorithms.nash_mp import NashMP, NashMPSoftmax
from algorithms.nash_prox import NashProx
from algorithms.online_ipo import OnlineIPO
from algorithms.online_mirror_descent import OnlineMirrorDescent
from algorithms.optimistic import OptimisticMirrorDescent, RegularisedOptimistic
from algorithms.sppo import SPPO
from algorithms.tableau import Loop, Tableau
from envs.divergence import log_normalise
from envs.equilibrium import regularised_nash
from envs.game import Game
from envs.invalid import Invalid
from simlab.run import Method

FILES = sorted((Path(conf.__path__[0]) / "algorithm").glob("*.yaml"))
MEMBERS = [path.stem for path in FILES if hasattr(get_class(OmegaConf.load(path)["_target_"]), "tableau")]
"""The self-play methods."""
SIX = [OnlineMirrorDescent, EGPO, NashMP, NashMD, SPPO, DNO]
PULLED = [OnlineMirrorDescent, EGPO, NashMP, NashMD]


def load(name: str) -> Method:
    return instantiate(OmegaConf.load(Path(conf.__path__[0]) / "algorithm" / f"{name}.yaml"))


def final(game: Game, method: Method, steps: int, start: NDArray | None = None) -> NDArray:
    return simlab.simulate(game, method, steps=steps, start=start, record=[steps]).log_policy[0, 0]


@pytest.mark.parametrize("name", MEMBERS)
def test_the_file_is_the_class_and_its_defaults(name: str) -> None:
    config = OmegaConf.load(Path(conf.__path__[0]) / "algorithm" / f"{name}.yaml")
    method = get_class(config.pop("_target_"))
    assert method.__module__.startswith("algorithms.")
    assert OmegaConf.to_container(config) == {field.name: field.default for field in dataclasses.fields(method)}
    assert load(name).target in ("regularised", "original")


def test_the_six_are_found() -> None:
    assert {type(load(name)) for name in MEMBERS} >= set(SIX)


# One step of rock, scissors, paper by hand. With beta = 1/(16 log 2) and eta = 8 log 2 the pull is eta beta = 1/2 and the factor
# exp(eta x) is 2^(8 x). From START, P START = (1/2, 3/8, 5/8), so 2^(8 P START) = (16, 8, 32); sqrt(START REFERENCE) is (2, 2, 1) up
# to a factor, and START (16, 8, 32) is (4, 1, 4) up to a factor.
LOG_2 = np.log(2.0)
ETA, BETA = 8 * LOG_2, 1 / (16 * LOG_2)
REFERENCE, START = np.array([2, 4, 1]) / 7, np.array([2, 1, 1]) / 4
ROOT_2 = np.sqrt(2.0)

# EGPO's half point (2, 1, 2)/5 wins (2/5, 1/2, 3/5); Nash-MD's mixture (2, 2, 1)/5 wins (3/5, 2/5, 1/2); with eta_0 = 1/beta the
# mixture is the reference, which wins (5/7, 3/7, 5/14), and exp(eta_0 x) = 2^(16 x). One inner step of Nash-MP has weights
# START^(3/4) REFERENCE^(1/4) 2^(4 P START), up to a factor (2, sqrt 2, 1) (4, 2 sqrt 2, 4 sqrt 2), that is (2, 1, sqrt 2), and wins
# (2, 1/2 + sqrt 2, 2 + sqrt 2/2) / (3 + sqrt 2). The policy gradients: -beta log(START/REFERENCE) is (2, 4, 2)/16 up to a constant, so
# that adv = (5, 5, 6)/8 has mean 21/32 and START (adv - mean) = (-2, -1, 3)/128; against Nash-MD's mixture adv = (29, 26, 25)/40 has mean
# 109/160, and START (adv - mean) = (7/320, -1/128, -9/640).
BY_HAND = {
    "online mirror descent": (OnlineMirrorDescent(ETA), [2, 1, 2]),
    "EGPO": (EGPO(ETA), [2 * 2**3.2, 2 * 2**4, 2**4.8]),
    "Nash-MP": (NashMP(ETA), [2 * 2**3.2, 2 * 2**4, 2**4.8]),
    "Nash-MP, one inner step": (
        NashMP(ETA, inner=1),
        [2 * 2 ** (8 / (3 + ROOT_2)), ROOT_2 * 2 ** ((2 + 4 * ROOT_2) / (3 + ROOT_2)), 2 ** ((8 + 2 * ROOT_2) / (3 + ROOT_2))],
    ),
    "Nash-MD": (NashMD(ETA), [2 * 2**4.8, 2 * 2**3.2, 2**4]),
    "Nash-MD, published": (NashMD("published"), [2 * 2 ** (80 / 7), 4 * 2 ** (48 / 7), 2 ** (40 / 7)]),
    "SPPO": (SPPO(ETA), [4, 1, 4]),
    "Nash-MD, opponent without a pull": (NashMD(ETA, opponent_pull=0.0), [2, 1, 2]),
    "DNO": (DNO.from_paper(1 / ETA), [4, 1, 4]),
    "INPO": (INPO.from_paper(1 / ETA), [2, 1, 2]),
    "optimistic": (OptimisticMirrorDescent(ETA / 2), [4, 1, 4]),
    "single call": (RegularisedOptimistic(ETA), [2 * 2**3.2, 2 * 2**4, 2**4.8]),
    "online IPO 2": (OnlineIPO(128), [2 * np.exp(-2), np.exp(-1), np.exp(3)]),
    "Nash-MD-PG": (NashMDPG(64, mixture=0.5), [2 * np.exp(1.4), np.exp(-0.5), np.exp(-0.9)]),
    "magnetic": (MagneticPO(ETA, strength=BETA), [4, 1, 4]),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_one_step_by_hand(name: str) -> None:
    method, weights = BY_HAND[name]
    game = Game(ROCK_SCISSORS_PAPER, np.log(REFERENCE), BETA)
    expected = np.array(weights) / np.sum(weights)
    np.testing.assert_allclose(np.exp(final(game, method, 1, np.log(START))), expected, rtol=1e-14)


def test_stages_on_the_way_by_hand() -> None:
    game = Game(ROCK_SCISSORS_PAPER, np.log(REFERENCE), BETA)
    expected = {EGPO(ETA): ("half", [2, 1, 2]), NashMP(ETA, inner=1): ("half", [2, 1, ROOT_2]), NashMD(ETA): ("mixture", [2, 2, 1])}
    for method, (slot, weights) in expected.items():
        run = simlab.simulate(game, method, steps=1, start=np.log(START), slots=[slot])
        np.testing.assert_allclose(np.exp(run.log_slots[slot][0, 1]), weights / np.sum(weights), rtol=1e-14)


def test_the_average_by_hand() -> None:
    game = Game(ROCK_SCISSORS_PAPER, np.log(REFERENCE), BETA)
    run = simlab.simulate(game, SPPO(ETA), steps=2, start=np.log(START), record="every")
    mean = (START + np.array([4, 1, 4]) / 9) / 2
    np.testing.assert_allclose(np.exp(run.log_average[0]), [START, START, mean], rtol=1e-14)


# Plain transcriptions: from p_0 on, the policies of the published update, in the paper's own parameters.
Steps = Iterator[NDArray]


def argmax(win: NDArray, pulls: list[tuple[float, NDArray]]) -> NDArray:
    """log argmax_x <win, x> - sum weight KL(x | policy)."""
    return log_normalise((win + sum(weight * log_policy for weight, log_policy in pulls)) / sum(weight for weight, _ in pulls))


def magnetic_mirror_descent(game: Game, p: NDArray, steps: int) -> Steps:
    """Sokota et al., (3): argmin eta (<-P p, x> + alpha KL(x | magnet)) + KL(x | p), at eta = 4 alpha."""
    eta = 4 * game.beta
    for _ in range(steps):
        p = argmax(eta * game.preference @ np.exp(p), [(eta * game.beta, game.log_reference), (1.0, p)])
        yield p


def extragradient(game: Game, p: NDArray, steps: int) -> Steps:
    eta, b = 2 * (np.sqrt(1 + game.beta**2) - game.beta), game.beta
    for _ in range(steps):
        pull = (1 - eta * b) * p + eta * b * game.log_reference
        half = log_normalise(pull + eta * game.preference @ np.exp(p))
        p = log_normalise(pull + eta * game.preference @ np.exp(half))
        yield p


def mirror_prox(game: Game, p: NDArray, steps: int) -> Steps:
    """arXiv 2505.19731: both argmax problems, lambda = 1/2."""
    for _ in range(steps):
        pulls = [(game.beta, game.log_reference), (0.5, p)]
        half = argmax(game.preference @ np.exp(p), pulls)
        p = argmax(game.preference @ np.exp(half), pulls)
        yield p


def mirror_prox_inner(inner: int) -> Callable[[Game, NDArray, int], Steps]:
    def run(game: Game, p: NDArray, steps: int) -> Steps:
        """Natural gradient ascent on <win, x> - beta KL(x | ref) - lambda KL(x | p): the gradient in the logits, preconditioned."""

        def solve(win: NDArray) -> NDArray:
            x = p
            for _ in range(inner):
                x = x + 0.5 / (game.beta + 0.5) * (win - game.beta * (x - game.log_reference) - 0.5 * (x - p))
            return log_normalise(x)

        for _ in range(steps):
            half = solve(game.preference @ np.exp(p))
            p = solve(game.preference @ np.exp(half))
            yield p

    return run


def nash_md(schedule: Callable[[int, float], float]) -> Callable[[Game, NDArray, int], Steps]:
    def run(game: Game, p: NDArray, steps: int) -> Steps:
        """Munos et al., (5): argmax eta <P m, x> - KL(x | m), m the geometric mixture."""
        for t in range(steps):
            eta = schedule(t, game.beta)
            m = argmax(np.zeros(game.actions), [(1 - eta * game.beta, p), (eta * game.beta, game.log_reference)])
            p = argmax(eta * game.preference @ np.exp(m), [(1.0, m)])
            yield p

    return run


def multiplicative_weights(game: Game, p: NDArray, steps: int) -> Steps:
    """SPPO, (4.1): p exp(eta P p) / Z; DNO's Algorithm 1 with eta_DNO = 1/eta."""
    eta = np.sqrt(8 * np.log(game.actions) / steps)
    probabilities = np.exp(p)
    for _ in range(steps):
        probabilities = probabilities * np.exp(eta * game.preference @ probabilities)
        probabilities /= probabilities.sum()
        yield np.log(probabilities)


def softmax_inner(inner: int) -> Callable[[Game, NDArray, int], Steps]:
    def run(game: Game, p: NDArray, steps: int) -> Steps:
        """Mirror prox, each problem by steps of size 1/(beta + lambda) along the gradient in the logits; lambda = 1/2."""

        def solve(win: NDArray) -> NDArray:
            x = p
            for _ in range(inner):
                advantage = win - game.beta * (x - game.log_reference) - 0.5 * (x - p)
                policy = np.exp(x)
                x = log_normalise(x + policy * (advantage - policy @ advantage) / (game.beta + 0.5))
            return x

        for _ in range(steps):
            half = solve(game.preference @ np.exp(p))
            p = solve(game.preference @ np.exp(half))
            yield p

    return run


def falling_step(game: Game, p: NDArray, steps: int) -> Steps:
    """INPO, (4): p^((eta - tau)/eta) ref^(tau/eta) exp(P p/eta), at eta_t = tau (t + 2)/2."""
    for t in range(steps):
        eta = game.beta * (t + 2) / 2
        p = argmax(game.preference @ np.exp(p), [(eta - game.beta, p), (game.beta, game.log_reference)])
        yield p


def optimistic(game: Game, p: NDArray, steps: int) -> Steps:
    """ONPO, (3): loss g_t - g_{t-1} is guessed again, g_{-1} = 0; eta = 1."""
    before = np.zeros(game.actions)
    for _ in range(steps):
        win = game.preference @ np.exp(p)
        p, before = argmax(win + (win - before), [(1.0, p)]), win
        yield p


def single_call(game: Game, p: NDArray, steps: int) -> Steps:
    """Cen, Wei and Chi, (11): optimistic multiplicative weights with a pull, eta = min(1/(2 beta + 2), 1/4)."""
    eta, half = min(1 / (2 * game.beta + 2), 1 / 4), p
    for _ in range(steps):
        pulls = [(1 / eta - game.beta, p), (game.beta, game.log_reference)]
        half = argmax(game.preference @ np.exp(half), pulls)
        p = argmax(game.preference @ np.exp(half), pulls)
        yield p


def squared_loss(game: Game, p: NDArray, steps: int) -> Steps:
    """Online IPO 2: gradient descent on mean (h - h' - (P(y, y') - 1/2)/tau)^2 over y, y' ~ p, learning rate a tau/4."""
    a = 1.5 * game.beta / (game.beta**2 + 1 / 12)
    for _ in range(steps):
        policy, h = np.exp(p), p - game.log_reference
        error = h[:, None] - h - (game.preference - 0.5) / game.beta
        slope = 4 * policy * (error @ policy)  # of the first response and of the second
        p = log_normalise(p - a * game.beta / 4 * slope)
        yield p


def mixture_gradient(weight: float) -> Callable[[Game, NDArray, int], Steps]:
    def run(game: Game, p: NDArray, steps: int) -> Steps:
        """Nash-MD-PG: gradient of <p, P m> - tau KL(p | ref) in the logits, m held."""
        for _ in range(steps):
            m = log_normalise((1 - weight) * p + weight * game.log_reference)
            policy, advantage = np.exp(p), game.preference @ np.exp(m) - game.beta * (p - game.log_reference)
            jacobian = np.diag(policy) - np.outer(policy, policy)
            p = log_normalise(p + 0.7 * jacobian @ advantage)
            yield p

    return run


def moving_magnet(game: Game, p: NDArray, steps: int) -> Steps:
    """Magnetic preference optimisation: strength 0.3, rate 4 alpha/(1 + 4 alpha^2), the magnet moves after every 7th step."""
    rate, magnet = 1.2 / 1.36, p
    for t in range(1, steps + 1):
        p = argmax(game.preference @ np.exp(p), [(1 / rate - 0.3, p), (0.3, magnet)])
        magnet = p if t % 7 == 0 else magnet
        yield p


def moving_reference(game: Game, p: NDArray, steps: int) -> Steps:
    """COMAL: the equilibrium at tau = 0.1 with the last policy for reference."""
    for _ in range(steps):
        p = regularised_nash(Game(game.preference, p, 0.1))
        yield p


def proximal_point(game: Game, p: NDArray, steps: int) -> Steps:
    """Nash Prox: the equilibrium with beta KL(. | ref) + KL(. | p), which is one KL to their geometric mixture; lambda = 1."""
    for _ in range(steps):
        centre = argmax(np.zeros(game.actions), [(game.beta, game.log_reference), (1.0, p)])
        p = regularised_nash(Game(game.preference, centre, game.beta + 1.0))
        yield p


TRANSCRIPTIONS = {
    "online mirror descent": (OnlineMirrorDescent(), magnetic_mirror_descent),
    "EGPO": (EGPO(), extragradient),
    "Nash-MP": (NashMP(), mirror_prox),
    "Nash-MP, 1 inner": (NashMP(inner=1), mirror_prox_inner(1)),
    "Nash-MP, 10 inner": (NashMP(inner=10), mirror_prox_inner(10)),
    "Nash-MD": (NashMD(0.3), nash_md(lambda t, beta: 0.3)),
    "Nash-MD, published": (NashMD("published"), nash_md(lambda t, beta: 2 / (beta * (t + 2)))),
    "Nash-MD, default": (NashMD(), nash_md(lambda t, beta: 2 / (beta * (t + 2)))),
    "SPPO": (SPPO(), multiplicative_weights),
    "DNO": (DNO(), multiplicative_weights),
    "Nash-MP, 4 softmax steps": (NashMPSoftmax(inner=4), softmax_inner(4)),
    "INPO": (INPO(), falling_step),
    "optimistic": (OptimisticMirrorDescent(), optimistic),
    "single call": (RegularisedOptimistic(), single_call),
    "online IPO 2": (OnlineIPO(), squared_loss),
    "Nash-MD-PG": (NashMDPG(0.7, mixture=0.3), mixture_gradient(0.3)),
    "magnetic": (MagneticPO(every=7), moving_magnet),
    "COMAL": (COMAL(), moving_reference),
    "Nash Prox": (NashProx(), proximal_point),
}


@pytest.mark.parametrize("world", TEN)
@pytest.mark.parametrize("name", TRANSCRIPTIONS)
def test_25_steps_are_the_published_update(name: str, world: str) -> None:
    method, published = TRANSCRIPTIONS[name]
    game = TEN[world]
    start = random_policy(np.random.default_rng(3), game.actions)
    expected = [start, *published(game, start, 25)]
    run = simlab.simulate(game, method, steps=25, start=start, record="every")
    tolerance = 1e-8 if isinstance(method, COMAL | NashProx) else 1e-11  # inner solves stop at a residual
    np.testing.assert_allclose(run.log_policy[0], expected, rtol=tolerance, atol=tolerance)


BETAS = [1e-3, 0.1, 1.0, 30.0]


@pytest.mark.parametrize("beta", BETAS)
def test_certified_defaults(beta: float) -> None:
    def rate(method: Method) -> list:
        return method.tableau(beta, steps=200, actions=7).rates()[:, -1].tolist()

    assert rate(OnlineMirrorDescent()) == pytest.approx([4 * beta / (1 + 4 * beta**2)], rel=1e-15)
    assert rate(EGPO()) == pytest.approx([2 * (np.sqrt(1 + beta**2) - beta)], rel=1e-12)
    assert rate(NashMP()) == pytest.approx([1 / (beta + 1 / 2)], rel=1e-15)
    assert rate(NashMD()) == rate(NashMD("published")) == pytest.approx(2 / (beta * np.arange(2, 202)), rel=1e-15)
    assert rate(SPPO()) == rate(DNO()) == pytest.approx([np.sqrt(8 * np.log(7) / 200)], rel=1e-15)


@pytest.mark.parametrize("method", [OnlineMirrorDescent, EGPO, NashMD])
def test_defaults_pull_by_at_most_everything_however_large_beta(method: type) -> None:
    for beta in 10.0 ** np.arange(-8, 13):
        pull = method().tableau(beta, steps=10, actions=3).rates()[:, -1] * beta
        assert (pull > 0).all() and (pull <= 1 + 1e-12).all()
    assert pull[0] == pytest.approx(1.0) or method is OnlineMirrorDescent


def test_constructors_in_the_papers_symbols() -> None:
    step, alpha = 0.7, 0.2
    assert 1 - OnlineMirrorDescent.from_paper(step=step, alpha=alpha).rate * alpha == pytest.approx(1 / (1 + step * alpha))
    eta, beta = 0.6, 0.25
    nash_mp = NashMP.from_paper(eta=eta, beta=beta)
    assert 1 - nash_mp.rate * beta == pytest.approx(1 / (1 + eta))
    assert nash_mp.rate == pytest.approx(1 / (beta + beta / eta))
    assert NashMP.from_paper(eta=2 * beta, beta=beta).rate == pytest.approx(1 / (beta + 0.5))
    assert DNO.from_paper(eta=4.0) == DNO(0.25)
    assert INPO.from_paper(eta=4.0) == INPO(0.25)
    assert OnlineIPO.from_paper(learning_rate=0.1, beta=0.5) == OnlineIPO(0.8)
    assert NashMDPG.from_paper(learning_rate=0.1, beta=0.5) == NashMDPG(0.1, mixture=0.5)
    assert (EGPO.from_paper(eta=0.3), NashMD.from_paper(eta=0.3), SPPO.from_paper(eta=0.3)) == (EGPO(0.3), NashMD(0.3), SPPO(0.3))


@pytest.mark.parametrize("world", TEN)
def test_the_same_map_under_two_names(world: str) -> None:
    game = TEN[world]
    lam = 0.5
    np.testing.assert_allclose(final(game, EGPO(1 / (game.beta + lam)), 25), final(game, NashMP(), 25), rtol=0, atol=1e-11)
    paper = NashMP.from_paper(eta=game.beta / lam, beta=game.beta)
    np.testing.assert_allclose(final(game, paper, 25), final(game, NashMP(), 25), rtol=0, atol=1e-11)
    np.testing.assert_array_equal(final(game, DNO.from_paper(0.5), 25), final(game, SPPO(2.0), 25))
    np.testing.assert_allclose(final(game, NashMP(inner=60), 25), final(game, NashMP(), 25), rtol=0, atol=1e-9)


@pytest.mark.parametrize("method", SIX)
@pytest.mark.parametrize("rate", [0, 0.0, -1, float("nan"), float("inf"), -float("inf"), "fast", True, False, [0.1], 1j], ids=str)
def test_a_bad_rate_is_refused(method: type, rate: object) -> None:
    with pytest.raises(Invalid, match=r"must be a finite number > 0") as refusal:
        method(rate)
    assert (refusal.value.key, refusal.value.value) == ("rate", rate) or rate != rate


@pytest.mark.parametrize("method", [OnlineMirrorDescent, EGPO, NashMP, SPPO, DNO])
def test_only_nash_md_has_a_published_schedule(method: type) -> None:
    with pytest.raises(Invalid):
        method("published")


@pytest.mark.parametrize("method", PULLED)
@pytest.mark.parametrize(("rate", "beta"), [(10.1, 0.1), (1.001, 1.0), (2, 1), (1e9, 1e-3)])
def test_a_rate_that_overshoots_the_reference_is_refused(method: type, rate: float, beta: float) -> None:
    with pytest.raises(Invalid) as refusal:
        method(rate).tableau(beta, steps=10, actions=3)
    text = str(refusal.value)
    assert text.startswith(f"rate={rate}: must be in (0, 1/beta] = (0, {1 / beta:g}] at beta={beta:g}")
    assert "\n" not in text


def test_the_largest_rate_is_accepted_where_it_means_something() -> None:
    for method in (OnlineMirrorDescent, EGPO, NashMD):
        assert method(10).tableau(0.1, steps=10, actions=3).rates().max() == 10
    for method in (SPPO, DNO):
        assert method(1000.0).tableau(0.1, steps=10, actions=3).rates() == pytest.approx(1000.0)
    with pytest.raises(Invalid, match="below 1/beta = 10"):
        NashMP(10).tableau(0.1, steps=10, actions=3)


@pytest.mark.parametrize("inner", [0, -1, 1.5, "many", True, float("nan")])
def test_a_bad_number_of_inner_steps_is_refused(inner: object) -> None:
    with pytest.raises(Invalid, match=r"inner=.*: must be an integer >= 1 or null"):
        NashMP(inner=inner)


def test_without_a_pull() -> None:
    for method in (OnlineMirrorDescent(), NashMD(), NashMD("published")):
        with pytest.raises(Invalid, match=r"rate=None: must be given at beta=0"):
            method.tableau(0.0, steps=10, actions=3)
    game = Game(ROCK_SCISSORS_PAPER, np.log(REFERENCE), 0.0)
    for method in (OnlineMirrorDescent(ETA), NashMD(ETA)):
        np.testing.assert_allclose(np.exp(final(game, method, 1, np.log(START))), np.array([4, 1, 4]) / 9, rtol=1e-14)
    for method in (EGPO(), NashMP()):
        assert method.tableau(0.0, steps=10, actions=3).rates() == pytest.approx(np.full((1, 2), 2.0))


@pytest.mark.parametrize("world", TEN)
@pytest.mark.parametrize("method", [OnlineMirrorDescent(), EGPO(), NashMP(), NashMP(inner=3)], ids=str)
def test_the_equilibrium_is_a_fixed_point(method: Method, world: str) -> None:
    game = TEN[world]
    equilibrium = regularised_nash(game)
    np.testing.assert_allclose(final(game, method, 10, equilibrium), equilibrium, rtol=0, atol=1e-12)


@pytest.mark.parametrize("weight", [0.05, 0.5])
@pytest.mark.parametrize("world", ["uniform 3", "uniform 5", "tournament 10"])
def test_nash_md_at_a_constant_step_settles_elsewhere(world: str, weight: float) -> None:
    """At p with mixture m = QRE(beta / (1 - w)): beta log(p/ref) = P m + c gives log(p/ref) = log(m/ref) / (1 - w)."""
    game = TEN[world].with_beta(0.3)
    mixture = regularised_nash(game.with_beta(game.beta / (1 - weight)))
    biased = log_normalise(game.log_reference + (mixture - game.log_reference) / (1 - weight))
    method = NashMD(weight / game.beta)
    np.testing.assert_allclose(final(game, method, 10, biased), biased, rtol=0, atol=1e-12)
    np.testing.assert_allclose(final(game, method, 3000), biased, rtol=0, atol=1e-9)
    assert np.abs(biased - regularised_nash(game)).max() > 1e-3


@given(games(), st.data())
def test_relabelling_actions_relabels_the_trajectory(game: Game, data: st.DataObject) -> None:
    order = np.array(data.draw(st.permutations(range(game.actions))))
    start = random_policy(np.random.default_rng(data.draw(st.integers(0, 99))), game.actions)
    relabelled = Game(game.preference[np.ix_(order, order)], game.log_reference[order], game.beta)
    for method in (OnlineMirrorDescent(), EGPO(), NashMP(inner=2), NashMD(), SPPO(), DNO()):
        run = simlab.simulate(game, method, steps=8, start=start, record="every")
        again = simlab.simulate(relabelled, method, steps=8, start=start[order], record="every")
        np.testing.assert_allclose(again.log_policy, run.log_policy[..., order], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(again.log_average, run.log_average[..., order], rtol=1e-12, atol=1e-12)


@given(games())
def test_policies_are_normalised(game: Game) -> None:
    for method in (OnlineMirrorDescent(), EGPO(), NashMP(inner=2), NashMD(), SPPO(5.0), DNO()):
        run = simlab.simulate(game, method, steps=8, record="every")
        np.testing.assert_allclose(np.exp(run.log_policy).sum(axis=-1), 1.0, rtol=1e-14)
        np.testing.assert_allclose(np.exp(run.log_average).sum(axis=-1), 1.0, rtol=1e-14)


def test_dno_prct_climbs_bradley_terry_scores() -> None:
    """Where P is Bradley-Terry its projection is P, whatever the policy: every step adds eta times the scores."""
    game = TEN["Bradley-Terry 5"]
    scores = np.log(game.preference[:, 0] / game.preference[0])
    expected = log_normalise(game.log_reference + 3 * 0.25 * scores)
    np.testing.assert_allclose(final(game, DNOPrct.from_paper(4.0), 3), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", [OnlineMirrorDescent, EGPO, NashMD])
def test_many_sampled_pairs_are_the_exact_step(method: type) -> None:
    """20000 pairs and a judged opponent each: within 0.02 of the exact step, which moves by more than ten times that."""
    game, start = TEN["uniform 5"], random_policy(np.random.default_rng(3), 5)
    exact, sampled = final(game, method(0.5), 1, start), final(game, method(0.5, pairs=20_000), 1, start)
    np.testing.assert_allclose(sampled, exact, rtol=0, atol=0.02)
    assert np.abs(exact - start).max() > 0.2
    assert (final(game, method(0.5, pairs=1), 1, start) != exact).all()


@pytest.mark.parametrize("name", MEMBERS)
def test_spending_is_what_the_kernel_counts(name: str) -> None:
    method = load(name)
    tableau = method.tableau(0.2, steps=40, actions=4)
    run = simlab.simulate(uniform(4, 0, 0.2), method, steps=40, record="every")
    spent = [(loop.times, query, evaluated) for loop, (query, evaluated) in zip(flat(tableau), tableau.spending(), strict=True)]
    if not tableau.residual_controlled:
        np.testing.assert_array_equal(np.diff(run.queries[0])[1:], sum(query for _, query, _ in spent))
        np.testing.assert_array_equal(np.diff(run.gradients[0])[1:], sum(times * evaluated for times, _, evaluated in spent))
    else:
        assert (np.diff(run.queries[0]) >= 1).all()


def flat(tableau: Tableau) -> list[Loop]:
    """The loop of each stage."""
    return [loop for loop in tableau.loops for _ in loop.stages]


@pytest.mark.parametrize("name", MEMBERS)
def test_a_two_action_game_is_solved_by_any_method(name: str) -> None:
    """Whoever the opponent, action 0 gains (2 P - 1)/2: the regularised equilibrium is a logistic function, the original one is 0."""
    game = Game([[0.5, 0.75], [0.25, 0.5]], np.log([0.5, 0.5]), 0.25)
    method = load(name)
    policy = np.exp(final(game, method, 4000))
    if method.target == "regularised":
        assert policy[0] == pytest.approx(expit(0.25 / game.beta), abs=2e-3)
    else:
        assert policy[0] > 0.99

"""Tableaus: how they print, what they spend, what each kind of stage computes, and what they refuse."""

from collections.abc import Callable

import numpy as np
import pytest
from games import Given, bradley_terry, random_policy, rock_scissors_paper, tournament, uniform
from numpy.typing import NDArray
from scipy.special import expit

import simlab
from algorithms.dno import DNO
from algorithms.egpo import EGPO
from algorithms.nash_md import NashMD
from algorithms.nash_mp import NashMP
from algorithms.online_mirror_descent import OnlineMirrorDescent
from algorithms.sppo import SPPO
from algorithms.symbol import Symbol
from algorithms.tableau import Loop, Stage, Tableau, copy, gradient, mix, pairs, projection, prox, responses
from envs.divergence import log_normalise
from envs.equilibrium import regularised_nash
from envs.feedback import Duels
from envs.game import Game
from envs.invalid import Invalid
from simlab.run import Method, Run

GAME = uniform(4, 1, 0.2)
BEGIN = random_policy(np.random.default_rng(0), 4)


def run(stages: Tableau, steps: int, game: Game = GAME, start: NDArray = BEGIN, **options: object) -> Run:
    return simlab.simulate(game, Given(stages), steps=steps, start=start, record="every", **options)


def policies(stages: Tableau, steps: int, game: Game = GAME, start: NDArray = BEGIN) -> NDArray:
    return run(stages, steps, game, start).log_policy[0]


def wins(log_policy: NDArray, game: Game = GAME) -> NDArray:
    return game.preference @ np.exp(log_policy)


def close(actual: NDArray, expected: NDArray, tolerance: float = 1e-13) -> None:
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


# How they print.

PRINTED = {
    EGPO(): "half ∝ policy^(1 - η β) · reference^(η β) · exp(η P policy)\npolicy ∝ policy^(1 - η β) · reference^(η β) · exp(η P half)",
    NashMD(0.3): "mixture ∝ policy^(1 - η β) · reference^(η β)\npolicy ∝ mixture · exp(η P mixture)",
    NashMD(): "mixture ∝ policy^(1 - η_t β) · reference^(η_t β)\npolicy ∝ mixture · exp(η_t P mixture)",
    SPPO(): "policy ∝ policy · exp(η P policy)",
    OnlineMirrorDescent(): "policy ∝ policy^(1 - η β) · reference^(η β) · exp(η P policy)",
    DNO(): "policy ∝ policy · exp(1/η P policy)",
}


@pytest.mark.parametrize("method", PRINTED, ids=str)
def test_a_method_prints_as_its_paper(method: Method) -> None:
    assert str(method.tableau(0.1, steps=10, actions=3)) == PRINTED[method]


β = Symbol("β", 0.1)
LINES = {
    "previous <- policy": copy("previous", "policy"),
    "centre <- policy   [every 3 iterations]": copy("centre", "policy", every=3),
    "average = 0.9 average + 0.1 policy": mix("average", {"average": 0.9, "policy": 0.1}),
    "p ∝ p · exp(0.5 P (2 p - q))": prox("p", anchor={"p": 1}, opponent={"p": 2, "q": -1}, rate=0.5),
    "θ_p = θ_p + 0.3 p∘(adv - <p, adv>),  adv = P q - β log p + β log r": gradient("p", opponent="q", anchor={"p": -β, "r": β}, rate=0.3),
    "θ_p = θ_h + 0.3 h∘(adv - <h, adv>),  adv = P q": gradient("p", opponent="q", anchor={}, rate=0.3, base="h"),
    "θ_p = θ_p + 0.3 K mean of 4 (e_y - e_y')(adv_y - adv_y')/2, y, y' ~ uniform,  adv = P p": pairs(
        "p", opponent="p", anchor={}, rate=0.3, samples=4
    ),
    "θ_p = θ_p + 0.3 mean of 4 (e_y - e_y')(adv_y - adv_y')/2, y, y' ~ p,  adv = P q": pairs(
        "p", opponent="q", anchor={}, rate=0.3, samples=4, source="p"
    ),
    "θ_p = θ_p + 0.3 (wins - 1/2) on 5 responses from q": responses("p", opponent="q", rate=0.3, samples=5),
    "θ_s = θ_s + 4 (P p - σ(θ_s) p)": projection("s", opponent="p", rate=4.0),
}


@pytest.mark.parametrize("line", LINES)
def test_a_stage_prints_as_a_line(line: str) -> None:
    assert str(LINES[line]) == line


def test_loops_and_answers_are_printed() -> None:
    loop = Loop((copy("a", "b"), copy("b", "a")), times=5, tolerance=1e-3)
    assert str(Tableau(loop, returns="a")) == "5 times or until the change is <= 0.001:\n    a <- b\n    b <- a\nreturns a"
    assert str(Tableau(Loop((copy("a", "b"),), times=2))) == "2 times:\n    a <- b"


def test_nash_mp_prints_its_inner_steps() -> None:
    lines = str(NashMP(inner=3).tableau(0.1, steps=10, actions=3)).splitlines()
    assert lines[:2] == ["half <- policy", "3 times:"]
    assert lines[2].strip() == "half ∝ half^(0.5) · policy^(λ/(2 (β + λ))) · reference^(β/(2 (β + λ))) · exp(1/(2 (β + λ)) P policy)"
    assert lines[-1] == "policy <- next"


# What they spend.

PULL = {"policy": 0.9, "reference": 0.1}
OPTIMISTIC = Tableau(
    prox("next", anchor={"policy": 1.0}, opponent={"policy": 2.0, "previous": np.array([0.0, -1.0])}, rate=0.3),
    copy("previous", "policy"),
    copy("policy", "next"),
)
SINGLE_CALL = Tableau(prox("half", anchor=PULL, opponent="half", rate=0.5), prox("policy", anchor=PULL, opponent="half", rate=0.5))
SPENT = {
    "online mirror descent": (OnlineMirrorDescent(), 1, 1),
    "EGPO": (EGPO(), 2, 2),
    "Nash-MP": (NashMP(), 2, 2),
    "Nash-MP, 7 inner steps": (NashMP(inner=7), 2, 14),
    "Nash-MD": (NashMD(), 1, 1),
    "SPPO": (SPPO(), 1, 1),
    "DNO": (DNO(), 1, 1),
    "optimistic": (Given(OPTIMISTIC), 1, 1),
    "single call": (Given(SINGLE_CALL), 1, 2),
    "two opponents": (
        Given(Tableau(prox("policy", anchor=PULL, opponent={"policy": 2.0, "half": -1.0}, rate=0.1), copy("half", "policy"))),
        2,
        1,
    ),
    "a copy knows what its source knows": (
        Given(
            Tableau(
                prox("half", anchor=PULL, opponent="policy", rate=0.5),
                copy("twin", "policy"),
                prox("policy", anchor=PULL, opponent="twin", rate=0.5),
            )
        ),
        1,
        2,
    ),
    "a copy of an unknown slot is unknown": (
        Given(
            Tableau(
                copy("twin", "policy"),
                prox("half", anchor=PULL, opponent="twin", rate=0.5),
                prox("policy", anchor=PULL, opponent="policy", rate=0.5),
            )
        ),
        2,
        2,
    ),
    "no question asked": (Given(Tableau(prox("policy", anchor=PULL), mix("average", {"average": 0.5, "policy": 0.5}))), 0, 0),
    "gradient": (Given(Tableau(gradient("policy", opponent="policy", anchor={}, rate=0.1))), 1, 1),
    "pairs": (Given(Tableau(pairs("policy", opponent="reference", anchor={}, rate=0.1, samples=2))), 1, 1),
    "pairs teach no win rates": (
        Given(
            Tableau(
                pairs("half", opponent="policy", anchor={}, rate=0.1, samples=2), prox("policy", anchor=PULL, opponent="policy", rate=0.1)
            )
        ),
        2,
        2,
    ),
}

SPENT["pairs judge anew what is known"] = (
    Given(
        Tableau(
            prox("half", anchor=PULL, opponent="policy", rate=0.1),
            pairs("policy", opponent="policy", anchor={}, rate=0.1, samples=2),
        )
    ),
    2,
    2,
)


@pytest.mark.parametrize("name", SPENT)
def test_what_an_iteration_spends(name: str) -> None:
    method, queries, gradients = SPENT[name]
    spent = simlab.simulate(GAME, method, steps=6, record="every")
    np.testing.assert_array_equal(np.diff(spent.queries[0])[1:], queries)
    np.testing.assert_array_equal(np.diff(spent.gradients[0])[1:], gradients)
    assert spent.queries[0, 0] == spent.gradients[0, 0] == 0
    tableau = method.tableau(GAME.beta, steps=6, actions=4)
    assert sum(query for query, _ in tableau.spending()) == queries
    repeated = [loop.times for loop in tableau.loops for _ in loop.stages]
    assert sum(times * evaluated for times, (_, evaluated) in zip(repeated, tableau.spending(), strict=True)) == gradients


def test_the_first_step_of_the_optimistic_methods() -> None:
    """ONPO's first step meets 2 P p alone (g_-1 = 0); the single call asks about the start once more than later steps ask."""
    first, second = policies(OPTIMISTIC, 2)[1:]
    close(first, log_normalise(BEGIN + 0.3 * 2 * wins(BEGIN)))
    close(second, log_normalise(first + 0.3 * (2 * wins(first) - wins(BEGIN))))
    np.testing.assert_array_equal(run(OPTIMISTIC, 4).queries[0], [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(run(SINGLE_CALL, 4).queries[0], [0, 2, 3, 4, 5])


def test_a_slot_that_is_left_alone_is_asked_about_once_an_iteration() -> None:
    stages = Tableau(prox("half", anchor=PULL, opponent="reference", rate=0.1), prox("policy", anchor=PULL, opponent="reference", rate=0.1))
    np.testing.assert_array_equal(run(stages, 3).queries[0], [0, 1, 2, 3])
    np.testing.assert_array_equal(run(stages, 3).gradients[0], [0, 2, 4, 6])
    assert stages.spending() == [(1, 1), (0, 1)]


def test_no_run_rests_on_one_draw_of_labels() -> None:
    """A step of 1 - 1/(t + 1) towards the last of many single duels of the reference: their mean comes close to the win rates."""
    game, steps = uniform(3, 0), 4000
    t = np.arange(steps)
    averaging = prox("policy", anchor={"policy": t / (t + 1)}, opponent="reference", rate=1 / (t + 1))
    mean = simlab.simulate(game, Given(Tableau(averaging)), steps=steps, feedback=Duels(1), record=[steps]).log_policy[0, 0]
    wins = game.preference @ np.exp(game.log_reference)
    np.testing.assert_allclose(mean - mean.mean(), wins - wins.mean(), atol=5 * 0.5 / np.sqrt(steps) * 2)


def test_spending_is_told_by_stage() -> None:
    assert EGPO().tableau(0.1, steps=9, actions=3).spending() == [(1, 1), (1, 1)]
    assert SINGLE_CALL.spending() == [(0, 1), (1, 1)]
    assert OPTIMISTIC.spending() == [(1, 1), (0, 0), (0, 0)]


# Schedules, periods, loops.


def test_a_schedule_holds_its_last_entry() -> None:
    rates = np.array([1.0, 0.5, 0.25])
    path = policies(Tableau(prox("policy", anchor={"policy": 1}, opponent="policy", rate=rates)), 6)
    for t, rate in enumerate([1.0, 0.5, 0.25, 0.25, 0.25, 0.25]):
        close(path[t + 1], log_normalise(path[t] + rate * wins(path[t])))


def test_schedules_of_different_lengths_run_side_by_side() -> None:
    weight, rate = np.array([0.5, 0.8]), np.array([1.0, 0.5, 0.25, 0.125])
    tableau = Tableau(prox("policy", anchor={"policy": weight, "reference": 1 - weight}, opponent="policy", rate=rate))
    assert tableau.length == 4
    assert tableau.weights("anchor")[:, 0].tolist() == pytest.approx(np.array([[0.5, 0.5], [0.2, 0.8], [0.2, 0.8], [0.2, 0.8]]))
    path = policies(tableau, 5)
    for t, (w, eta) in enumerate([(0.5, 1.0), (0.8, 0.5), (0.8, 0.25), (0.8, 0.125), (0.8, 0.125)]):
        close(path[t + 1], log_normalise(w * path[t] + (1 - w) * GAME.log_reference + eta * wins(path[t])))


def test_a_stage_may_rest() -> None:
    stages = Tableau(prox("policy", anchor={"policy": 1}, opponent="policy", rate=0.3), copy("centre", "policy", every=3))
    centre = run(stages, 8, slots=["policy", "centre"])
    path, kept = centre.log_policy[0], centre.log_slots["centre"][0]
    for t in range(9):
        np.testing.assert_array_equal(kept[t], path[t - t % 3])


def test_a_loop_repeats_its_stages() -> None:
    twice = prox("half", anchor={"half": 0.5, "reference": 0.5}, opponent="half", rate=0.4)
    then = prox("policy", anchor={"half": 1.0})
    path = run(Tableau(copy("half", "policy"), Loop((twice, copy("kept", "half")), times=4), then), 1, slots=["policy", "kept"])
    expected = BEGIN
    for _ in range(4):
        expected = log_normalise(0.5 * expected + 0.5 * GAME.log_reference + 0.4 * wins(expected))
    close(path.log_policy[0, 1], expected)
    close(path.log_slots["kept"][0, 1], expected)


def inner_solve(tolerance: float, times: int = 10_000) -> Tableau:
    """Solve the regularised game anew from the start policy; the loop's last slot is `x`."""
    return Tableau(
        copy("x", "begin"),
        Loop((prox("x", anchor={"x": 0.9, "reference": 0.1}, opponent="x", rate=0.5),), times=times, tolerance=tolerance),
        copy("policy", "x"),
    )


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-9])
def test_a_loop_stops_at_its_residual(tolerance: float) -> None:
    x, passes = BEGIN, 0
    while True:
        new = log_normalise(0.9 * x + 0.1 * GAME.log_reference + 0.5 * wins(x))
        change, x, passes = np.ptp(new - x), new, passes + 1
        if change <= tolerance:
            break
    stopped = run(inner_solve(tolerance), 1)
    assert passes > 3
    assert stopped.gradients[0, 1] == passes
    close(stopped.log_policy[0, 1], x)
    assert run(inner_solve(tolerance, times=3), 1).gradients[0, 1] == 3


def test_a_residual_is_met_whoever_runs_beside() -> None:
    slow, fast = rock_scissors_paper(0.2), bradley_terry(3, 1, 0.2)
    alone = [run(inner_solve(1e-10), 2, game, game.log_reference) for game in (slow, fast)]
    together = simlab.simulate([slow, fast, slow], Given(inner_solve(1e-10)), steps=2, seeds=3, record="every")
    assert alone[0].gradients[0, -1] != alone[1].gradients[0, -1]
    for number, single in enumerate([alone[0], alone[1], alone[0]]):
        for at in range(3 * number, 3 * number + 3):
            np.testing.assert_array_equal(together.log_policy[at], single.log_policy[0])
            np.testing.assert_array_equal(together.gradients[at], single.gradients[0])
    close(alone[0].log_policy[0, -1], regularised_nash(slow), 1e-8)


# What a stage computes.


def test_a_prox_stage_with_negative_opponents_and_anchors() -> None:
    stage = prox("policy", anchor={"policy": 1.5, "reference": -0.5}, opponent={"policy": 2.0, "reference": -0.5}, rate=0.7)
    field = GAME.preference @ (2.0 * np.exp(BEGIN) - 0.5 * np.exp(GAME.log_reference))
    close(policies(Tableau(stage), 1)[1], log_normalise(1.5 * BEGIN - 0.5 * GAME.log_reference + 0.7 * field))


def test_a_power_is_not_a_copy() -> None:
    stages = Tableau(prox("warm", anchor={"policy": 0.5}), prox("policy", anchor={"warm": 3.0}))
    assert [stage.copied for stage in stages.stages] == [None, None]
    close(policies(stages, 1)[1], log_normalise(1.5 * BEGIN))


def test_slots_start_at_the_start_and_the_reference_at_the_reference() -> None:
    stages = Tableau(prox("policy", anchor={"a": 0.5, "reference": 0.5}))
    first = run(stages, 1, slots=["a", "reference", "policy"])
    close(first.log_slots["a"][0], np.array([BEGIN, BEGIN]))
    close(first.log_slots["reference"][0], np.array([GAME.log_reference, GAME.log_reference]))
    close(first.log_policy[0, 1], log_normalise(0.5 * BEGIN + 0.5 * GAME.log_reference))


def test_the_reference_may_move_while_measures_keep_the_games_own() -> None:
    stages = Tableau(prox("policy", anchor={"policy": 0.5, "reference": 0.5}, opponent="policy", rate=1.0), copy("reference", "policy"))
    moved = run(stages, 3, measure=["kl_to_reference"], slots=["policy", "reference"])
    path = moved.log_policy[0]
    close(path[2], log_normalise(0.5 * path[1] + 0.5 * path[1] + wins(path[1])))
    close(moved.measured["kl_to_reference"][0], simlab.metrics.kl(path, GAME.log_reference))


def test_a_mix_is_taken_in_probability_space_without_underflow() -> None:
    low = np.array([0.0, -800.0, -1000.0, -30.0])
    stages = Tableau(prox("policy", anchor={"policy": 1.1}, opponent="policy", rate=20.0), mix("average", {"average": 0.9, "policy": 0.1}))
    kept = run(stages, 5, start=log_normalise(low), slots=["policy", "average"])
    path, average = kept.log_policy[0], kept.log_slots["average"][0]
    assert path[:, 1].min() < -790 and np.exp(path[:, 2]).max() == 0.0
    for t in range(5):
        close(average[t + 1], np.logaddexp(np.log(0.9) + average[t], np.log(0.1) + path[t + 1]))


def test_a_mix_of_plain_policies() -> None:
    stages = Tableau(mix("policy", {"policy": 0.25, "reference": 0.75}))
    close(np.exp(policies(stages, 1)[1]), 0.25 * np.exp(BEGIN) + 0.75 * np.exp(GAME.log_reference))


def slope(objective: Callable[[NDArray], float], theta: NDArray, step: float = 1e-5) -> NDArray:
    directions = step * np.eye(len(theta))
    return np.array([(objective(theta + d) - objective(theta - d)) / (2 * step) for d in directions])


@pytest.mark.parametrize("opponent", ["policy", "reference", "rival"])
@pytest.mark.parametrize(
    "game", [uniform(4, 1, 0.2), tournament(5, 2, 0.7), bradley_terry(3, 3, 0.05)], ids=["uniform", "tournament", "scores"]
)
def test_a_gradient_stage_climbs_the_regularised_objective(game: Game, opponent: str) -> None:
    """d/dtheta of <p, P q> - beta KL(p | ref) at p = softmax theta, the opponent q held."""
    start = random_policy(np.random.default_rng(4), game.actions)
    rival = {"policy": start, "reference": game.log_reference, "rival": log_normalise((start + game.log_reference) / 2)}[opponent]

    def objective(theta: NDArray) -> float:
        log_p = log_normalise(theta)
        return float(np.exp(log_p) @ (wins(rival, game) - game.beta * (log_p - game.log_reference)))

    stages = Tableau(
        prox("rival", anchor={"policy": 0.5, "reference": 0.5}),
        gradient("policy", opponent=opponent, anchor={"policy": -game.beta, "reference": game.beta}, rate=1.0),
    )
    moved = policies(stages, 1, game, start)[1] - start
    np.testing.assert_allclose(moved - moved.mean(), slope(objective, start), rtol=0, atol=1e-9)


def test_a_gradient_stage_moves_its_base() -> None:
    stage = gradient("policy", opponent="reference", anchor={}, rate=2.0, base="reference")
    p, adv = np.exp(GAME.log_reference), wins(GAME.log_reference)
    close(policies(Tableau(stage), 1)[1], log_normalise(GAME.log_reference + 2.0 * p * (adv - p @ adv)))


def centred(logits: NDArray) -> NDArray:
    return logits - logits.mean(axis=-1, keepdims=True)


PAIRED = {"policy": -0.2, "reference": 0.2}


def test_pairs_average_to_the_prox_map() -> None:
    """Over uniform pairs, theta + rate (adv - mean adv): within 5 standard errors in every action, over 20000 seeds."""
    game = uniform(3, 5, 0.2)
    start = random_policy(np.random.default_rng(1), 3)
    stage = pairs("policy", opponent="policy", anchor=PAIRED, rate=0.5, samples=2)
    exact = prox("policy", anchor={"policy": 1 - 0.5 * 0.2, "reference": 0.5 * 0.2}, opponent="policy", rate=0.5)
    options = {"steps": 1, "start": start, "record": [1]}
    sampled = centred(simlab.simulate(game, Given(Tableau(stage)), seeds=20_000, **options).log_policy[:, 0])
    expected = centred(simlab.simulate(game, Given(Tableau(exact)), **options).log_policy[0, 0])
    error = sampled.std(axis=0, ddof=1) / np.sqrt(len(sampled))
    assert error.max() < 0.01
    assert (np.abs(sampled.mean(axis=0) - expected) < 5 * error).all()


def test_more_pairs_less_noise() -> None:
    """The variance falls as 1/samples, by 16 here: within a fifth, over 4000 seeds."""
    variance = [
        centred(
            simlab.simulate(
                GAME,
                Given(Tableau(pairs("policy", opponent="policy", anchor=PAIRED, rate=0.5, samples=n))),
                steps=1,
                seeds=4000,
                record=[1],
            ).log_policy[:, 0]
        ).var(axis=0)
        for n in (1, 16)
    ]
    np.testing.assert_allclose(variance[0] / variance[1], 16, rtol=0.2)


def test_pairs_from_a_slot_average_to_a_gradient_stage() -> None:
    """theta + rate p (adv - <p, adv>): within 5 standard errors, over 20000 seeds."""
    game = uniform(3, 5, 0.2)
    start = random_policy(np.random.default_rng(1), 3)
    stage = pairs("policy", source="policy", opponent="policy", anchor=PAIRED, rate=0.5, samples=2)
    exact = gradient("policy", opponent="policy", anchor=PAIRED, rate=0.5)
    options = {"steps": 1, "start": start, "record": [1]}
    sampled = centred(simlab.simulate(game, Given(Tableau(stage)), seeds=20_000, **options).log_policy[:, 0])
    expected = centred(simlab.simulate(game, Given(Tableau(exact)), **options).log_policy[0, 0])
    error = sampled.std(axis=0, ddof=1) / np.sqrt(len(sampled))
    assert (np.abs(sampled.mean(axis=0) - expected) < 5 * error).all()
    assert (np.abs(centred(start) - expected) > 5 * error).any()


@pytest.mark.parametrize("game", [uniform(4, 1), bradley_terry(5, 2), rock_scissors_paper()], ids=["uniform", "scores", "cycle"])
def test_projections_fit_bradley_terry_scores(game: Game) -> None:
    """One step as written; repeated, q (P - sigmoid(s_i - s_j)) q vanishes row by row, and on scores it finds them."""
    step = projection("policy", opponent="rival", rate=4.0)
    start = random_policy(np.random.default_rng(7), game.actions)

    def field(scores: NDArray) -> NDArray:
        return (game.preference - expit(scores[:, None] - scores)) @ np.exp(rival)

    rival = log_normalise((start + game.log_reference) / 2)
    stages = Tableau(prox("rival", anchor={"begin": 0.5, "reference": 0.5}), step)
    close(policies(stages, 1, game, start)[1], log_normalise(start + 4.0 * field(start)))
    fitted = policies(Tableau(prox("rival", anchor={"begin": 0.5, "reference": 0.5}), Loop((step,), times=3000)), 1, game, start)[1]
    assert np.abs(field(fitted)).max() < 1e-9
    if game.intransitivity() < 1e-9:
        odds = np.log(game.preference / game.preference.T)
        close(fitted[:, None] - fitted, odds, 1e-6)


def test_only_sampled_actions_move() -> None:
    game = uniform(10, 0, 0.2)
    stage = pairs("policy", opponent="policy", anchor=PAIRED, rate=0.5, samples=1)
    after = simlab.simulate(game, Given(Tableau(stage)), steps=1, seeds=200, record=[1]).log_policy[:, 0]
    moved = after - game.log_reference
    moved -= np.median(moved, axis=1, keepdims=True)  # what normalisation adds to all
    touched = np.abs(moved) > 1e-12
    assert set(touched.sum(axis=1)) == {0, 2}
    np.testing.assert_allclose(moved.sum(axis=1), 0.0, rtol=0, atol=1e-13)
    repeats = (touched.sum(axis=1) == 0).mean()
    assert abs(repeats - 0.1) < 5 * np.sqrt(0.1 * 0.9 / 200)  # y = y' in one pair of ten


# What they refuse.

REFUSED = {
    "unknown kind": (lambda: Stage("jump", "policy"), "kind=jump", "one of prox, gradient, pairs, responses, projection, mix"),
    "every 0": (lambda: copy("a", "b", every=0), "every=0", "an integer >= 1"),
    "every 1.5": (lambda: copy("a", "b", every=1.5), "every=1.5", "an integer >= 1"),
    "every True": (lambda: copy("a", "b", every=True), "every=True", "an integer >= 1"),
    "no samples": (lambda: pairs("a", opponent="b", anchor={}, rate=1.0, samples=0), "samples=0", "an integer >= 1"),
    "half a sample": (lambda: pairs("a", opponent="b", anchor={}, rate=1.0, samples=0.5), "samples=0.5", "an integer >= 1"),
    "two rivals": (lambda: Stage("pairs", "a", opponent={"b": 1, "c": 1}, samples=1), "opponent=['b', 'c']", "one slot in a pairs stage"),
    "no rival": (lambda: Stage("pairs", "a", samples=1), "opponent=[]", "one slot in a pairs stage"),
    "empty loop": (lambda: Loop((), times=1), "stages=()", "at least one stage"),
    "no times": (lambda: Loop((copy("a", "b"),), times=0), "times=0", "an integer >= 1"),
    "odd times": (lambda: Loop((copy("a", "b"),), times=2.5), "times=2.5", "an integer >= 1"),
    "negative tolerance": (lambda: Loop((copy("a", "b"),), times=1, tolerance=-1.0), "tolerance=-1.0", "a number >= 0"),
    "nan tolerance": (lambda: Loop((copy("a", "b"),), times=1, tolerance=np.nan), "tolerance=nan", "a number >= 0"),
    "empty tableau": (Tableau, "stages=()", "at least one stage"),
    "unknown answer": (lambda: Tableau(copy("a", "b"), returns="c"), "returns=c", "one of the slots reference, policy, a, b"),
    "nan rate": (lambda: Tableau(prox("a", anchor={"a": 1}, opponent="a", rate=np.nan)), "coefficients of a=", "finite"),
    "no rate": (lambda: Tableau(prox("a", anchor={"a": 1}, opponent="a", rate=None)), "coefficients of a=", "finite"),
    "infinite anchor": (lambda: Tableau(prox("a", anchor={"a": np.inf})), "coefficients of a=", "finite"),
    "nan in a schedule": (
        lambda: Tableau(prox("a", anchor={"a": 1}, opponent={"a": np.array([1, np.nan])})),
        "coefficients of a=",
        "finite",
    ),
    "empty schedule": (lambda: Tableau(prox("a", anchor={"a": np.array([])})), "coefficients of a=", "schedules of one axis"),
    "flat schedule": (lambda: Tableau(prox("a", anchor={"a": np.ones((2, 2))})), "coefficients of a=", "schedules of one axis"),
    "negative mix": (lambda: Tableau(mix("a", {"a": 1.5, "b": -0.5})), "weights of a=", "non-negative in a mix"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_tableau_is_refused(case: str) -> None:
    make, value, allowed = REFUSED[case]
    with pytest.raises(Invalid) as refusal:
        make()
    text = str(refusal.value)
    assert text.startswith(value) and ": must be " in text and text.endswith(allowed)
    assert "\n" not in text


def test_a_tableau_cannot_change() -> None:
    with pytest.raises(AttributeError):
        SINGLE_CALL.returns = "half"
    with pytest.raises(AttributeError):
        SINGLE_CALL.stages[0].rate = 0.0

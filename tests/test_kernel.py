"""The kernel: compiled equals interpreted, records equal plain numpy, and a result depends on nothing that runs beside it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import games as shared
import numpy as np
import pytest
from games import EVERY_KIND, FEEDBACKS, TEN, Given, bradley_terry, games, random_policy, rock_scissors_paper, small_run, uniform
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import logsumexp

import simlab
from algorithms.dno import DNO
from algorithms.egpo import EGPO
from algorithms.kernel import (
    INTERLEAVED,
    WATCH_EVERY,
    WATCH_FACTOR,
    WATCH_MARGIN,
    WATCH_STRETCH,
    WHOLE,
    exponential,
    logarithm,
)
from algorithms.nash_md import NashMD
from algorithms.nash_mp import NashMP
from algorithms.online_mirror_descent import OnlineMirrorDescent
from algorithms.sppo import SPPO
from algorithms.tableau import KINDS, Tableau, pairs, prox, responses
from envs.divergence import log_normalise
from envs.equilibrium import regularised_nash
from envs.feedback import Duels, Exact
from envs.game import Game
from envs.invalid import Invalid
from simlab import metrics
from simlab import run as run_module
from simlab.run import AVERAGE, MEASURES, Method, Run

ROOT = Path(__file__).resolve().parents[1]
SIX = [OnlineMirrorDescent(), EGPO(), NashMP(), NashMP(inner=3), NashMD(), SPPO(), DNO()]


def every(*arguments: object, **options: object) -> Run:
    return simlab.simulate(*arguments, record="every", **options)


# Compiled and interpreted.


@pytest.mark.parametrize(("method", "feedback"), [("every kind", feedback) for feedback in FEEDBACKS] + [("to a residual", "exact")])
def test_compiled_equals_interpreted(method: str, feedback: str, tmp_path: Path) -> None:
    """Every kind of stage, loops, schedules and measures, in a process without numba's compiler."""
    paths = [str(ROOT), str(Path(shared.__file__).parent)]
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(paths)}
    written = tmp_path / "interpreted.npz"
    subprocess.run([sys.executable, shared.__file__, method, feedback, str(written)], check=True, env=environment, cwd=ROOT)
    shared.save_small_run(method, feedback, str(tmp_path / "compiled.npz"))
    compiled, interpreted = np.load(tmp_path / "compiled.npz"), np.load(written)
    assert set(compiled.files) == set(interpreted.files) >= {"policy", "log_average", "queries", "gradients", "average_exploitability"}
    for name in compiled.files:
        np.testing.assert_allclose(interpreted[name], compiled[name], rtol=1e-12, atol=1e-12, err_msg=name)
    assert np.ptp(compiled["policy"]) > 1


@pytest.mark.parametrize("feedback", FEEDBACKS)
def test_stages_that_are_due_leave_their_mark(feedback: str) -> None:
    """What a stage's own row of the tableau says, met on the recorded policies: the mix and the copy, when they are due."""
    run = small_run("every kind", feedback)
    policy, average, half, last = run.log_policy, run.log_slots["average"], run.log_slots["half"], run.log_slots["last"]
    for t in range(1, 7):
        mixed = np.logaddexp(np.log(0.75) + average[:, t - 1], np.log(0.25) + policy[:, t])
        np.testing.assert_allclose(average[:, t], mixed if t % 2 == 0 else average[:, t - 1], rtol=1e-13, atol=1e-13)
        np.testing.assert_array_equal(last[:, t], half[:, t] if t % 3 == 0 else last[:, t - 1])
    assert (run.queries[:, 1:] > run.queries[:, :-1]).all()


# A result and its neighbours.

CROWD = [uniform(5, 0, 0.1), shared.tournament(5, 1, 0.3), bradley_terry(5, 2, 0.1), uniform(5, 3, 0.3), uniform(5, 4, 0.1)]
SAMPLED_PAIRS = Given(
    Tableau(
        pairs("half", base="policy", opponent="policy", anchor={"policy": -0.1, "reference": 0.1}, rate=0.4, samples=3),
        prox("policy", anchor={"policy": 0.9, "reference": 0.1}, opponent="half", rate=0.6),
    )
)
NOISY = {"feedback": Duels(per_action=2, flip=0.1), "steps": 12, "seed": 4, "measure": ["duality_gap", "average_kl_to_equilibrium"]}
RESPONSES = Given(Tableau(responses("policy", opponent="policy", rate=0.3, samples=4)))
METHODS = {"EGPO": EGPO(1.0), "pairs": SAMPLED_PAIRS, "responses": RESPONSES, "inner loops": NashMP(0.5, inner=2)}


def same(first: Run, second: Run, rows: NDArray | slice = slice(None)) -> None:
    """Bitwise."""
    np.testing.assert_array_equal(first.log_policy, second.log_policy[rows])
    np.testing.assert_array_equal(first.log_average, second.log_average[rows])
    for name in first.measured:
        np.testing.assert_array_equal(first.measured[name], second.measured[name][rows])
    np.testing.assert_array_equal(first.queries, second.queries[rows])
    np.testing.assert_array_equal(first.status, second.status[rows])


@pytest.fixture(scope="module", params=METHODS)
def crowd(request: pytest.FixtureRequest) -> tuple[Method, Run]:
    method = METHODS[request.param]
    return method, every(CROWD, method, seeds=40, threads=1, **NOISY)


@pytest.mark.parametrize("threads", [2, 4, None])
def test_threads_change_nothing(crowd: tuple[Method, Run], threads: int | None) -> None:
    method, run = crowd
    same(every(CROWD, method, seeds=40, threads=threads, **NOISY), run)


def test_neighbours_change_nothing(crowd: tuple[Method, Run]) -> None:
    method, run = crowd
    for number in (0, 3):
        same(every(CROWD[number], method, seeds=40, **NOISY), run, run.game_index == number)
    same(every([CROWD[3]], method, seeds=1, **NOISY), run, (run.game_index == 3) & (run.seed_index == 0))


def test_the_order_of_games_changes_nothing(crowd: tuple[Method, Run]) -> None:
    method, run = crowd
    order = [4, 2, 0, 3, 1]
    rows = np.concatenate([np.flatnonzero(run.game_index == number) for number in order])
    same(every([CROWD[number] for number in order], method, seeds=40, **NOISY), run, rows)


def test_fewer_seeds_are_the_first_ones(crowd: tuple[Method, Run]) -> None:
    method, run = crowd
    same(every(CROWD, method, seeds=3, **NOISY), run, run.seed_index < 3)


def test_seeds_may_be_counted_from_any_number(crowd: tuple[Method, Run]) -> None:
    method, run = crowd
    same(every(CROWD, method, seeds=4, first_seed=36, **NOISY), run, run.seed_index >= 36)
    firsts = [0, 7, 7, 1, 39]
    rows = np.array([40 * number + first for number, first in enumerate(firsts)])
    same(every(CROWD, method, first_seed=firsts, **NOISY), run, rows)


@pytest.mark.parametrize("lanes", [1, 2, 7, 33, 200])
def test_how_many_lanes_a_block_has_changes_nothing(crowd: tuple[Method, Run], lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def blocks(games: list[Game], seeds: int, *, one_lane: bool, threads: int) -> Iterator[NDArray]:
        betas = np.repeat([game.beta for game in games], seeds)
        for beta in np.unique(betas):
            members = np.flatnonzero(betas == beta)[::-1]
            yield from (members[at : at + lanes] for at in range(0, len(members), lanes))

    method, run = crowd
    monkeypatch.setattr(run_module, "_blocks", blocks)
    same(every(CROWD, method, seeds=40, **NOISY), run)


@pytest.mark.parametrize("actions", [33, 130, WHOLE + 1, WHOLE + 8])
def test_large_games_run_alone_as_in_company(actions: int) -> None:
    """A block has one of them, with eight seeds or alone."""
    crowd = [uniform(actions, number, 0.1) for number in range(3)]
    options = {"steps": 3, "measure": ["exploitability", "average_kl_to_reference"]}
    start = np.stack([[random_policy(np.random.default_rng(seed), actions) for seed in range(10)]] * 3)
    together = every(crowd, EGPO(), seeds=10, start=start, **options)
    for game, seed in ((0, 0), (0, 7), (0, 9), (2, 3)):
        alone = every(crowd[game], EGPO(), start=start[game, seed], **options)
        same(alone, together, slice(10 * game + seed, 10 * game + seed + 1))


@pytest.mark.parametrize("actions", [3, INTERLEAVED, INTERLEAVED + 1, 100, WHOLE, *range(WHOLE + 1, WHOLE + 10)])
@pytest.mark.parametrize("seeds", [1, 8])
def test_a_step_is_that_of_plain_numpy(actions: int, seeds: int) -> None:
    """Every path of the product, with padding and without, on games with entries of all sizes."""
    game = uniform(actions, 0, 0.1)
    start = np.stack([random_policy(np.random.default_rng(seed), actions) for seed in range(seeds)])
    run = every(game, OnlineMirrorDescent(0.3), steps=1, seeds=seeds, start=start[None])
    pull = 0.97 * start + 0.03 * game.log_reference
    expected = log_normalise(pull + 0.3 * np.exp(start) @ (game.preference - 0.5).T)
    np.testing.assert_allclose(run.log_policy[:, 1], expected, rtol=1e-13, atol=1e-13)


# Arithmetic, against numpy's.


def numbers(values: list[float]) -> NDArray:
    """Values, their neighbours, and many between -800 and 800."""
    rng = np.random.default_rng(0)
    near = [np.nextafter(value, side) for value in values for side in (-np.inf, np.inf)]
    return np.array([*values, *near, *rng.uniform(-708, 709, 4000), *rng.normal(size=4000), *rng.normal(size=2000) * 1e-8])


def last_bits(found: NDArray, expected: NDArray) -> float:
    """The largest difference in units of the last place."""
    return float(np.max(np.abs(found - expected) / np.spacing(np.abs(expected))))


def test_exponentials() -> None:
    x = numbers([0.0, np.log(2) / 2, -np.log(2) / 2, 1.0, -1.0, 700.0, -700.0])
    assert last_bits(np.array([exponential(value) for value in x]), np.exp(x)) <= 2
    assert [exponential(value) for value in (-708.1, -745.0, -1e300, -np.inf)] == [0.0] * 4
    assert exponential(0.0) == 1.0 and np.isnan(exponential(np.nan))


def test_logarithms() -> None:
    x = np.concatenate([np.exp(numbers([0.0])), [np.sqrt(0.5), np.sqrt(2), 1 - 2**-53, 1 + 2**-52, 1e-300, 1e300]])
    assert last_bits(np.array([logarithm(value) for value in x]), np.log(x)) <= 2
    assert logarithm(1.0) == 0.0 and logarithm(0.0) == -np.inf and logarithm(np.inf) == np.inf and np.isnan(logarithm(np.nan))


def test_records_agree_on_common_iterations() -> None:
    full = every(CROWD, EGPO(1.0), seeds=3, **NOISY | {"steps": 150})
    for record in ("log", [0, 7, 150], [149], range(3, 100, 7), np.array([20, 40])):
        part = simlab.simulate(CROWD, EGPO(1.0), seeds=3, record=record, **NOISY | {"steps": 150})
        np.testing.assert_array_equal(part.log_policy, full.log_policy[:, part.steps])
        np.testing.assert_array_equal(part.log_average, full.log_average[:, part.steps])
        np.testing.assert_array_equal(part.measured["duality_gap"], full.measured["duality_gap"][:, part.steps])
        np.testing.assert_array_equal(part.queries, full.queries[:, part.steps])


def test_what_is_kept_and_measured_changes_no_policy() -> None:
    options = {"seeds": 3, "feedback": Duels(), "steps": 30}
    plain = every(CROWD, EGPO(1.0), **options)
    rich = every(CROWD, EGPO(1.0), slots=["half", "policy", "reference"], measure=ALL_MEASURES, **options)
    np.testing.assert_array_equal(plain.log_policy, rich.log_policy)
    np.testing.assert_array_equal(plain.log_average, rich.log_average)
    bare = every(CROWD, EGPO(1.0), slots=[], measure=ALL_MEASURES, **options)
    assert bare.log_policy.shape == bare.log_average.shape == (15, 0, 0)
    for name in ALL_MEASURES:
        np.testing.assert_array_equal(bare.measured[name], rich.measured[name])


# Measures and averages.

ALL_MEASURES = [prefix + name for name in MEASURES for prefix in ("", AVERAGE)]


def measured_afterwards(game: Game, log_policy: NDArray, name: str) -> NDArray:
    beta = 0.0 if name.startswith("original_") else game.beta
    if name.endswith("exploitability"):
        return metrics.exploitability(game, log_policy, beta)
    if name.endswith("duality_gap"):
        return metrics.duality_gap(game, log_policy, beta)
    if name == "kl_to_equilibrium":
        return metrics.kl(regularised_nash(game), log_policy)
    return metrics.kl(log_policy, game.log_reference)


@pytest.mark.parametrize(
    "method", [EGPO(), OnlineMirrorDescent(1.0), SPPO(3.0), NashMD(), Given(EGPO(0.5).tableau(0.1, steps=1, actions=3))], ids=str
)
def test_measures_equal_those_of_the_recorded_policies(method: Method) -> None:
    for world in TEN.values():
        game = world if not isinstance(method, OnlineMirrorDescent) else world.with_beta(min(world.beta, 0.9))
        run = every(game, method, steps=40, measure=ALL_MEASURES, feedback=Exact(flip=0.2))
        for name in ALL_MEASURES:
            policies = run.log_average[0] if name.startswith(AVERAGE) else run.log_policy[0]
            expected = measured_afterwards(game, policies, name.removeprefix(AVERAGE))
            np.testing.assert_allclose(run.measured[name][0], expected, rtol=1e-11, atol=1e-13, err_msg=name)
            assert (run.measured[name] >= 0).all()


def test_measures_without_a_pull() -> None:
    game = uniform(5, 1, 0.0)
    names = [name for name in ALL_MEASURES if "equilibrium" not in name]
    run = every(game, SPPO(0.5), steps=50, measure=names)
    np.testing.assert_array_equal(run.measured["exploitability"], run.measured["original_exploitability"])
    np.testing.assert_array_equal(run.measured["duality_gap"], 2 * run.measured["exploitability"])
    np.testing.assert_allclose(run.measured["exploitability"][0], metrics.exploitability(game, run.log_policy[0]), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(run.measured["average_exploitability"][0], metrics.exploitability(game, run.log_average[0]), rtol=1e-12)


def test_no_measure_falls_below_zero_at_an_equilibrium() -> None:
    """Cycles of three unequal margins: at the equilibrium all three win rates are 1/2, and some round to below it."""
    margins = np.random.default_rng(0).random((500, 3)) / 2
    games = [Game(0.5 + np.array([[0, a, -b], [-a, 0, c], [b, -c, 0]]), np.log([0.2, 0.3, 0.5]), 0.0) for a, b, c in margins]
    start = log_normalise(np.log(margins[:, ::-1]))
    best = [((game.preference - 0.5) @ np.exp(policy)).max() for game, policy in zip(games, start, strict=True)]
    assert -1e-15 < min(best) < 0 < max(best) < 1e-15
    run = simlab.simulate(games, SPPO(1.0), steps=1, start=start, record=[0], measure=["exploitability", "average_original_duality_gap"])
    for values in run.measured.values():
        assert (values >= 0).all() and (values < 1e-15).all()


@pytest.mark.parametrize("distance", [1e-2, 1e-4, 1e-6, 1e-8, 1e-10])
def test_small_divergences_keep_their_digits(distance: float) -> None:
    game = uniform(5, 1, 0.2)
    start = log_normalise(regularised_nash(game) + distance * np.random.default_rng(0).normal(size=5))
    run = simlab.simulate(game, EGPO(), steps=1, start=start, record=[0], measure=["kl_to_equilibrium", "exploitability"])
    for name in run.measured:
        expected = measured_afterwards(game, run.log_policy[0], name)
        assert 1e-4 * distance**2 < expected[0] < 10 * distance**2
        np.testing.assert_allclose(run.measured[name][0], expected, rtol=1e-11 if name == "kl_to_equilibrium" else 1e-13 / distance)


def mean_of_earlier(log_policy: NDArray) -> NDArray:
    """(T + 1, K) log of the mean of p_0 .. p_{t-1}, of p_0 at t = 0, from all policies."""
    rows = [log_policy[0]] + [logsumexp(log_policy[:t], axis=0) - np.log(t) for t in range(1, len(log_policy))]
    return np.array(rows)


@given(games(), st.sampled_from([SPPO(0.7), EGPO(), NashMD(), NashMP(inner=2)]))
def test_the_average_is_the_mean_of_all_earlier_policies(game: Game, method: Method) -> None:
    run = every(game, method, steps=12, start=random_policy(np.random.default_rng(0), game.actions))
    np.testing.assert_allclose(run.log_average[0], mean_of_earlier(run.log_policy[0]), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(run.log_average[0, 0], run.log_policy[0, 0], rtol=1e-15)


def test_the_average_does_not_underflow() -> None:
    """Two actions cross while a third falls from e^-750 to e^-1350: its mean is that of its best days."""
    start = log_normalise([0.0, -5.0, -750.0])
    game = Game([[0.5, 0.2, 0.9], [0.8, 0.5, 1.0], [0.1, 0.0, 0.5]], np.log([0.3, 0.3, 0.4]), 0.0)
    run = every(game, SPPO(20.0), steps=60, start=start)
    assert run.log_policy[0, -1].min() < -1300
    np.testing.assert_allclose(run.log_average[0], mean_of_earlier(run.log_policy[0]), rtol=1e-13)
    assert run.log_average[0, -1, 2] == pytest.approx(run.log_policy[0, 0, 2] - np.log(60), abs=1e-3)
    assert run.status[0] == "ok"


def test_the_average_is_of_the_returned_slot() -> None:
    game, half = rock_scissors_paper(), EGPO(0.5).tableau(0.1, steps=1, actions=3)
    run = every(game, Given(Tableau(*half.stages, returns="half")), steps=9)
    kept = every(game, EGPO(0.5), steps=9, slots=["half"]).log_slots["half"]
    np.testing.assert_array_equal(run.log_policy, kept)
    np.testing.assert_allclose(run.log_average[0], mean_of_earlier(kept[0]), rtol=1e-13, atol=1e-13)


# Status.


def watched(path: NDArray) -> tuple[str, int]:
    """The rule for divergence, on a measure at every iteration."""
    looks = path[::WATCH_EVERY]
    above = looks > WATCH_FACTOR * looks[0] + WATCH_MARGIN
    stretch = len(above) if above.all() else int(np.argmin(above[::-1]))
    return ("diverged", (len(looks) - stretch) * WATCH_EVERY) if stretch >= WATCH_STRETCH else ("ok", -1)


WILD, TAME = [EGPO(6.0), OnlineMirrorDescent(1.0)], [EGPO(1.0), OnlineMirrorDescent(0.02)]


@pytest.mark.parametrize("steps", [89, 90, 105, 200, 999])
@pytest.mark.parametrize("measure", ["kl_to_equilibrium", "exploitability"])
@pytest.mark.parametrize("method", WILD + TAME, ids=str)
def test_a_diverging_run_says_since_when(method: Method, measure: str, steps: int) -> None:
    """Rock, scissors, paper at beta = 0.01; KL to the equilibrium is watched where it is measured, else exploitability."""
    game = rock_scissors_paper(0.01)
    for start in (game.log_reference, log_normalise(regularised_nash(game) + np.array([0.2, 0.0, 0.0]))):
        run = every(game, method, steps=steps, start=start, measure=[measure])
        assert (str(run.status[0]), run.status_step[0]) == watched(run.measured[measure][0])


def test_wild_runs_diverge_and_tame_ones_do_not() -> None:
    game = rock_scissors_paper(0.01)
    for methods, status in ((WILD, "diverged"), (TAME, "ok")):
        for method in methods:
            run = every(game, method, steps=999, measure=["kl_to_equilibrium"])
            assert run.status[0] == status
    start = log_normalise(regularised_nash(game) + np.array([0.01, 0.0, 0.0]))
    assert every(game, OnlineMirrorDescent(1.0), steps=999, start=start).status[0] == "diverged"  # seen by its exploitability


def test_a_method_for_the_original_game_is_watched_there() -> None:
    """SPPO leaves the equilibrium of the game without a pull, whatever beta measures say."""
    game = rock_scissors_paper(0.5, (0.34, 0.33, 0.33))
    run = every(game, SPPO(0.5), steps=999, measure=["original_exploitability", "exploitability", "kl_to_equilibrium"])
    assert run.status[0] == "diverged"
    seen = {name: watched(run.measured[name][0]) for name in run.measured}
    assert (str(run.status[0]), run.status_step[0]) == seen["original_exploitability"]
    assert seen["original_exploitability"] not in (seen["exploitability"], seen["kl_to_equilibrium"])


def test_a_run_that_comes_back_is_ok() -> None:
    """For 150 iterations without a pull it circles away from beside the equilibrium; then a small step with a pull brings it back."""
    game, late = rock_scissors_paper(0.05), np.array([0.0] * 150 + [1.0])
    anchor = {"policy": 1 - 0.01 * late, "reference": 0.01 * late}
    stages = Tableau(prox("policy", anchor=anchor, opponent="policy", rate=1.0 - 0.8 * late))
    options = {"start": log_normalise(regularised_nash(game) + np.array([0.3, 0.0, 0.0])), "measure": ["kl_to_equilibrium"]}
    lost, back = (every(game, Given(stages), steps=steps, **options) for steps in (150, 3000))
    assert (lost.status[0], lost.status_step[0]) == watched(lost.measured["kl_to_equilibrium"][0])
    assert lost.status[0] == "diverged"
    assert (back.status[0], back.status_step[0]) == ("ok", -1)


POWER = Given(Tableau(prox("policy", anchor={"policy": 1e200})))
HUGE_STEP = Given(Tableau(prox("policy", anchor={"policy": 1.0}, opponent="policy", rate=1e308)))


@pytest.mark.parametrize("measure", [[], ["kl_to_equilibrium"], ["exploitability"]], ids=str)
@pytest.mark.parametrize("beta", [0.1, 0.0])
def test_a_run_that_is_no_longer_finite_says_so(measure: list[str], beta: float) -> None:
    """Raised twice to the power 1e200 log-probabilities overflow, which is noticed at the next look or at the end."""
    if beta == 0 and measure == ["kl_to_equilibrium"]:
        measure = []
    for steps, noticed in ((2, 2), (7, 7), (10, 10), (35, 10)):
        run = every(rock_scissors_paper(beta), POWER, steps=steps, measure=measure)
        assert (str(run.status[0]), run.status_step[0]) == ("nonfinite", noticed)
        assert not np.isfinite(run.log_policy[0, 2:]).all()
    assert every(rock_scissors_paper(beta), POWER, steps=1, measure=measure).status[0] == "ok"


def test_one_lost_run_takes_no_other_with_it() -> None:
    """Where all actions tie, a policy stays at rest at any rate: its lanes are finite beside lanes that are not."""
    tie, game = Game(np.full((3, 3), 0.5), np.log([0.5, 0.3, 0.2]), 0.1), rock_scissors_paper(0.1)
    run = every([tie, game, tie], HUGE_STEP, steps=30, seeds=2, measure=["exploitability"])
    assert run.status.tolist() == ["ok", "ok", "nonfinite", "nonfinite", "ok", "ok"]
    assert np.isinf(run.log_policy[2:4, -1]).any()
    np.testing.assert_allclose(run.log_policy[[0, 1, 4, 5]], np.broadcast_to(tie.log_reference, (4, 31, 3)), rtol=1e-14)


# Extremes.


@pytest.mark.parametrize("method", SIX, ids=str)
def test_a_weak_pull_stays_finite(method: Method) -> None:
    game = bradley_terry(10, 4, 1e-3)
    run = every(game, method, steps=200, measure=ALL_MEASURES)
    assert run.status[0] == "ok"
    assert np.isfinite(run.log_policy).all() and np.isfinite(run.log_average).all()
    assert all(np.isfinite(values).all() for values in run.measured.values())


def test_far_below_what_a_double_holds() -> None:
    game = bradley_terry(10, 4, 1e-3)
    equilibrium = regularised_nash(game)
    assert equilibrium.min() < -400
    run = simlab.simulate(game, EGPO(), steps=20_000, record=[20_000], measure=["kl_to_equilibrium"])
    np.testing.assert_allclose(run.log_policy[0, 0], equilibrium, rtol=1e-8)
    assert run.measured["kl_to_equilibrium"][0, 0] < 1e-12


def test_a_thousand_actions() -> None:
    game = uniform(1000, 0, 0.1)
    run = every(game, EGPO(), steps=3, measure=["exploitability"])
    p, eta, b = game.log_reference, EGPO().tableau(0.1, steps=3, actions=1000).rates()[0, 0], 0.1
    for t in range(3):
        pull = (1 - eta * b) * p + eta * b * game.log_reference
        half = log_normalise(pull + eta * game.preference @ np.exp(p))
        p = log_normalise(pull + eta * game.preference @ np.exp(half))
        np.testing.assert_allclose(run.log_policy[0, t + 1], p, rtol=0, atol=1e-12)
    np.testing.assert_allclose(run.measured["exploitability"][0], metrics.exploitability(game, run.log_policy[0]), rtol=1e-11)


@pytest.mark.parametrize("method", SIX, ids=str)
def test_the_smallest_runs_and_the_noisiest_labels(method: Method) -> None:
    game = uniform(2, 1, 0.3)
    run = simlab.simulate(
        game, method, steps=1, seeds=4, feedback=Duels(per_action=1, flip=0.499, assumed_flip=0.499), measure=ALL_MEASURES
    )
    assert run.steps.tolist() == [0, 1]
    assert np.isfinite(run.log_policy).all()
    label = (1 - 0.499) / (1 - 2 * 0.499)  # a debiased win; a loss is 1 less that: they differ by 500
    moved = (run.log_policy[:, 1] - run.log_policy[:, 0]) @ [1, -1]
    assert label == pytest.approx(250.5) and np.abs(moved).max() < 4 * 500 * 1.5


class Shifted(Exact):
    """Adds a constant to every label."""

    def labels(self, game: Game) -> NDArray:
        return super().labels(game) + 0.25


def test_labels_of_both_orders_of_a_pair_add_up_to_one() -> None:
    with pytest.raises(Invalid, match=r"^feedback=Shifted: must be one whose labels for \(i, j\) and \(j, i\) add up to 1"):
        simlab.simulate(uniform(4, 1, 0.3), EGPO(0.1), steps=1, feedback=Shifted())


@given(games())
def test_what_is_above_the_diagonal_is_what_is_below_it(game: Game) -> None:
    """A preference may miss P + P' = 1 by a rounding error: one half is read, wherever a game runs."""
    away = np.clip(game.preference + 1e-13 * np.tril(np.ones_like(game.preference), -1), 0.0, 1.0)
    near = Game(away, game.log_reference, game.beta)
    for method in SIX:
        plain, other = (every(each, method, steps=6) for each in (game, near))
        np.testing.assert_allclose(other.log_policy, plain.log_policy, rtol=1e-10, atol=1e-10)
        alone, among = every(near, method, steps=6), every([near] * 9, method, steps=6)
        np.testing.assert_array_equal(among.log_policy[4], alone.log_policy[0])


def test_every_kind_is_every_kind() -> None:
    assert {stage.kind for stage in EVERY_KIND.stages.stages} == set(KINDS)
    assert any(stage.copied for stage in EVERY_KIND.stages.stages)

"""`simulate`: the shape of its answer, where runs start, which iterations it records, and what it refuses before any work."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from games import random_policy, rock_scissors_paper, uniform
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import simlab
from algorithms.egpo import EGPO
from algorithms.nash_mp import NashMP
from algorithms.online_mirror_descent import OnlineMirrorDescent
from algorithms.sppo import SPPO
from algorithms.tableau import Tableau, copy
from envs.feedback import Duels, Exact, TargetedFlip
from envs.invalid import Invalid, require
from simlab.packing import MEASURES
from simlab.run import record_steps

GAMES = [uniform(4, 0, 0.1), uniform(4, 1, 0.5), uniform(4, 2, 0.1)]
GAME = GAMES[0]


# The shape of the answer.


def test_instances_are_games_times_seeds() -> None:
    run = simlab.simulate(GAMES, EGPO(), steps=9, seeds=2, measure=["duality_gap"], slots=["policy", "half"], record=[0, 4, 9])
    assert run.steps.tolist() == [0, 4, 9]
    assert run.game_index.tolist() == [0, 0, 1, 1, 2, 2]
    assert run.seed_index.tolist() == [0, 1, 0, 1, 0, 1]
    assert run.log_policy.shape == run.log_average.shape == run.log_slots["half"].shape == (6, 3, 4)
    assert run.measured["duality_gap"].shape == run.queries.shape == run.gradients.shape == (6, 3)
    assert run.status.tolist() == ["ok"] * 6 and run.status_step.tolist() == [-1] * 6
    assert set(run.log_slots) == {"half"}
    np.testing.assert_array_equal(run.queries, np.broadcast_to([0, 8, 18], (6, 3)))


def test_a_game_may_stand_alone_or_in_any_collection() -> None:
    alone = simlab.simulate(GAME, EGPO(), steps=5)
    for collection in ([GAME], (GAME,), iter([GAME])):
        np.testing.assert_array_equal(simlab.simulate(collection, EGPO(), steps=5).log_policy, alone.log_policy)


def test_without_noise_seeds_are_alike_and_with_it_they_differ() -> None:
    exact, noisy = (simlab.simulate(GAME, EGPO(), steps=5, seeds=5, feedback=feedback).log_policy for feedback in (Exact(), Duels()))
    np.testing.assert_array_equal(exact, np.broadcast_to(exact[0], exact.shape))
    assert len(np.unique(noisy[:, -1], axis=0)) == 5


def test_every_beta_has_its_own_coefficients() -> None:
    run = simlab.simulate(GAMES, OnlineMirrorDescent(), steps=5)
    for number, game in enumerate(GAMES):
        np.testing.assert_array_equal(run.log_policy[number], simlab.simulate(game, OnlineMirrorDescent(), steps=5).log_policy[0])


def test_a_method_is_anything_with_a_tableau() -> None:
    @dataclass(frozen=True)
    class Still:
        target: str = "original"

        def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
            assert (beta, steps, actions) == (GAME.beta, 7, 4)
            return Tableau(copy("policy", "policy"))

    run = simlab.simulate(GAME, Still(), steps=7)
    np.testing.assert_allclose(run.log_policy[0], np.broadcast_to(GAME.log_reference, run.log_policy[0].shape), rtol=1e-14)


# Where runs start.


def test_runs_start_at_the_reference_unless_told() -> None:
    run = simlab.simulate(GAMES, EGPO(), steps=1, seeds=2)
    np.testing.assert_allclose(run.log_policy[:, 0], np.repeat([game.log_reference for game in GAMES], 2, axis=0), rtol=1e-14)


@pytest.mark.parametrize("shape", [(), (3,), (3, 2)], ids=["one for all", "one a game", "one a game and seed"])
def test_starts_for_all_for_each_game_or_for_each_instance(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    start = np.array([random_policy(rng, 4) for _ in range(int(np.prod(shape)))]).reshape(*shape, 4)
    run = simlab.simulate(GAMES, EGPO(), steps=3, seeds=2, start=start, record="every")
    wanted = np.broadcast_to({0: start, 1: start[:, None] if start.ndim == 2 else start, 2: start}[len(shape)], (3, 2, 4))
    np.testing.assert_allclose(run.log_policy[:, 0].reshape(3, 2, 4), wanted, rtol=1e-13)
    for number in range(6):
        game, seed = divmod(number, 2)
        alone = simlab.simulate(GAMES[game], EGPO(), steps=3, start=wanted[game, seed].tolist(), record="every")
        np.testing.assert_array_equal(run.log_policy[number], alone.log_policy[0])


def test_a_start_is_not_written_to() -> None:
    start = random_policy(np.random.default_rng(0), 4)
    before = start.copy()
    simlab.simulate(GAME, EGPO(), steps=3, start=start)
    np.testing.assert_array_equal(start, before)


# Which iterations are recorded.


def test_records_by_name() -> None:
    assert record_steps("every", 4).tolist() == [0, 1, 2, 3, 4]
    assert record_steps("log", 1).tolist() == [0, 1]
    assert record_steps("log", 10).tolist() == list(range(11))
    assert record_steps([3], 5).tolist() == [3]
    assert record_steps(iter([0, 5]), 5).tolist() == [0, 5]


@given(st.integers(1, 10**7))
def test_log_records_are_about_20_a_decade_from_0_to_the_end(steps: int) -> None:
    at = record_steps("log", steps)
    assert at[0] == 0 and at[1] == 1 and at[-1] == steps
    assert (np.diff(at) >= 1).all()
    decade = ((at >= 100) & (at < 1000)).sum()
    assert steps < 1000 or 19 <= decade <= 22
    assert (np.diff(np.log10(at[at >= 100])) < 1 / 18).all()


def test_a_list_is_recorded_exactly() -> None:
    run = simlab.simulate(GAME, EGPO(), steps=50, record=(2, 3, 17))
    full = simlab.simulate(GAME, EGPO(), steps=50, record="every")
    assert run.steps.tolist() == [2, 3, 17]
    np.testing.assert_array_equal(run.log_policy, full.log_policy[:, [2, 3, 17]])
    np.testing.assert_array_equal(run.queries[0], [4, 6, 34])


# What is refused.


def options(game: object = GAME, method: object = EGPO(), steps: object = 5, **others: object) -> Callable[[], object]:
    return lambda: simlab.simulate(game, method, steps=steps, **others)


RECORD = "every, log, or a list of iterations from 0 to steps=5"
START = "of shape (K,), (games, K) or (games, seeds, K), K=4"
REFUSED = {
    "no game": (options(game=[]), "game=[]", "a Game, or a list of at least one"),
    "no Game": (options(game=GAME.preference), "game=", "a Game, or a list of at least one"),
    "a number": (options(game=3), "game=", "a Game, or a list of at least one"),
    "two sizes": (options(game=[GAME, rock_scissors_paper()]), "game=games of K=[3, 4]", "games of one K"),
    "no step": (options(steps=0), "steps=0", "an integer >= 1"),
    "half a step": (options(steps=1.5), "steps=1.5", "an integer >= 1"),
    "true steps": (options(steps=True), "steps=True", "an integer >= 1"),
    "steps in words": (options(steps="many"), "steps=many", "an integer >= 1"),
    "too many steps": (options(steps=10**30), f"steps={10**30}", f"an integer from 1 to {2**62}"),
    "too many seeds": (options(seeds=10**30), f"seeds={10**30}", f"an integer from 1 to {2**62}"),
    "no seed": (options(seeds=0), "seeds=0", "an integer >= 1"),
    "seeds 2.0": (options(seeds=2.0), "seeds=2.0", "an integer >= 1"),
    "negative root": (options(seed=-1), "seed=-1", "an integer >= 0"),
    "root 0.5": (options(seed=0.5), "seed=0.5", "an integer >= 0"),
    "negative first seed": (options(first_seed=-1), "first_seed=-1", "an integer >= 0, or one for each game"),
    "first seed 0.5": (options(first_seed=0.5), "first_seed=0.5", "an integer >= 0, or one for each game"),
    "first seed in words": (options(first_seed="one"), "first_seed=one", "an integer >= 0, or one for each game"),
    "two first seeds": (options(first_seed=[0, 1]), "first_seed=[0, 1]", "an integer >= 0, or one for each game"),
    "unknown record": (options(record="all"), "record=all", "every, log, or a list of iterations"),
    "record a number": (options(record=5), "record=5", RECORD),
    "record nothing": (options(record=[]), "record=[]", RECORD),
    "record beyond": (options(record=[0, 6]), "record=[0, 6]", RECORD),
    "record before": (options(record=[-1]), "record=[-1]", RECORD),
    "record between": (options(record=[0.5]), "record=[0.5]", RECORD),
    "record backwards": (options(record=[3, 1]), "record=[3, 1]", "increasing"),
    "record twice": (options(record=[1, 1]), "record=[1, 1]", "increasing"),
    "unknown slot": (options(slots=["policy", "centre"]), "slots=centre", "a slot of EGPO: reference, policy, half"),
    "a slot as text": (options(slots="policy"), "slots=policy", "a list of names"),
    "unknown measure": (options(measure=["gap"]), "measure=gap", f"one of {', '.join(MEASURES)}, with or without the prefix average_"),
    "twice average": (options(measure=["average_average_duality_gap"]), "measure=average_average_duality_gap", "prefix average_"),
    "a measure as text": (options(measure="duality_gap"), "measure=duality_gap", "a list of names"),
    "no equilibrium": (
        options(game=GAME.with_beta(0.0), measure=["kl_to_equilibrium"]),
        "measure=kl_to_equilibrium",
        "left out at beta=0, where the equilibrium may not be unique",
    ),
    "no equilibrium in one": (
        options(game=[GAME, GAME.with_beta(0.0)], measure=["average_kl_to_equilibrium"]),
        "measure=average_kl_to_equilibrium",
        "left out at beta=0, where the equilibrium may not be unique",
    ),
    "short start": (options(start=np.log([0.5, 0.5])), "start=array of shape (2,)", START),
    "wrong games": (options(start=np.full((2, 4), -np.log(4))), "start=array of shape (2, 4)", START),
    "wrong seeds": (options(seeds=2, start=np.full((1, 3, 4), -np.log(4))), "start=array of shape (1, 3, 4)", START),
    "start in words": (options(start="reference"), "start=reference", "an array of numbers"),
    "start of words": (options(start=["a", "b", "c", "d"]), "start=['a', 'b', 'c', 'd']", "an array of numbers"),
    "probabilities": (options(start=np.full(4, 0.25)), "start=log-probabilities", "finite and normalised"),
    "zero probability": (options(start=[0.0, -np.inf, -np.inf, -np.inf]), "start=log-probabilities", "finite and normalised"),
    "nan start": (options(start=[np.nan] * 4), "start=log-probabilities", "finite and normalised"),
    "feedback in words": (options(feedback="exact"), "feedback=exact", "Exact(...) or Duels(...)"),
    "a pair beyond K": (options(feedback=Exact(flip=TargetedFlip(0.1, [[0, 4]]))), "pairs=[0, 4]", "of actions below K=4"),
    "no thread": (options(threads=0), "threads=0", "an integer >= 1, or None"),
    "half a thread": (options(threads=0.5), "threads=0.5", "an integer >= 1, or None"),
    "a rate that overshoots": (
        options(method=EGPO(11)),
        "rate=11",
        "in (0, 1/beta] = (0, 10] at beta=0.1, or the pull to the reference overshoots",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_argument_is_refused_with_key_value_and_what_is_allowed(case: str) -> None:
    call, value, allowed = REFUSED[case]
    with pytest.raises(Invalid) as refusal:
        call()
    text = str(refusal.value)
    assert text.startswith(value)
    assert text.partition(": must be ")[2].endswith(allowed)
    assert text == f"{refusal.value.key}={refusal.value.value}: must be {refusal.value.allowed}"


class Particular:
    """A flip that does not suit every game."""

    def rates(self, preference: NDArray) -> float:
        require(preference[0, 1] == GAME.preference[0, 1], "flip", "particular", "of another game")
        return 0.1


@pytest.mark.parametrize("call", [options(steps=0), options(game=GAMES[:2], feedback=Exact(flip=Particular())), options(threads=0)])
def test_a_refusal_comes_before_any_work(call: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    def work(*_: object) -> None:
        raise AssertionError("the kernel was started")

    monkeypatch.setattr("algorithms.kernel.run_block", work)
    with pytest.raises(Invalid):
        call()
    with pytest.raises(AssertionError, match="the kernel was started"):
        options()()


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    run = simlab.simulate(GAME, EGPO(), steps=np.int64(3), seeds=np.int32(2), seed=np.uint8(1), record=np.arange(4))
    assert run.steps.tolist() == [0, 1, 2, 3]
    options = {"steps": 3, "seeds": 2, "feedback": Duels()}
    first, second = (simlab.simulate(GAME, SPPO(), seed=seed, **options).log_policy for seed in (1, np.uint8(1)))
    np.testing.assert_array_equal(first, second)


def test_a_run_leaves_the_world_as_it_was() -> None:
    """No global random state, no environment, no warning turned on or off."""
    state, environment, errors = np.random.get_state()[1].copy(), dict(os.environ), np.geterr()
    simlab.simulate(GAMES, NashMP(inner=2), steps=20, seeds=3, feedback=Duels(), measure=["kl_to_equilibrium"])
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    assert (dict(os.environ), np.geterr()) == (environment, errors)

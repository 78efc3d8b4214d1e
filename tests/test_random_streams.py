"""Counter-based random numbers: known answers, their distribution, and who shares which draw with whom."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from games import Given, random_policy, uniform
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import chisquare, kstest

import simlab
from algorithms.egpo import EGPO
from algorithms.kernel import COUNTED, accumulate, draw_action, draw_actions, philox, two_duels, uniforms
from algorithms.online_mirror_descent import OnlineMirrorDescent
from algorithms.sppo import SPPO
from algorithms.tableau import Tableau, pairs, prox, responses
from envs.divergence import log_normalise
from envs.feedback import Duels, Exact
from envs.game import Game
from simlab.run import Run, _streams

ONES = 0xFFFFFFFF
KNOWN = {  # Philox 4x32-10 of Random123's kat_vectors: counter, key, answer
    "zeros": ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    "ones": ((ONES, ONES, ONES, ONES), (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    "digits of pi": (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
}


@pytest.mark.parametrize("case", KNOWN)
def test_philox_known_answers(case: str) -> None:
    counter, (low, high), answer = KNOWN[case]
    assert tuple(int(word) for word in philox(np.uint64(low | high << 32), *counter)) == answer


def test_uniforms_are_the_words_of_philox() -> None:
    a, b, c, d = (int(word) for word in philox(np.uint64(12345), 1, 2, 3, 4))
    first, second = uniforms(np.uint64(12345), 1, 2, 3, 4)
    assert first == ((a << 32 | b) >> 11) / 2**53
    assert second == ((c << 32 | d) >> 11) / 2**53


MANY = 20_000
STREAM = np.uint64(0x9E3779B97F4A7C15)


BITS = {uniforms: 53, two_duels: 32}


def draws(of: Callable[..., tuple] = uniforms, **where: object) -> NDArray:
    """(MANY, 2 or 4) uniforms along one coordinate, which is the string "all"; the others are 0 unless they are given."""
    return np.array([of(np.uint64(at(where, "stream", i, STREAM)), *(at(where, name, i) for name in COORDINATES)) for i in range(MANY)])


COORDINATES = ("draw", "action", "query", "iteration")


def at(where: dict, name: str, i: int, default: int = 0) -> int:
    value = where.get(name, default)
    return i if value == "all" else value


ALONG = ("stream", *COORDINATES)


@pytest.mark.parametrize("of", BITS, ids=lambda of: of.__name__)
@pytest.mark.parametrize("coordinate", ALONG)
def test_uniforms_are_uniform_along_every_coordinate(coordinate: str, of: Callable[..., tuple]) -> None:
    values = draws(of, **{coordinate: "all"})
    assert ((values >= 0) & (values < 1)).all()
    for column in values.T:
        assert abs(column.mean() - 1 / 2) < 5 * np.sqrt(1 / 12 / MANY)
        assert abs(column.var() - 1 / 12) < 5 * np.sqrt((1 / 80 - 1 / 144) / MANY)
        assert 1e-4 < chisquare(np.histogram(column, bins=64, range=(0, 1))[0]).pvalue < 1 - 1e-4
        assert kstest(column, "uniform").pvalue > 1e-4
        low_bits = (column * 2.0 ** BITS[of]).astype(np.int64) % 16
        assert 1e-4 < chisquare(np.bincount(low_bits, minlength=16)).pvalue < 1 - 1e-4


@pytest.mark.parametrize("of", BITS, ids=lambda of: of.__name__)
@pytest.mark.parametrize("coordinate", ALONG)
def test_neighbours_are_independent(coordinate: str, of: Callable[..., tuple]) -> None:
    """Correlations of neighbours along a coordinate, of the uniforms of a draw, and of their pairs on an 8 x 8 grid."""
    values = draws(of, **{coordinate: "all"})
    bound = 5 / np.sqrt(MANY)
    assert (np.abs(np.corrcoef(values.T) - np.eye(values.shape[1])) < bound).all()
    for column in values.T:
        assert abs(np.corrcoef(column[:-1], column[1:])[0, 1]) < bound
        pairs = np.histogram2d(column[:-1:2], column[1::2], bins=8, range=[(0, 1), (0, 1)])[0]
        assert 1e-4 < chisquare(pairs.ravel()).pvalue < 1 - 1e-4


@pytest.mark.parametrize("first", ALONG)
def test_one_step_along_another_coordinate_gives_other_draws(first: str) -> None:
    for second in ALONG:
        if second != first:
            here, there = draws(**{first: "all"}), draws(**{first: "all", second: 1})
            assert not np.isin(here, there).any()
            assert abs(np.corrcoef(here[:, 0], there[:, 0])[0, 1]) < 5 / np.sqrt(MANY)


def test_no_two_streams_begin_alike() -> None:
    """10^5 instances: ten root seeds, ten games, a thousand seeds."""
    games = [uniform(3, number) for number in range(10)]
    streams = {stream for seed in range(10) for stream in _streams(games, 1000, seed, 0)}
    assert len(streams) == 100_000
    assert len({uniforms(stream, 0, 0, 0, 0)[0] for stream in streams}) == 100_000


def chosen(policy: NDArray, uniform_draw: float) -> int:
    sums = np.zeros(len(policy))
    accumulate(np.asarray(policy, dtype=float)[None, :, None], 0, 0, sums)
    return draw_action(sums, uniform_draw)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9).filter(lambda p: sum(p) > 1e-9), st.floats(0, 1, exclude_max=True))
def test_draw_action_is_the_inverse_cdf(weights: list[float], uniform_draw: float) -> None:
    policy = np.array(weights) / sum(weights)
    drawn = chosen(policy, uniform_draw)
    total = np.cumsum(policy)
    assert drawn == np.searchsorted(total, uniform_draw * total[-1], side="right")
    assert policy[drawn] > 0


def test_two_duels_share_the_words_of_philox() -> None:
    words = philox(np.uint64(12345), 1, 2, 3, 4)
    assert two_duels(np.uint64(12345), 1, 2, 3, 4) == tuple(int(word) / 2**32 for word in words)


@pytest.mark.parametrize("actions", [1, 2, 10, COUNTED, COUNTED + 1, 1000])
def test_many_draws_at_once_are_the_draws_one_by_one(actions: int) -> None:
    rng = np.random.default_rng(actions)
    policy = rng.dirichlet(np.full(actions, 0.3)) * (rng.random(actions) < 0.8) + 1e-300
    sums, drawn = np.cumsum(policy), np.zeros(500, dtype=np.uint64)
    uniform_draws = np.concatenate([rng.random(490), sums[:5].repeat(2)[:10] / sums[-1] if actions >= 5 else rng.random(10)])
    draw_actions(sums, uniform_draws, drawn)
    assert drawn.tolist() == [draw_action(sums, u) for u in uniform_draws]
    assert drawn.tolist() == np.minimum(np.searchsorted(sums, uniform_draws * sums[-1], side="right"), actions - 1).tolist()


@pytest.mark.parametrize("extreme", [0.0, 2.0**-53, 0.5, 1 - 2.0**-53])
@pytest.mark.parametrize(
    "policy", [[0, 1, 0], [0, 0, 0.1, 0.9, 0, 0], [0.5, 0, 0.5], [1, 0], [0, 0.3, 0.0, 0.7], [1 / 3] * 3 + [0]], ids=str
)
def test_an_action_of_probability_zero_is_never_drawn(policy: list[float], extreme: float) -> None:
    assert policy[chosen(policy, extreme)] > 0


def test_boundaries_belong_to_the_next_action() -> None:
    assert [chosen([0.25, 0.25, 0.5], u) for u in (0.0, 0.2499, 0.25, 0.4999, 0.5, 0.9999)] == [0, 0, 1, 1, 2, 2]


def test_frequencies_are_the_policy() -> None:
    policy = np.array([0.5, 0.0, 0.2, 0.3])
    counts = np.bincount([chosen(policy, u) for u, _ in draws(draw="all")], minlength=4)
    assert counts[1] == 0
    assert chisquare(counts[[0, 2, 3]], MANY * policy[[0, 2, 3]]).pvalue > 1e-4


# The draws of a run.

GAME = uniform(4, 2, 0.2)
ALONE = Given(Tableau(prox("policy", anchor={"policy": 1}, opponent="policy", rate=1.0)))
"""log p+ = log p + (sampled) P p: the difference of two records is the sample, up to a constant."""


def duelled(feedback: Duels, preference: NDArray, log_policy: NDArray, stream: np.uint64, query: int, iteration: int) -> NDArray:
    """Sampled and debiased win rates, in plain numpy, from the documented draws."""
    flip, assumed = feedback.flip.flip, feedback.assumed_flip
    labels = preference + flip * (1 - 2 * preference)
    rates = np.zeros(len(preference))
    cumulative = np.cumsum(np.exp(log_policy))
    for i in range(len(preference)):
        for draw in range(feedback.per_action):
            first, second = two_duels(stream, draw // 2, i, query, iteration)[2 * (draw % 2) :][:2]
            opponent = np.searchsorted(cumulative, first * cumulative[-1], side="right")
            rates[i] += second < labels[i, opponent]
    return (rates / feedback.per_action - assumed) / (1 - 2 * assumed)


@pytest.mark.parametrize("feedback", [Duels(), Duels(per_action=7), Duels(per_action=3, flip=0.2, assumed_flip=0.1)], ids=str)
def test_a_run_is_reproduced_in_numpy_from_the_same_draws(feedback: Duels) -> None:
    seeds, steps, eta, b = 5, 6, 0.8, GAME.beta
    run = simlab.simulate(GAME, EGPO(eta), steps=steps, seeds=seeds, seed=9, feedback=feedback, record="every")
    for number in range(seeds):
        p, stream = GAME.log_reference, _streams([GAME], 1, 9, number)[0]
        for t in range(steps):
            pull = (1 - eta * b) * p + eta * b * GAME.log_reference
            half = log_normalise(pull + eta * duelled(feedback, GAME.preference, p, stream, 0, t))
            p = log_normalise(pull + eta * duelled(feedback, GAME.preference, half, stream, 1, t))
            np.testing.assert_allclose(run.log_policy[number, t + 1], p, rtol=1e-13, atol=1e-13)


def opponent_of(log_policy: NDArray, uniform_draw: float) -> int:
    cumulative = np.cumsum(np.exp(log_policy))
    return int(np.searchsorted(cumulative, uniform_draw * cumulative[-1], side="right"))


def judged(feedback: Exact, labels: NDArray, uniform_draw: float) -> NDArray:
    """A debiased label: of one duel, or its mean."""
    return feedback.debiased(uniform_draw < labels if feedback.random else labels)


def after_pairs(feedback: Exact, p: NDArray, stream: np.uint64, iteration: int, samples: int, from_policy: bool) -> NDArray:
    labels, moved = feedback.labels(GAME), p.copy()
    for draw in range(samples):
        first, second = uniforms(stream, draw, 0, 0, iteration)
        third, fourth = uniforms(stream, draw, 1, 0, iteration)
        fifth, _ = uniforms(stream, draw, 2, 0, iteration)
        y, z = (opponent_of(p, u) if from_policy else int(u * len(p)) for u in (first, second))
        j = opponent_of(p, third)
        gain = judged(feedback, labels[y, j], fourth) - judged(feedback, labels[z, j], fifth)
        pull = GAME.beta * ((GAME.log_reference - p)[y] - (GAME.log_reference - p)[z])
        step = 0.7 * (1 if from_policy else len(p)) / (2 * samples) * (gain + pull)
        moved[y] += step
        moved[z] -= step
    return log_normalise(moved)


def after_responses(feedback: Exact, p: NDArray, stream: np.uint64, iteration: int, samples: int) -> NDArray:
    labels = feedback.labels(GAME)
    drawn = [opponent_of(p, uniforms(stream, d, 0, 0, iteration)[0]) for d in range(samples)]
    wins = np.zeros(samples)
    for d in range(samples):
        for e in range(d):
            won = judged(feedback, labels[drawn[d], drawn[e]], uniforms(stream, d, e + 1, 0, iteration)[0])
            wins[d] += won / (samples - 1)
            wins[e] += (1 - won) / (samples - 1)
    moved = p.copy()
    for action in set(drawn):
        moved[action] += 0.7 * (np.mean([win for win, of in zip(wins, drawn, strict=True) if of == action]) - 0.5)
    return log_normalise(moved)


PULL = {"policy": -GAME.beta, "reference": GAME.beta}
SAMPLED = {
    "uniform pairs": (
        pairs("policy", opponent="policy", anchor=PULL, rate=0.7, samples=5),
        partial(after_pairs, samples=5, from_policy=False),
    ),
    "pairs from the policy": (
        pairs("policy", opponent="policy", source="policy", anchor=PULL, rate=0.7, samples=3),
        partial(after_pairs, samples=3, from_policy=True),
    ),
    "responses": (responses("policy", opponent="policy", rate=0.7, samples=4), partial(after_responses, samples=4)),
}


@pytest.mark.parametrize("feedback", [Exact(), Exact(flip=0.2, assumed_flip=0.1), Duels(), Duels(flip=0.2, assumed_flip=0.1)], ids=str)
@pytest.mark.parametrize("name", SAMPLED)
def test_sampled_stages_are_reproduced_in_numpy_from_the_same_draws(name: str, feedback: Exact) -> None:
    stage, step = SAMPLED[name]
    start = random_policy(np.random.default_rng(1), GAME.actions)
    run = simlab.simulate(GAME, Given(Tableau(stage)), steps=5, seeds=6, seed=3, start=start, feedback=feedback, record="every")
    for number, stream in enumerate(_streams([GAME], 6, 3, 0)):
        expected = start
        for t in range(5):
            expected = step(feedback, expected, stream, t)
            np.testing.assert_allclose(run.log_policy[number, t + 1], expected, rtol=1e-12, atol=1e-12)


def samples(
    method: object, game: Game = GAME, seed: int = 0, seeds: int = 50, steps: int = 1, slot: str = "policy", **duels: object
) -> NDArray:
    """(seeds, steps, K) changes of a slot's log-probabilities, less that of action 0."""
    options = {"feedback": Duels(per_action=5, **duels), "record": "every", "slots": ["policy", slot]}
    run: Run = simlab.simulate(game, method, steps=steps, seeds=seeds, seed=seed, **options)
    logs = run.log_policy if slot == "policy" else run.log_slots[slot]
    change = np.diff(logs, axis=1)
    return change - change[..., :1]


def test_the_two_queries_of_an_iteration_share_no_draw() -> None:
    """At a vanishing rate the half point is the policy, so that a shared draw would give both stages the same sample."""
    rate = 1e-9
    game = uniform(8, 3, 0.2)
    first, second = (samples(EGPO(rate), game, slot=slot)[:, 0] / rate for slot in ("half", "policy"))
    again = samples(OnlineMirrorDescent(rate), game)[:, 0] / rate
    np.testing.assert_allclose(first, again, rtol=0, atol=1e-6)  # the comparison resolves equal draws
    assert (np.abs(first - second).max(axis=1) > 0.1).all()
    deviation = [x - x.mean(axis=0) for x in (first, second)]
    assert abs(np.corrcoef(deviation[0][:, 1:].ravel(), deviation[1][:, 1:].ravel())[0, 1]) < 0.3


def test_a_draw_depends_on_root_seed_seed_number_and_iteration() -> None:
    base = samples(SPPO(1e-9), seeds=30, steps=30) / 1e-9
    other = samples(SPPO(1e-9), seed=1, seeds=30, steps=30) / 1e-9
    assert (np.abs(base - other).max(axis=-1) > 0.1).mean() > 0.95
    flat = base.reshape(-1, GAME.actions)[:, 1:]
    for axis in (0, 1):  # neighbours by seed number, by iteration
        here, there = np.delete(base, -1, axis), np.delete(base, 0, axis)
        assert (np.abs(here - there).max(axis=-1) > 0.1).mean() > 0.95
        x, y = (values[..., 1] - flat[:, 0].mean() for values in (here, there))
        assert abs(np.corrcoef(x.ravel(), y.ravel())[0, 1]) < 5 / np.sqrt(x.size)
    np.testing.assert_array_equal(base, samples(SPPO(1e-9), seeds=30, steps=30) / 1e-9)


def test_a_draw_depends_on_the_game_but_not_on_beta_or_position() -> None:
    once = samples(SPPO(0.5), GAME, steps=3)
    np.testing.assert_array_equal(once, samples(SPPO(0.5), GAME.with_beta(0.7), steps=3))
    other = uniform(4, 3, 0.2)
    options = {"steps": 3, "seeds": 50, "feedback": Duels(per_action=5), "record": "every"}
    run = simlab.simulate([other, GAME.with_beta(0.9), GAME], SPPO(0.5), **options)
    for number in (1, 2):
        change = np.diff(run.log_policy[run.game_index == number], axis=1)
        np.testing.assert_array_equal(change - change[..., :1], once)
    nearly = replace(GAME, preference=GAME.preference + 1e-9 * (np.triu(np.ones((4, 4)), 1) - np.tril(np.ones((4, 4)), -1)))
    assert (np.abs(samples(SPPO(0.5), nearly)[:, 0] - once[:, 0]).max(axis=-1) > 0.01).mean() > 0.8


def test_methods_share_common_random_numbers() -> None:
    """From the same policy, the first query of iteration t gives both methods the same sample: whatever they did before."""
    feedback = Duels(per_action=2)
    half = simlab.simulate(GAME, EGPO(0.5), steps=1, seeds=40, feedback=feedback, slots=["half"], record=[1]).log_slots["half"]
    policy = simlab.simulate(GAME, OnlineMirrorDescent(0.5), steps=1, seeds=40, feedback=feedback, record=[1]).log_policy
    np.testing.assert_array_equal(half, policy)
    late = [
        samples(method, slot=slot, steps=5)[:, 4] / 1e-9 for method, slot in ((SPPO(1e-9), "policy"), (OnlineMirrorDescent(1e-9), "policy"))
    ]
    np.testing.assert_allclose(late[0], late[1], rtol=0, atol=1e-5)

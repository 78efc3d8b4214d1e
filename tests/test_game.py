"""Preference games: what they refuse, what they measure, and that they cannot change."""

import pickle
from dataclasses import FrozenInstanceError
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit

from envs.game import INTRANSITIVITY_CLIP, Game, flip_preference
from envs.invalid import Invalid

ROCK_SCISSORS_PAPER = [[0.5, 1, 0], [0, 0.5, 1], [1, 0, 0.5]]
EVEN = np.log([0.5, 0.5])


def game(preference: object, beta: float = 0.1) -> Game:
    actions = len(preference)
    return Game(preference, np.full(actions, -np.log(actions)), beta)


def drawn(seed: int, actions: int) -> Game:
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.choice([0, 0.25, 0.5, 0.8, 1], (actions, actions)), 1)
    preference = upper + np.tril(1 - upper.T, -1) + np.eye(actions) / 2
    return Game(preference, np.log(rng.dirichlet(np.ones(actions))), 0.1)


def from_log_odds(a: float, b: float, c: float) -> Game:
    """Three actions with log-odds a (0 over 1), b (0 over 2) and c (1 over 2)."""
    return game(expit([[0, a, b], [-a, 0, c], [-b, -c, 0]]))


def two(upper: float, lower: float) -> list[list[float]]:
    return [[0.5, upper], [lower, 0.5]]


REFUSED = {
    "not square": ([[0.5, 0.4, 0.1], [0.6, 0.5, 0.1]], EVEN, 1, "preference", "shape (2, 3)", "a square matrix"),
    "one axis": ([0.5, 0.5], EVEN, 1, "preference", "shape (2,)", "a square matrix"),
    "one action": ([[0.5]], [0.0], 1, "preference", "shape (1, 1)", "K >= 2"),
    "no numbers": ([["a", "b"], ["c", "d"]], EVEN, 1, "preference", "[['a', 'b'], ['c', 'd']]", "an array of numbers"),
    "ragged": ([[0.5, 0.5], [0.5]], EVEN, 1, "preference", "[[0.5, 0.5], [0.5]]", "an array of numbers"),
    "above 1": (two(1.2, -0.2), EVEN, 1, "preference[0,1]", "1.2", "a probability in [0, 1]"),
    "below 0": (two(-0.25, 1.25), EVEN, 1, "preference[0,1]", "-0.25", "a probability in [0, 1]"),
    "nan": (two(np.nan, 0.5), EVEN, 1, "preference[0,1]", "nan", "a probability in [0, 1]"),
    "infinite": (two(0.5, np.inf), EVEN, 1, "preference[1,0]", "inf", "a probability in [0, 1]"),
    "not complementary": (two(0.7, 0.4), EVEN, 1, "preference[0,1]", "0.7 with preference[1,0]=0.4", "P + P' = 1"),
    "barely not": (two(0.7, 0.3 + 2e-12), EVEN, 1, "preference[0,1]", "0.300000000002", "complementary"),
    "diagonal": ([[0.5, 0.5], [0.5, 0.6]], EVEN, 1, "preference[1,1]", "0.6", "1/2 on the diagonal"),
    "short reference": (two(0.7, 0.3), [0.0], 1, "log_reference", "shape (1,)", "shape (2,)"),
    "flat reference": (two(0.7, 0.3), 0.0, 1, "log_reference", "shape ()", "shape (2,)"),
    "zero reference": (two(0.7, 0.3), [0.0, -np.inf], 1, "log_reference", "-inf", "finite"),
    "nan reference": (two(0.7, 0.3), [0.0, np.nan], 1, "log_reference", "nan", "finite"),
    "loose reference": (two(0.7, 0.3), np.log([0.5, 0.6]), 1, "log_reference", "1.1", "normalised"),
    "barely loose": (two(0.7, 0.3), EVEN + 2e-9, 1, "log_reference", "1.000000002", "normalised"),
    "text reference": (two(0.7, 0.3), ["a", "b"], 1, "log_reference", "['a', 'b']", "an array of numbers"),
    "negative beta": (two(0.7, 0.3), EVEN, -0.1, "beta", "-0.1", "a finite number >= 0"),
    "nan beta": (two(0.7, 0.3), EVEN, np.nan, "beta", "nan", "a finite number >= 0"),
    "infinite beta": (two(0.7, 0.3), EVEN, np.inf, "beta", "inf", "a finite number >= 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_value_is_refused_with_key_value_and_what_is_allowed(case: str) -> None:
    preference, log_reference, beta, key, value, allowed = REFUSED[case]
    with pytest.raises(Invalid) as refusal:
        Game(preference, log_reference, beta)
    text = str(refusal.value)
    assert refusal.value.key == key
    assert text.startswith(f"{key}=") and value in text.partition(": must be ")[0] and allowed in text.partition(": must be ")[2]
    assert "\n" not in text


def test_a_refusal_survives_the_way_between_processes() -> None:
    refusal = pickle.loads(pickle.dumps(Invalid("beta", -1, "positive")))
    assert (refusal.key, refusal.value, refusal.allowed, str(refusal)) == ("beta", -1, "positive", "beta=-1: must be positive")


def test_rounding_within_the_tolerances_is_accepted() -> None:
    assert Game(two(0.7, 0.3 + 5e-13), EVEN + 5e-10, 0).actions == 2


def test_a_game_keeps_its_own_read_only_copy() -> None:
    preference, log_reference = np.array(ROCK_SCISSORS_PAPER), np.full(3, -np.log(3))
    kept = Game(preference, log_reference, 0.1)
    preference[:], log_reference[:] = 0.5, 0
    assert kept.preference[0, 1] == 1 and kept.log_reference[0] == -np.log(3)
    for array in (kept.preference, kept.log_reference):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(FrozenInstanceError):
        kept.beta = 1


def test_the_key_names_matrix_and_reference_and_not_beta() -> None:
    first = game(ROCK_SCISSORS_PAPER)
    assert first.key == first.with_beta(3.0).key == game(np.asfortranarray(ROCK_SCISSORS_PAPER)).key
    assert first.key == game([[0.5, 1, -0.0], [0, 0.5, 1], [1, 0, 0.5]]).key
    others = {first.key, game(np.transpose(ROCK_SCISSORS_PAPER)).key, Game(ROCK_SCISSORS_PAPER, np.log([0.5, 0.25, 0.25]), 0.1).key}
    assert len(others) == 3


def test_the_key_is_the_same_in_every_process_and_release() -> None:
    assert Game(two(0.75, 0.25), [-0.6931471805599453, -0.6931471805599453], 0.1).key == 6264431116502814503


def test_the_matrix_is_laid_out_by_rows_whatever_was_given() -> None:
    assert game(np.asfortranarray(ROCK_SCISSORS_PAPER)).preference.flags.c_contiguous


def test_with_beta_changes_beta_alone_and_checks_it() -> None:
    first = game(ROCK_SCISSORS_PAPER, 0.1)
    second = first.with_beta(2)
    assert (first.beta, second.beta) == (0.1, 2.0) and (second.preference == first.preference).all()
    with pytest.raises(Invalid, match="beta=-1: must be"):
        first.with_beta(-1)


def test_flips_move_a_preference_towards_and_past_a_tie() -> None:
    rates = np.array([[0, 0.1, 0.3], [0.1, 0, 0], [0.3, 0, 0]])
    expected = [[0.5, 0.9, 0.3], [0.1, 0.5, 1], [0.7, 0, 0.5]]
    np.testing.assert_allclose(flip_preference(np.array(ROCK_SCISSORS_PAPER), rates), expected, rtol=0, atol=1e-15)
    np.testing.assert_allclose(game(two(0.9, 0.1), 0.3).flipped(0.1).preference, two(0.82, 0.18), rtol=0, atol=1e-15)
    assert game(two(0.9, 0.1), 0.3).flipped(0.1).beta == 0.3


@pytest.mark.parametrize(
    ("preference", "intransitivity", "clipped", "winner", "triangles"),
    [
        (ROCK_SCISSORS_PAPER, 1, True, None, 1),
        (np.full((4, 4), 0.5), 0, False, None, 0),
        ([[0.5, 1, 1], [0, 0.5, 1], [0, 0, 0.5]], 1 / 9, True, 0, 0),
        ([[0.5, 0.2, 0.2], [0.8, 0.5, 0.8], [0.8, 0.2, 0.5]], 1 / 9, False, 1, 0),
        ([[0.5, 0.8, 0.2], [0.2, 0.5, 0.8], [0.8, 0.2, 0.5]], 1, False, None, 1),
        ([[0.5, 0.8, 0.5], [0.2, 0.5, 0.8], [0.5, 0.2, 0.5]], 2 / 3, False, None, 0),
        (two(0.9, 0.1), 0, False, 0, 0),
    ],
)
def test_measures_by_hand(preference: object, intransitivity: float, clipped: bool, winner: int | None, triangles: int) -> None:
    measured = game(preference)
    assert measured.intransitivity() == pytest.approx(intransitivity, abs=1e-14)
    assert (measured.intransitivity_is_clipped, measured.condorcet_winner(), measured.cyclic_triangles()) == (clipped, winner, triangles)


log_odds = st.floats(-6, 6).filter(lambda value: abs(value) > 1e-3)


@given(log_odds, log_odds, log_odds)
def test_intransitivity_of_three_actions_is_the_sum_around_the_triangle(a: float, b: float, c: float) -> None:
    expected = (a + c - b) ** 2 / 3 / (a**2 + b**2 + c**2)
    assert from_log_odds(a, b, c).intransitivity() == pytest.approx(expected, abs=1e-11)


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=8))
def test_scores_explain_a_bradley_terry_game(scores: list[float]) -> None:
    gaps = np.subtract.outer(scores, scores)
    measured = game(expit(gaps) if np.abs(gaps).max() > 1e-3 else np.full(gaps.shape, 0.5)).intransitivity()
    assert 0 <= measured < 1e-12


@given(st.floats(1e-9, 0.1), st.floats(1e-9, 0.1))
def test_beyond_the_clip_intransitivity_does_not_move(first: float, second: float) -> None:
    def ring(loss: float) -> NDArray:
        return np.array([[0.5, 1 - loss, 0.3], [loss, 0.5, 0.9], [0.7, 0.1, 0.5]])

    low, high = game(ring(first * INTRANSITIVITY_CLIP)), game(ring(second * INTRANSITIVITY_CLIP))
    assert low.intransitivity_is_clipped and not game(ring(2 * INTRANSITIVITY_CLIP)).intransitivity_is_clipped
    assert low.intransitivity() == pytest.approx(high.intransitivity(), abs=1e-15)
    assert low.intransitivity() == pytest.approx(game(ring(INTRANSITIVITY_CLIP)).intransitivity(), abs=1e-12)


@given(st.integers(0, 10**6), st.integers(2, 7))
def test_measures_agree_with_their_definitions_in_words(seed: int, actions: int) -> None:
    measured = drawn(seed, actions)
    beats = measured.preference > 0.5
    triangles = sum(beats[i, j] and beats[j, k] and beats[k, i] for i, j, k in permutations(range(actions), 3))
    winners = [i for i in range(actions) if all(beats[i, j] for j in range(actions) if j != i)]
    assert measured.cyclic_triangles() == triangles / 3
    assert measured.condorcet_winner() == (winners[0] if winners else None)


@given(st.integers(0, 10**6), st.integers(2, 8))
def test_relabelling_actions_relabels_the_measures(seed: int, actions: int) -> None:
    first = drawn(seed, actions)
    order = np.random.default_rng(seed + 1).permutation(actions)
    second = Game(first.preference[np.ix_(order, order)], first.log_reference[order], first.beta)
    assert second.intransitivity() == pytest.approx(first.intransitivity(), abs=1e-12)
    assert second.cyclic_triangles() == first.cyclic_triangles()
    assert second.intransitivity_is_clipped == first.intransitivity_is_clipped
    winner = second.condorcet_winner()
    assert (None if winner is None else order[winner]) == first.condorcet_winner()

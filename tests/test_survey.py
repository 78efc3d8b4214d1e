"""What learners of users are given: of drawn people with their truth, and of recorded rankings parted by chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import chi2

from envs.invalid import Invalid
from envs.population import Population
from envs.recorded import Recorded
from envs.survey import Survey, score_features
from envs.user_comparisons import UserComparisons

RANKINGS = """# NUMBER ALTERNATIVES: 4
2: 1,2,3,4
1: 4,3,2,1
3: 2,1,4,3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rankings.soc"
    path.write_text(RANKINGS)
    return path


def two(wins: object, losses: object) -> UserComparisons:
    return UserComparisons([[1.0, 0.0], [0.0, 2.0]], [0.5, 0.0], wins, losses)


class TestUserComparisons:
    def test_margins_cross_entropy_and_accuracy_by_hand(self) -> None:
        asked = two([[3, 0], [1, 2]], [[1, 2], [1, 0]])
        at = [[1.0, -1.0], [0.0, -0.5]]
        np.testing.assert_allclose(asked.margins(at), [[1.5, -2.0], [0.5, -1.0]])
        likelihood = [3 * np.log(expit(1.5)), np.log(expit(-1.5)), 2 * np.log(expit(2.0))]
        likelihood += [np.log(expit(0.5)), np.log(expit(-0.5)), 2 * np.log(expit(-1.0))]
        assert asked.cross_entropy(at) == pytest.approx(-sum(likelihood) / 10, rel=1e-14)
        assert asked.accuracy(at) == 6 / 8, "of user 1 the tie counts for nothing, and 2 answers go the other way"
        np.testing.assert_array_equal(asked.compared, [6, 4])
        np.testing.assert_array_equal(asked.of([1]).wins, [[1, 2]])
        np.testing.assert_array_equal(asked.pooled.losses, [[2, 2]])

    def test_a_margin_of_zero_says_no_side_and_ties_have_no_accuracy(self) -> None:
        assert two([[1, 0]], [[0, 0]]).accuracy([-0.5, 0.0]) == 0
        assert np.isnan(two([[1, 0]], [[1, 0]]).accuracy([0.0, 0.0]))

    @pytest.mark.parametrize(
        ("wins", "losses", "key", "allowed"),
        [
            ([[1, 0], [0, 0]], [[0, 0], [0, 0]], "wins", "at least one comparison of each user"),
            ([[1, -1]], [[0, 0]], "wins", "counts >= 0"),
            ([[1, 0]], [[0, -1]], "losses", "counts >= 0"),
            ([[1, np.inf]], [[0, 0]], "wins", "finite"),
            ([1, 0], [0, 0], "wins", "of shape (U, 2)"),
            ([[1, 0]], [[0, 0], [1, 1]], "losses", "of shape (U, 2)"),
            ([[1, 0, 0]], [[0, 0, 0]], "wins", "of shape (U, 2)"),
            ("many", [[0, 0]], "wins", "an array of numbers"),
        ],
    )
    def test_refusals(self, wins: object, losses: object, key: str, allowed: str) -> None:
        with pytest.raises(Invalid) as refusal:
            two(wins, losses)
        assert refusal.value.key == key and allowed in refusal.value.allowed


WORLD = Population(users=30, unseen=500, shots=(3, 7), samples=90, contexts=2)


@pytest.fixture(scope="module")
def survey() -> Survey:
    return WORLD.survey(seed=4, index=2)


class TestPopulation:
    def test_numbers_of_users_and_comparisons(self, survey: Survey) -> None:
        assert (survey.seen.compared == 90).all() and survey.seen.users == 30
        assert list(survey.newcomers) == [3, 7]
        for m, (shown, answers) in survey.newcomers.items():
            assert shown.users == answers.users == 500 and (shown.compared == m).all()

    def test_answers_are_the_truth(self, survey: Survey) -> None:
        for answers, at in ((survey.seen_answers, survey.coordinates), (survey.newcomers[7][1], survey.newcomer_coordinates)):
            share = answers.wins / (answers.wins + answers.losses)
            np.testing.assert_allclose(share, expit(answers.margins(at)), rtol=1e-10)
            assert answers.accuracy(at) == 1
            assert answers.cross_entropy(at) < answers.cross_entropy(at + 0.1)

    def test_what_is_shown_follows_the_truth_of_the_same_users(self, survey: Survey) -> None:
        """Chi-square over users and pairs of the number of wins, at false alarm 1e-6; others' truth is far off."""

        def statistic(shown: UserComparisons, p: np.ndarray) -> float:
            compared = shown.wins + shown.losses
            z = (shown.wins - compared * p).sum(axis=1) / np.sqrt((compared * p * (1 - p)).sum(axis=1))
            return float((z**2).sum())

        shown, answers = survey.newcomers[7]
        p = answers.wins / (answers.wins + answers.losses)
        assert statistic(shown, p) < chi2.isf(1e-6, 500) < statistic(shown, np.roll(p, 1, axis=0))
        p = survey.seen_answers.wins / (survey.seen_answers.wins + survey.seen_answers.losses)
        assert statistic(survey.seen, p) < chi2.isf(1e-6, 30) < statistic(survey.seen, np.roll(p, 1, axis=0))

    def test_a_function_of_the_seed(self, survey: Survey) -> None:
        again, other = (WORLD.survey(seed=4, index=index) for index in (2, 3))
        np.testing.assert_array_equal(again.newcomers[3][0].wins, survey.newcomers[3][0].wins)
        assert not np.array_equal(other.seen.wins, survey.seen.wins)
        assert not np.array_equal(other.coordinates, survey.coordinates)

    def test_scores_are_one_a_response_and_prompt(self, survey: Survey) -> None:
        score = np.random.default_rng(0).normal(size=(2, 10))
        expected = [score[c, a] - score[c, b] for c in range(2) for a in range(10) for b in range(a + 1, 10)]
        np.testing.assert_allclose(survey.scores @ score.ravel(), expected)


class TestRecorded:
    def survey(self, file: Path, **dials: object) -> Survey:
        return Recorded(path=file, **({"unseen": 2, "shots": [1, 3]} | dials)).survey(seed=1)

    def test_everybody_answers_every_pair_once(self, file: Path) -> None:
        survey = self.survey(file)
        people = []
        for given, kept in ((survey.seen, survey.seen_answers), survey.newcomers[3]):
            wins, losses = given.wins + kept.wins, given.losses + kept.losses
            np.testing.assert_array_equal(wins + losses, 1)
            assert not ((given.wins + given.losses) * (kept.wins + kept.losses)).any()
            people += [tuple(map(int, row)) for row in wins]
        pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
        orders = [[0, 1, 2, 3]] * 2 + [[3, 2, 1, 0]] + [[1, 0, 3, 2]] * 3
        assert sorted(people) == sorted(tuple(int(order.index(i) < order.index(j)) for i, j in pairs) for order in orders)

    def test_how_much_is_given(self, file: Path) -> None:
        survey = self.survey(file)
        assert survey.seen.users == 4 and (survey.seen.compared == 5).all() and (survey.seen_answers.compared == 1).all()
        for m, (shown, kept) in survey.newcomers.items():
            assert shown.users == 2 and (shown.compared == m).all() and (kept.compared == 6 - m).all()
        assert not survey.newcomers[1][0].offset.any() and survey.coordinates is None

    def test_shots_are_nested_and_pairs_are_chosen_by_chance(self, file: Path) -> None:
        (one, _), (three, _) = self.survey(file).newcomers.values()
        assert (one.wins <= three.wins).all() and (one.losses <= three.losses).all()
        chosen = np.array([self.of(file, seed).wins + self.of(file, seed).losses for seed in range(200)]).mean(axis=(0, 1))
        np.testing.assert_allclose(chosen, 0.5, atol=5 * np.sqrt(0.25 / 400))

    def test_newcomers_are_chosen_by_chance(self, file: Path) -> None:
        """Two of six people prefer item 1 to item 2: two newcomers agree on that pair as often as two of six drawn do."""
        both = [self.survey_of_pair(file, seed) for seed in range(300)]
        assert np.mean([wins in (0, 2) for wins in both]) == pytest.approx(7 / 15, abs=5 * np.sqrt(0.25 / 300))

    @staticmethod
    def survey_of_pair(file: Path, seed: int) -> float:
        shown, kept = Recorded(path=file, unseen=2, shots=[3]).survey(seed=seed).newcomers[3]
        return float((shown.wins + kept.wins)[:, 0].sum())

    @staticmethod
    def of(file: Path, seed: int) -> UserComparisons:
        return Recorded(path=file, unseen=2, shots=[3]).survey(seed=seed).newcomers[3][0]

    def test_features_name_the_pair(self) -> None:
        np.testing.assert_array_equal(score_features(np.array([[0, 0, 2], [1, 1, 0]]), 3), [[1, 0, -1, 0, 0, 0], [0, 0, 0, -1, 1, 0]])

    @pytest.mark.parametrize(
        ("dials", "expected"),
        [
            ({"unseen": 6}, "unseen=6: must be below 6, the number of people"),
            ({"unseen": 0}, "unseen=0: must be an integer >= 1"),
            ({"shots": [6]}, "shots=[^:]*: must be a rising list of integers from 1 to 5"),
            ({"shots": []}, "shots=[^:]*: must be a rising list of integers >= 1"),
            ({"shots": [2, 2]}, "shots=[^:]*: must be a rising list"),
            ({"shots": [0, 1]}, "shots=[^:]*: must be a rising list"),
            ({"shots": [1.0]}, "shots=[^:]*: must be a rising list"),
            ({"shots": "12"}, "shots=12: must be a rising list"),
        ],
    )
    def test_refusals(self, dials: dict, expected: str, file: Path) -> None:
        with pytest.raises(Invalid, match=expected):
            self.survey(file, **dials)

    def test_files_that_cannot_serve(self, tmp_path: Path) -> None:
        counts = tmp_path / "counts.csv"
        counts.write_text("winner,loser,count\na,b,3\nb,c,2\nc,a,1\n")
        with pytest.raises(Invalid, match=r"path=.*counts.csv: must be a .soc file, which tells people apart"):
            Recorded(path=counts).survey()
        many = tmp_path / "many.soc"
        many.write_text("# NUMBER ALTERNATIVES: 2\n999999: 1,2\n2: 2,1\n")
        with pytest.raises(Invalid, match="at most 1000000 people"):
            Recorded(path=many, shots=[1]).survey()

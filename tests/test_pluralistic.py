"""`simlab run` with a learner of users: its figures against the truth, its choice of prototypes, its page, what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command import Outcome, simlab
from pandas import DataFrame

from algorithms.pal import PAL
from envs.population import Population
from envs.population_cycle import PopulationCycle
from envs.user_comparisons import UserComparisons
from simlab.store import read

SMALL = ["env.users=12", "env.samples=80", "env.unseen=30", "env.shots=[3,20]", "env.concentration=1.0"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str, env: str = "population") -> tuple[Outcome, DataFrame]:
    before = set(Path().rglob("*.parquet"))
    outcome = simlab("run", "algorithm=pal", f"env={env}", *words)
    assert outcome.status == 0, outcome.err
    (path,) = set(Path().rglob("*.parquet")) - before
    return outcome, read(path).frame


def rankings(path: Path, people: int = 60) -> Path:
    """Five items that two kinds of people rank in opposite ways, with a slip each."""
    rng = np.random.default_rng(0)
    lines = ["# NUMBER ALTERNATIVES: 5"]
    for person in range(people):
        order = [1, 2, 3, 4, 5] if person % 2 else [5, 4, 3, 2, 1]
        slip = rng.integers(4)
        order[slip], order[slip + 1] = order[slip + 1], order[slip]
        lines.append(f"1: {','.join(map(str, order))}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_figures_are_those_of_the_fit_against_the_truth() -> None:
    _, frame = run("algorithm.prototypes=2", *SMALL, "seeds=2", "seed=5")
    world = Population(users=12, samples=80, unseen=30, shots=(3, 20), concentration=1.0)
    assert len(frame) == 2 * 3 * 3 and set(frame.prototypes) == {0, 1, 2}
    for index in range(2):
        survey = world.survey(seed=5, index=index)
        fit = PAL(2).fit(survey.seen, seed=5 + index)
        people, newcomers = world.people(5, index), world.newcomers(30, 5, index)
        for users, at, truth in (
            ("seen", fit.coordinates, people),
            (3.0, fit.few_shot(survey.newcomers[3][0]).coordinates, newcomers),
            (20.0, fit.few_shot(survey.newcomers[20][0]).coordinates, newcomers),
        ):
            mine = frame[(frame.seed == index) & (frame.prototypes == 2)]
            (row,) = mine[(mine.users == "seen") if users == "seen" else (mine.comparisons == users)].itertuples()
            p, margins = truth.probabilities, at @ truth.features.T + truth.offset
            cross = -(p * np.log(1 / (1 + np.exp(-margins))) + (1 - p) * np.log(1 / (1 + np.exp(margins)))).mean()
            entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p)).mean()
            right = (margins > 0) == (p > 0.5)
            assert row.accuracy == pytest.approx(right.mean(), rel=1e-12)
            assert row.worst_accuracy == pytest.approx(min(right.mean(axis=1)), rel=1e-12)
            assert row.cross_entropy == pytest.approx(cross, rel=1e-9)
            assert row.excess_cross_entropy == pytest.approx(cross - entropy, rel=1e-6)
            assert row.ideal_point_error == pytest.approx(np.sqrt(((at - truth.coordinates) ** 2).sum(axis=1).mean()), rel=1e-9)
            assert row.status == "ok" and row.chosen and row.rank == 1


def test_the_worst_user_is_the_worst_of_those_whose_answers_lean_somewhere() -> None:
    asked = UserComparisons([[1.0], [2.0]], [0.0, 0.0], [[3, 0], [1, 2], [1, 1]], [[1, 2], [1, 0], [1, 1]])
    np.testing.assert_array_equal(asked.accuracies([1.0]), [4 / 6, 1.0, np.nan])
    assert asked.accuracy([1.0]) == 6 / 8, "a tie counts for nothing"


def test_pooled_scores_are_one_bradley_terry_model_for_all() -> None:
    """Scores solve sum wins = sum expected wins for each response, whoever answered."""
    _, frame = run("algorithm.prototypes=1", *SMALL)
    world = Population(users=12, samples=80, unseen=30, shots=(3, 20), concentration=1.0)
    people, asked = world.people(), world.comparisons()
    wins, total = asked.wins.sum(axis=0), (asked.wins + asked.losses).sum(axis=0)
    _, first, second = people.pairs.T
    score = np.zeros(10)
    for _ in range(3000):  # minorise and maximise (Hunter 2004)
        share = total / (np.exp(score[first]) + np.exp(score[second]))
        won = np.bincount(first, wins, 10) + np.bincount(second, total - wins, 10)
        score = np.log(won / (np.bincount(first, share, 10) + np.bincount(second, share, 10)))
        score -= score.mean()
    p, margins = people.probabilities, score[first] - score[second]
    row = frame[(frame.prototypes == 0) & (frame.users == "seen")].iloc[0]
    assert row.accuracy == pytest.approx(((margins > 0) == (p > 0.5)).mean(), rel=1e-12)
    assert row.cross_entropy == pytest.approx((p * np.logaddexp(0, -margins) + (1 - p) * np.logaddexp(0, margins)).mean(), rel=1e-6)
    assert np.isnan(row.ideal_point_error)


def test_the_number_of_prototypes_is_chosen_by_what_was_held_out() -> None:
    outcome, frame = run("env.users=40", "env.samples=150", "env.concentration=1.0", "seeds=2", "algorithm.restarts=1")
    for _, mine in frame[frame.users == "seen"].groupby("seed"):
        table = mine[mine.prototypes > 0]
        assert list(table.prototypes) == [1, 2, 3, 4, 5, 6, 7]
        assert table[table.chosen].prototypes.tolist() == [table.prototypes[table.held_out.idxmin()]]
    chosen = frame[frame.chosen & (frame.users == "seen")]
    best = frame[(frame.users == "seen") & (frame.prototypes == 3)]
    assert set(chosen.prototypes) == {3} and (best.excess_cross_entropy < 0.02).all()
    assert "prototypes=3, by comparisons held out of what was given" in outcome.out
    assert "a_u = sum_k w_uk P_k" in outcome.out
    assert "accuracy of the worst user; new users after so many comparisons of theirs" in outcome.out


def test_newcomers_are_predicted_better_the_more_they_say_and_never_worse_than_pooled() -> None:
    _, frame = run("algorithm.prototypes=3", "env.shots=[2,10,50]", "seeds=6")
    table = frame[frame.users == "new"].groupby(["prototypes", "comparisons"])[["accuracy", "excess_cross_entropy"]].mean()
    pal, pooled = table.loc[3], table.loc[0]
    assert (np.diff(pal.accuracy) > 0.02).all() and (np.diff(pal.excess_cross_entropy) < 0).all()
    assert (pal.accuracy > pooled.accuracy).all() and (pal.excess_cross_entropy < pooled.excess_cross_entropy + 1e-3).all()


def test_recorded_rankings(here: Path) -> None:
    path = rankings(here / "rankings.soc")
    outcome, frame = run(f"env.path={path}", "env.unseen=20", "env.shots=[2,5]", "algorithm.prototypes=2", env="recorded")
    table = frame[frame.users == "new"].set_index(["prototypes", "comparisons"]).accuracy
    assert table[0, 5.0] < 0.7 < 0.8 < table[2, 5.0]
    assert frame.excess_cross_entropy.isna().all() and frame.ideal_point_error.isna().all()
    assert "truth unknown" in outcome.out and "excess" not in outcome.out and "40 users seen, 20 newcomers" in outcome.out
    np.testing.assert_allclose(
        frame[frame.prototypes == 0].set_index("users").cross_entropy["seen"],
        frame[frame.prototypes == 1].set_index("users").cross_entropy["seen"],
        rtol=1e-9,
    )


def test_users_whose_answers_are_separable_without_shrinkage_are_named(here: Path) -> None:
    path = rankings(here / "rankings.soc")
    words = [f"env.path={path}", "env.unseen=20", "env.shots=[2]", "algorithm.prototypes=3", "algorithm.shrinkage=0"]
    outcome, frame = run(*words, env="recorded")
    assert "no minimiser" in outcome.out and "algorithm.shrinkage > 0" in outcome.out
    gone = frame[frame.prototypes == 3]
    assert (gone.status == "no minimiser").all() and gone[["cross_entropy", "accuracy", "worst_accuracy"]].isna().all(axis=None)


def test_more_prototypes_than_the_users_span_are_not_identifiable() -> None:
    """On a circle users span two dimensions: a fourth prototype has nothing to tell apart."""
    outcome, _ = run("algorithm.prototypes=3", "env.samples=2000", env="population_cycle")
    assert "not identifiable" not in outcome.out
    refused = simlab("run", "algorithm=pal", "env=population_cycle", "algorithm.prototypes=4")
    assert refused.err.startswith("simlab: algorithm.prototypes=4: must be at most 3, which leave every user an ideal point")
    assert PopulationCycle().people().coordinates.shape == (3, 2)


def test_a_seed_is_the_same_however_many_run_beside_it() -> None:
    few, many = (run("algorithm.prototypes=2", *SMALL, f"seeds={seeds}")[1] for seeds in (1, 3))
    assert few.equals(many[: len(few)])
    assert many[(many.users == "seen") & many.chosen].cross_entropy.nunique() == 3


def test_a_sweep_shows_the_chosen_number_at_the_most_comparisons() -> None:
    words = ["env=population", "algorithm=pal", "algorithm.prototypes=1,2", *SMALL]
    lines = simlab("run", "-m", *words).out.splitlines()
    assert "accuracy" in lines[0] and lines[3].startswith("2 runs")
    frames = {int(frame.prototypes.max()): frame for frame in (read(path).frame for path in Path().rglob("*.parquet"))}
    for line, k in zip(lines[1:3], (1, 2), strict=True):
        (row,) = frames[k][(frames[k].prototypes == k) & (frames[k].comparisons == 20)].itertuples()
        assert line.split()[1:3] == [f"{row.accuracy:.3g}", f"{row.cross_entropy:.3g}"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["env=cyclic"], "env=cyclic: must be a world of users (env=population, or env=recorded with a .soc file)"),
        (["env=pairs"], "env=pairs: must be a world of users"),
        (["steps=5"], "steps=5: must be left out: a learner of users has none"),
        (["beta=1"], "beta=1: must be left out"),
        (["ridge=1"], "ridge=1: must be left out"),
        (["env.reference=random"], "env.reference=random: must be left out: it shapes games"),
        (["env.unseen=0"], "env.unseen=0: must be an integer >= 1"),
        (["env.samples=0"], "env.samples=0: must be an integer >= 1"),
        (["env.samples=1"], "env.samples=1: must be at least 2, one to hold out"),
        (["env.shots=[5,2]"], "env.shots=[5,2]: must be a rising list of integers >= 1"),
        (["env.users=0"], "env.users=0: must be an integer >= 1"),
        (["algorithm.prototypes=0"], "algorithm.prototypes=0: must be an integer >= 1"),
        (["algorithm.prototypes=8"], "algorithm.prototypes=8: must be at most 7"),
        (["algorithm.shrinkage=-1"], "algorithm.shrinkage=-1: must be"),
        (["algorithm.restarts=0"], "algorithm.restarts=0: must be an integer >= 1"),
        (["env=recorded", "env.path=none.soc"], "env.path=none.soc: must be an existing file"),
        (["algorithm=egpo", "env.samples=3"], "env.samples=3: must be left out: it shapes recorded comparisons"),
    ],
)
def test_refusals(words: list[str], expected: str, here: Path) -> None:
    outcome = simlab("run", "algorithm=pal", "env=population", *words)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith(f"simlab: {expected}") and outcome.err.count("\n") == 1
    assert not list(here.iterdir())


def test_counts_tell_nobody_apart(here: Path) -> None:
    (here / "counts.csv").write_text("winner,loser,count\na,b,3\nb,a,2\n")
    outcome = simlab("run", "algorithm=pal", "env=recorded", "env.path=counts.csv")
    assert outcome.status == 2 and outcome.err.startswith("simlab: env.path=counts.csv: must be a .soc file, which tells people apart")

"""`simlab run` with an offline learner: its figures are those of the fit and of the exact truth, and a bad problem is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import Outcome, simlab
from hydra.utils import get_class
from omegaconf import OmegaConf
from scipy.special import expit
from scipy.stats import chi2

from algorithms.cdpo import ConservativeDPO
from algorithms.dpo import DPO
from algorithms.fit import fit
from algorithms.ipo import IPO
from algorithms.limit import expected_error, limit
from algorithms.pair_loss import PairLoss
from algorithms.rdpo import RobustDPO
from algorithms.robust_ipo import RobustIPO
from envs.feedback import MarginFlip
from envs.pair_truth import information, robust_covariance
from envs.pairs import Pairs
from simlab.catalogue import CONF
from simlab.store import Stored, read

LEARNERS = {
    "dpo": DPO(),
    "cdpo": ConservativeDPO(0.2),
    "rdpo": RobustDPO(0.2),
    "ipo": IPO(0.025),
    "robust_ipo": RobustIPO(0.025, 0.2),
}
"""What each file of conf/algorithm comes to at beta = 0.1 where a fifth of the labels are wrong."""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str, env: str = "pairs") -> tuple[Outcome, Stored]:
    before = set(Path().rglob("*.parquet"))
    outcome = simlab("run", f"env={env}", *words)
    assert outcome.status == 0, outcome.err
    (path,) = set(Path().rglob("*.parquet")) - before
    return outcome, read(path)


def test_every_pair_loss_has_a_file() -> None:
    found = {path.stem for path in (CONF / "algorithm").glob("*.yaml") if hasattr(get_class(OmegaConf.load(path)["_target_"]), "slope")}
    assert found == set(LEARNERS)


@pytest.mark.parametrize("name", LEARNERS)
def test_figures_are_those_of_the_fit(name: str) -> None:
    words = [f"algorithm={name}", "env.flip=0.2", "env.n=5000", "env.seed=3", "seeds=2", "seed=7"]
    _, stored = run(*words)
    world, loss = Pairs(flip=0.2, n=5000, seed=3, beta=0.1), LEARNERS[name]
    log_best = world.log_policy(world.shift)
    for index, row in stored.frame.iterrows():
        theta = fit(loss, world.comparisons(seed=7, index=index, log_ratio=isinstance(loss, IPO | RobustIPO))).theta
        log_policy = world.log_policy(theta)
        policy, best = np.exp(log_policy), np.exp(log_best)
        gap = ((best - policy) * world.reward).sum(axis=1).mean()
        divergence = (policy * (log_policy - log_best)).sum(axis=1).mean()
        error = theta - world.shift
        weight = world.rows.weight * world.rows.clean * (1 - world.rows.clean)
        assert row.estimation_error == pytest.approx(np.sqrt(weight @ (world.rows.features @ error) ** 2), rel=1e-10)
        assert row.kl_to_optimum == pytest.approx(divergence, rel=1e-6)
        assert row.regularised_gap == pytest.approx(0.1 * divergence, rel=1e-6)
        assert row.reward_gap == pytest.approx(gap, rel=1e-6, abs=1e-12)
        pulled = (policy * (log_policy - world.log_reference)).sum(axis=1).mean()
        assert row.objective == pytest.approx((policy * world.reward).sum(axis=1).mean() - 0.1 * pulled, rel=1e-9)
        assert row.status == "ok" and row.comparisons == 5000


def test_ranks_by_loops() -> None:
    _, stored = run("algorithm=dpo", "env.n=300", "env.flip=0.3")
    world = Pairs(flip=0.3, n=300, beta=0.1)
    theta = fit(DPO(), world.comparisons(seed=0, index=0)).theta
    right = total = alike = 0.0
    for x in range(6):
        score = [np.mean([expit(world.reward[x, a] - world.reward[x, b]) for b in range(5)]) for a in range(5)]
        for a in range(5):
            for b in range(a):
                sampled = np.exp(world.log_reference[x, a] + world.log_reference[x, b])
                above = (world.phi[x, a] - world.phi[x, b]) @ theta > 0
                total += sampled
                right += sampled * (above == (world.reward[x, a] > world.reward[x, b]))
                alike += (above == (score[a] > score[b])) / 60
    (row,) = stored.frame.itertuples()
    assert row.accuracy == pytest.approx(right / total, rel=1e-12)
    assert 0.5 < row.accuracy < 1
    assert row.borda_agreement == pytest.approx(alike, rel=1e-12)


def test_a_learner_assumes_the_rate_of_the_world_unless_told_otherwise() -> None:
    for env, words, rate in (
        ("pairs", ["env.flip=0.2"], 0.2),
        ("pairs", ["env.flip=0.2", "algorithm.flip=0.35"], 0.35),
        ("pairs_annotators", ["env.flip.flips=[0.1,0.2]"], 0.15),
        ("pairs_margin", [], Pairs(flip=MarginFlip(0.1)).flip_rate),
    ):
        outcome, stored = run("algorithm=rdpo", *words, env=env)
        config = OmegaConf.create(stored.metadata["config"])
        assert config.algorithm.flip == pytest.approx(rate, rel=1e-12)
        assert f"flip={rate:.4g}" in outcome.out and f"- {rate / (1 - 2 * rate):.4g} u" in outcome.out
    assert 0 < Pairs(flip=MarginFlip(0.1)).flip_rate < 0.1


def test_a_wrong_rate_on_purpose_is_worse() -> None:
    error = {rate: run("algorithm=rdpo", "env.flip=0.3", f"algorithm.flip={rate}")[1].column("estimation_error")[0] for rate in (0.1, 0.3)}
    assert error[0.3] < error[0.1] / 2


def test_below_the_crossover_dpo_is_better_and_above_it_worse() -> None:
    """Median error over 60 samples; the expected errors of both learners cross between the two sizes."""
    sizes = {300: ("dpo", "rdpo"), 100_000: ("rdpo", "dpo")}
    for n, (better, worse) in sizes.items():
        error = {
            name: np.median(run(f"algorithm={name}", "env.flip=0.2", f"env.n={n}", "seeds=60")[1].column("estimation_error"))
            for name in (better, worse)
        }
        assert error[better] < 0.8 * error[worse]
        world = Pairs(flip=0.2, beta=0.1)
        assert expected_error(LEARNERS[better], world, n) < 0.8 * expected_error(LEARNERS[worse], world, n)


def test_an_unbounded_problem_is_named_with_what_to_do() -> None:
    words = ["algorithm=rdpo", "env.flip=0.45", "env.n=100", "seeds=8"]
    outcome, stored = run(*words)
    frame = stored.frame
    gone = frame[frame.status == "no minimiser"]
    assert len(gone) and gone.estimation_error.isna().all() and gone.regularised_gap.isna().all()
    assert (
        "no minimiser" in outcome.out and "Add comparisons" in outcome.out and "ridge=" in outcome.out and "algorithm=cdpo" in outcome.out
    )
    _, ridged = run(*words, "ridge=0.01")
    assert (ridged.frame.status == "ok").all() and np.isfinite(ridged.frame.estimation_error).all()
    _, conservative = run("algorithm=cdpo", *words[1:])
    assert (conservative.frame.status == "ok").all()


def test_ridge_is_reported_and_pulls() -> None:
    outcome, ridged = run("algorithm=dpo", "ridge=0.1")
    plain, free = run("algorithm=dpo")
    assert "ridge      0.1" in outcome.out and "ridge      none" in plain.out
    assert ridged.column("kl_to_optimum")[0] > 3 * free.column("kl_to_optimum")[0]


def test_a_seed_is_the_same_however_many_run_beside_it() -> None:
    few, many = (run("algorithm=dpo", f"seeds={seeds}")[1].frame for seeds in (2, 5))
    assert few.equals(many[:2])
    assert many.estimation_error.nunique() == 5
    other = run("algorithm=dpo", "seeds=2", "seed=1")[1].frame
    assert not set(other.estimation_error) & set(many.estimation_error)


def test_a_finished_run_is_not_repeated() -> None:
    run("algorithm=dpo")
    assert "already there" in simlab("run", "env=pairs", "algorithm=dpo").out


def test_the_page_says_what_to_expect() -> None:
    outcome, stored = run("algorithm=cdpo", "env.flip=0.2", "env.n=4000", "seeds=100")
    said = json.loads(stored.metadata["world"])
    root_mean_square = np.sqrt((stored.column("estimation_error") ** 2).mean())
    assert said["expected_error"] == pytest.approx(root_mean_square, rel=0.1)
    assert f"root mean square error at this n {said['expected_error']:.3g}" in outcome.out
    assert 0 < said["bias"] < said["expected_error"]


def test_a_sweep_shows_its_figures() -> None:
    outcome = simlab("run", "-m", "env=pairs", "algorithm=dpo,rdpo", "env.flip=0,0.2", "env.n=1000")
    lines = outcome.out.splitlines()
    assert (outcome.status, len(lines)) == (0, 6)
    assert lines[0].split()[:2] == ["algorithm", "flip"] and "error, H norm" in lines[0] and "J gap" in lines[0]
    dpo, rdpo = (line.split()[2:5] for line in lines[1:4:2])
    assert dpo == rdpo, "without flips the two are one loss"


def test_offline_and_self_play_in_one_sweep() -> None:
    outcome = simlab("run", "-m", "env=pairs", "algorithm=dpo,egpo")
    assert outcome.status == 0 and len(outcome.out.splitlines()) == 4


class TestSelfPlay:
    def test_games_are_the_prompts_at_the_clean_preferences(self) -> None:
        world = Pairs(flip=0.3, seed=2)
        games = world.games(0.3)
        assert len(games) == 6 and {game.beta for game in games} == {0.3}
        for x, game in enumerate(games):
            np.testing.assert_allclose(game.preference, expit(world.reward[x][:, None] - world.reward[x]), atol=1e-15)
            np.testing.assert_array_equal(game.log_reference, world.log_reference[x])

    def test_dials_of_the_comparisons_are_refused(self) -> None:
        for word in ("env.flip=0.1", "env.n=5", "env.keep_equal=true"):
            outcome = simlab("run", "env=pairs", word)
            assert (outcome.status, outcome.out) == (2, "")
            assert outcome.err == f"simlab: {word}: must be left out: it shapes recorded comparisons, " + (
                "while a self-play method asks feedback\n"
            )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["env=cyclic"], "env=cyclic: must be a world of labelled pairs (env=pairs)"),
        (["steps=5"], "steps=5: must be left out: a learner of a fixed set of comparisons has none"),
        (["record=every"], "record=every: must be left out"),
        (["measure=[exploitability]"], "measure=[exploitability]: must be left out"),
        (["feedback=duels"], "feedback=Duels: must be left out"),
        (["start=reference"], "start=ReferenceStart: must be left out"),
        (["env.flip=0.5"], "env.flip=0.5: must be a rate in [0, 1/2)"),
        (["env.flip=-0.1"], "env.flip=-0.1: must be a rate in [0, 1/2)"),
        (["env.n=0"], "env.n=0: must be an integer >= 1"),
        (["env.n=7"], "env.n=7: must be at least d=8: fewer comparisons than parameters"),
        (["env.d=25"], "env.d=25: must be at most contexts (actions - 1) = 24"),
        (["ridge=-1"], "ridge=-1: must be a finite number >= 0"),
        (["ridge=big"], "ridge=big: must be a finite number >= 0"),
        (["beta=0"], "beta=0: must be a number in [1e-06, 1e+06]"),
        (["env.beta=1"], "env.beta=1: must be a key of env=pairs"),
        (["algorithm.flip=0.5"], "algorithm.flip=0.5: must be a rate in [0, 1/2)"),
        (["algorithm=ipo", "algorithm.tau=0"], "algorithm.tau=0: must be a finite number > 0"),
        (["algorithm=cdpo", "algorithm.smoothing=0.5"], "algorithm.smoothing=0.5: must be"),
        (["env=pairs_targeted"], "env.flip.pairs=???: must be given"),
        (["env=pairs_targeted", "env.flip.pairs=[[0,9]]"], "env.flip.pairs=[0,9]: must be of actions below K=5"),
        (["seeds=0"], "seeds=0: must be an integer >= 1"),
        (["algorithm=egpo", "ridge=1"], "ridge=1: must be left out: only learners of a fixed set of comparisons"),
    ],
)
def test_refusals(words: list[str], expected: str, here: Path) -> None:
    outcome = simlab("run", "algorithm=rdpo", "env=pairs", *words)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith(f"simlab: {expected}") and outcome.err.count("\n") == 1
    assert not list(here.iterdir())


class TestLimit:
    WORLD = Pairs(flip=0.2)

    def test_of_robust_dpo_is_the_truth_and_its_covariance(self) -> None:
        found = limit(RobustDPO(0.2), self.WORLD)
        np.testing.assert_allclose(found.shift, self.WORLD.shift, rtol=1e-9)
        np.testing.assert_allclose(found.covariance, robust_covariance(self.WORLD, 0.2), rtol=1e-8)

    @pytest.mark.parametrize("loss", [DPO(), ConservativeDPO(0.2), IPO(0.125), RobustIPO(0.125, 0.2)], ids=lambda loss: type(loss).__name__)
    def test_is_where_fits_go_and_how_they_spread(self, loss: PairLoss) -> None:
        """n (theta - limit)' C^-1 (theta - limit) is chi-square: 100 fits of 20,000 comparisons, at false alarm 1e-6 on each side."""
        found, n = limit(loss, self.WORLD), 20_000
        thetas = [fit(loss, self.WORLD.comparisons(n, 5, index, log_ratio=loss.log_ratio)).theta for index in range(100)]
        errors = np.array(thetas) - found.shift
        total = n * np.einsum("ri,ij,rj->", errors, np.linalg.inv(found.covariance), errors)
        assert chi2.ppf(5e-7, 800) < total < chi2.isf(5e-7, 800)

    def test_expected_error_has_both_parts(self) -> None:
        world, found = self.WORLD, limit(DPO(), self.WORLD)
        bias, metric = found.shift - world.shift, information(world)
        assert expected_error(DPO(), world, 10**12) == pytest.approx(np.sqrt(bias @ metric @ bias), rel=1e-6)
        variance = expected_error(DPO(), world, 100) ** 2 - expected_error(DPO(), world, 10**12) ** 2
        assert variance == pytest.approx(np.trace(metric @ found.covariance) / 100, rel=1e-6)

    def test_of_an_unbounded_expectation_is_nan(self) -> None:
        assert np.isnan(limit(RobustDPO(0.45), replace(self.WORLD, flip=0.0, scale=20.0)).shift).all()

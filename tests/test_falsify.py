"""The falsifier finds statements that are known to be false, leaves true ones standing, and makes what it finds simple and replayable."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from command import simlab
from conftest import Score
from games import rock_scissors_paper, uniform

from algorithms.optimistic import OptimisticMirrorDescent
from envs.divergence import kl, log_normalise
from envs.game import Game
from simlab import falsification, metrics, worst_file
from simlab.falsification import bounds
from theory import falsify
from theory.bound import Bound, Dial
from theory.candidates import Case, case, dimension, drawn
from theory.claim import Conditions, Finding, Instance, contraction, equilibria, gather, judge, runs
from theory.conditions import beta_up_to
from theory.egpo_contraction import EGPOContraction
from theory.extragradient_iterates import SmallerHalfIterateConstant
from theory.falsify import ALLOWANCE, Search, Spent, Worst, relabelled, steady
from theory.mirror_descent_contraction import MagneticContraction
from theory.mutants import Mutant, facing, one_stage
from theory.nash_md_bias import UnbiasedAtConstantStep
from theory.optimistic_convergence import OptimisticAverage
from theory.proximal_point import MovingReference
from theory.shrink import as_bad, shrinking

READ = cache(bounds)


@dataclass(frozen=True, kw_only=True)
class BeyondTheLimit(EGPOContraction):
    """EGPO's bound at up to 2.5 times its step limit."""

    dial: ClassVar[Dial] = Dial("fractions", 1.0, 2.5)

    @property
    def conditions(self) -> Conditions:
        return beta_up_to(0.1)


@dataclass(frozen=True, kw_only=True)
class FourTimesTheStep(MagneticContraction):
    """Magnetic mirror descent's bound at four times its step."""

    dial: ClassVar[Dial] = Dial("fractions", 4.0, 4.0)


@dataclass(frozen=True, kw_only=True)
class MonotoneReverse(EGPOContraction):
    """KL(p | p*) never rises along EGPO."""

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for batch, run in runs(instances, lambda beta: self.method(self.fractions[0] / (beta + 0.5)), steps=100):
            distance = kl(run.log_policy, equilibria(batch))
            yield from gather(batch, contraction(distance, 1.0)[0], distance[:, :-1] > 1e-12, run)


@dataclass(frozen=True, kw_only=True)
class MonotoneExploitability(MovingReference):
    """The original game's exploitability never rises along COMAL."""

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for batch, run in runs(instances, lambda beta: self.method(self.strengths[0]), steps=10):
            gap = metrics.exploitability([instance.game for instance in batch], run.log_policy, beta=0.0)
            yield from gather(batch, contraction(gap, 1.0)[0], gap[:, :-1] > 1e-6, run)


def first_step_with_no_history(rate: float) -> Mutant:
    """Optimism started with g_(-1) = g_0."""
    return Mutant(OptimisticMirrorDescent(rate), one_stage(0, facing({"policy": 2.0, "previous": -1.0})))


FALSE = {
    "EGPO beyond its step limit": BeyondTheLimit(),
    "half iterate, constant 1": SmallerHalfIterateConstant(),
    "magnetic mirror descent at 4 times its step": FourTimesTheStep(),
    "ONPO started with g_-1 = g_0": replace(OptimisticAverage(), method=first_step_with_no_history),
    "Nash-MD, constant step, is unbiased": UnbiasedAtConstantStep(),
    "reverse divergence falls along EGPO": MonotoneReverse(),
    "exploitability falls along COMAL": MonotoneExploitability(),
}


def searched(bound: Bound, candidates: int, seed: int = 0, **options: int) -> Worst:
    search = Search(bound, seed=seed, candidates=candidates, **options)
    search.run()
    assert search.tried == candidates and search.worst is not None
    return search.worst


@pytest.mark.slow
class TestSearch:
    @pytest.mark.parametrize("name", FALSE)
    def test_a_false_statement_is_found(self, name: str, score: Score) -> None:
        assert searched(FALSE[name], 200).falsifies
        score("false statements that a search of 200 candidates refutes", 1, 1)

    @pytest.mark.parametrize("name", ["egpo_contraction", "half_iterate", "optimistic_average"])
    def test_a_true_one_stands_and_is_nearly_met(self, name: str) -> None:
        worst = searched(READ()[name], 500, seed=1)
        assert 0.5 < worst.ratio <= 1 and not worst.falsifies

    def test_the_optimiser_does_better_than_as_many_draws(self) -> None:
        bound, number = READ()["distance_to_reference"], 1500
        draws = (drawn(0, k, 5) for k in range(number))
        assert searched(bound, number).ratio > 1.02 * max(case(point, actions, None).ratio(bound) or 0.0 for actions, point in draws)

    def test_a_longer_search_begins_like_a_shorter_one(self) -> None:
        seen: dict[int, list[float]] = {}
        for number in (260, 300):
            ratios = seen[number] = []
            Search(READ()["distance_to_reference"], 3, candidates=number, tell=lambda s, r=ratios: r.append(s.worst.ratio)).run()
        assert seen[300][:260] == seen[260]

    def test_games_of_many_actions(self) -> None:
        assert searched(READ()["distance_to_reference"], falsify.DRAWS + 50, actions=60).ratio > 0

    @pytest.mark.parametrize("name", sorted(READ()))
    def test_every_bound_has_something_to_say(self, name: str) -> None:
        def enough(search: Search) -> None:
            if search.worst is not None:
                raise Spent

        search = Search(READ()[name], candidates=5000, tell=enough)
        search.run()
        assert search.worst is not None


@pytest.mark.parametrize("name", sorted(name for name, bound in READ().items() if bound.dial is not None))
def test_both_ends_of_a_dial_are_accepted(name: str) -> None:
    bound = READ()[name]
    game = rock_scissors_paper(1.3)
    for value in (bound.dial.low, bound.dial.high):
        assert Case(game, game.log_reference, value).ratio(bound) is not None


def test_the_ratio_is_that_of_the_check() -> None:
    bound, game = READ()["nash_md_step_sharp"], uniform(4, 1, 0.3)
    check = judge(replace(bound, pulls=(0.4,)), [Instance("one", game, game.log_reference)])
    assert bound.ratio(Instance("one", game, game.log_reference), 0.4) == check.worst


class TestCandidates:
    def test_a_candidate_is_a_function_of_its_number(self) -> None:
        (actions, point), (_, other) = drawn(4, 17, 5), drawn(4, 18, 5)
        again = drawn(4, 17, 5)
        assert again[0] == actions and np.array_equal(again[1], point)
        assert len(point) == dimension(actions) and not np.array_equal(point[:4], other[:4])

    def test_they_reach_the_corners(self) -> None:
        """Zeros, ones and ties among the entries, uniform references, starts there, and a dial at its limit."""
        cases = [case(point, actions, Dial("rates", 0.1, 1.0)) for actions, point in (drawn(0, number, 5) for number in range(200))]
        entries = np.concatenate([one.game.preference[np.triu_indices(one.game.actions, 1)] for one in cases])
        assert {0.0, 0.5, 1.0} <= set(entries) and len(set(entries)) > 100
        assert {one.game.actions for one in cases} == {2, 3, 4, 5}
        for share in ("at_reference", "uniform", "limit"):
            held = {
                "at_reference": [one.instance.at_reference for one in cases],
                "uniform": [np.ptp(one.game.log_reference) == 0 for one in cases],
                "limit": [one.value == 1.0 for one in cases],
            }[share]
            assert 0.05 < np.mean(held) < 0.6, share
        assert all(0.1 <= one.value <= 1.0 for one in cases)


@dataclass(frozen=True, kw_only=True)
class Scripted(Bound):
    """A bound whose ratio is written out."""

    id: str = "scripted"
    provenance: str = "derived"
    statement: str = "..."
    source: str = "..."
    kind: ClassVar[str] = "constant"
    of: Callable[[Instance], float]

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        return [Finding(instance.name, self.of(instance)) for instance in instances]


class TestRounding:
    def test_relabelling_changes_nothing(self) -> None:
        bound, game = READ()["egpo_contraction"], uniform(4, 2, 0.05)
        given = Case(game, log_normalise([1.0, 0.0, -2.0, 0.5]), 1.0)
        ratios = [relabelled(given, turn).ratio(bound) for turn in range(4)]
        assert np.allclose(ratios, ratios[0], rtol=1e-9)

    def test_a_ratio_that_hangs_on_the_labels_does_not_count(self) -> None:
        game = uniform(3, 0)
        start = np.log([0.5, 0.3, 0.2])
        assert steady(Scripted(of=lambda one: 1.5 if one.start[0] > np.log(0.4) else 0.9), Case(game, start, None)) == 0.9
        assert steady(Scripted(of=lambda one: 1.5), Case(game, start, None)) == 1.5

    def test_a_hair_above_one_is_no_falsification(self) -> None:
        given = Case(uniform(3, 0), np.log([0.5, 0.3, 0.2]), None)
        assert not Worst(given, 1 + ALLOWANCE / 2).falsifies and Worst(given, 1 + 2 * ALLOWANCE).falsifies

    def test_what_was_not_measured_says_nothing(self) -> None:
        assert Case(uniform(3, 0), np.log([0.5, 0.3, 0.2]), None).ratio(Scripted(of=lambda one: float("nan"))) is None


def crooked() -> Case:
    """Nearly rock, scissors, paper, beside an action that loses to each: the half iterate's constant 1 fails here."""
    upper = np.array([[0.5, 0.997, 0.004, 0.93], [0, 0.5, 0.996, 0.88], [0, 0, 0.5, 0.91], [0, 0, 0, 0.5]])
    preference = np.triu(upper) + np.tril(1 - upper.T, -1)
    reference = log_normalise(np.log([0.5713, 0.3219, 0.0931, 0.0137]))
    return Case(Game(preference, reference, 0.006123), reference, None)


class TestShrinking:
    @pytest.mark.slow
    def test_what_does_not_matter_goes(self) -> None:
        bound = SmallerHalfIterateConstant()
        first = Worst(crooked(), steady(bound, crooked()))
        assert first.falsifies
        *_, last = shrinking(bound, first)
        assert last.ratio >= as_bad(first.ratio) > 1 and last.ratio == steady(bound, last.case)
        assert last.case.game.actions == 3 and set(last.case.game.preference.flat) == {0.0, 0.5, 1.0}
        assert last.case.game.beta == 0.006 and last.case.instance.at_reference

    def test_what_matters_stays(self) -> None:
        """Here the ratio hangs on the entries, and on nothing else."""
        given = crooked()

        def near(one: Instance) -> float:
            entries = np.sort(one.game.preference.ravel())
            return 2.0 if np.array_equal(entries, np.sort(given.game.preference.ravel())) else 0.0

        *_, last = shrinking(Scripted(of=near), Worst(given, 2.0))
        assert np.array_equal(last.case.game.preference, given.game.preference)
        assert np.ptp(last.case.game.log_reference) == 0 and last.case.instance.at_reference

    def test_it_comes_to_an_end(self) -> None:
        """Two probabilities that take turns at being the largest, each rounded while it is not."""
        reference = np.log([0.04, 0.47, 0.49])

        def skewed(one: Instance) -> float:
            return 2.0 if one.game.actions == 3 and one.game.log_reference.min() < np.log(0.1) else 0.0

        shrunk = list(
            islice(shrinking(Scripted(of=skewed), Worst(Case(Game(uniform(3, 0).preference, reference, 0.1), reference, None), 2.0)), 100)
        )
        assert len(shrunk) < 100

    @pytest.mark.parametrize("ratio", [0.3, 0.999, 1.0, 1 + 5e-6, 1.007, 2.0, 1e9, np.inf])
    def test_as_bad_is_a_little_less_and_on_the_same_side(self, ratio: float) -> None:
        assert as_bad(ratio) <= ratio and (as_bad(ratio) > 1) == (ratio > 1 + ALLOWANCE)
        assert as_bad(ratio) >= 0.99 * ratio


class TestFiles:
    def test_a_case_reads_back_as_it_was(self) -> None:
        actions, point = drawn(0, 11, 5)
        given = case(point, actions, Dial("rates", 0.1, 1.0))
        again = worst_file.made(json.loads(json.dumps(worst_file.written(given))))
        assert np.array_equal(again.game.preference, given.game.preference) and again.game.beta == given.game.beta
        assert np.allclose(again.game.log_reference, given.game.log_reference, atol=1e-14) and again.value == given.value
        assert np.allclose(again.start, given.start, atol=1e-14) and again.instance.at_reference == given.instance.at_reference


class TestCommand:
    @pytest.mark.slow
    def test_a_false_claim_is_told_kept_and_replayed(self, tmp_path: Path) -> None:
        status, out, err = simlab("falsify", "claim=nmp-3-one", "candidates=60", f"store={tmp_path}")
        assert (status, err) == (1, "") and "FALSIFIED, as predicted" in out and "60 candidates" in out
        path = tmp_path / "falsify" / "half_iterate_constant_one_seed0.json"
        kept = json.loads(path.read_text())
        assert kept["falsified"] and kept["ratio"] > 1 and kept["claim"] == "NMP-3-one" and kept["candidates"] == 60
        again = simlab("falsify", "claim=NMP-3-one", f"replay={path}")
        assert again.status == 1 and f"measured/claimed = {kept['ratio']:.6g}: FALSIFIED" in again.out
        assert simlab("falsify", "claim=NMP-3", f"replay={path}").status == 0

    @pytest.mark.slow
    def test_the_worst_case_is_a_world_and_a_start_of_a_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(falsification, "shrinking", lambda bound, worst: iter(()))  # it would start at the reference
        assert simlab("falsify", "claim=GT-4", "candidates=40", f"store={tmp_path}").status == 0
        folder, name = tmp_path / "falsify", "exploitability_upper_bound_seed0"
        assert (folder / "start" / f"{name}.yaml").is_file()
        status, _, err = simlab("run", "-cd", folder, f"env={name}", f"start={name}", "beta=0.1", "steps=5", f"store={tmp_path}")
        assert (status, err) == (0, ""), err

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["claim=EG-11"], "claim=EG-11: must be an ID, a name, or a pattern of some claim (did you mean EG-1"),
            (["claim=SPPO-2"], "claim=SPPO-2: must be one claim with a ratio to search: COMAL-1, COMAL-2, EG-1, EG-5"),
            (["claim=EG-*"], "claim=EG-*: must be one claim with a ratio to search"),
            ([], "claim=null: must be one claim with a ratio to search: COMAL-1"),
            (["claim=EG-1", "budget=0"], "budget=0: must be a finite number > 0"),
            (["claim=EG-1", "budget=soon"], "budget=soon: must be a finite number > 0"),
            (["claim=EG-1", "candidates=0"], "candidates=0: must be an integer >= 1"),
            (["claim=EG-1", "seed=-1"], "seed=-1: must be an integer >= 0"),
            (["claim=EG-1", "actions=1"], "actions=1: must be an integer >= 2"),
            (["claim=EG-1", "store=taken/x"], "store=taken/x: must be a folder: taken is a file"),
            (["claim=EG-1", "replay=nowhere.json"], "replay=nowhere.json: must be a file that can be read"),
            (["claim=EG-1", "replay=taken"], "replay=taken: must be a file that simlab falsify has saved"),
            (["claim=EG-1", "bugdet=3"], "(did you mean budget?)"),
            (["-m", "claim=EG-1"], "-m: must be left out"),
        ],
    )
    def test_refusals(self, words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "taken").write_text("here")
        status, out, err = simlab("falsify", *words)
        assert (status, out, err.count("\n")) == (2, "", 1) and said in err
        assert [path.name for path in tmp_path.iterdir()] == ["taken"]

    @pytest.mark.parametrize("moment", ["search", "shrinking"])
    def test_ctrl_c_keeps_the_worst_so_far(self, moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = iter(range(10**9))

        def interrupted(bound: Bound, given: Case) -> float | None:
            if next(calls) == 10:
                raise KeyboardInterrupt
            return steady(bound, given)

        def interrupted_at_once(bound: Bound, worst: Worst) -> Iterable[Worst]:
            yield worst
            raise KeyboardInterrupt

        if moment == "search":
            monkeypatch.setattr(falsify, "steady", interrupted)
        else:
            monkeypatch.setattr(falsification, "shrinking", interrupted_at_once)
        status, out, err = simlab("falsify", "claim=GT-6", "candidates=20", f"store={tmp_path}")
        assert (status, err) == (130, "simlab: interrupted\n") and "largest     measured/claimed = 0." in out
        assert json.loads((tmp_path / "falsify" / "distance_to_reference_seed0.json").read_text())["ratio"] > 0

    def test_help_lists_what_can_be_searched(self) -> None:
        out = simlab("falsify", "--help").out
        for word in ("budget", "candidates", "replay", "EG-1 ", "COMAL-1", "KL(p*|p+)"):
            assert word in out
        assert "SPPO-2 " not in out

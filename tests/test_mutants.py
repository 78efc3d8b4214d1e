"""Mutants: operators do what they say, equivalence can be denied, survivors are an error, and the known blind spots are covered."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

import conf
from algorithms.cdpo import ConservativeDPO
from algorithms.egpo import EGPO
from algorithms.inpo import INPO
from algorithms.ipo import IPO
from algorithms.nash_md import NashMD
from algorithms.nash_mp import NashMP
from algorithms.online_mirror_descent import OnlineMirrorDescent
from algorithms.optimistic import OptimisticMirrorDescent
from algorithms.rdpo import RobustDPO
from algorithms.sppo import SPPO
from envs.divergence import kl, log_normalise
from envs.game import Game
from simlab import verification
from simlab.cli import main
from simlab.mutation import EQUIVALENT, KILLED, SURVIVED, rows
from simlab.originals import originals
from simlab.run import Method, simulate
from theory import egpo_contraction
from theory.agreement import same_function, same_method
from theory.claim import Claim, Finding, Instance, judge
from theory.function_mutants import INGREDIENTS, shifted_average, standing_in
from theory.instances import BETAS, standard_instances
from theory.loss_mutants import LossMutant, of_loss, same_loss
from theory.mutants import (
    Mutant,
    Operator,
    around,
    each_stage,
    exchanged,
    meeting,
    negated,
    one_stage,
    scaled,
    stale,
    undiscounted,
    weighing,
)
from theory.mutations import of_tableau
from theory.refusal import refuses

CONF = Path(conf.__path__[0])
CLAIMS = cache(verification.claims)
GAME = Game(np.array([[0.5, 0.9, 0.2], [0.1, 0.5, 0.7], [0.8, 0.3, 0.5]]), np.log([0.5, 0.3, 0.2]), 0.1)
START = np.log([0.2, 0.2, 0.6])
RATE = 0.5


@cache
def methods() -> dict[str, Method]:
    """Every self-play method at its defaults."""
    found = {
        path.stem: instantiate(OmegaConf.load(path)) for path in sorted((CONF / "algorithm").glob("*.yaml")) if path.stem not in LOSSES
    }
    return {name: method for name, method in found.items() if hasattr(method, "tableau")}


LOSSES = ("dpo", "rdpo", "cdpo", "ipo", "robust_ipo", "pal")


@pytest.fixture(scope="module")
def small() -> list[Instance]:
    return [instance for instance in standard_instances() if instance.game.actions <= 5]


def after(operator: Operator, steps: int = 1, method: Method | None = None) -> np.ndarray:
    """(steps + 1, K) log-probabilities of a mutant of EGPO, or of another method."""
    mutant = Mutant(EGPO(RATE) if method is None else method, operator)
    return simulate(GAME, mutant, steps=steps, start=START, record="every").log_policy[0]


def written_out(policy: float, reference: float, rate: float, opponent: np.ndarray) -> np.ndarray:
    """EGPO's stage with any weights, rate and opponent."""
    return log_normalise(policy * START + reference * GAME.log_reference + rate * GAME.preference @ np.exp(opponent))


class TestOperators:
    half = written_out(0.95, 0.05, RATE, START)

    @pytest.mark.parametrize(
        ("operator", "expected"),
        [
            (one_stage(1, meeting("half", "policy")), written_out(0.95, 0.05, RATE, START)),
            (one_stage(1, meeting("half", "policy", 0.5)), written_out(0.95, 0.05, RATE, np.log((np.exp(START) + np.exp(half)) / 2))),
            (one_stage(1, weighing("reference", 2.0)), written_out(0.9, 0.1, RATE, half)),
            (one_stage(1, exchanged), written_out(0.05, 0.95, RATE, half)),
            (one_stage(1, undiscounted), written_out(1.0, 0.05, RATE, half)),
            (one_stage(1, negated), written_out(0.95, 0.05, -RATE, half)),
            (one_stage(1, scaled(2.0)), written_out(0.95, 0.05, 2 * RATE, half)),
            (one_stage(0, scaled(0.5)), written_out(0.95, 0.05, RATE, written_out(0.95, 0.05, RATE / 2, START))),
        ],
    )
    def test_one_step(self, operator: Operator, expected: np.ndarray) -> None:
        assert np.abs(after(operator)[1] - expected).max() < 1e-13
        assert np.abs(expected - after(lambda tableau: tableau)[1]).max() > 1e-4

    def test_a_stale_opponent_is_that_of_the_time_before(self) -> None:
        path = after(around(0, stale("policy")), steps=3, method=OnlineMirrorDescent(RATE))
        met = [START, START, path[1]]
        for before, opponent, later in zip(path[:-1], met, path[1:], strict=True):
            expected = log_normalise(0.95 * before + 0.05 * GAME.log_reference + RATE * GAME.preference @ np.exp(opponent))
            assert np.abs(later - expected).max() < 1e-13

    def test_schedules_are_held_and_shifted(self) -> None:
        tableau = INPO().tableau(0.1, steps=6, actions=3)
        (right,) = tableau.rates().T
        made = {words.rpartition("schedule ")[2]: operator for words, operator in of_tableau(tableau).items() if "schedule" in words}
        rate = {words: operator(tableau).rates()[:, 0] for words, operator in made.items()}
        assert rate["held at its first value"].tolist() == [right[0]]
        assert rate["held at its last value"].tolist() == [right[-1]]
        assert rate["one iteration early"].tolist() == right[1:].tolist()
        assert rate["one iteration late"].tolist() == [right[0], *right]

    @pytest.mark.parametrize("name", methods())
    def test_all_that_is_enumerated_is_a_tableau_and_another_one(self, name: str) -> None:
        tableau = methods()[name].tableau(0.1, steps=5, actions=3)
        mutants = {words: operator(tableau) for words, operator in of_tableau(tableau).items()}
        assert len(mutants) >= 7
        for words, mutant in mutants.items():
            changed = str(mutant) != str(tableau) or mutant.rates().shape != tableau.rates().shape
            changed = changed or any((mutant.weights(kind) != tableau.weights(kind)).any() for kind in ("anchor", "opponent"))
            assert changed or (mutant.rates() != tableau.rates()).any() or mutant.slots != tableau.slots, words


class TestLosses:
    def test_exchanging_the_rates_swaps_the_labels(self) -> None:
        @dataclass(frozen=True)
        class Exchanged(RobustDPO):
            def __post_init__(self) -> None:
                pass

        assert same_loss(LossMutant(RobustDPO(0.2), stretch=-1.0), Exchanged(0.8))

    @pytest.mark.parametrize("loss", [RobustDPO(0.2), ConservativeDPO(0.2), IPO(0.3)])
    def test_no_mutant_is_the_loss(self, loss: RobustDPO) -> None:
        assert len(of_loss(loss)) > 10
        assert not [words for words, operator in of_loss(loss).items() if same_loss(operator(loss), loss)]

    def test_slopes_and_curvatures_are_those_of_the_value(self) -> None:
        mutant, u, step = LossMutant(RobustDPO(0.2), times=1.5, stretch=0.7, tilt=0.3), np.linspace(-3, 3, 7), 1e-4
        slope = (mutant.value(u + step) - mutant.value(u - step)) / (2 * step)
        curvature = (mutant.slope(u + step) - mutant.slope(u - step)) / (2 * step)
        assert np.abs(slope - mutant.slope(u)).max() < 1e-7
        assert np.abs(curvature - mutant.curvature(u)).max() < 1e-7

    def test_a_billionth_is_another_loss(self) -> None:
        assert same_loss(RobustDPO(0.2), RobustDPO(0.2))
        assert not same_loss(RobustDPO(0.2 + 1e-9), RobustDPO(0.2))


class TestEquivalence:
    @pytest.mark.parametrize("beta", BETAS)
    def test_the_same_map_in_other_words(self, beta: float) -> None:
        assert same_method(EGPO(0.6), NashMP(0.6), beta)
        assert same_method(OptimisticMirrorDescent(0.5), Mutant(OptimisticMirrorDescent(0.5), of_onpo()["returns next"]), beta)

    @pytest.mark.parametrize("beta", BETAS)
    def test_a_billionth_is_another_map(self, beta: float) -> None:
        assert not same_method(EGPO(0.6), EGPO(0.6 * (1 + 1e-9)), beta)
        assert not same_method(EGPO(0.6), Mutant(EGPO(0.6), one_stage(1, meeting("half", "policy"))), beta)

    def test_functions(self) -> None:
        for ingredient in INGREDIENTS:
            if ingredient.call is not None:
                same = [words for words, change in ingredient.changes.items() if _same(ingredient, change)]
                assert not same and _same(ingredient, lambda function: function)


def _same(ingredient, change) -> bool:
    return same_function(ingredient.function, change(ingredient.function), ingredient.call, (0.1,))


def of_onpo() -> dict[str, Operator]:
    return of_tableau(OptimisticMirrorDescent(0.5).tableau(0.1, steps=9, actions=3))


class TestRefusal:
    @pytest.mark.parametrize("name", ["egpo_identity", "egpo_contraction", "egpo_beyond", "half_iterate_constant_one", "sppo_last_iterate"])
    @pytest.mark.parametrize("operator", [lambda tableau: tableau, each_stage(negated), each_stage(scaled(0.25))])
    def test_it_is_the_verdict(self, name: str, operator: Operator, small: list[Instance]) -> None:
        claim = CLAIMS()[name]
        claim = replace(claim, method=lambda *rates: Mutant(CLAIMS()[name].method(*rates), operator))
        verdict, own = judge(claim, small), [one for one in small if claim.applies(one)]
        assert bool(refuses(claim, own)) is not verdict.expected

    @pytest.mark.parametrize("sense", ["upper", "predicted to fail"])
    @pytest.mark.parametrize("ratios", ["0.5 2", "2 0.5", "2 3", "0.5 0.6", "nan", "0.5 nan", ""])
    @pytest.mark.parametrize("kind", ["final", "existence"])
    def test_it_is_the_verdict_on_any_ratios(self, sense: str, ratios: str, kind: str, small: list[Instance]) -> None:
        class Given(Claim):
            def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
                return [Finding("vacuous", None), *(Finding("some", float(ratio)) for ratio in ratios.split())]

        Given.kind = kind
        claim = Given(id="x", provenance="derived", statement="", source="", sense=sense)
        verdict, refused = judge(claim, small[:1]), refuses(claim, small[:1])
        assert (refused is None) is (verdict.outcome == "inconclusive")
        assert bool(refused) is not verdict.expected

    def test_where_nothing_is_said(self, small: list[Instance]) -> None:
        at_rest = [replace(one, start=one.equilibrium) for one in small]
        assert refuses(CLAIMS()["egpo_contraction"], at_rest) is None

    def test_what_stands_in_goes_again(self, small: list[Instance]) -> None:
        claim = CLAIMS()["exploitability_lower_bound"]

        def broken() -> None:
            with standing_in(kl, lambda p, q: 1 / 0, claim) as wrong:
                assert egpo_contraction.kl is not kl
                refuses(wrong, small)

        with pytest.raises(ZeroDivisionError):
            broken()
        assert egpo_contraction.kl is kl


@dataclass(frozen=True, kw_only=True)
class ChecksNothing(Claim):
    """Runs a method, and is content."""

    id: str = "X-1"
    provenance: str = "derived"
    statement: str = "whatever"
    source: str = "nobody"
    kind: ClassVar[str] = "identity"
    method: type = EGPO

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for instance in instances[:2]:
            run = simulate(instance.game, self.method(0.5), steps=1)
            yield Finding(instance.name, 0.0 * run.log_policy[0, -1, 0] + 0.5)


WORDS = ["verify", "mutants=true", "env=cyclic", "env.reference=random", "betas=[0.01,1]"]


class TestCommand:
    def test_a_survivor_is_an_error(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setattr(verification, "claims", lambda: {"x": ChecksNothing()})
        assert main(WORDS) == 1
        out = capsys.readouterr().out
        assert "37 mutants of 1 original, 1 claim: 0 killed, 37 survived." in out
        assert "survived: egpo, 2 stages: stage 2, policy: policy for half as opponent; asked: X-1" in out

    def test_all_killed_is_none_and_is_kept(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        claims = {name: CLAIMS()[name] for name in ("nash_mp_is_egpo", "half_iterate_constant_one", "dpo_gap", "pal_rewards")}
        monkeypatch.setattr(verification, "claims", lambda: claims)
        assert main([*WORDS, f"store={tmp_path}"]) == 0
        assert "PAL-13" in capsys.readouterr().out
        kept = json.loads((tmp_path / "mutants.json").read_text())
        assert {row["outcome"] for row in kept["rows"]} == {KILLED}
        assert {row["original"] for row in kept["rows"]} >= {"nash_mp, 2 stages"}

    def test_a_claim_that_refuses_what_is_right_is_an_error(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        wrong = {
            "egpo_contraction": replace(CLAIMS()["egpo_contraction"], method=OnlineMirrorDescent),
            "omd_identity": CLAIMS()["omd_identity"],
        }
        monkeypatch.setattr(verification, "claims", lambda: wrong)
        assert main([*WORDS, "claim=*"]) == 1
        out = capsys.readouterr().out
        assert "not asked: EG-1, which refuses the original of online_mirror_descent" in out
        assert " 0 survived" in out

    @pytest.mark.parametrize("value", ["maybe", "2", "null"])
    def test_other_values_are_refused(self, value: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["verify", "claim=GT-6", f"mutants={value}"]) == 2
        assert "mutants" in capsys.readouterr().err

    def test_with_a_selection_every_claim_is_asked(self, capsys: pytest.CaptureFixture[str]) -> None:
        main([*WORDS, "claim=OMD-0,OMD-ID"])
        matrix = [line for line in capsys.readouterr().out.splitlines() if "rate negated" in line]
        assert [line.count("×") for line in matrix] == [2]


class TestBlindSpots:
    def test_no_extrapolation_hides_at_beta_1(self) -> None:
        claim, at = (
            CLAIMS()["egpo_contraction"],
            {beta: [one for one in standard_instances((beta,)) if one.game.actions <= 5] for beta in BETAS},
        )
        wrong = replace(claim, method=lambda rate: Mutant(EGPO(rate), one_stage(1, meeting("half", "policy"))), steps=250)
        assert [refuses(wrong, at[beta]) for beta in (1.0, 0.01)] == [False, True]

    def test_negation_hides_from_an_unregularised_test_with_interior_equilibria(self, small: list[Instance]) -> None:
        def negative(*rates: float) -> Method:
            return Mutant(SPPO(0.1), each_stage(negated))

        spiral, sums = CLAIMS()["sppo_spiral"], CLAIMS()["sppo_sum_of_wins"]
        own = [one for one in small if spiral.applies(one)]
        assert refuses(replace(spiral, method=negative), own) is False
        assert refuses(replace(sums, method=negative, rate=0.1), own)

    def test_mirror_descent_passes_every_bound_of_nash_md(self, small: list[Instance]) -> None:
        """In the words of the bounds: `policy` for `mixture` in both places is online mirror descent under Nash-MD's schedule."""
        asked = {}
        for name in ("nash_md_step", "nash_md_step_sharp", "nash_md_schedule", "nash_md_schedule_sharp", "nash_md_written_out"):
            claim = CLAIMS()[name]
            wrong = replace(claim, method=lambda rate: Mutant(NashMD(rate), one_stage(1, meeting("mixture", "policy"))))
            asked[claim.id] = refuses(wrong, [one for one in small if claim.applies(one)])
        assert asked == {"NMD-1": False, "NMD-1s": False, "NMD-2": False, "NMD-2s": False, "NMD-2w": True}

    def test_a_shifted_average_hides_a_wrong_start_of_onpo(self, small: list[Instance]) -> None:
        start = of_onpo()["stage 1, next: schedule held at its last value"]
        bound, sums = CLAIMS()["optimistic_average"], CLAIMS()["optimistic_sum_of_wins"]
        wrong = replace(bound, method=lambda rate: Mutant(OptimisticMirrorDescent(rate), start), rates=(0.1,))
        assert refuses(wrong, small)
        with standing_in(simulate, shifted_average(simulate), wrong) as shifted:
            assert refuses(shifted, small) is False
        with standing_in(simulate, shifted_average(simulate), sums) as shifted:
            assert refuses(shifted, small)
        assert refuses(replace(sums, method=lambda rate: Mutant(OptimisticMirrorDescent(rate), start)), small)


NEW = ("INPO-4", "NMD-2w", "ONPO-2", "SPPO-5", "OMWUR-0", "DNO-P-0", "NMDPG-2", "NMP-M")


@pytest.mark.slow
def test_identities_leave_none_that_is_not_the_same_map(small: list[Instance]) -> None:
    """Each by itself: nothing that its method's tableau can be turned into passes, but for what is no mutant."""
    for claim in (claim for claim in CLAIMS().values() if claim.id in NEW):
        (original,) = (one for one in originals([claim], small) if one.name in _of(claim.id))
        outcomes = {row.outcome for row in rows(original, every=True)}
        assert KILLED in outcomes and SURVIVED not in outcomes and outcomes <= {KILLED, EQUIVALENT}, claim.id


def _of(name: str) -> tuple[str, ...]:
    """What the mutants of a claim are mutants of."""
    return {
        "INPO-4": ("inpo",),
        "NMD-2w": ("nash_md, 2 stages",),
        "ONPO-2": ("optimistic, 3 stages",),
        "SPPO-5": ("sppo",),
        "OMWUR-0": ("regularised_optimistic, 2 stages",),
        "DNO-P-0": ("dno_prct, 2 stages",),
        "NMDPG-2": ("nash_md_pg, 2 stages",),
        "NMP-M": ("nash_mp, 5 stages",),
    }[name]

"""Every claim comes out as predicted on the standard instances, and rejects a wrong method."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

import conf
from algorithms.dno_prct import DNOPrct
from algorithms.egpo import EGPO
from algorithms.inpo import INPO
from algorithms.magnetic import MagneticPO
from algorithms.nash_md import NashMD
from algorithms.nash_md_pg import NashMDPG
from algorithms.nash_mp import NashMP
from algorithms.nash_prox import NashProx
from algorithms.online_ipo import OnlineIPO
from algorithms.online_mirror_descent import OnlineMirrorDescent
from algorithms.optimistic import OptimisticMirrorDescent, RegularisedOptimistic
from algorithms.sppo import SPPO
from algorithms.tableau import Loop, Tableau
from envs.equilibrium import regularised_nash
from envs.feedback import Duels
from simlab import metrics
from theory.claim import Claim, Finding, Instance, judge
from theory.instances import standard_instances, standard_subjects
from theory.mutants import (
    Mutant,
    anchored,
    arithmetic,
    dropped,
    each_stage,
    facing,
    negated,
    one_stage,
    overpulled,
    returning,
    scaled,
    unpulled,
)
from theory.online_ipo_gradients import gradient_1, gradient_2

CLAIMS = sorted(path.stem for path in (Path(conf.__file__).parent / "claim").glob("*.yaml"))


def load(name: str) -> Claim:
    return instantiate(OmegaConf.load(Path(conf.__file__).parent / "claim" / f"{name}.yaml"))


@pytest.fixture(scope="module")
def instances() -> list[Instance]:
    return standard_instances()


@pytest.fixture(scope="module")
def small(instances: list[Instance]) -> list[Instance]:
    """Those of few actions: what is rejected there is rejected on all."""
    return [instance for instance in instances if instance.game.actions <= 10]


@pytest.fixture(scope="module")
def subjects() -> list:
    return standard_subjects()


def in_one_process(name: str) -> Any:
    """Claims on robust DPO look at the same fits, which are kept."""
    return pytest.param(name, marks=pytest.mark.xdist_group("fits of robust DPO") if name.startswith("robust_") else ())


@pytest.mark.parametrize("name", [in_one_process(name) for name in CLAIMS])
def test_comes_out_as_predicted(name: str, subjects: list) -> None:
    verdict = judge(load(name), subjects)
    assert verdict.instances > 0
    assert verdict.outcome == ("violated" if verdict.claim.predicted_to_fail else "holds"), verdict


def test_ids_are_unique() -> None:
    ids = [load(name).id for name in CLAIMS]
    assert len(set(ids)) == len(ids)


def extrapolation_missing(tableau):
    return one_stage(1, facing("policy"))(tableau)


HALF_AND_POLICY = {"policy": 0.5, "half": 0.5}
EGPO_MUTANTS = {
    "no extrapolation": extrapolation_missing,
    "second step from the half point": one_stage(1, anchored("policy", "half")),
    "short extrapolation": one_stage(0, scaled(0.25)),
    "opponent half policy, half point": one_stage(1, facing(HALF_AND_POLICY)),
    "transposed": each_stage(negated),
    "no pull": each_stage(unpulled),
    "no pull in the second step": one_stage(1, unpulled),
    "pull doubled": each_stage(overpulled(1.9)),
    "first stage dropped": dropped(0),
    "returns the half point": returning("half"),
}
WRONG_EGPO = {
    "egpo_contraction": set(EGPO_MUTANTS) - {"returns the half point"},
    "egpo_identity": set(EGPO_MUTANTS) - {"no pull in the second step"},
    "egpo_linear_convergence": {"no extrapolation", "second step from the half point", "transposed", "no pull", "pull doubled"},
    "egpo_original_game": {"no extrapolation", "transposed", "no pull"},
    "nash_mp_is_egpo": set(EGPO_MUTANTS),
    "nash_mp_rate": {"no extrapolation", "second step from the half point", "short extrapolation", "transposed", "no pull", "pull doubled"},
    "nash_mp_rate_from_reference": {"transposed", "no pull", "pull doubled"},
    "half_iterate": {"transposed", "no pull", "pull doubled"},
    "span_recursion": {"no pull", "no pull in the second step", "pull doubled", "transposed"},
    "span_decay": {"no pull", "pull doubled", "transposed"},
    "dimension_independence": {"no extrapolation", "no pull", "pull doubled", "transposed"},
}


@pytest.mark.parametrize(("name", "mutant"), [(name, mutant) for name, mutants in WRONG_EGPO.items() for mutant in sorted(mutants)])
def test_rejects_wrong_extragradients(name: str, mutant: str, instances: list[Instance], small: list[Instance]) -> None:
    claim, games = load(name), instances if name == "dimension_independence" else small
    claim = replace(claim, steps=250) if name == "egpo_contraction" else claim
    method = EGPO if name.startswith("egpo") else NashMP
    wrong = replace(claim, method=lambda rate: Mutant(method(rate), EGPO_MUTANTS[mutant]))
    assert judge(wrong, games).outcome == "violated"


OMD_MUTANTS = {"transposed": each_stage(negated), "no pull": each_stage(unpulled), "pull doubled": each_stage(overpulled(1.9))}


@pytest.mark.parametrize("name", ["magnetic_contraction", "comal_inner_loop", "omd_identity", "omd_same_map"])
@pytest.mark.parametrize("mutant", OMD_MUTANTS)
def test_rejects_wrong_mirror_descent(name: str, mutant: str, small: list[Instance]) -> None:
    wrong = replace(load(name), method=lambda rate: Mutant(OnlineMirrorDescent(rate), OMD_MUTANTS[mutant]))
    assert judge(wrong, small).outcome == "violated"


NASH_MD_MUTANTS = {
    "opponent is the policy": one_stage(1, facing("policy")),
    "opponent is the reference": one_stage(1, facing("reference")),
    "transposed": each_stage(negated),
    "centre is the policy": one_stage(1, anchored("mixture", "policy")),
    "arithmetic mixture": each_stage(arithmetic),
    "no pull": each_stage(unpulled),
}
WRONG_NASH_MD = {
    "nash_md_step": {"transposed", "centre is the policy"},
    "nash_md_step_sharp": {"transposed", "centre is the policy", "opponent is the reference"},
    "nash_md_schedule": {"transposed", "centre is the policy"},
    "nash_md_schedule_sharp": {"transposed", "centre is the policy", "opponent is the reference"},
    "nash_md_bias": set(NASH_MD_MUTANTS),
}


@pytest.mark.parametrize(("name", "mutant"), [(name, mutant) for name, mutants in WRONG_NASH_MD.items() for mutant in sorted(mutants)])
def test_rejects_wrong_nash_md(name: str, mutant: str, small: list[Instance]) -> None:
    claim = load(name)

    def wrong(rate: float, pull: float | None = None) -> Mutant:
        return Mutant(NashMD(rate if pull is None else pull / rate), NASH_MD_MUTANTS[mutant])

    assert judge(replace(claim, method=wrong), small).outcome == "violated"


TWICE_LESS_PREVIOUS = {"policy": 2.0, "previous": -1.0}
"""Optimism started with g_(-1) = g_0."""


def one_pass(tableau: Tableau) -> Tableau:
    """Mirror prox instead of a proximal point: inner loops cut to one pass."""
    return Tableau(*(Loop(loop.stages, times=1) for loop in tableau.loops))


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("sppo_average", "method", lambda rate: Mutant(SPPO(rate), each_stage(negated))),
        ("sppo_average", "measure", "original_exploitability"),
        ("sppo_spiral", "method", lambda beta: EGPO(0.1)),
        ("dno_improvement", "method", lambda rate: Mutant(SPPO(rate), each_stage(negated))),
        ("dno_is_sppo", "method", lambda eta: SPPO(eta)),
        ("exploitability_identity", "measure", lambda game, policy: metrics.exploitability(game, policy, beta=2 * game.beta)),
        ("exploitability_identity", "measure", metrics.duality_gap),
        ("exploitability_lower_bound", "equilibrium", lambda game: game.log_reference),
        ("exploitability_upper_bound", "equilibrium", lambda game: game.log_reference),
        ("regularisation_bias", "equilibrium", lambda game: game.log_reference),
        ("regularisation_bias", "equilibrium", lambda game: regularised_nash(replace(game, preference=game.preference.T))),
        ("distance_to_reference", "equilibrium", lambda game: regularised_nash(game.with_beta(game.beta / 100))),
        ("label_flips", "moves", False),
        ("label_flips", "assumed_flip", 0.1),
        ("label_flips", "method", lambda beta: OnlineMirrorDescent(1.0)),
        ("label_flips_debiased", "assumed_flip", 0.0),
        ("label_flips_debiased", "assumed_flip", 0.4),
        ("exploitability_of_iterates", "measure", lambda games, p: metrics.exploitability(games, p, beta=[2 * g.beta for g in games])),
        ("inexact_steps", "slack", 0.1),
        ("proximal_contraction", "method", lambda rate, strength: Mutant(NashProx(rate, strength), one_pass)),
        ("proximal_contraction", "method", lambda rate, strength: NashProx(rate, 2 * strength)),
        ("moving_reference", "method", lambda strength: MagneticPO(None, strength, every=1)),
        ("optimistic_average", "method", SPPO),
        ("optimistic_average", "method", lambda rate: Mutant(OptimisticMirrorDescent(rate), one_stage(0, facing(TWICE_LESS_PREVIOUS)))),
        ("optimistic_last_iterate", "method", SPPO),
        ("single_call", "method", lambda rate: Mutant(RegularisedOptimistic(rate), each_stage(negated))),
        ("single_call", "method", lambda rate: Mutant(RegularisedOptimistic(rate), one_stage(1, unpulled))),
        ("single_call", "method", lambda rate: Mutant(RegularisedOptimistic(rate), one_stage(1, anchored("policy", "half")))),
        ("nash_md_pg_bias", "method", lambda beta, pull: NashMDPG(mixture=0.0)),
        ("nash_md_pg_bias", "method", lambda beta, pull: Mutant(NashMDPG(mixture=pull), each_stage(arithmetic))),
        ("online_ipo_1_gradient", "formula", gradient_2),
        ("online_ipo_1_gradient", "formula", lambda game, p, pairs: 2 * gradient_1(game, p, pairs)),
        ("online_ipo_2_gradient", "formula", gradient_1),
        ("online_ipo_2_gradient", "formula", lambda game, p, pairs: gradient_2(replace(game, preference=game.preference.T), p, pairs)),
        ("online_ipo_step", "method", lambda rate: OnlineMirrorDescent(rate / 2)),
        ("online_ipo_policy_gradient", "method", lambda rate: OnlineIPO(rate / 2)),
        ("online_ipo_policy_gradient", "method", OnlineMirrorDescent),
        ("online_ipo_equilibrium", "point", lambda instance: instance.game.log_reference),
        ("inpo_step", "method", lambda rate: Mutant(INPO(rate), each_stage(unpulled))),
        ("inpo_step", "constant", 0.05),
        ("inpo_schedule", "method", lambda rate: Mutant(INPO(rate), each_stage(negated))),
        ("inpo_average", "method", lambda rate: Mutant(INPO(rate), each_stage(negated))),
        ("stability_threshold", "method", EGPO),
        ("stability_threshold_online_ipo", "weight", 1.0),
        ("stability_factor_egpo", "method", OnlineMirrorDescent),
        ("winners_rise", "method", lambda rate: Mutant(SPPO(rate), each_stage(negated))),
        ("winners_rise", "method", lambda rate: OnlineMirrorDescent(0.5)),
        ("dno_regression", "method", SPPO),
        ("sampled_sppo", "samples", 5),
        ("dno_projection", "method", lambda rate: Mutant(DNOPrct(rate), one_pass)),
        ("noisy_egpo", "method", lambda rate: Mutant(EGPO(rate), each_stage(negated))),
    ],
)
def test_rejects_a_wrong_ingredient(name: str, field: str, value: object, small: list[Instance]) -> None:
    claim = replace(load(name), **({"seeds": 8, "per_action": (10,)} if name == "noisy_egpo" else {}))
    assert judge(replace(claim, **{field: value}), small).outcome == "violated"


def test_noise_must_have_mean_zero(instances: list[Instance]) -> None:
    rps = [instance for instance in instances if instance.name.startswith("rps,")]
    right = replace(load("noisy_egpo"), per_action=(30,), seeds=16)
    assert judge(right, rps).outcome == "holds"
    assert judge(replace(right, feedback=lambda count: Duels(count, flip=0.45)), rps).outcome == "violated"


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("egpo_beyond", {"rate": 1.0}),
        ("magnetic_beyond", {"fractions": (1.0,)}),
        ("self_play_at_rate_one", {"method": lambda beta: EGPO(1.0)}),
        ("nash_md_unbiased", {"method": lambda beta, pull: EGPO(0.5)}),
        ("sppo_last_iterate", {"measure": "average_original_exploitability"}),
        ("dno_converges", {"method": lambda rate: EGPO(0.1)}),
        ("label_flips_clean", {"flip": 0.0}),
        ("half_iterate_constant_one", {"constant": 2.0}),
        ("sampled_sppo_few", {"samples": 50}),
        ("nash_md_pg_unbiased", {"method": lambda beta, pull: NashMDPG(mixture=0.0)}),
    ],
)
def test_a_prediction_of_failure_can_be_refuted(name: str, right: dict, instances: list[Instance]) -> None:
    verdict = judge(replace(load(name), **right), instances)
    assert verdict.outcome != "violated"
    assert not verdict.expected or verdict.instances == 0


def test_a_run_that_starts_at_its_equilibrium_counts_for_nothing(small: list[Instance]) -> None:
    at_rest = [replace(i, start=i.equilibrium) for i in small]
    verdict = judge(load("egpo_contraction"), at_rest)
    assert (verdict.outcome, verdict.instances) == ("inconclusive", 0)
    assert verdict.expected


def test_no_instance_means_does_not_apply(instances: list[Instance]) -> None:
    ties = [instance for instance in instances if instance.name.startswith("tie")]
    assert judge(load("egpo_beyond"), ties).outcome == "does not apply"


def test_one_instance_refutes_a_claim_and_nan_never_passes() -> None:
    class Given(Claim):
        kind = "final"

        def findings(self, instances):
            return [*(Finding("some", float(ratio)) for ratio in self.source.split()), Finding("vacuous", None)]

    def outcome(ratios: str, sense: str = "upper") -> str:
        return judge(Given(id="x", provenance="derived", statement="", source=ratios, sense=sense), [at]).outcome

    at = standard_instances()[0]
    assert outcome("0.5 0.9") == "holds"
    assert outcome("0.5 1.1") == outcome("0.5 nan") == outcome("inf") == "violated"
    assert outcome("2.0 1.1", "predicted to fail") == "violated"
    assert outcome("2.0 0.9", "predicted to fail") == outcome("2.0 nan", "predicted to fail") == "holds"
    assert outcome("") == "inconclusive"


def test_standard_instances_hold_what_wrong_methods_fail_on(instances: list[Instance]) -> None:
    assert {instance.game.actions for instance in instances} >= {3, 5, 10, 100}
    rps = next(i for i in instances if i.name == "rps, beta=0.01, from the reference")
    assert np.ptp(rps.game.log_reference) > 0.1
    assert any(i.original_equilibrium.min() < 1e-9 and i.game.condorcet_winner() is None for i in instances)

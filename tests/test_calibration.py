"""Calibration finds tests that err too often, and only those; effects that are planted are noticed the more the larger they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pytest
from command import simlab
from scipy.stats import beta, binom, norm

from simlab import calibration
from simlab.calibration import chance
from simlab.measured import Alarms, Measured
from simlab.verification import claims
from theory.calibration import LEVEL, Share, Trial, refuted, together, trial
from theory.chance import ByChance
from theory.claim import Finding, mean_below
from theory.coverage import SETTINGS
from theory.instances import standard_subjects
from theory.pair_statistics import binomial_p, mean_limits, mean_p
from theory.power import ENOUGH, power, smallest

READ = cache(chance)


@dataclass(frozen=True, kw_only=True)
class NormalMean(ByChance):
    """The mean of four standard normals is 0.

    Parameters
    ----------
    mean : float, the truth
    careless : float, by which its p-values are too small
    """

    id: str = "mean"
    provenance: str = "derived"
    statement: str = "the mean is 0"
    source: str = "for tests"
    kind: ClassVar[str] = "distribution"
    false_alarm: ClassVar[str | None] = "0.05 a finding"
    effect: ClassVar[str] = "mean s"
    size: ClassVar[float] = 1.0
    mean: float = 0.0
    careless: float = 1.0

    def findings(self, instances: Sequence[object]) -> Iterable[Finding]:
        place = 2 * np.random.default_rng([self.seed]).normal(self.mean, size=4).mean()
        p = min(1.0, float(2 * norm.sf(abs(place))) / self.careless)
        yield Finding("normal", LEVEL / p if p else np.inf, p=p)

    def planted(self, size: float) -> Self:
        return replace(self, mean=size)


def checked(claim: ByChance, seeds: int = 400) -> Measured:
    measured = Measured()
    for seed in range(seeds):
        measured.add(seed, [(claim, trial(claim, [], seed))])
    return measured


class TestFalseAlarms:
    def test_an_honest_test_is_sound(self) -> None:
        alarms = checked(NormalMean()).alarms["mean"]
        assert alarms.refused == alarms.significant and 0.02 < alarms.refused.count / 400 < 0.09
        assert checked(NormalMean()).too_often == []

    def test_one_of_thirty_may_come_out_high_by_chance(self) -> None:
        usual = {f"claim {number}": Alarms(1, 1e-6, Share(0, 1000), Share(50, 1000)) for number in range(29)}
        for count, too_often in ((66, False), (80, True)):
            measured = Measured(alarms={**usual, "high": Alarms(1, 1e-6, Share(0, 1000), Share(count, 1000))})
            assert measured.too_often == (["high"] if too_often else [])
        assert Measured(alarms={**usual, "refused": Alarms(1, 1e-6, Share(2, 1000), Share(50, 1000))}).too_often == ["refused"]
        assert Measured(alarms={**usual, "unsaid": Alarms(1, None, Share(900, 1000))}).too_often == []

    @pytest.mark.parametrize("careless", [3.0, 1e9])
    def test_one_that_alarms_too_often_or_always_is_caught(self, careless: float) -> None:
        assert checked(NormalMean(careless=careless)).misses == ["mean", "the whole report"]

    def test_one_that_hardly_ever_alarms_is_no_false_alarm_and_notices_less(self) -> None:
        silent = NormalMean(careless=0.01)
        assert checked(silent, 50).misses == []
        found, honest = power(silent, [], range(40)), power(NormalMean(), [], range(40))
        assert found.refused is not None and honest.refused is not None and found.refused > 1.2 * honest.refused

    def test_what_was_not_measured_counts_as_refused(self) -> None:
        class Broken(NormalMean):
            def findings(self, instances: Sequence[object]) -> Iterable[Finding]:
                yield Finding("broken", np.nan, p=np.nan)

        assert trial(Broken(), [], 0) == Trial(1, True, (0.0,))


class TestPower:
    def test_it_rises_with_the_effect_as_the_normal_law_says(self) -> None:
        found = power(NormalMean(), [], range(300))
        shares = [rung.refused.count / 300 for rung in found.rungs]
        assert [rung.size for rung in found.rungs] == pytest.approx([0.5, 1, 2])
        exact = [norm.sf(1.96 - 2 * size) + norm.cdf(-1.96 - 2 * size) for size in (0.5, 1, 2)]
        np.testing.assert_allclose(shares, exact, atol=0.09)
        assert found.significant == pytest.approx((1.96 + norm.ppf(0.8)) / 2, rel=0.12)

    def test_the_smallest_effect_is_found_from_either_side(self) -> None:
        def noticed(size: float) -> float:
            return size**2 / (1 + size**2)

        for anchor in (0.05, 2.0, 40.0):
            found = smallest(lambda rung, anchor=anchor: noticed(anchor * 2 ** (rung / 2)), anchor)
            assert found is not None and noticed(found) == pytest.approx(ENOUGH, abs=0.01)
        assert smallest(lambda rung: 0.5, 1.0) is None and smallest(lambda rung: 0.9, 1.0) is None


class TestFamily:
    @pytest.mark.parametrize("shared", [0.0, 0.9, 1.0])
    def test_holm_keeps_its_level_on_nulls_that_depend_on_each_other_or_not(self, shared: float) -> None:
        rng = np.random.default_rng(1)
        z = np.sqrt(shared) * rng.normal(size=(2000, 1)) + np.sqrt(1 - shared) * rng.normal(size=(2000, 20))
        share = Share(sum(refuted(list(each)) for each in 2 * norm.sf(np.abs(z))), 2000)
        assert share.within(LEVEL)
        assert shared > 0.5 or share.count > 60, "on independent ones it uses nearly all of its level"

    def test_a_report_is_all_claims_of_a_seed(self) -> None:
        found = together([Trial(2, False, (0.5, 0.04)), Trial(1, True, ()), Trial(1, False, (0.03,))])
        assert found == Trial(4, True, (0.5, 0.04, 0.03)) and not found.significant
        assert together([found, Trial(1, False, (0.01,))]).significant

    @pytest.mark.parametrize(("count", "trials"), [(0, 1000), (3, 1000), (50, 1000), (7, 7)])
    def test_intervals_of_shares_are_exact(self, count: int, trials: int) -> None:
        found = Share(count, trials).interval
        low = beta.ppf(0.025, count, trials - count + 1) if count else 0.0
        high = beta.ppf(0.975, count + 1, trials - count) if count < trials else 1.0
        np.testing.assert_allclose(found, (count / trials, low, high), rtol=1e-9)
        assert Share(count, trials).within(found.low) and not Share(count, trials).within(found.low - 1e-9)


class TestPValues:
    @pytest.mark.parametrize(("weights", "draws"), [([1.0], 1), ([3.0, 1.0, 0.1], 5), ([1.0] * 8, 250)])
    def test_of_a_mean_of_chi_squares_are_uniform(self, weights: list[float], draws: int) -> None:
        rng = np.random.default_rng(2)
        means = [(rng.chisquare(1, size=(draws, len(weights))) * weights).sum(axis=1).mean() for _ in range(1000)]
        p = np.array([mean_p(mean, weights, draws) for mean in means])
        for level in (0.01, 0.05, 0.3):
            assert abs((p <= level).mean() - level) < 0.012 + 0.1 * level
            for end in mean_limits(weights, draws, level):
                assert mean_p(end, weights, draws) == pytest.approx(level, rel=1e-6)

    def test_of_nonsense_are_0(self) -> None:
        assert mean_p(np.nan, [1.0]) == mean_p(np.inf, [1.0]) == 0.0 and mean_p(8.0, np.ones(8)) > 0.8

    def test_of_a_count_are_exact(self) -> None:
        p = np.array([binomial_p(count, 20, 0.3) for count in range(21)])
        chances = np.array([binomial_p(count, 20, 0.3) <= 0.05 for count in range(21)])
        assert binom.pmf(np.arange(21), 20, 0.3)[chances].sum() <= 0.05 and p[6] == 1 and p[20] < 1e-9

    def test_of_means_are_students(self) -> None:
        class Ended:
            status = ("ok",)

        rng, p = np.random.default_rng(3), []
        for _ in range(1000):
            finding = mean_below("", rng.normal(1.0, size=5), 1.0, Ended())  # type: ignore[arg-type]
            p.append(finding.p)
        assert abs(np.mean(np.array(p) <= 0.05) - 0.05) < 0.02, "the normal law would refuse 12%"

    def test_a_mean_that_chance_does_not_tell_from_its_bound_is_inconclusive(self) -> None:
        class Ended:
            status = ("ok",)

        values = np.random.default_rng(4).normal(1.0, 0.1, size=30)
        below, beside, above = (mean_below("", values, bound, Ended()) for bound in (2.0, 1.02, 0.5))  # type: ignore[arg-type]
        assert beside.ratio is None and below.ratio is not None and above.ratio is not None and below.ratio < 1 < above.ratio


class TestClaims:
    def test_all_that_state_a_false_alarm_can_be_calibrated(self) -> None:
        assert {claim.id for claim in claims().values() if claim.false_alarm} == {claim.id for claim in READ().values()}
        assert len(READ()) >= 30 and all(claim.false_alarm and " s" in claim.effect and claim.size > 0 for claim in READ().values())

    @pytest.mark.parametrize("name", ["robust_one_fit", "robust_error_limit", "dpo_floor", "pal_wilks"])
    def test_a_planted_effect_is_refused_and_none_is_not(self, name: str) -> None:
        claim = READ()[name].brief()
        kept = "pairs, d=3, flip=0.1", "population, drawn"
        on = [one for one in standard_subjects() if one.name.startswith(kept) and isinstance(one, claim.subject) and claim.applies(one)]
        null, planted = ([trial(claim, on, seed, size) for seed in (1, 2, 3)] for size in (0.0, 50 * claim.size))
        assert not any(each.refused for each in null) and all(each.refused for each in planted)
        assert null[0] == trial(claim, on, 1) and null[0].p != null[1].p, "its samples depend on the seed, and on nothing else"

    def test_the_brief_check_says_the_same_of_the_standard_instances(self) -> None:
        """With the seed that simlab verify uses."""
        for name in ("robust_error_limit", "robust_reward_gap_sign", "robust_existence_one_pair"):
            claim = READ()[name]
            on = [one for one in standard_subjects() if isinstance(one, claim.subject) and claim.applies(one)]
            assert not trial(claim.brief(), on, claim.seed).refused


class TestCommand:
    WORDS = ("calibrate", "claim=[RDPO-W,DPO-5]", "power_seeds=0", "simulations=0")

    def test_it_is_a_function_of_the_seeds_and_adds_up(self, tmp_path: Path) -> None:
        def told(*words: str) -> dict[str, object]:
            assert simlab(*self.WORDS, *words).status == 0
            return json.loads((tmp_path / words[-1].removeprefix("store=") / "calibration.json").read_text())

        whole = told("seeds=3", "seed=1", f"store={tmp_path / 'a'}")
        told("seeds=2", "seed=1", f"store={tmp_path / 'b'}")
        assert whole == told("seeds=1", "seed=3", f"store={tmp_path / 'b'}")
        assert whole == told("seeds=3", "seed=1", f"store={tmp_path / 'b'}"), "the same seeds are not counted twice"

    def test_it_tells_what_was_run(self) -> None:
        out = simlab("calibrate", "claim=RDPO-W", "seeds=3", "power_seeds=2", "simulations=0").out
        assert "| RDPO-W | 1" in out and "a false alarm on 0 of 3 seeds" in out and "told a rate of wrong labels" in out

    def test_the_budget_ends_it(self) -> None:
        outcome = simlab("calibrate", "claim=RDPO-W", "seeds=1000000", "simulations=0", "budget=0.5")
        assert "a false alarm on" in outcome.out and "1,000,000" not in outcome.out and outcome.status in (0, 1)

    def test_an_interruption_leaves_what_was_measured(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(self: object, seed: int) -> Trial:
            if seed == 3:
                raise KeyboardInterrupt
            return trial(self.claim, self.subjects, seed)  # type: ignore[attr-defined]

        monkeypatch.setattr(calibration.Measurement, "null", interrupted)
        outcome = simlab(*self.WORDS, "seeds=9", f"store={tmp_path}")
        assert outcome.status == 130 and "of 2 seeds" in outcome.out
        assert json.loads((tmp_path / "calibration.json").read_text())["seeds"] == [1, 2]

    @pytest.mark.parametrize(
        ("words", "key", "allowed"),
        [
            ("claim=EG-1", "claim=EG-1", "must be a claim that is a matter of chance: CDPO-3, "),
            ("claim=EG-99", "claim=EG-99", "must be an ID, a name, or a pattern of some claim"),
            ("seeds=-1", "seeds=-1", "must be an integer >= 0"),
            ("power_seeds=1.5", "power_seeds=1.5", "must be an integer >= 0"),
            ("brief=perhaps", "brief=perhaps", "must be true or false"),
            ("budget=0", "budget=0", "must be a finite number > 0"),
            ("instances=[nowhere]", "instances=nowhere", "must be the beginning of a standard instance's name"),
            ("instances=rps", "instances=rps", "must be a list of beginnings of names, or null"),
            ("claim=RDPO-W instances=[rps]", "instances=[rps]", "must be instances that the claim applies to"),
            ("sedes=1", "sedes=1", "(did you mean seeds?)"),
            ("-m seeds=1,2", "-m", "must be left out"),
        ],
    )
    def test_wrong_values_are_refused_in_one_line(self, words: str, key: str, allowed: str) -> None:
        outcome = simlab("calibrate", *words.split())
        assert outcome.status == 2 and outcome.out == ""
        assert outcome.err.startswith(f"simlab: {key}: ") and allowed in outcome.err and outcome.err.count("\n") == 1


class TestCoverage:
    def test_exact_intervals_cover(self) -> None:
        for name in ("slope, 5 points", "median, 20 seeds, lognormal"):
            assert SETTINGS[name].kept(SETTINGS[name].covered(2000, 1))

    def test_one_that_does_not_is_told(self) -> None:
        setting = SETTINGS["slope, 5 points"]
        wrong = replace(setting, truth=-0.3)
        assert not wrong.kept(wrong.covered(500, 1))
        measured = Measured(coverage={"slope, 5 points": Share(1900, 2000), "median, 6 seeds, lognormal": Share(1700, 2000)})
        assert measured.misses == ["median, 6 seeds, lognormal"]

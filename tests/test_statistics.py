"""Statistics of seeds: intervals cover what they say, tests are exact, and no lost run or second look goes uncounted."""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command import simlab
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from envs.invalid import Invalid
from simlab.collection import load
from simlab.intervals import RESAMPLES
from simlab.refusal import Refused
from simlab.statistics import Interval, compare, holm, interval, lost, paired, proportion, seeds_slope, slope, standard_error

SAMPLES = st.lists(st.integers(-50, 50), min_size=2, max_size=12).map(lambda values: np.array(values, dtype=float))
P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=4)
STATISTICS = pytest.mark.parametrize("statistic", [np.median, np.mean])


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def covered(found: Interval, truth: float) -> float:
    return float(np.mean((np.asarray(found.low) <= truth) & (truth <= np.asarray(found.high))))


def same(found: Interval, other: Interval, scale: float = 1.0, shift: float = 0.0) -> None:
    np.testing.assert_allclose(np.array(found), scale * np.array(other) + shift, rtol=1e-12, atol=1e-9)


class TestInterval:
    @STATISTICS
    @pytest.mark.parametrize("size", [7, 20])
    def test_it_is_scipys_bca(self, statistic: Any, size: int) -> None:
        values = np.sort(rng(1).lognormal(sigma=1.5, size=size))
        level = 1 - 2 * stats.norm.sf(np.sqrt(size / (size - 1)) * stats.t.ppf(0.975, size - 1))
        options = {"n_resamples": RESAMPLES, "method": "BCa", "rng": rng(5), "confidence_level": level}
        theirs = stats.bootstrap((values,), statistic, **options).confidence_interval
        same(interval(rng().permutation(values), statistic=statistic, seed=5), Interval(statistic(values), *theirs))

    @pytest.mark.parametrize("level", [0.95, 0.8])
    @pytest.mark.parametrize("size", [6, 7, 20, 51])
    def test_medians_are_covered_as_often_as_is_said(self, level: float, size: int) -> None:
        values = rng(1).lognormal(size=(size, 3000))
        assert abs(covered(interval(values, level=level), 1.0) - level) < 0.018

    @pytest.mark.parametrize(("size", "rank"), [(6, 1), (9, 2), (20, 6), (40, 14)])
    def test_a_median_at_the_level_of_two_ranks_has_them_as_ends(self, size: int, rank: int) -> None:
        values = rng().permutation(size) + 1.0
        exact = 1 - 2 * stats.binom.cdf(rank - 1, size, 0.5)
        same(interval(values, level=exact), Interval(np.median(values), rank, size + 1 - rank))
        narrower = interval(values, level=exact - 1e-3)
        assert rank < narrower.low < rank + 0.1 and narrower.low + narrower.high == pytest.approx(size + 1)

    def test_few_seeds_have_their_extremes(self) -> None:
        for size in (2, 3, 5):
            assert interval(np.arange(size)) == (np.median(np.arange(size)), 0, size - 1)

    def test_means_are_covered_as_often_as_is_said(self) -> None:
        assert 0.91 < covered(interval(rng(2).normal(size=(20, 1000)), statistic=np.mean), 0.0) < 0.97
        skew = interval(rng(3).lognormal(size=(50, 1000)), statistic=np.mean)
        above, below = np.mean(skew.low > np.exp(0.5)), np.mean(skew.high < np.exp(0.5))
        assert below < 8 * above, "the percentile interval errs to one side twenty times as often"

    @given(SAMPLES, st.sampled_from([np.median, np.mean]), st.randoms())
    def test_order_units_and_origin_do_not_matter(self, values: NDArray, statistic: Any, random: Any) -> None:
        found = interval(values, statistic=statistic)
        same(interval(random.sample(list(values), len(values)), statistic=statistic), found)
        same(interval(8 * values + 16, statistic=statistic), found, 8, 16)
        assert values.min() - 1e-9 <= found.low <= found.high <= values.max() + 1e-9
        wider = interval(values, statistic=statistic, level=0.99)
        assert wider.low <= found.low + 1e-9 and found.high <= wider.high + 1e-9

    @STATISTICS
    def test_a_column_is_what_it_is_alone(self, statistic: Any) -> None:
        values = rng().lognormal(size=(9, 2, 3))
        values[[0, 4], 1, 2] = np.nan
        found = interval(values, statistic=statistic, seed=3)
        assert found.low.shape == (2, 3)
        for i, j in np.ndindex(2, 3):
            assert interval(values[:, i, j], statistic=statistic, seed=3) == Interval(*(part[i, j] for part in found))

    def test_the_seed_decides_the_resamples(self) -> None:
        values = rng().normal(size=30)
        found = [interval(values, statistic=np.mean, seed=seed) for seed in (0, 1)]
        assert interval(values.copy(), statistic=np.mean) == found[0] and found[0].low != found[1].low
        assert abs(found[0].low - found[1].low) < 0.1 * (found[0].high - found[0].low)

    def test_equal_values_are_their_own_interval(self) -> None:
        assert interval([0.1] * 7) == (0.1, 0.1, 0.1)
        same(interval([0.1] * 7, statistic=np.mean), Interval(0.1, 0.1, 0.1))
        found = interval([0.0, 1.0, 1.0, 1.0, 1.0])
        assert found.estimate == found.high == 1 and found.low == 0, "all samples but one have the same median; it does vary"

    def test_a_studentised_mean_is_scaled_by_its_error(self) -> None:
        values = rng(4).lognormal(size=25)
        found = interval(values, statistic=np.mean, error=standard_error, level=0.9, seed=7)
        resamples = np.sort(values)[np.random.default_rng(7).integers(25, size=(RESAMPLES, 25))]
        ratios = np.sort((resamples.mean(axis=1) - values.mean()) / stats.sem(resamples, axis=1))
        at = np.array([0.95, 0.05]) * RESAMPLES
        low, high = values.mean() - stats.sem(values) * ratios[np.ceil(at - 1e-9).astype(int) - 1]
        same(found, Interval(values.mean(), low, high))
        assert found.high - found.estimate > 1.2 * (found.estimate - found.low), "skewed as its seeds are"
        same(interval(rng(5).permutation(8 * values + 16), statistic=np.mean, error=standard_error, level=0.9, seed=7), found, 8, 16)
        same(interval([0.1] * 7, statistic=np.mean, error=standard_error), Interval(0.1, 0.1, 0.1))
        lost = interval([1.0, 2.0, np.nan], statistic=np.mean, error=standard_error)
        assert (lost.estimate, lost.high) == (np.inf, np.inf)

    def test_a_median_takes_no_error(self) -> None:
        with pytest.raises(Invalid, match=r"^error=.*: must be None for a median"):
            interval([1.0, 2.0], error=standard_error)

    def test_one_seed_says_nothing_of_others(self) -> None:
        found = interval([[3.0, 4.0]])
        assert list(found.estimate) == [3, 4] and np.isnan(found.low).all() and np.isnan(found.high).all()

    def test_lost_seeds_count_as_the_worst(self) -> None:
        values = np.arange(10.0)
        whole, some = interval(values), interval(np.where(values > 6, np.nan, values))
        assert some.estimate == whole.estimate and some.low == whole.low and np.isinf(some.high)
        most = interval(np.where(values > 1, np.nan, values))
        assert most.estimate == most.high == np.inf
        assert interval(np.where(values < 3, np.nan, values), lost=-np.inf).low == -np.inf
        assert interval([np.nan] * 4) == (np.inf, np.inf, np.inf)
        mean = interval(np.where(values > 8, np.nan, values), statistic=np.mean)
        assert mean.estimate == mean.high == np.inf and mean.low < np.inf

    @pytest.mark.parametrize(("values", "level"), [([], 0.95), (3.0, 0.95), ([1.0, 2.0], 0.0), ([1.0, 2.0], 1.0)])
    def test_nonsense_is_refused(self, values: Any, level: float) -> None:
        with pytest.raises(Invalid):
            interval(values, level=level)


class TestProportion:
    @pytest.mark.parametrize("level", [0.9, 0.99])
    def test_every_share_is_covered_at_least_as_often_as_is_said(self, level: float) -> None:
        trials = 20
        found = [proportion(successes, trials, level=level) for successes in range(trials + 1)]
        chances = np.array([stats.binom.pmf(np.arange(trials + 1), trials, share) for share in np.linspace(0, 1, 201)])
        covers = np.array([[each.low <= share <= each.high for each in found] for share in np.linspace(0, 1, 201)])
        coverage = (chances * covers).sum(axis=1)
        assert coverage.min() >= level - 1e-12 and coverage[50:151].max() < level + 0.09

    def test_its_ends_are_quantiles_of_the_beta_distribution(self) -> None:
        found = proportion(3, 17, level=0.9)
        expected = stats.beta.ppf(0.05, 3, 15), stats.beta.ppf(0.95, 4, 14)
        np.testing.assert_allclose(found, (3 / 17, *expected), rtol=1e-9)
        assert proportion(0, 5).low == 0 and proportion(5, 5).high == 1

    @pytest.mark.parametrize(("successes", "trials"), [(0, 0), (-1, 3), (4, 3)])
    def test_nonsense_is_refused(self, successes: int, trials: int) -> None:
        with pytest.raises(Invalid):
            proportion(successes, trials)


SIZES = np.array([100, 300, 1000, 3000, 10000])


class TestSlope:
    def test_a_power_law_has_its_exponent(self) -> None:
        same(slope(SIZES, 3 / np.sqrt(SIZES)), Interval(-0.5, -0.5, -0.5))
        same(seeds_slope(SIZES, np.outer([2.0, 3.0, 7.0], SIZES**-0.5)), Interval(-0.5, -0.5, -0.5))

    def test_it_is_scipys(self) -> None:
        y = rng().lognormal(size=5)
        theirs = stats.linregress(np.log(SIZES), np.log(y))
        width = stats.t.ppf(0.95, 3) * theirs.stderr
        same(slope(SIZES, y, level=0.9), Interval(theirs.slope, theirs.slope - width, theirs.slope + width))

    def test_points_cover_the_slope(self) -> None:
        noise = rng(1).lognormal(sigma=0.3, size=(1000, 5))
        hits = sum(covered(slope(SIZES, each / np.sqrt(SIZES), level=0.8), -0.5) for each in noise)
        assert 0.001 < stats.binom.cdf(hits, 1000, 0.8) < 0.999

    def test_two_points_have_no_interval(self) -> None:
        found = slope([1, 10], [1, 0.1])
        assert found.estimate == pytest.approx(-1) and np.isnan(found.low) and np.isnan(found.high)

    @pytest.mark.parametrize("shared", [0.0, 2.0])
    def test_seeds_cover_the_slope_whatever_their_sizes_share(self, shared: float) -> None:
        generator, hits = rng(2), 0.0
        for _ in range(200):
            luck = shared * generator.normal(size=(25, 1)) + generator.normal(size=(25, 5)) * [0.5, 0.4, 0.3, 0.2, 0.1]
            hits += covered(seeds_slope(SIZES, np.exp(luck) / np.sqrt(SIZES), statistic=geometric_mean), -0.5)
        assert 0.87 < hits / 200 < 0.98

    @pytest.mark.slow
    def test_seeds_cover_the_slope_of_medians(self) -> None:
        luck = rng(3).lognormal(sigma=0.5, size=(200, 25, 5))
        hits = sum(covered(seeds_slope(SIZES, each / np.sqrt(SIZES)), -0.5) for each in luck)
        assert hits / 200 > 0.87

    @given(st.permutations(range(6)), st.sampled_from([0.25, 8.0]))
    def test_order_and_units_do_not_matter(self, order: list[int], unit: float) -> None:
        values = rng(4).lognormal(size=(6, 5))
        found = seeds_slope(SIZES, values)
        assert np.isfinite(found).all() and found.low < found.estimate < found.high
        same(seeds_slope(unit * SIZES, unit * values[order]), found)

    def test_lost_seeds_are_not_left_out(self) -> None:
        values = rng(5).lognormal(sigma=0.1, size=(20, 5)) / np.sqrt(SIZES)
        values[0, 0] = np.nan
        luckier = np.where(np.isnan(values), 1e9, values)
        assert seeds_slope(SIZES, values).estimate == seeds_slope(SIZES, luckier).estimate
        values[:11, 0] = np.nan
        assert np.isnan(seeds_slope(SIZES, values)).all()

    @pytest.mark.parametrize(
        ("x", "y"), [([1], [1]), ([2, 2], [1, 1]), ([0, 1], [1, 1]), ([1, 2], [1, -1]), ([1, 2], [1, 2, 3]), ([1, 2], [1, np.nan])]
    )
    def test_nonsense_is_refused(self, x: list[float], y: list[float]) -> None:
        with pytest.raises(Invalid):
            slope(x, y)
        if not np.isnan(y).any():
            with pytest.raises(Invalid):
                seeds_slope(x, [y, y])


def geometric_mean(values: NDArray, axis: int) -> NDArray:
    return np.exp(np.log(values).mean(axis=axis))


def by_enumeration(differences: NDArray) -> float:
    """Share of all sign flips whose signed-rank sum is as far from 0 as the one that was seen."""
    moved = differences[differences != 0]
    ranks = stats.rankdata(np.abs(moved))
    sums = np.array([np.dot(signs, ranks) for signs in product((-1, 1), repeat=len(moved))])
    return float(np.mean(np.abs(sums) >= abs(np.dot(np.sign(moved), ranks))))


class TestPaired:
    @given(st.lists(st.integers(-4, 5), min_size=1, max_size=10))
    def test_p_is_that_of_all_sign_flips(self, differences: list[int]) -> None:
        array = np.array(differences, dtype=float)
        assert paired(array, np.zeros(len(array))).p == pytest.approx(by_enumeration(array), rel=1e-12)

    @pytest.mark.parametrize("size", [30, 120])
    def test_p_is_wilcoxons(self, size: int) -> None:
        a, b = rng(size).normal(0.2, size=size), rng(size + 1).normal(size=size)
        assert paired(a, b).p == pytest.approx(stats.wilcoxon(a, b, method="exact").pvalue, rel=1e-9)

    @given(SAMPLES, st.integers(0, 1000))
    def test_the_other_way_round(self, a: NDArray, seed: int) -> None:
        b = a + rng(seed).integers(-3, 4, size=len(a))
        there, back = paired(a, b), paired(b, a)
        assert (there.p, there.sign, there.wins, there.ties, there.losses) == (back.p, -back.sign, back.losses, back.ties, back.wins)
        same(Interval(back.difference.estimate, back.difference.high, back.difference.low), there.difference, -1)
        assert there.wins + there.ties + there.losses == len(a) and there.wins == (a < b).sum()
        assert there.sign or there.p == 1, "a finding has a direction"

    def test_seeds_that_differ_much_hide_no_method_that_differs_little(self) -> None:
        luck = rng().normal(scale=10, size=20)
        found = paired(luck + rng(1).normal(1, 0.5, size=20), luck, better="higher")
        assert found.p < 1e-4 and found.sign == 1 and 0.5 < found.difference.low < found.difference.high < 1.5
        assert stats.mannwhitneyu(luck + 1, luck).pvalue > 0.5

    def test_where_nothing_differs_findings_are_as_rare_as_is_said(self) -> None:
        luck = rng(6).exponential(size=(1000, 2, 9))
        assert stats.binom.cdf(sum(paired(*pair).p <= 0.05 for pair in luck) - 1, 1000, 0.05) < 0.999

    def test_lost_seeds_lose_and_rank_highest(self) -> None:
        a, b = np.array([1.0, 2, 3, np.nan, np.nan, np.inf]), np.array([2.0, 3, 4, 0, np.nan, np.inf])
        found = paired(a, b)
        assert (found.wins, found.ties, found.losses) == (3, 2, 1)
        assert found.p == by_enumeration(np.array([-1.0, -1, -1, 9]))
        higher = paired(a[:5], b[:5], better="higher")
        assert (higher.wins, higher.ties, higher.losses) == (0, 1, 4)
        assert np.isinf(paired([np.nan] * 9, range(9)).difference).all()
        assert np.isnan(paired([np.nan, 0], [0, np.nan]).difference.estimate) and paired([np.nan, 0], [0, np.nan]).p == 1

    def test_what_is_negligible_is_a_tie(self) -> None:
        a, b = np.arange(8.0), np.arange(8.0) + 1e-15
        assert paired(a, b).losses == 0 and paired(a, b).wins > 0
        assert paired(a, b, negligible=1e-12)[1:] == (1, 0, 0, 8, 0)

    def test_unequal_seeds_are_refused(self) -> None:
        with pytest.raises(Invalid):
            paired([1, 2, 3], [1, 2])
        a = pd.Series([1.0, 2.0], index=[0, 1])
        with pytest.raises(Invalid):
            paired(a, pd.Series([1.0, 2.0], index=[1, 2]))
        assert paired(a, a).p == 1
        for wrong in ({"better": "lowest"}, {"negligible": -1.0}, {"level": 2.0}):
            with pytest.raises(Invalid):
                paired([1, 2], [3, 4], **wrong)


class TestHolm:
    @given(P_VALUES)
    def test_it_is_the_closure_of_bonferroni(self, p: list[float]) -> None:
        """A hypothesis falls when every intersection that it is in falls, by Bonferroni's test of the smallest."""
        every = [subset for size in range(1, len(p) + 1) for subset in combinations(range(len(p)), size)]
        expected = [max(min(1, len(subset) * min(p[j] for j in subset)) for subset in every if i in subset) for i in range(len(p))]
        np.testing.assert_allclose(holm(p), expected, rtol=1e-12)

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.randoms())
    def test_order_does_not_matter_and_is_kept(self, p: list[float], random: Any) -> None:
        adjusted, order = holm(p), random.sample(range(len(p)), len(p))
        np.testing.assert_array_equal(holm(np.array(p)[order]), adjusted[order])
        assert (np.diff(adjusted[np.argsort(p)]) >= 0).all() and (adjusted >= p).all() and adjusted.max() <= 1

    def test_by_hand(self) -> None:
        np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
        np.testing.assert_allclose(holm([0.02, np.nan, 0.01]), [0.02, np.nan, 0.02])
        assert holm([]).shape == (0,) and np.isnan(holm([np.nan])).all()
        with pytest.raises(Invalid):
            holm([0.5, 1.5])


def table(**methods: NDArray) -> pd.DataFrame:
    """Two records of methods on 8 seeds in two cells, in the second of which the last results are twice as large."""
    rows = [
        {"run": f"{name}-{noise}", "feedback.flip": noise, "algorithm": name, "seed": seed, "context": 0, "step": step,
         "exploitability": value * (1 + (noise > 0)) if step else 200 - value, "status": "ok"}
        for noise in (0.0, 0.1) for name, values in methods.items() for seed, value in enumerate(values) for step in (0, 100)
    ]  # fmt: skip
    return pd.DataFrame(rows)


LUCK = np.array([1.0, 2, 4, 8, 16, 32, 64, 128])
TABLE = table(egpo=LUCK, sppo=LUCK + 1 + LUCK / 9, dpo=LUCK[::-1])


def one(compared: pd.DataFrame, **where: Any) -> pd.Series:
    (row,) = (row for _, row in compared.iterrows() if all(row[key] == value for key, value in where.items()))
    return row


class TestCompare:
    def test_every_pair_in_every_cell_on_the_last_record(self) -> None:
        compared = compare(TABLE, "exploitability")
        assert len(compared) == 6 and set(compared["feedback.flip"]) == {0.0, 0.1}
        for noise, row in compared.set_index("feedback.flip").iterrows():
            last = TABLE[(TABLE.step == 100) & (TABLE["feedback.flip"] == noise)].pivot(index="seed", columns="algorithm")["exploitability"]
            expected = paired(last[row["first"]], last[row["second"]])
            assert tuple(row[["difference", "low", "high"]]) == expected.difference
            assert tuple(row[["p", "wins", "ties", "losses"]]) == (expected.p, expected.wins, expected.ties, expected.losses)
            assert (row.seeds, row.unmatched) == (8, 0)
        np.testing.assert_array_equal(compared.adjusted, holm(compared.p))

    def test_verdicts_stand_the_whole_table(self) -> None:
        compared = compare(TABLE, "exploitability")
        found = one(compared, first="egpo", second="sppo", **{"feedback.flip": 0.1})
        assert found.p == 2 / 2**8 and found.adjusted == 6 * found.p and found.verdict == "egpo lower"
        assert one(compared, first="dpo", second="egpo", **{"feedback.flip": 0.0}).verdict == "tie"
        assert set(compare(TABLE, "exploitability", level=0.98).verdict) == {"tie"}, "0.008 alone, 0.047 among six"
        alone = compare(TABLE[TABLE.algorithm != "dpo"], "exploitability", better="higher")
        assert set(alone.verdict) == {"sppo higher"} and set(alone.losses) == {8}
        assert set(compare(TABLE[TABLE.algorithm != "dpo"], "exploitability", negligible=100).verdict) == {"tie"}

    def test_seeds_are_matched_by_their_number(self) -> None:
        shuffled = TABLE.sample(frac=1, random_state=1)
        pd.testing.assert_frame_equal(compare(shuffled, "exploitability"), compare(TABLE, "exploitability"))
        fewer = compare(TABLE[(TABLE.algorithm != "sppo") | (TABLE.seed < 5)], "exploitability")
        row = one(fewer, first="egpo", second="sppo", **{"feedback.flip": 0.0})
        assert (row.seeds, row.unmatched, row.wins) == (5, 3, 5) and row.verdict == "tie"

    @pytest.mark.parametrize(("better", "leader"), [("lower", "dpo lower"), ("higher", "dpo higher")])
    def test_lost_runs_lose(self, better: str, leader: str) -> None:
        frame = TABLE[TABLE.algorithm != "sppo"].copy()
        frame.loc[frame.algorithm == "egpo", "status"] = "diverged"
        frame.loc[(frame.algorithm == "egpo") & (frame.seed < 3), ["status", "exploitability"]] = ["nonfinite", np.nan]
        compared = compare(frame, "exploitability", better=better)
        assert set(compared["first"]) == {"dpo"} and set(compared.verdict) == {leader}
        assert set(compared.wins) == {8} and np.isinf(compared.difference).all()

    def test_which_runs_are_lost(self) -> None:
        status = ["ok", "nonfinite", "diverged", "no minimiser", "not converged"]
        frame = pd.DataFrame({"status": status})
        assert list(lost(frame, "kl_to_equilibrium")) == [False, True, True, True, True]
        assert list(lost(frame, "average_duality_gap")) == [False, True, False, True, True], "the average of a cycling run may converge"

    def test_a_method_without_the_measure_is_not_lost(self) -> None:
        frame = TABLE.assign(average_exploitability=TABLE.exploitability.where(TABLE.algorithm != "dpo"))
        compared = compare(frame, "average_exploitability")
        assert set(zip(compared["first"], compared["second"], strict=True)) == {("egpo", "sppo")}

    def test_contexts_of_a_seed_are_one_observation(self) -> None:
        doubled = pd.concat([TABLE.assign(context=context, exploitability=TABLE.exploitability + context) for context in (0, 2)])
        pd.testing.assert_frame_equal(compare(doubled, "exploitability"), compare(TABLE, "exploitability"))

    def test_forms_of_a_method(self) -> None:
        frame = pd.concat([TABLE.assign(**{"algorithm.rate": rate}) for rate in (0.1, 0.2)])
        with pytest.raises(Refused, match=r"algorithm\.rate"):
            compare(frame, "exploitability")
        compared = compare(frame, "exploitability", by=["algorithm", "algorithm.rate"])
        assert len(compared) == 2 * 15 and "egpo, algorithm.rate=0.2" in set(compared["second"])
        own = TABLE.assign(**{"algorithm.rate": np.where(TABLE.algorithm == "egpo", 0.1, np.nan)})
        pd.testing.assert_frame_equal(compare(own, "exploitability"), compare(TABLE, "exploitability"))

    def test_a_seed_that_was_run_twice_counts_once(self) -> None:
        again = pd.concat([TABLE.assign(seeds=8), TABLE[TABLE.seed < 4].assign(seeds=4)]).drop(columns="run")
        again["cell"] = np.where(again.algorithm == "egpo", 7, 5)
        again = again[["seeds", "cell", *again.columns.drop(["seeds", "cell"])]]
        pd.testing.assert_frame_equal(compare(again, "exploitability"), compare(TABLE, "exploitability"))

    def test_one_seed_is_not_tested(self) -> None:
        compared = compare(TABLE[TABLE.seed == 0], "exploitability")
        assert one(compared, first="egpo", second="sppo", **{"feedback.flip": 0.1}).verdict == "egpo lower, one seed"
        assert compared.p.isna().all() and compared.adjusted.isna().all()

    def test_cells_can_be_named(self) -> None:
        frame = TABLE.rename(columns={"feedback.flip": "noise"})[["seed", "noise", "algorithm", "step", "exploitability", "status"]]
        named = compare(frame, "exploitability", within=["noise"]).rename(columns={"noise": "feedback.flip"})
        pd.testing.assert_frame_equal(named, compare(TABLE, "exploitability"))
        assert len(compare(TABLE, "exploitability", by="feedback.flip")) == 3

    def test_refusals_are_one_line(self) -> None:
        only = TABLE[TABLE.algorithm == "egpo"]
        bare = TABLE.drop(columns="status")
        for frame, measure in ((TABLE, "accuracy"), (TABLE, "run"), (only, "exploitability"), (bare, "exploitability")):
            with pytest.raises(Refused) as refused:
                compare(frame, measure)
            assert "\n" not in str(refused.value)
        with pytest.raises(Invalid):
            compare(TABLE, "exploitability", better="lowest")


@pytest.mark.slow
def test_real_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = ("env.flip=0.2", "env.n=300,3000", "env.d=4", "seeds=12", "store=kept")
    assert simlab("run", "-m", "env=pairs", "algorithm=dpo,rdpo", *sweep).status == 0
    frame = load("kept")
    compared = compare(frame, "estimation_error")
    large = one(compared, **{"env.n": 3000})
    assert len(compared) == 2 and large.verdict == "rdpo lower" and large.losses == 12
    last = frame[(frame["env.n"] == 3000)].pivot(index="seed", columns="algorithm", values="estimation_error")
    assert large.p == pytest.approx(stats.wilcoxon(last.dpo, last.rdpo, method="exact").pvalue)

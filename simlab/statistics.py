"""Statistics of seeds: `interval`, `proportion` and slopes, and comparisons of methods on common random numbers.

A run that was lost (no number, or a status that says so) is never left out: it is worse than every other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs.invalid import require
from simlab.intervals import Interval, interval, proportion, seeds_slope, slope, standard_error
from simlab.refusal import Refused

if TYPE_CHECKING:
    from pandas import DataFrame, Series

__all__ = ["Interval", "Paired", "compare", "holm", "interval", "lost", "paired", "proportion", "seeds_slope", "slope", "standard_error"]

LOST = {"lower": np.inf, "higher": -np.inf}
"""What a lost seed counts as, by which values are better."""

DISTANCES = ("exploitability", "duality_gap", "kl_to_equilibrium")
"""Measures of what the status `diverged` speaks of: how far the policy is from the equilibrium at the game's beta."""

REPEATED = ("prototypes", "users", "comparisons")
"""Columns that, beside the settings, tell apart the rows of one seed of a learner."""


NO_CELLS = ("run", "cell", "seeds", "record", "measure")
"""Columns that tell runs apart and leave a seed's last numbers as they are."""


class Paired(NamedTuple):
    """How the results a and b of two methods on the same seeds differ.

    Attributes
    ----------
    difference : of a - b, the median (or what was asked for) with its interval
    p : of the signed-rank test, in (0, 1]
    sign : -1 where the signed ranks speak for a being lower, 1 for higher, 0 for neither
    wins, ties, losses : seeds on which a is better, the same, worse
    """

    difference: Interval
    p: float
    sign: int
    wins: int
    ties: int
    losses: int


def paired(
    a: ArrayLike,
    b: ArrayLike,
    *,
    better: str = "lower",
    negligible: float = 0.0,
    level: float = 0.95,
    statistic: Callable[..., Any] | None = None,
    seed: int = 0,
) -> Paired:
    """Two methods on the same seeds: the difference a - b, and a test of whether it is one of method or of chance.

    The test is Wilcoxon's signed-rank test, two-sided, against all sign flips of the differences: exact for any number of seeds, with
    ties too (seeds without a difference are left out of the ranks, not out of the figures). Its hypothesis: within a seed the two
    results could as well be exchanged, so that differences are symmetric about 0. Ranks bear lost seeds, which make an infinite
    difference, or none if both are lost. With n differences p is at least 2 / 2^n: five seeds never give 0.05.

    Parameters
    ----------
    a, b : (S,) arrays, entry s of both of the same seed
        If both are pandas Series, their indexes are the seeds and must be equal.
    better : "lower" or "higher"
        Which of two values wins; a lost seed (nan) is the worst there is.
    negligible : float, at least 0
        Differences up to this size are ties: that of rounding, say.
    level, statistic, seed : as of `interval`
        It is nan where as many seeds are lost on one side as on the other and nothing lies between.

    Raises
    ------
    Invalid
        For unequal seeds, or an unknown value of `better`.
    """
    require(better in LOST, "better", better, f"among {', '.join(LOST)}")
    require(negligible >= 0, "negligible", negligible, "a number >= 0")
    difference = _differences(a, b, LOST[better])
    compared = np.where(np.abs(difference) <= negligible, 0.0, difference)
    p, sign = _signed_ranks(compared)
    below, above = int((compared < 0).sum()), int((compared > 0).sum())
    wins, losses = (below, above) if better == "lower" else (above, below)
    with np.errstate(invalid="ignore"):
        found = interval(difference, level=level, statistic=statistic, seed=seed)
    return Paired(found, p, sign, wins, len(compared) - wins - losses, losses)


def holm(p_values: ArrayLike) -> NDArray:
    """P-values adjusted for all others by Holm's step-down procedure (Scand. J. Statist. 6, 1979), never above 1.

    Those at most alpha may be called findings with a chance of at most alpha that one of them is false, however they depend on
    each other. nan is a hypothesis that was not tested: it stays, and does not count.
    """
    p = np.asarray(p_values, dtype=float)
    require(p.ndim == 1 and np.all(np.isnan(p) | ((p >= 0) & (p <= 1))), "p_values", p_values, "a list of numbers in [0, 1], or nan")
    order = np.argsort(p, kind="stable")[: int((~np.isnan(p)).sum())]
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return adjusted


def lost(frame: DataFrame, measure: str) -> Series:
    """Which rows of a table of runs count as lost: their status is neither ok nor diverged, or it is diverged and the measure is one of
    DISTANCES. Diverged runs keep their other figures: that of a method's average, or in the original game, may well be good.
    """
    status = frame["status"]
    return ~status.isin(("ok", "diverged")) | ((status == "diverged") & (measure in DISTANCES))


def compare(
    frame: DataFrame,
    measure: str,
    *,
    by: str | Sequence[str] = "algorithm",
    within: Sequence[str] | None = None,
    better: str = "lower",
    negligible: float = 0.0,
    level: float = 0.95,
    seed: int = 0,
) -> DataFrame:
    """Every pair of methods in every cell, on their common seeds at the last recorded iteration, whatever it has cost them.

    A cell is one value of all settings but the method's own (`algorithm.rate`). The contexts of a seed are averaged, since they
    are not independent. Lost runs (see `lost`) stay, as the worst there is. A method that does not have the measure in a cell (null
    in a run that ended ok) is not compared there.

    Parameters
    ----------
    frame : a row for each seed, context and recorded iteration, as `simlab.load` gives
    measure : a column of numbers
    by : the columns that tell methods apart; ["algorithm", "algorithm.rate"], say, where a method ran in several forms
    within : the columns that tell cells apart; None takes the settings: columns before `seed` or with a dot in their name
    better, negligible, level, seed : as of `paired`

    Returns
    -------
    DataFrame
        A row a cell and pair: the cell's settings, first, second, seeds (in common), unmatched (of one method only), difference (the
        median of first - second), low, high, wins, ties, losses (of the first), p, adjusted (Holm's, over the whole table), and
        verdict: "egpo lower" (or higher) where adjusted <= 1 - level. "tie" means not told apart, as n seeds cannot among m or more
        pairs if m 2 / 2^n > 1 - level. One seed is not tested: "egpo lower, one seed".

    Raises
    ------
    Refused
        For a column that is missing or holds no numbers, several results of one method, seed and context in a cell, or no two
        methods with a seed in common.
    """
    import pandas as pd

    require(better in LOST, "better", better, f"among {', '.join(LOST)}")
    names = [by] if isinstance(by, str) else list(by)
    for name in (*names, *(within or ()), "seed", "status", measure):
        if name not in frame:
            raise Refused(f"compare: the table has no column {name} (its columns: {', '.join(map(str, frame.columns))})")
    if not pd.api.types.is_numeric_dtype(frame[measure]):
        raise Refused(f"compare: the column {measure} must hold numbers")
    cells = _settings(frame, names) if within is None else list(within)
    options: dict[str, Any] = {"better": better, "negligible": negligible, "level": level, "seed": seed}
    found = list(_pairs(_prepared(frame, measure, cells, names, better), cells, options))
    if not found:
        raise Refused(f"compare: no two values of {', '.join(names)} have {measure} on a common seed")
    for (row, sign), adjusted in zip(found, holm([row["p"] for row, _ in found]), strict=True):
        row |= {"adjusted": adjusted, "verdict": _verdict(row, sign, adjusted <= 1 - level, better)}
    return pd.DataFrame([row for row, _ in found])


def _differences(a: ArrayLike, b: ArrayLike, lost: float) -> NDArray:
    """a - b, 0 where both are lost."""
    from pandas import Series

    if isinstance(a, Series) and isinstance(b, Series):
        require(a.index.equals(b.index), "b", list(b.index), "of the same seeds as a, in the same order")
    left, right = (np.asarray(each, dtype=float) for each in (a, b))
    require(left.ndim == 1 and left.size, "a", left.shape, "a list of one result a seed")
    require(left.shape == right.shape, "b", right.shape, f"of the same seeds as a, {left.shape}")
    left, right = (np.where(np.isnan(each), lost, each) for each in (left, right))
    return np.subtract(left, right, out=np.zeros(left.shape), where=left != right)


def _signed_ranks(differences: NDArray) -> tuple[float, int]:
    """Two-sided p of the signed-rank sum, and which sign has more of it; ranks count twice, since those of ties end in a half."""
    from scipy.stats import rankdata

    moved = differences[differences != 0]
    ranks = np.rint(2 * rankdata(np.abs(moved))).astype(int)
    chance = np.ones(1)
    for rank in ranks:
        chance = (np.pad(chance, (0, rank)) + np.pad(chance, (rank, 0))) / 2
    positive = int(ranks[moved > 0].sum())
    tail = min(chance[: positive + 1].sum(), chance[positive:].sum())
    return min(1.0, 2 * float(tail)), int(np.sign(2 * positive - ranks.sum()))


def _settings(frame: DataFrame, names: Sequence[str]) -> list[str]:
    """The columns that tell cells apart: the settings but the methods' own, and what repeats within a seed."""
    columns = list(frame.columns)
    before = columns[: columns.index("seed")]
    settings = [name for name in columns if name in before or "." in name or name in REPEATED]
    own = tuple(f"{name}." for name in names)
    return [name for name in settings if name not in (*NO_CELLS, *names) and not name.startswith(own)]


def _prepared(frame: DataFrame, measure: str, cells: Sequence[str], names: Sequence[str], better: str) -> DataFrame:
    """The last record of each seed and context with its `method` and its `value`, those without a value left out."""
    frame = frame.reset_index(drop=True)
    one = frame[list(names)].astype(str)
    method = one[names[0]].str.cat([f"{name}=" + one[name] for name in names[1:]], sep=", ")
    rows = frame.assign(method=method, value=frame[measure].astype(float).mask(lost(frame, measure), LOST[better]))
    groups = [*cells, "method"]
    if "step" in rows:
        last = rows.groupby(groups, dropna=False)["step"].transform("max")
        rows = rows[rows["step"].isna() | (rows["step"] == last)]
    keys = [*groups, "seed", *(["context"] if "context" in rows else [])]
    forms = [name for name in frame.columns if name.startswith(tuple(f"{name}." for name in names))]
    rows = rows.drop_duplicates([*keys, *forms, "value"])
    if rows.duplicated(keys).any():
        hint = f" ({', '.join(forms)}?)" if forms else ""
        raise Refused(f"compare: a method has several results a seed in one cell: name what tells them apart in by or within{hint}")
    unmeasured = rows["value"].isna().groupby([rows[name] for name in groups], dropna=False).transform("any")
    return rows[~unmeasured]


def _pairs(rows: DataFrame, cells: list[str], options: dict[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
    """A row for each cell and pair of methods, still without what depends on the other rows, and its sign."""
    for cell, of_cell in rows.groupby(cells, dropna=False) if cells else [((), rows)]:
        table = of_cell.groupby(["seed", "method"])["value"].mean().unstack("method")
        for first, second in combinations(table.columns, 2):
            either = table[[first, second]].dropna(how="all")
            both = either.dropna()
            if len(both):
                result = paired(both[first], both[second], **options)
                about = {"first": first, "second": second, "seeds": len(both), "unmatched": len(either) - len(both)}
                yield dict(zip(cells, cell, strict=True)) | about | _figures(result, len(both)), result.sign


def _figures(result: Paired, seeds: int) -> dict[str, Any]:
    difference = dict(zip(("difference", "low", "high"), result.difference, strict=True))
    counts = {"wins": result.wins, "ties": result.ties, "losses": result.losses}
    return difference | counts | {"p": result.p if seeds > 1 else np.nan}


def _verdict(row: dict[str, Any], sign: int, found: bool, better: str) -> str:
    """The better method and how, or a tie."""
    leader = row["first" if (sign < 0) == (better == "lower") else "second"]
    if row["seeds"] == 1 and sign:
        return f"{leader} {better}, one seed"
    return f"{leader} {better}" if found and sign else "tie"

"""Seeds at their last record, cell by cell of some settings: what maps and curves over settings are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from simlab.figures.rows import require_columns, require_one_setting, settings
from simlab.refusal import Refused
from simlab.statistics import lost

if TYPE_CHECKING:
    from pandas import DataFrame, Series

INSTANCE = ("config.seed", "seed", "context")
"""What tells the trajectories of one method in one cell apart."""

WORDS = {
    "env.intransitivity": "intransitivity",
    "feedback.flip": "flip rate ε",
    "env.flip": "flip rate ε",
    "env.n": "comparisons n",
    "env.samples": "answers of a seen user",
    "algorithm.prototypes": "prototypes",
    "beta": "β",
    "exploitability": "exploitability at β",
    "original_exploitability": "exploitability at β = 0",
    "duality_gap": "duality gap at β",
    "original_duality_gap": "duality gap at β = 0",
    "kl_to_equilibrium": "KL(p* | p)",
    "estimation_error": r"error $\|\theta-\theta^*\|_H$",
    "regularised_gap": "J(p*) − J(p)",
}
"""What axes call a column; others go by their name."""


def of_seeds(frame: DataFrame, measure: str, cell: Sequence[str]) -> DataFrame:
    """A row a seed of each method in each cell: the measure at its last record, mean over contexts, as `value`, inf if it is lost.

    `lost` holds the status of a seed that is lost (`simlab.statistics.lost`), "" otherwise.

    Raises
    ------
    Refused
        For a column that is not there or, of a setting, not filled; for a setting besides the cell's that varies (one of the
        method's own may differ between methods); for a seed that is there twice; for a measure that was not taken.
    """
    ways = {"algorithm": "-m algorithm=egpo,nash_md", "seed": "every run", "status": "every run", measure: f"measure=[{measure}]"}
    require_columns(frame, ways | {key: f"-m {key}=..., several values" for key in cell})
    rows = _last(frame)
    for key in cell:
        _require_filled(rows, key, rows[key].isna())
    require_one_setting(rows, ("algorithm", *cell))
    require_one_setting(rows[[key for key in rows if key in cell or not key.startswith(("algorithm.", "seeds"))]], cell)
    instance = ["algorithm", *cell, *(key for key in INSTANCE if key in rows)]
    if (twice := rows.duplicated(instance)).any():
        which = ", ".join(f"{key}={value}" for key, value in rows.loc[twice, instance].iloc[0].items())
        raise Refused(f"{which}: must be in one run, and is in several; choose the rows of one")
    gone = lost(rows, measure)
    _require_filled(rows, measure, rows[measure].isna() & ~gone)
    rows = rows.assign(value=rows[measure].astype(float).mask(gone, np.inf), lost=rows["status"].where(gone, ""))
    seeds = rows.groupby([key for key in instance if key != "context"], sort=False)
    return seeds.agg(value=("value", "mean"), lost=("lost", "max")).reset_index()


def across(rows: DataFrame, by: str | Sequence[str]) -> DataFrame:
    """Values of `of_seeds` as a table: a row a seed, a column a value of `by`; nan where there is none."""
    return rows.pivot(index=[key for key in INSTANCE if key in rows], columns=by, values="value")


def failures(rows: DataFrame) -> str:
    """The statuses of lost seeds, for a legend."""
    return " or ".join(sorted({*rows["lost"]} - {""}))


def _require_filled(rows: DataFrame, key: str, empty: Series) -> None:
    if empty.any():
        raise Refused(f"{key}: must have a value in every row; {empty.sum()} of {len(rows)} have none")


def _last(frame: DataFrame) -> DataFrame:
    if "step" not in frame:
        return frame
    instance = [key for key in dict.fromkeys(("run", "algorithm", *settings(frame), *INSTANCE)) if key in frame]
    return frame.sort_values("step", kind="stable").drop_duplicates(instance, keep="last").sort_index()

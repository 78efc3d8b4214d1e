"""Trajectories of a measure as points to draw: each seed, where it ended, the median over seeds with its band, and theory beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from simlab.figures.curve import Curve
from simlab.figures.rows import INSTANCE, methods, quantile

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = ("panel", "kind", "algorithm", "label", *INSTANCE, "x", "value", "low", "high")

BAND = (0.025, 0.975)
"""Quantiles over seeds."""


def trajectories(frame: DataFrame, measure: str, x: str, by: str | None, theory: Sequence[Curve], floor: float) -> DataFrame:
    """A row a point: `kind` seed, end, median (with its band) or theory; `value` as it was measured, `shown` as it is drawn."""
    from pandas import DataFrame

    points: list[dict[str, Any]] = []
    panels = sorted(frame[by].unique()) if by else [None]
    for panel in panels:
        part = frame if by is None else frame[frame[by] == panel]
        name = float(panel) if isinstance(panel, int | float | np.number) else "" if panel is None else panel
        for algorithm in methods(part):
            rows = part[part["algorithm"] == algorithm]
            found = [*_seeds(rows, measure, x), *_median(rows, measure, x)]
            points += [{"panel": name, "algorithm": algorithm, **point} for point in found]
        at = np.unique(part[x].to_numpy(dtype=float))
        for curve in (curve for curve in theory if curve.belongs(panel)):
            where, values = curve.points(at)
            said = {"panel": name, "algorithm": curve.algorithm or "", "kind": "theory", "label": curve.label}
            points += [{**said, "x": one, "value": value} for one, value in zip(where, values, strict=True)]
    table = DataFrame(points, columns=list(COLUMNS))
    table["shown"] = table["value"].where(~(table["value"] < floor), floor)
    return table


def _seeds(rows: DataFrame, measure: str, x: str) -> Iterator[dict[str, Any]]:
    for (run, seed, context), part in rows.sort_values("step").groupby(list(INSTANCE), sort=True):
        known = {"run": run, "seed": seed, "context": context}
        for place, value in zip(part[x], part[measure], strict=True):
            yield {"kind": "seed", **known, "x": place, "value": value}
        status = part["status"].iloc[0]
        if status != "ok":
            finite = part[np.isfinite(part[measure])]
            until = finite[finite["step"] <= max(part["status_step"].iloc[0], finite["step"].min())]
            yield {"kind": "end", "label": status, **known, "x": until[x].iloc[-1], "value": until[measure].iloc[-1]}


def _median(rows: DataFrame, measure: str, x: str) -> Iterator[dict[str, Any]]:
    for _, part in rows.groupby("step", sort=True):
        values = part[measure].to_numpy()
        low, high = (quantile(values, share) for share in BAND)
        yield {"kind": "median", "x": part[x].median(), "value": quantile(values, 0.5), "low": low, "high": high}

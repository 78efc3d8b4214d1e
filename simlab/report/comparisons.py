"""Paired comparisons of methods in every cell of settings, with p-values adjusted over the whole report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from simlab.refusal import Refused
from simlab.report.runs import HIGHER, Group, in_words

if TYPE_CHECKING:
    from pandas import DataFrame

LEVEL = 0.05
"""At most so large is the chance that any method of a report is called better without being so."""


class Comparison(NamedTuple):
    """Two methods in one cell, on their common seeds."""

    group: str
    measure: str
    cell: str
    first: str
    second: str
    seeds: int
    difference: str
    ended: str
    p: str
    verdict: str


def comparisons(groups: Iterable[Group]) -> tuple[list[Comparison], list[str]]:
    """Every pair of methods in every cell of every group, by each measure of its kind, and why groups were left out.

    The p-values are Holm's over all of them.
    """
    import pandas as pd

    from simlab.statistics import holm

    found = [each for group in groups if group.last["algorithm"].nunique() > 1 for each in _tables(group)]
    tables, refused = ([each for each in found if isinstance(each, str) == text] for text in (False, True))
    if not tables:
        return [], refused
    table = pd.concat(tables, ignore_index=True)
    table["adjusted"] = holm(table["p"])
    table.loc[table["adjusted"] > LEVEL, "verdict"] = "tie"
    return [_comparison(row) for row in table.to_dict("records")], refused


def _tables(group: Group) -> Iterator[DataFrame | str]:
    """What `simlab.statistics.compare` finds, with the cell in words; or why it refuses."""
    from simlab.figures.gap import ORIGINAL_FLOOR, REGULARISED_FLOOR
    from simlab.statistics import compare

    for measure in group.compared:
        if measure not in group.last:
            continue
        floor = ORIGINAL_FLOOR if measure.startswith("original") else REGULARISED_FLOOR
        better = "higher" if measure in HIGHER else "lower"
        try:
            table = compare(group.last, measure, by=group.own, within=group.cells, better=better, negligible=floor, level=1 - LEVEL)
        except Refused as error:
            yield f"{group.heading}, {measure}: {error}"
            continue
        names = [name for name in group.cells if group.last[name].nunique(dropna=False) > 1]
        cells = [in_words({name: row[name] for name in names}) for row in table.to_dict("records")]
        yield table.assign(group=group.heading, measure=measure, words=cells)


def _comparison(row: dict) -> Comparison:
    ended = f"{row['wins']} : {row['ties']} : {row['losses']}"
    difference = f"{row['difference']:.2g} ({row['low']:.2g} to {row['high']:.2g})"
    p = "" if row["adjusted"] != row["adjusted"] else f"{row['adjusted']:.2g}"
    return Comparison(
        row["group"], row["measure"], row["words"], row["first"], row["second"], row["seeds"], difference, ended, p, row["verdict"]
    )

"""What a report says of runs: a table for each kind of experiment, paired comparisons of methods, and trajectories.

Runs that other code has written (another version, other numeric sources) form groups of their own: no comparison and no figure mixes them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from simlab.collection import gather
from simlab.provenance import other_code
from simlab.store import Stored
from simlab.words import median

if TYPE_CHECKING:
    from pandas import DataFrame

KINDS = {
    "table_exploitability": ("Methods on a model", ("exploitability",)),
    "step": ("Self-play", ("exploitability", "original_exploitability")),
    "estimation_error": ("Learning from labelled pairs", ("estimation_error",)),
    "prototypes": ("Users who differ", ("accuracy",)),
}
"""Kinds of experiments by a column that tells each from those below, with what their methods are compared by."""

HIGHER = ("accuracy",)
"""Measures of which the higher value is better."""

ABOUT = ("run", "cell", "seed", "context", "step", "queries", "gradients", "comparisons", "iterations", "status", "status_step")
FIT = ("prototypes", "chosen", "held_out", "users", "rank")
"""Columns that measure nothing."""

MEMBERS, ROOT = ("algorithm", "env"), "config.seed"

MOST_MEASURES = 6
"""Of a table."""


class Row(NamedTuple):
    """The seeds of one cell of settings: values of the settings, medians of the measures, and how the runs ended."""

    settings: list[str]
    seeds: int
    medians: list[str]
    ended: str
    file: str


@dataclass(frozen=True, eq=False)
class Group:
    """Runs of one kind that the same code has written.

    Attributes
    ----------
    title : the kind
    compared : columns by which methods are compared
    code : what other code wrote them, in words; None if it was this
    versions : of what wrote them, in words, each once
    runs : how many
    frame : their rows, with the settings that vary
    """

    title: str
    compared: tuple[str, ...]
    code: str | None
    versions: list[str]
    runs: int
    frame: DataFrame

    @property
    def heading(self) -> str:
        return f"{self.title}, by {self.code}" if self.code else self.title

    @cached_property
    def settings(self) -> list[str]:
        """Columns that hold settings, the members first; the root of the random numbers is one where it varies."""
        from simlab.figures.rows import settings

        names = dict.fromkeys([*MEMBERS, *settings(self.frame), ROOT])
        return [name for name in names if name in self.frame]

    @property
    def measures(self) -> list[str]:
        """Columns that hold what was measured, the most telling first."""
        other = {*self.settings, *ABOUT, *FIT}
        numbers = self.frame.select_dtypes("number").columns
        return [name for name in numbers if name not in other and self.last[name].notna().any()][:MOST_MEASURES]

    @cached_property
    def last(self) -> DataFrame:
        """The rows that say most: those of the last iteration, or on the newcomers who have said most."""
        frame = self.frame
        if "step" in frame:
            return frame[frame["step"] == frame.groupby(["run", *self.settings], dropna=False)["step"].transform("max")]
        if "prototypes" in frame:
            new = frame[frame["chosen"].astype(bool) & (frame["users"] == "new")]
            return new[new["comparisons"] == new.groupby("run")["comparisons"].transform("max")]
        return frame

    def rows(self) -> Iterator[Row]:
        """One for each run and cell of settings."""
        for (*values, run), part in self.last.groupby([*self.settings, "run"], dropna=False):
            counts = part["status"].value_counts().sort_index()
            ended = ", ".join(f"{number} {status}" for status, number in counts.items())
            medians = [_median(part[name], part["status"]) for name in self.measures]
            yield Row([said(value) for value in values], part["seed"].nunique(), medians, ended, run)

    @cached_property
    def own(self) -> list[str]:
        """The columns that tell methods apart: the method, and those of its settings that vary within a cell of the others."""
        others = [*self.cells, "algorithm"]
        own = [name for name in self.settings if name.startswith("algorithm.")]
        varying = self.last.groupby(others, dropna=False)[own].nunique(dropna=False).max() if own else {}
        return ["algorithm", *(name for name in own if varying[name] > 1)]

    @cached_property
    def cells(self) -> list[str]:
        """The settings that are not the methods' own."""
        return [name for name in self.settings if name.partition(".")[0] != "algorithm"]


def _median(values: Any, status: Any) -> str:
    """Empty where runs that ended well do not have the measure."""
    return "" if values.isna().all() and (status == "ok").any() else median(values.to_numpy())


def groups(runs: Sequence[Stored]) -> list[Group]:
    """Runs by kind, in the order of KINDS, those of this code first."""
    sorted_out: dict[tuple[int, str], list[Stored]] = defaultdict(list)
    columns = [*KINDS]
    for run in runs:
        number = next((number for number, name in enumerate(columns) if name in run.table.column_names), len(columns))
        sorted_out[number, other_code(run.metadata) or ""].append(run)
    found = []
    for (number, code), members in sorted(sorted_out.items(), key=lambda item: item[0]):
        title, compared = KINDS[columns[number]] if number < len(columns) else ("Other runs", ())
        versions = sorted({_versions(run) for run in members})
        found.append(Group(title, compared, code or None, versions, len(members), gather(members).to_pandas()))
    return found


def _versions(run: Stored) -> str:
    return ", ".join(f"{library} {number}" for library, number in json.loads(run.metadata["versions"]).items())


def said(value: Any) -> str:
    """A setting's value; empty where the run has none."""
    if value is None or value != value:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def in_words(settings: Mapping[str, Any]) -> str:
    """Settings as on the command line, without those that have no value."""
    return ", ".join(f"{name}={said(value)}" for name, value in settings.items() if said(value))

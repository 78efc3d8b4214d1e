"""What was measured, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.race import Entry, agrees, ratio
from benchmarks.work import OURS, Case, Size, Target, Work

WIDTH = 120
"""Columns where the output is no terminal."""

COLUMNS = {"": 15, "time": 8, "quartiles": 19, "ratio": 9, "target": 12, "answer": 9}
"""With their least widths, so that the tables of all cases stand in one line."""


@dataclass(frozen=True)
class Result:
    """A case of a work, and what its peers did."""

    name: str
    case: str
    work: Work
    quick: bool
    entries: list[Entry]

    @property
    def ours(self) -> Entry:
        return next(entry for entry in self.entries if entry.peer == OURS)

    @property
    def stated(self) -> Case:
        return self.work.cases[self.case]

    @property
    def size(self) -> Size:
        return self.stated.sized(self.quick)

    def target(self, entry: Entry) -> Target | None:
        """What is asked of simlab beside a peer: nothing at sizes made small."""
        return None if self.quick else self.stated.targets.get(entry.peer)

    @property
    def title(self) -> str:
        return f"{self.name}, {self.case}{' (made small)' if self.quick else ''}"


def show(result: Result) -> None:
    """Print the table of a case."""
    table = Table(box=None, pad_edge=False, show_header=True)
    for column, width in COLUMNS.items():
        table.add_column(column, min_width=width, no_wrap=column != "answer")
    for entry in result.entries:
        if entry.missing is None:
            table.add_row(*_row(result, entry))
    console = Console()
    console = console if console.is_terminal else Console(width=WIDTH)
    with console.capture() as printed:
        console.print(f"[bold]{result.title}[/bold]: each {result.work.unit}", highlight=False)
        console.print(table, highlight=False)
    print("\n".join(line.rstrip() for line in printed.get().splitlines()), end="\n\n", flush=True)


def show_end(machine: dict[str, Any], results: list[Result]) -> None:
    """Print how to read the tables, what they were measured on, and who was not there."""
    print("time: the median over rounds; ratio: a peer's time over simlab's; target: the least ratio asked for, in brackets the aim")
    print(", ".join(f"{key} {value}" for key, value in (machine | versions(results)).items()))
    if missing := absent(results):
        print(f"not installed: {', '.join(missing)}  (pip install 'simlab[bench]')")


def _row(result: Result, entry: Entry) -> list[str]:
    if not entry.seconds:
        return [entry.peer, "[red]failed[/red]"]
    low, middle, high = (_time(value) for value in np.quantile(entry.seconds, [0.25, 0.5, 0.75]))
    return [entry.peer, middle, f"{low} to {high}", _ratio(result, entry), _target(result, entry), _answer(result, entry)]


def _time(seconds: float) -> str:
    """Three digits and a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def _ratio(result: Result, entry: Entry) -> str:
    if entry.peer == OURS:
        return f"{1 / np.median(entry.seconds):.2g}/s" if result.stated.per_second else ""
    found = ratio(entry, result.ours)
    return "" if found is None else f"{found:.3g}"


def _target(result: Result, entry: Entry) -> str:
    if entry.peer == OURS:
        return f"{result.stated.per_second:.2g}/s" if result.stated.per_second and not result.quick else ""
    target = result.target(entry)
    return f"{target.least:.3g} ({target.aim:.3g})" if target else ""


def _answer(result: Result, entry: Entry) -> str:
    """The number that stands for the answer, and of how many instances it is where a peer did a part."""
    if not entry.answers:
        return "none: a bound"
    done, asked = len(entry.answers[0]), result.size["instances"]
    told = f"{_number(entry):.6g}" + (f" ({done} of {asked:,})" if done < asked else "")
    if agrees(entry, result.work) is False:
        return f"[red]disagrees[/red]: {told}, {entry.difference:.2g} > {result.work.limit:.2g}"
    return told


def _number(entry: Entry) -> float:
    """The mean over instances of an answer's first column."""
    answer = entry.answers[0]
    return float(answer.reshape(len(answer), -1)[:, 0].mean())


def versions(results: list[Result]) -> dict[str, str]:
    """Of the peers' libraries."""
    return {entry.library: entry.version for result in results for entry in result.entries if entry.library and entry.version}


def absent(results: list[Result]) -> list[str]:
    """Peers whose library is not installed."""
    return sorted({entry.peer for result in results for entry in result.entries if entry.missing})


def troubles(results: list[Result]) -> Iterator[str]:
    """A line for each peer that failed or disagrees."""
    for result in results:
        for entry in result.entries:
            where = f"{result.title}: {entry.peer}"
            if entry.error:
                yield f"{where}: {entry.error}"
            elif agrees(entry, result.work) is False:
                yield f"{where} disagrees with simlab: difference {entry.difference:.3g}, allowed {result.work.limit:.3g}"


def as_json(machine: dict[str, Any], results: list[Result]) -> dict[str, Any]:
    """All that was measured, with None for what is not finite."""
    return {
        "machine": machine | {"libraries": versions(results)},
        "works": [_described(result) for result in results],
        "not_installed": absent(results),
    }


def _described(result: Result) -> dict[str, Any]:
    return {
        "work": result.name,
        "what": result.work.what,
        "case": result.case,
        "quick": result.quick,
        "size": result.size,
        "unit": result.work.unit,
        "limit": result.work.limit,
        "per_second_target": None if result.quick else result.stated.per_second,
        "peers": [_peer(result, entry) for entry in result.entries if entry.missing is None],
    }


def _peer(result: Result, entry: Entry) -> dict[str, Any]:
    low, middle, high = np.quantile(entry.seconds, [0.25, 0.5, 0.75]).tolist() if entry.seconds else [None] * 3
    target = result.target(entry)
    return {
        "peer": entry.peer,
        "seconds": {"median": middle, "quartiles": [low, high], "rounds": entry.seconds},
        "ratio": ratio(entry, result.ours),
        "target": asdict(target) if target else None,
        "answer": _finite(_number(entry)) if entry.answers else None,
        "difference": _finite(entry.difference),
        "agrees": agrees(entry, result.work),
        "error": entry.error,
    }


def _finite(number: float | None) -> float | None:
    return number if number is not None and np.isfinite(number) else None

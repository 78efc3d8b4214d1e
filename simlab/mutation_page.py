"""`simlab verify mutants=true`: the matrix of mutants and claims as tables, one for each original, and what it comes to."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from simlab import mutation_file
from simlab.mutation import EQUIVALENT, KILLED, NEVER, SURVIVED, Row, rows
from simlab.originals import Original, originals
from simlab.store import require_room
from simlab.words import count
from theory.claim import Claim

SURVIVAL = 1
"""Exit status when a mutant survives, or a claim refuses what it is about."""

SIGNS = {KILLED: "×", SURVIVED: "o", NEVER: "-"}
COLOURS = {KILLED: "green", SURVIVED: "bold red", EQUIVALENT: "yellow", NEVER: "dim"}
NAMED = 8
"""Columns that are headed by IDs; more are numbered."""

LEGEND = (
    "×: the claim refuses the mutant; o: it does not; -: it says nothing of it, breaks down on it, or it cannot be made; blank: not asked.",
    "equivalent: no claim refuses it, and on drawn games it does what the original does, to 1e-12, at all betas, from both starts.",
)


def show(claims: Sequence[Claim], subjects: Sequence[Any], *, every: bool, store: str | None, console: Console) -> int:
    """Make every mutant, ask the claims, print the matrix; returns the exit status.

    Parameters
    ----------
    every : whether to ask every claim, not only until one refuses
    store : folder that keeps the matrix
    """
    if store is not None:
        require_room(store, mutation_file.NAME)
    began = time.perf_counter()
    found, matrix = _made(claims, subjects, every)
    for original in found:
        console.print(table(original, [row for row in matrix if row.original == original.name]))
    said = [*summary(claims, found, matrix), f"{time.perf_counter() - began:.1f} s."]
    console.print("\n".join([*LEGEND, *said]), highlight=False, markup=False, soft_wrap=True)
    if store is not None:
        console.print(mutation_file.keep(store, matrix, said[:-1]), highlight=False, markup=False, soft_wrap=True)
    return SURVIVAL if any(row.outcome == SURVIVED for row in matrix) or _unjust(found) else 0


def _made(claims: Sequence[Claim], subjects: Sequence[Any], every: bool) -> tuple[list[Original], list[Row]]:
    """What the claims are about, and the rows, with a progress bar on standard error where that is a terminal."""
    columns = (TextColumn("{task.description:<32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    matrix: list[Row] = []
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("what claims are about", total=None)
        found = originals(claims, subjects)
        progress.update(task, total=sum(len(original.changes) for original in found))
        for original in found:
            progress.update(task, description=original.name)
            for row in rows(original, every=every):
                matrix.append(row)
                progress.advance(task)
    return found, matrix


def table(original: Original, matrix: Sequence[Row]) -> Table:
    """The mutants of one original, and the claims that were asked."""
    asked = [court.claim.id for court in original.courts if any(court.claim.id in row.cells for row in matrix)]
    numbered = len(asked) > NAMED
    caption = ", ".join(f"{number} {name}" for number, name in enumerate(asked, 1)) if numbered else None
    grid = Table(title=original.name, title_justify="left", caption=caption, caption_justify="left", header_style="bold", pad_edge=False)
    grid.add_column("mutant")
    for number, name in enumerate(asked, 1):
        grid.add_column(str(number) if numbered else name, justify="center", no_wrap=True)
    grid.add_column("outcome", no_wrap=True)
    for row in matrix:
        signs = [SIGNS.get(row.cells.get(name, ""), "") for name in asked]
        grid.add_row(row.mutant, *signs, f"[{COLOURS[row.outcome]}]{row.outcome}[/]")
    return grid


def summary(claims: Sequence[Claim], found: Sequence[Original], matrix: Sequence[Row]) -> Iterator[str]:
    """What the matrix comes to: counts, each survivor, and what was left out."""
    counts = Counter(row.outcome for row in matrix)
    told = [outcome for outcome in (KILLED, SURVIVED, EQUIVALENT, NEVER) if counts[outcome] or outcome in (KILLED, SURVIVED)]
    shares = ", ".join(f"{counts[outcome]} {outcome}" for outcome in told)
    yield f"{count(len(matrix), 'mutant')} of {count(len(found), 'original')}, {count(len(claims), 'claim')}: {shares}."
    yield from (f"survived: {row.original}: {row.mutant}; asked: {', '.join(row.cells)}" for row in matrix if row.outcome == SURVIVED)
    yield from _unjust(found)
    about = {court.claim.id for original in found for court in original.courts}
    rest = [claim.id for claim in claims if claim.id not in about]
    if rest:
        yield f"no operator applies to what these are about, or no instance to them: {', '.join(rest)}."


def _unjust(found: Sequence[Original]) -> list[str]:
    """Claims that refuse the original itself, and so decide nothing."""
    pairs = [(court.claim.id, original.name) for original in found for court in original.courts if court.accepts is False]
    return [f"not asked: {claim}, which refuses the original of {name}" for claim, name in pairs]

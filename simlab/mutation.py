"""The matrix of mutants and claims: which wrong method, loss or metric which claim refuses, and what no claim refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from envs.invalid import Invalid
from simlab.originals import Original

KILLED, SURVIVED, EQUIVALENT, NEVER = "killed", "survived", "equivalent", "does not apply"


@dataclass(frozen=True)
class Row:
    """One mutant.

    Attributes
    ----------
    original : name of what it is a mutant of
    mutant : what is changed
    cells : what the claims that were asked say, by ID: KILLED, SURVIVED, or NEVER where a claim says nothing of it, breaks
        down on it, or it cannot be made
    outcome : KILLED by some claim; EQUIVALENT to the original; NEVER, if it cannot be made for any claim; SURVIVED otherwise
    """

    original: str
    mutant: str
    cells: dict[str, str]
    outcome: str


def rows(original: Original, *, every: bool) -> Iterator[Row]:
    """A row for each mutant of an original.

    Parameters
    ----------
    every : whether to ask every claim, not only until one refuses
    """
    for mutant, change in original.changes.items():
        yield _row(original, mutant, change, every)


def _row(original: Original, mutant: str, change: Any, every: bool) -> Row:
    cells: dict[str, str] = {}
    possible = False
    for court in original.courts:
        try:
            refused = original.refused(court, change) if original.accepted(court) else None
            possible = True
        except Invalid:
            refused = None
        except (ArithmeticError, ValueError):  # the check breaks down on it, which is no verdict
            refused, possible = None, True
        cells[court.claim.id] = NEVER if refused is None else KILLED if refused else SURVIVED
        if refused and not every:
            break
    if KILLED in cells.values():
        outcome = KILLED
    else:
        outcome = EQUIVALENT if original.equivalent(change) else SURVIVED if possible else NEVER
    return Row(original.name, mutant, cells, outcome)

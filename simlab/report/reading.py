"""The file of verdicts that `simlab verify` has left in a folder, checked before anything is made of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from envs.invalid import Invalid, require
from simlab.refusal import sentence
from simlab.verdict_file import FORMAT, NAME

FILE_KEYS = {
    "versions": dict,
    "sources": str,
    "machine": dict,
    "written": str,
    "seconds": (int, float),
    "command": str,
    "subjects": str,
    "claims": list,
}

CLAIM_KEYS = {
    **dict.fromkeys(("id", "name", "statement", "source", "provenance", "kind", "sense", "subject", "outcome", "closest", "command"), str),
    **dict.fromkeys(("methods", "conditions", "findings"), list),
    "expected": bool,
    "worst": (int, float, str, type(None)),
    "false_alarm": (str, type(None)),
    "vacuous": int,
    "statuses": dict,
}

MACHINE_KEYS = {"system": str, "processor": str, "cores": (int, type(None))}
CONDITION_KEYS = {"condition": str, "held": int, "of": int}
FINDING_KEYS = {"instance": str, "ratio": (int, float, str, type(None)), "status": str}
"""What a report reads, with the type of each."""


def verdicts_of(folder: Path) -> dict[str, Any] | None:
    """What the folder's file of verdicts holds; None where there is none.

    Raises
    ------
    Invalid
        If it is no file of verdicts, or of another format.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        file = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise Invalid(NAME, path, f"a readable JSON file ({sentence(error)})") from None
    known = isinstance(file, dict) and file.get("format") == FORMAT
    require(known, NAME, path, f"verdicts that simlab verify has written, in format {FORMAT}")
    for entry, keys in _entries(file):
        for key, kind in keys.items():
            good = isinstance(entry, dict) and key in entry and isinstance(entry[key], kind)
            require(good, NAME, path, f"verdicts that simlab verify has written ({key} is missing, or of another type)")
    return file


def _entries(file: dict[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Every object of a file, a whole before its parts, with what it must hold."""
    yield file, FILE_KEYS
    yield file["machine"], MACHINE_KEYS
    for claim in file["claims"]:
        yield claim, CLAIM_KEYS
        yield from ((condition, CONDITION_KEYS) for condition in claim["conditions"])
        yield from ((finding, FINDING_KEYS) for finding in claim["findings"])

"""verdicts.json: what `simlab verify store=DIR` keeps in DIR, for `simlab report DIR`; strict JSON, written whole or not at all.

It holds the verdicts of one code, on one machine, on the same instances: a later verification of other claims adds to these, and
takes the place of those that it judges again; one of another setting starts anew.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from envs.invalid import Invalid
from simlab import catalogue, identity, store
from simlab.claim_methods import methods
from simlab.finished import versions
from simlab.refusal import explain
from simlab.words import count
from theory.claim import Instance, Verdict
from theory.testbed import PairTestbed, PopulationTestbed

NAME = "verdicts.json"
FORMAT = 1

NUMERIC = (*identity.NUMERIC, "simlab.metrics", "theory")
"""Packages and modules whose sources decide verdicts, besides conf/claim."""

SUBJECTS = {Instance: "games", PairTestbed: "labelled pairs", PopulationTestbed: "populations"}

SAME = {
    "format": "format",
    "versions": "versions",
    "sources": "sources",
    "machine": "machine",
    "subjects": "instances",
    "instances": "instances",
}
"""What the verdicts of a file have in common, in words."""


@dataclass(frozen=True)
class Setting:
    """What a verification put its claims to.

    Attributes
    ----------
    words : overrides of the command line that decide it
    config : what they compose to, resolved
    subjects : how many there are of each kind, in words
    """

    words: tuple[str, ...]
    config: dict[str, Any]
    subjects: str


def keep(folder: str, verdicts: Mapping[str, Verdict], setting: Setting) -> str:
    """Write verdicts, by the names of their claims' files, beside those that the folder holds; returns a line about it.

    Raises
    ------
    Invalid
        With the key `store`, if they cannot be written.
    """
    path, head = _place(folder), _head(setting)
    new = {verdict.claim.id: _entry(name, verdict, setting.words) for name, verdict in verdicts.items()}
    earlier, change = _earlier(path, head)
    entries = dict(sorted((earlier | new).items()))
    _write(path, head | _about(list(entries.values()), setting.words) | {"claims": list(entries.values())})
    rest = len(entries) - len(new)
    return f"{path}: {count(len(new), 'verdict')}{f', beside {rest} from before' if rest else ''}{change}."


def _place(folder: str) -> Path:
    return Path(folder).expanduser() / NAME


def _earlier(path: Path, head: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The entries of a file that can stand beside new ones, by ID; where none can, why the file starts anew."""
    try:
        file = json.loads(path.read_text(encoding="utf-8"))
        other = next((words for key, words in SAME.items() if file.get(key) != head[key]), None)
        entries = {entry["id"]: entry for entry in file["claims"]}
    except FileNotFoundError:
        return {}, ""
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}, "; the file starts anew, what was there is no file of verdicts"
    return ({}, f"; the file starts anew, what was there is of other {other}") if other else (entries, "")


def _head(setting: Setting) -> dict[str, Any]:
    """The entries of SAME. `instances` is a digest: as many instances may be others."""
    return {
        "format": FORMAT,
        "versions": versions(),
        "sources": _sources(),
        "machine": {"system": platform.system(), "processor": _processor(), "cores": os.cpu_count()},
        "subjects": setting.subjects,
        "instances": identity.identity(setting.config, measure=(), random=True, numeric=NUMERIC),
    }


def _sources() -> str:
    """Digest of what decides verdicts."""
    digest = hashlib.sha256(identity.sources(NUMERIC).encode())
    for path in sorted((catalogue.CONF / "claim").glob("*.yaml")):
        digest.update(f"{path.name}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _about(entries: list[dict[str, Any]], words: tuple[str, ...]) -> dict[str, Any]:
    """When, in how long, and how all entries are made again."""
    every = {entry["name"] for entry in entries} == set(catalogue.groups()["claim"])
    chosen = [] if every else [f"claim={','.join(entry['id'] for entry in entries)}"]
    return {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(sum(entry["seconds"] for entry in entries), 3),
        "command": _command(*chosen, *words),
    }


def _entry(name: str, verdict: Verdict, words: tuple[str, ...]) -> dict[str, Any]:
    claim = verdict.claim
    return {
        "id": claim.id,
        "name": name,
        "statement": claim.statement,
        "source": claim.source,
        "provenance": claim.provenance,
        "kind": claim.kind,
        "sense": claim.sense,
        "subject": SUBJECTS[claim.subject],
        "methods": methods(claim),
        "conditions": [{"condition": each.words, "held": each.held, "of": each.of} for each in verdict.conditions],
        "false_alarm": claim.false_alarm,
        "outcome": verdict.outcome,
        "expected": verdict.expected,
        "worst": _number(verdict.worst if verdict.instances else None),
        "closest": verdict.closest,
        "findings": [{"instance": f.instance, "ratio": _number(claim.counted(f)), "status": f.status} for f in verdict.findings],
        "vacuous": verdict.vacuous,
        "statuses": verdict.statuses,
        "seconds": round(verdict.seconds, 3),
        "command": _command(f"claim={claim.id}", *words),
    }


def _number(ratio: float | None) -> float | str | None:
    """A ratio in JSON, which has no infinity; None where there is nothing to say."""
    return "inf" if ratio == math.inf else ratio


def _command(*words: str) -> str:
    return shlex.join(["simlab", "verify", *words])


def _write(path: Path, file: Mapping[str, Any]) -> None:
    text = json.dumps(file, indent=1, allow_nan=False, ensure_ascii=False)
    try:
        with store.replacing(path) as temporary:
            temporary.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise Invalid("store", path.parent, f"a folder that can be written ({explain(error)})") from error

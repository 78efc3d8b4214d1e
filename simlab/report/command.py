"""`simlab report FOLDER`: one HTML file on the verdicts and the runs that a folder holds, to be read anywhere, without a network."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from envs.invalid import Invalid
from simlab import collection, store
from simlab.refusal import FAILED, Refused
from simlab.report.page import page
from simlab.report.reading import verdicts_of
from simlab.request import Parser
from simlab.words import count

NAME = "report.html"


def report(words: Sequence[str]) -> int:
    """Read a folder, write a file; returns the exit status: 0 unless a file of the folder could not be read.

    Raises
    ------
    Refused
        For a folder with neither verdicts nor runs, or a file that cannot be written.
    """
    usage = "usage: simlab report FOLDER [--output FILE.html]"
    what = "`simlab report FOLDER`: one HTML file on the verdicts and the runs that a folder holds, to be read anywhere, without a network."
    parser = Parser(usage, prog="simlab report", description=what)
    parser.add_argument("folder", help="where simlab verify, simlab run or simlab train have stored what they found: their store=FOLDER")
    parser.add_argument("--output", help=f"a file .html; FOLDER/{NAME} by default")
    given = parser.parse_args(list(words))
    folder = Path(given.folder).expanduser()
    output = Path(given.output).expanduser() if given.output else folder / NAME
    if output.suffix != ".html":
        raise Refused(f"--output={given.output}: must end in .html")
    if not folder.is_dir():
        raise Refused(f"{folder}: must be an existing folder")
    verdicts, runs, damaged = read(folder)
    text = page(folder.resolve().name, verdicts, runs, damaged)
    with store.replacing(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    parts = [count(len(verdicts["claims"]), "claim")] if verdicts else []
    print(f"{' and '.join(parts + ([count(len(runs), 'run')] if runs else []))} in {output}")
    for reason in damaged:
        print(f"simlab: left out: {reason}", file=sys.stderr)
    return FAILED if damaged else 0


def read(folder: Path) -> tuple[dict[str, Any] | None, list[store.Stored], list[str]]:
    """The file of verdicts, if there is one, the runs in the order of their names, and why files were left out."""
    runs, damaged = _runs(folder)
    try:
        verdicts = verdicts_of(folder)
    except Invalid as error:
        verdicts = None
        damaged.append(f"{error.value}: must be {error.allowed}")
    if not verdicts and not runs:
        why = f" ({'; '.join(damaged)})" if damaged else ""
        raise Refused(f"{folder}: must hold verdicts, of simlab verify store={folder}, or runs, of simlab run store={folder}{why}")
    return verdicts, runs, damaged


def _runs(folder: Path) -> tuple[list[store.Stored], list[str]]:
    """The runs of a folder, of whatever code, and why files were left out."""
    if not any(folder.glob("*.parquet")):
        return [], []
    try:
        found = collection.read(folder, all_versions=True)
    except Refused as error:
        return [], [str(error)]
    return found.runs, found.left_out

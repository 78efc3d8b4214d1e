"""`simlab bench [WORK ...]`: times simlab beside other libraries, on the same instances, and compares their answers."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence

from rich.console import Console

from benchmarks import page, work
from benchmarks.machine import machine
from benchmarks.race import Entry, agrees, race
from simlab import catalogue
from simlab.refusal import FAILED, Refused
from simlab.request import Parser

USAGE = "usage: simlab bench [WORK ...] [--repetitions N] [--quick] [--json]"


def bench(words: Sequence[str]) -> int:
    """Measure the works that are named, or all; returns the exit status: 0 unless a peer failed or disagrees with simlab.

    Raises
    ------
    Refused
        For a work that there is not, or no repetition.
    """
    given = _parsed(words)
    found = []
    for name, case in _cases(given):
        found.append(_result(name, case, given))
        if not given.json:
            page.show(found[-1])
    if given.json:
        print(json.dumps(page.as_json(machine(), found), indent=2, allow_nan=False))
    else:
        page.show_end(machine(), found)
    for line in page.troubles(found):
        print(f"simlab: {line}", file=sys.stderr)
    return FAILED if any(_bad(entry, result.work) for result in found for entry in result.entries) else 0


def _cases(given: argparse.Namespace) -> Iterator[tuple[str, str]]:
    for name in given.works or work.names():
        for case, stated in work.load(name).cases.items():
            if stated.quick is not None or not given.quick:
                yield name, case


def _result(name: str, case: str, given: argparse.Namespace) -> page.Result:
    """Race the peers of a case, with a word on standard error where that is a terminal."""
    stated = work.load(name)
    sizes = [(peer, stated.cases[case].sized(given.quick)) for peer in work.peers(stated, stated.cases[case])]
    with Console(stderr=True).status(f"{name}, {case}: {', '.join(peer for peer, _ in sizes)}"):
        return page.Result(name, case, stated, given.quick, race(name, stated, sizes, given.repetitions))


def _bad(entry: Entry, stated: work.Work) -> bool:
    return entry.error is not None or agrees(entry, stated) is False


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    known = work.names()
    listed = "\n".join(f"  {name:<20} {work.load(name).what}" for name in known)
    parser = Parser(
        USAGE, prog="simlab bench", formatter_class=argparse.RawDescriptionHelpFormatter, epilog=f"works:\n{listed}",
        description="Times simlab beside other libraries: each in a process of its own, on one thread, in turns, on the same instances.",
    )  # fmt: skip
    parser.add_argument("works", nargs="*", metavar="WORK", help="what to measure; all by default")
    parser.add_argument("--repetitions", type=int, default=5, metavar="N", help="rounds, 5 by default")
    parser.add_argument("--quick", action="store_true", help="small sizes: whether all runs and agrees, in less time; no measure of speed")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    given = parser.parse_args(list(words))
    for name in given.works:
        if name not in known:
            raise Refused(f"{name}: must be one of {', '.join(known)}{catalogue.suggestion(name, known)}")
    if given.repetitions < 1:
        raise Refused(f"--repetitions={given.repetitions}: must be an integer >= 1")
    return given

"""Writes docs/tightness.md: how nearly each bound was met in a long search, and which constants can be improved.

`python docs/tightness.py` reads the cases in tests/worst, which `simlab falsify budget=60` has saved, and measures each of them again.
`python docs/tightness.py SECONDS` first searches anew, for so long each, for cases that need most of a constant beside other terms.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from simlab import worst_file
from simlab.falsification import bounds
from theory.bound import Bound
from theory.falsify import Search
from theory.tightness import Need

HOME = Path(__file__).parent
CASES = HOME.parent / "tests" / "worst"
NEEDS = CASES / "need"

BESIDE = ("nash_md_step", "inpo_step")
"""Claims whose constant stands beside another term."""

FACTORS = {
    "nash_md_schedule": "nash_md_schedule_sharp", "nash_md_schedule_sharp": "", "inpo_schedule": "", "half_iterate": "",
    "nash_md_step": "nash_md_step_sharp", "inpo_step": "",
}  # fmt: skip
"""Claims with a constant, each with the one that proves a better."""

PAGE = """\
# How tight the bounds are

What `simlab falsify claim=ID budget=60` found for each bound, seed 0, games of up to 5 actions, beta from 0.005 to 2, one process on
two cores that were shared with other work. *largest* is the largest measured / claimed ratio, *kept* that of the case made simple,
which stands in `tests/worst` and is measured again by the tests. `python docs/tightness.py` writes this page.

**What a ratio proves.** A search gives a lower limit of the best constant, and never an upper one. Where a bound is its constant times
something, a case of ratio r shows that no constant below r times the stated one is true; whether anything between is true is open
unless it is proved. Where the constant stands beside other terms the ratio says nothing of it; there the search looks for the case
that needs most of the constant (`theory/tightness.py`). A ratio of 1 where nothing is at stake, as in a game of ties, is no evidence.

Versions: {versions}.

## Every bound

{cases}

## Constants

*needed* is the largest constant that a case was found to need: no smaller one is true. *proved* is the best that is proved in this
project, derived here and not the paper's (`theory/nash_md_rate.py` has the argument: Hoeffding's lemma on the normaliser of the step).

{constants}

So Nash-MD's published 2 can be replaced by 1/8, and its schedule's 8 by 1/2; no search showed how much further. Of the other constants
that are published or recalled here, the half iterate's 2 (recalled) cannot come below what its row says; the constant 1 is false
(NMP-3-one). COMAL-2's factor 1 - eta tau/2 a step is the published one; at its step 1 - eta tau holds too, by MMD-1. All remaining bounds
of the first table have constants that were derived here, or a rate without a free constant.
"""


def saved(path: Path) -> dict[str, Any]:
    """A file of a worst case."""
    return json.loads(path.read_text(encoding="utf-8"))


def search(known: dict[str, Bound], seconds: float) -> None:
    """Look for the cases that need most, and keep them."""
    NEEDS.mkdir(exist_ok=True)
    for name in BESIDE:
        found = Search(Need(known[name]), seconds=seconds)  # type: ignore[arg-type]
        found.run()
        assert found.worst is not None
        case = worst_file.made(worst_file.written(found.worst.case))
        about = {"claim": known[name].id, "need": Need(known[name]).ratio(case.instance, case.value), "case": worst_file.written(case)}
        about |= {"seed": found.seed, "candidates": found.tried, "actions": found.actions}
        (NEEDS / f"{name}.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """In Markdown."""
    cells = [list(head), *map(list, rows)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([lines[0], "|" + "---|" * len(cells[0]), *lines[1:]])


def case_row(name: str, bound: Bound) -> list[str]:
    """A bound's row, its kept case measured again."""
    file = saved(CASES / f"{name}.json")
    case = worst_file.made(file["case"])
    ratio = case.ratio(bound)
    assert ratio is not None
    dial = f", {file['dial']} = {case.value:.3g}" if file["dial"] else ""
    where = f"{case.game.actions} actions, beta = {case.game.beta:.3g}{dial}"
    note = "false, as predicted" if bound.predicted_to_fail else ""
    return [bound.id, bound.provenance, f"{file['candidates']:,}", f"{float(file['before']):.6g}", f"{ratio:.6g}", where, note]


def constant_row(name: str, better: str, known: dict[str, Any]) -> list[str]:
    """What is needed of a claim's constant."""
    bound = known[name]
    if name in BESIDE:
        file = saved(NEEDS / f"{name}.json")
        case = worst_file.made(file["case"])
        need, tried = Need(bound).ratio(case.instance, case.value) or 0.0, file["candidates"]
    else:
        file = saved(CASES / f"{name}.json")
        need, tried = worst_file.made(file["case"]).ratio(bound) or 0.0, file["candidates"]
    proved = known[better].constant if better else bound.constant if bound.provenance == "derived" else None
    said = "-" if proved is None else f"{proved:g} ({known[better].id if better else 'itself'})"
    return [bound.id, bound.provenance, f"{bound.constant:g}", f"{need * bound.constant:.4g}", f"{tried:,}", said]


def page() -> str:
    """All of it."""
    known = bounds()
    cases = table(
        ["claim", "provenance", "candidates", "largest", "kept", "the kept case", ""],
        [case_row(name, bound) for name, bound in sorted(known.items(), key=lambda item: item[1].id) if (CASES / f"{name}.json").is_file()],
    )
    constants = table(
        ["claim", "provenance", "constant", "needed", "candidates", "proved"],
        [constant_row(name, better, known) for name, better in FACTORS.items()],
    )
    versions = ", ".join(f"{library} {number}" for library, number in saved(CASES / "nash_md_step.json")["versions"].items())
    return PAGE.format(cases=cases, constants=constants, versions=versions)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        search(bounds(), float(sys.argv[1]))
    (HOME / "tightness.md").write_text(page(), encoding="utf-8")

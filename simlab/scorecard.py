"""`simlab scorecard`: how much the verdicts are worth, in figures that are measured anew, each beside its target.

Commands and tests run in processes of their own, one for each processor, and leave what they found in files: the commands those that
`store=` keeps, the tests what they hand to the fixture `score` (tests/conftest.py), in pytest's own report.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

from rich.console import Console

import simlab
from simlab.finished import versions
from simlab.refusal import FAILED, Refused
from simlab.request import Parser
from simlab.words import count

TESTS = Path(simlab.__file__).parent.parent / "tests"
WORTH = "What the verdicts of `simlab verify` are worth, measured anew by `simlab scorecard` (see docs/calibration.md, docs/mutants.md)."
NULL_SEEDS, POWER_SEEDS, SIMULATIONS = 300, 10, 2000


@dataclass(frozen=True)
class Line:
    """A figure.

    Attributes
    ----------
    what, figure, target : in words
    held : None where nothing was measured
    """

    what: str
    figure: str
    target: str
    held: bool | None


@dataclass(frozen=True)
class Part:
    """What is run, and how its lines are read from the folder that it writes to.

    Parameters
    ----------
    words : of a module of Python, FOLDER standing for the folder
    read : folder -> lines
    """

    name: str
    words: tuple[str, ...]
    read: Callable[[Path], Iterator[Line]]

    def lines(self) -> list[Line]:
        """Run it; where it has left nothing, one line says what it said last."""
        with tempfile.TemporaryDirectory() as folder:
            words = [word.replace("FOLDER", folder) for word in self.words]
            path = os.pathsep.join(os.path.abspath(place) for place in sys.path)
            done = subprocess.run(
                [sys.executable, "-P", "-m", *words], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}, check=False
            )
            try:
                return list(self.read(Path(folder)))
            except (OSError, ValueError, KeyError, ElementTree.ParseError):
                last = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
                return [Line(self.name, f"not measured, status {done.returncode}: {last}", "", False)]


def scorecard(words: Sequence[str]) -> int:
    """Measure everything, tell it, and return the exit status: 0 if all targets are held.

    Raises
    ------
    Refused
        Where there are no tests, or nothing to run them with.
    """
    given = _parsed(words)
    if not TESTS.is_dir():
        raise Refused("scorecard: must be run from a checkout, its tests are not installed")
    if find_spec("pytest") is None or find_spec("hypothesis") is None:
        raise Refused("scorecard: needs pytest and hypothesis, which pip install 'simlab[dev]' brings")
    began = time.perf_counter()
    with Console(stderr=True).status("commands and tests run, which takes minutes"), ThreadPoolExecutor(os.cpu_count()) as pool:
        found = [line for lines in pool.map(Part.lines, parts(given.seeds)) for line in lines]
    took = time.perf_counter() - began
    if given.json:
        print(json.dumps({"versions": versions(), "seconds": round(took), "lines": [asdict(line) for line in found]}, indent=1))
    else:
        print("\n".join(page(found, took)))
    return 0 if all(line.held is not False for line in found) else FAILED


def parts(seeds: int) -> list[Part]:
    """The longest first."""
    calibration = ("calibrate", f"seeds={seeds}", f"power_seeds={POWER_SEEDS}", f"simulations={SIMULATIONS}", "store=FOLDER")
    pytest = ("pytest", str(TESTS), "-q", "-p", "no:cacheprovider", "--junitxml=FOLDER/tests.xml", "-m")
    return [
        Part("calibration", ("simlab", *calibration), _calibration),
        Part("mutants", ("simlab", "verify", "mutants=true", "store=FOLDER"), _mutants),
        Part("scored tests", (*pytest, "scored"), _scores),
        Part("properties", (*pytest, "property and not scored"), _properties),
        Part("verdicts", ("simlab", "verify", "store=FOLDER"), _verdicts),
    ]


def _verdicts(folder: Path) -> Iterator[Line]:
    claims = json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))["claims"]
    decided = [claim for claim in claims if claim["outcome"] in ("holds", "violated")]
    line = share("claims with the verdict that is expected", sum(claim["expected"] for claim in decided), len(decided))
    undecided = len(claims) - len(decided)
    yield Line(line.what, f"{line.figure}{f', {undecided} undecided' if undecided else ''}", line.target, line.held)


def _mutants(folder: Path) -> Iterator[Line]:
    rows = json.loads((folder / "mutants.json").read_text(encoding="utf-8"))["rows"]
    outcomes = [row["outcome"] for row in rows]
    killed, survived, equivalent = (outcomes.count(outcome) for outcome in ("killed", "survived", "equivalent"))
    line = share("wrong methods, losses, metrics that a claim refuses", killed, killed + survived)
    yield Line(line.what, f"{line.figure}, {equivalent} more are equivalent to 1e-12", line.target, line.held)


def _calibration(folder: Path) -> Iterator[Line]:
    from simlab import calibration_file, calibration_page
    from theory.calibration import LEVEL
    from theory.coverage import BETWEEN, SETTINGS

    measured, _ = calibration_file.read(folder / calibration_file.NAME)
    sound = len(measured.alarms) - len(measured.too_often)
    seeds = f" ({len(measured.seeds):,} null seeds each)"
    yield share(f"statistical claims that refuse the truth no more often than they say{seeds}", sound, len(measured.alarms))
    family = measured.family
    told = f"{calibration_page.said(family)} of {family.trials:,} reports, {measured.p_values} p-values each"
    yield Line("false alarms of a whole report, Holm at 5%", told, f"at most {LEVEL:.0%}, within the interval", family.within(LEVEL))
    noticed = sum(power.refused is not None or power.significant is not None for power in measured.power.values())
    yield share("statistical claims whose smallest effect noticed 4 times in 5 was found", noticed, len(measured.power))
    kept = sum(SETTINGS[name].kept(found) for name, found in measured.coverage.items())
    low, high = BETWEEN
    trials = f" of {SIMULATIONS:,} simulations"
    yield share(f"kinds of 95% intervals that hold the truth in {low:.1%} to {high:.1%}{trials}", kept, len(measured.coverage))


def _properties(folder: Path) -> Iterator[Line]:
    cases = [case for case in ElementTree.parse(folder / "tests.xml").iter("testcase") if case.find("skipped") is None]
    examples = sum(int(entry.get("value", 0)) for case in cases for entry in case.iter("property") if entry.get("name") == "examples")
    line = share("properties of random games, tableaus, losses, populations, configurations", sum(map(_passed, cases)), len(cases))
    yield Line(line.what, f"{line.figure}, {examples:,} examples", "all of at least 40", bool(line.held and len(cases) >= 40))


def _scores(folder: Path) -> Iterator[Line]:
    """What tests said of themselves, added up; nothing counts of one that failed. Then what was left out, and why."""
    found: dict[str, list[int]] = {}
    left_out: Counter[str] = Counter()
    for case in ElementTree.parse(folder / "tests.xml").iter("testcase"):
        for entry in case.iter("property"):
            if entry.get("name") == "score":
                what, good, of = json.loads(entry.get("value", ""))
                sums = found.setdefault(what, [0, 0])
                sums[0] += good * _passed(case)
                sums[1] += of
        skipped = case.find("skipped")
        if skipped is not None:
            left_out[f"{_file(case)}: {_reason(skipped)}"] += 1
        elif not _passed(case):
            yield Line(f"{case.get('classname')}.{case.get('name')}", "failed", "passes", False)
    for what, (good, of) in found.items():
        yield share(what, good, of)
    for reason, number in left_out.items():
        yield Line(reason, f"{count(number, 'test')} left out", "", None)


def _file(case: ElementTree.Element) -> str:
    return (case.get("classname") or case.get("name") or "").removeprefix("tests.").partition(".")[0]


def _reason(skipped: ElementTree.Element) -> str:
    """In pytest's words; of a file that is left out whole, these stand at the end of the text."""
    whole = (skipped.text or "").rpartition("Skipped: ")[2].rstrip().removesuffix(")")[:-1]
    return whole if skipped.get("message") == "collection skipped" else skipped.get("message", "")


def _passed(case: ElementTree.Element) -> bool:
    return not any(case.find(kind) is not None for kind in ("failure", "error", "skipped"))


def share(what: str, good: int, of: int) -> Line:
    """All of them are to be good."""
    return Line(what, f"{good:,} of {of:,}", "all", 0 < good == of)


def page(lines: Sequence[Line], seconds: float) -> Iterator[str]:
    """As Markdown, which a terminal reads as well."""
    from simlab.calibration_page import table

    yield "# Scorecard"
    yield ""
    yield WORTH
    yield ""
    rows = [[line.what, line.figure, line.target, {True: "held", False: "**not held**", None: "not run"}[line.held]] for line in lines]
    yield from table(["what", "figure", "target", ""], rows)
    yield ""
    told = ", ".join(f"{name} {number}" for name, number in versions().items())
    missed = sum(line.held is False for line in lines)
    outcome = f"{count(missed, 'target')} missed" if missed else "All targets that were measured are held"
    yield f"{outcome}; {seconds:.0f} s; {told}."


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    parser = Parser("usage: simlab scorecard [--seeds N] [--json]", prog="simlab scorecard", description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=NULL_SEEDS, metavar="N", help=f"null seeds of calibration, {NULL_SEEDS} by default")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    given = parser.parse_args(list(words))
    if given.seeds < 1:
        raise Refused(f"--seeds={given.seeds}: must be an integer >= 1")
    return given

"""The scorecard adds up what commands and tests leave in files, and believes none that failed."""

import json
from pathlib import Path

import pytest
from command import simlab

from simlab import scorecard
from simlab.scorecard import Line, Part, share

REPORT = """<testsuites><testsuite>
<testcase classname="tests.test_a" name="one"><properties><property name="score" value='["good things", 3, 3]'/></properties></testcase>
<testcase classname="tests.test_a" name="two"><properties><property name="score" value='["good things", 2, 2]'/></properties></testcase>
<testcase classname="tests.test_b" name="three"><properties><property name="score" value='["bad things", 4, 4]'/></properties>
<failure message="no"/></testcase>
<testcase classname="tests.test_c" name="four"><skipped message="no such library">/x/test_c.py:7: no such library</skipped></testcase>
<testcase classname="" name="tests.test_d">
<skipped message="collection skipped">('/x/test_d.py', 19, "Skipped: could not import 'trl'")</skipped></testcase>
</testsuite></testsuites>"""


def held(lines: list[Line]) -> dict[str, bool | None]:
    return {line.what: line.held for line in lines}


def test_scores_of_tests_add_up_and_a_failure_counts_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "tests.xml").write_text(REPORT)
    lines = list(scorecard._scores(tmp_path))
    assert {line.what: line.figure for line in lines}["good things"] == "5 of 5"
    assert {line.what: line.figure for line in lines}["bad things"] == "0 of 4"
    assert held(lines) == {
        "good things": True,
        "bad things": False,
        "tests.test_b.three": False,
        "test_c: no such library": None,
        "test_d: could not import 'trl'": None,
    }


def test_properties_are_counted_and_forty_are_asked_for(tmp_path: Path) -> None:
    cases = [f'<testcase name="{n}"><properties><property name="examples" value="25"/></properties></testcase>' for n in range(40)]
    for number, good in ((40, True), (39, False)):
        (tmp_path / "tests.xml").write_text(f"<testsuite>{''.join(cases[:number])}</testsuite>")
        (line,) = scorecard._properties(tmp_path)
        assert line.held is good and line.figure == f"{number} of {number}, {25 * number:,} examples"


@pytest.mark.parametrize(("outcomes", "good"), [(["killed", "equivalent"], True), (["killed", "survived"], False), (["equivalent"], False)])
def test_a_mutant_that_survives_is_a_miss(outcomes: list[str], good: bool, tmp_path: Path) -> None:
    (tmp_path / "mutants.json").write_text(json.dumps({"rows": [{"outcome": outcome} for outcome in outcomes]}))
    (line,) = scorecard._mutants(tmp_path)
    assert line.held is good


def test_nothing_of_nothing_is_not_held() -> None:
    assert [share("", good, of).held for good, of in ((0, 0), (2, 3), (3, 3))] == [False, False, True]


def test_a_real_command_is_read(tmp_path: Path) -> None:
    (line,) = Part("verdicts", ("simlab", "verify", "claim=EG-0,GT-6", "store=FOLDER"), scorecard._verdicts).lines()
    assert (line.figure, line.held) == ("2 of 2", True)


def test_a_command_that_fails_is_told_with_its_last_words() -> None:
    (line,) = Part("verdicts", ("simlab", "verify", "claim=nothing", "store=FOLDER"), scorecard._verdicts).lines()
    assert line.held is False and "status 2: simlab: claim=nothing: must be" in line.figure


def test_the_exit_status_and_both_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    for good, status in ((True, 0), (None, 0), (False, 1)):
        monkeypatch.setattr(Part, "lines", lambda self, good=good: [Line("a figure", "1 of 2", "all", good)])
        monkeypatch.setattr(scorecard, "parts", lambda seeds: [Part("", (), scorecard._verdicts)])
        outcome = simlab("scorecard")
        assert outcome.status == status and "| a figure | 1 of 2 | all" in outcome.out
        assert ("missed" in outcome.out) == (good is False)
        told = json.loads(simlab("scorecard", "--json").out)
        assert told["lines"] == [{"what": "a figure", "figure": "1 of 2", "target": "all", "held": good}] and "numba" in told["versions"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", "0"], "--seeds=0: must be an integer >= 1"),
        (["--sedes", "1"], "unrecognized arguments"),
        (["tests"], "unrecognized arguments"),
    ],
)
def test_refusals(words: list[str], said: str) -> None:
    outcome = simlab("scorecard", *words)
    assert outcome.status == 2 and said in outcome.err and outcome.err.count("\n") == 1


def test_an_installed_package_has_no_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorecard, "TESTS", tmp_path / "tests")
    outcome = simlab("scorecard")
    assert (outcome.status, outcome.err) == (2, "simlab: scorecard: must be run from a checkout, its tests are not installed\n")

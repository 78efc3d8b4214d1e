"""Hypothesis profiles, chosen by HYPOTHESIS_PROFILE, a count of what they tried, and figures for `simlab scorecard`.

`quick` tries the same few examples every time; `long` (`make test-long`) searches, with fresh seeds and all bad configurations.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

import simlab  # noqa: F401  sets variables that numba reads once, when it is first imported

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each of some hundred processes that tests start compiles all sources anew

settings.register_profile("quick", derandomize=True, deadline=None, max_examples=25, print_blob=True)
settings.register_profile("long", deadline=None, max_examples=1000, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "property: asks for a property of random examples; every test that hypothesis drives is one")
    config.addinivalue_line("markers", "scored: has figures for simlab scorecard; every test that uses the fixture `score` does")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.property)
        if "score" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.scored)


Score = Callable[[str, int, int], None]


@pytest.fixture
def score(record_property: Callable[[str, object], None]) -> Score:
    """Tell `simlab scorecard` that of so many things so many are good; what tests tell in the same words is added up."""
    return lambda what, good, of: record_property("score", json.dumps([what, good, of]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
    if call.when == "call" and item.get_closest_marker("property"):
        passed = re.findall(r"(\d+) passing", getattr(item, "hypothesis_statistics", ""))
        item.user_properties.append(("examples", sum(map(int, passed))))
    return (yield)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line: how many properties, and how many random examples of them held."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    counts = [value for report in reports if report.when == "call" for name, value in report.user_properties if name == "examples"]
    if counts:
        terminalreporter.write_line(f"{len(counts)} properties, {sum(counts):,} examples")

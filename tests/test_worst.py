"""The worst cases that searches have found stay as bad as they were, and no worse."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from conftest import Score

from simlab import worst_file
from simlab.falsification import bounds
from theory.falsify import ALLOWANCE, steady
from theory.tightness import Need

FILES = sorted((Path(__file__).parent / "worst").glob("*.json"))
NEEDS = sorted((Path(__file__).parent / "worst" / "need").glob("*.json"))
READ = cache(bounds)

TOLERANCE = 1e-5
"""Relative: near an equilibrium a ratio of two small numbers carries rounding, which differs between processors."""


def test_they_are_there() -> None:
    assert len(FILES) >= 31


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_worst_case_has_the_ratio_that_was_found(path: Path, score: Score) -> None:
    file, bound = json.loads(path.read_text(encoding="utf-8")), READ()[path.stem]
    assert (file["claim"], file["statement"]) == (bound.id, bound.statement), "the claim has changed: search again"
    ratio = steady(bound, worst_file.recall(str(path)))
    assert ratio is not None and ratio == pytest.approx(file["ratio"], rel=TOLERANCE)
    assert (ratio > 1 + ALLOWANCE) == file["falsified"] == bound.predicted_to_fail
    score("bounds that come out as predicted on the worst case that long searches found", 1, 1)


@pytest.mark.parametrize("path", NEEDS, ids=lambda path: path.stem)
def test_what_a_case_needs_of_a_constant_is_what_was_found(path: Path) -> None:
    file, bound = json.loads(path.read_text(encoding="utf-8")), READ()[path.stem]
    case, need = worst_file.recall(str(path)), file["need"]
    assert 0 < need < 1 and Need(bound).ratio(case.instance, case.value) == pytest.approx(need, rel=1e-3)
    enough, too_little = (replace(bound, constant=share * need * bound.constant) for share in (1.01, 0.99))
    assert case.ratio(enough) <= 1 < case.ratio(too_little)


def test_nothing_is_needed_where_a_bound_is_kept_without_its_constant() -> None:
    case = worst_file.recall(str(FILES[0].with_name("nash_md_step.json")))
    bound = READ()["nash_md_step"]
    assert Need(bound).ratio(case.instance, case.value) == 0.0 and 0.99 < case.ratio(bound) < 1

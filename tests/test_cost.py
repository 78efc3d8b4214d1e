"""docs/cost.py measures what it says, and its page shows what is expected."""

import importlib.util
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from command import ROOT


@pytest.fixture(scope="module")
def cost() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cost", ROOT / "docs" / "cost.py")
    assert spec and spec.loader
    module = sys.modules["cost"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_the_curves_of_the_script(cost: ModuleType) -> None:
    page = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8")
    table = pd.read_csv(ROOT / "docs" / "cost.csv")
    for curve in cost.CURVES:
        row = f"| {curve.name} | {curve.x} from {curve.since:,} | {curve.expected:g} |"
        (slope,) = re.findall(rf"{re.escape(row)} (\S+) \|", page)
        measured = table[table["curve"] == curve.name]
        assert slope == f"{cost.line(curve, measured)[0]:.2f}", "run: python docs/cost.py"
        if curve.name != "threads":  # as many as there were where it was measured
            assert tuple(measured["size"]) == curve.sizes


def test_a_slope_is_that_of_the_sizes_where_it_is_to_hold(cost: ModuleType) -> None:
    sizes = np.array([1, 10, 100, 1000, 10_000])
    costs = np.where(sizes < 100, 7e5, 3.0 * sizes**2.5)
    table = pd.DataFrame({"curve": "a", "size": sizes, "median": costs})
    slope, intercept = cost.line(replace(cost.CURVES[0], name="a", since=100), table)
    np.testing.assert_allclose([slope, np.exp(intercept)], [2.5, 3.0], rtol=1e-9)
    assert np.isnan(cost.line(replace(cost.CURVES[0], name="a", since=10_000), table)[0])


def test_each_curve_can_be_measured_and_drawn(cost: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cost, "WORK", 1e4)
    monkeypatch.setattr(cost, "STEPS", 10)
    monkeypatch.setattr(cost, "_peak", lambda actions: 10**8 + 8 * actions**2)
    monkeypatch.setattr(cost, "CURVES", tuple(replace(curve, sizes=(4, 8), since=4) for curve in cost.CURVES))
    monkeypatch.setattr(cost, "PAGE", tmp_path / "cost.md")
    cost.main(2)
    table = pd.read_csv(tmp_path / "cost.csv")
    assert len(table) == 2 * len(cost.CURVES)
    assert ((table["low"] > 0) & (table["low"] <= table["median"]) & (table["median"] <= table["high"])).all()
    assert (table["repetitions"] == 2).all()
    assert (tmp_path / "cost.md").read_text(encoding="utf-8").count("\n| threads | threads ") == 3
    assert (tmp_path / "cost.png").stat().st_size > 10_000


@pytest.mark.slow
def test_memory_is_that_of_the_matrix_and_of_copies(cost: ModuleType) -> None:
    cost.peak(3)  # compiled, so that no process below holds a compiler
    less, more = cost.peak(1704), cost.peak(2400)  # multiples of 8, which need no padding
    assert less > 8 * 1704**2
    np.testing.assert_allclose(more / less, (2400 / 1704) ** 2, rtol=0.2)

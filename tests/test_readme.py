"""The README is true: its tables are current, its Python runs, its new method works."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

import simlab
from envs.game import Game
from simlab.verification import claims

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme", ROOT / "docs" / "readme.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def part(name: str) -> str:
    found = re.search(f"<!-- {name} -->\n(.*?)\n<!-- end {name} -->", README, re.DOTALL)
    assert found
    return found[1]


def block(language: str, word: str) -> str:
    return next(code for code in re.findall(f"```{language}\n(.*?)```", README, re.DOTALL) if word in code)


@pytest.mark.parametrize(("name", "group", "heading"), [("methods", "algorithm", "`algorithm=`"), ("worlds", "env", "`env=`")])
def test_tables_of_members_are_current(name: str, group: str, heading: str, writer: ModuleType) -> None:
    assert part(name) == writer.members(group, heading), "run: make readme"


def test_every_claim_has_its_row(writer: ModuleType) -> None:
    page = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    known = sorted(claims().values(), key=lambda claim: claim.id)
    for topic, subject in writer.TOPICS.items():
        section = page.split(f"## {topic}\n\n")[1].split("\n\n## ")[0]
        rows = section.strip().splitlines()[2:]
        expected = [claim for claim in known if claim.subject is subject]
        assert len(rows) == len(expected) > 0, "run: make readme"
        for row, claim in zip(rows, expected, strict=True):
            assert row.startswith(writer.claim_cells(claim)), "run: make readme"
            assert row.split("|")[-2].strip().startswith("violated as predicted" if claim.predicted_to_fail else "holds")
        failing = sum(claim.predicted_to_fail for claim in expected)
        assert f"| {topic} | {len(expected) - failing} | {failing} |" in part("verdicts"), "run: make readme"


def test_the_python_example_runs() -> None:
    names: dict = {}
    exec(block("python", "rock_scissors_paper"), names)
    assert names["run"].measured["duality_gap"].shape == (32, len(names["run"].steps))


def test_the_printed_tableau_is_egpo() -> None:
    from algorithms.egpo import EGPO

    assert str(EGPO().tableau(0.1, steps=100, actions=10)) in README


def test_a_method_in_two_files(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("algorithms.my_method")
    monkeypatch.setitem(sys.modules, "algorithms.my_method", module)
    exec(block("python", "class MyMethod"), module.__dict__)
    method = instantiate(OmegaConf.create(block("yaml", "my_method")))
    reference = np.array([0.5, 0.3, 0.2])
    game = Game(np.array([[0.5, 1.0, 0.0], [0.0, 0.5, 1.0], [1.0, 0.0, 0.5]]), np.log(reference), 0.1)
    weights = reference * np.exp(game.preference @ reference / 0.1)
    run = simlab.simulate(game, method, steps=2000, record=[2000])
    np.testing.assert_allclose(np.exp(run.log_policy[0, 0]), weights / weights.sum(), rtol=1e-12)
    assert run.queries[0, 0] == 2000

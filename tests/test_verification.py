"""`simlab verify`: which claims, on which games, and with what exit status."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from algorithms.online_mirror_descent import OnlineMirrorDescent
from simlab import verification
from simlab.cli import main
from simlab.verification import claims, select

READ = cache(claims)
SUSHI = Path(__file__).parent.parent / "examples" / "sushi_counts.csv"


@pytest.fixture(autouse=True)
def claims_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "claims", READ)


def test_a_row_for_each_claim_and_a_count(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "claim=GT-*,OMD-rate-1"]) == 0
    out = capsys.readouterr().out
    for word in ("GT-2", "GT-6", "holds", "derived", "measured/claimed", "violated as predicted", "6 claims on 108 instances"):
        assert word in out


def test_a_violated_claim_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = {"egpo_contraction": replace(READ()["egpo_contraction"], method=OnlineMirrorDescent)}
    monkeypatch.setattr(verification, "claims", lambda: wrong)
    assert main(["verify"]) == 1
    out = capsys.readouterr().out
    assert "against the prediction" in " ".join(out.split())
    assert "EG-1: violated on" in out


def test_a_failure_that_does_not_come_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {"egpo_beyond": replace(READ()["egpo_beyond"], rate=1.0)}
    monkeypatch.setattr(verification, "claims", lambda: wrong)
    assert main(["verify"]) == 1


def test_every_claim_that_applies_to_recorded_comparisons(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "env=recorded", f"env.path={SUSHI}"]) == 0
    out = capsys.readouterr().out
    assert f"{len(READ())} claims on 6 instances" in out
    assert "do not apply" in out


@pytest.mark.parametrize(
    "world",
    [
        ["env=blend", "env.actions=4", "seeds=2"],
        ["env=cyclic", "env.reference=random"],
        ["env=bradley_terry", "env.actions=4", "env.contexts=2"],
    ],
)
def test_other_worlds(world: list[str]) -> None:
    assert main(["verify", "claim=EG-*,NMD-*,SPPO-*", *world]) == 0


@pytest.mark.parametrize(
    ("patterns", "ids"),
    [
        (["EG-1"], {"EG-1"}),
        (["eg-1*"], {"EG-1", "EG-1-beyond"}),
        (["nash_md_bias", "GT-2"], {"NMD-3", "GT-2"}),
        (["NMD-1", "NMD-?"], {"NMD-1", "NMD-2", "NMD-3"}),
    ],
)
def test_selection(patterns: list[str], ids: set[str]) -> None:
    assert {claim.id for claim in select(patterns).values()} == ids


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["claim=EG-9"], "claim=EG-9: must be an ID, a name, or a pattern of some claim (did you mean EG-"),
        (["claim="], "claim=: must be an ID"),
        (["betas=[0.1,0]"], "betas=[0.1,0]: must be a list of different numbers in (0, 1e+100]"),
        (["betas=[0.1,0.1]"], "betas=[0.1,0.1]: must be a list of different numbers in"),
        (["betas=[1,0.1,1.0]"], "betas=[1,0.1,1.0]: must be a list of different numbers in"),
        (["betas=[1e101]"], "betas=[1e+101]: must be a list of different numbers in"),
        ([f"betas=[1{400 * '0'}]"], "betas=[1"),
        (["betas=0.1"], "betas=0.1: must be a list of different numbers in"),
        (["seeds=0", "env=blend"], "seeds=0: must be an integer >= 1"),
        (["seeds=4"], "seeds=4: must be given together with env"),
        (["seeds=4", "env=cyclic"], "seeds=4: must be 1 in a world without anything random"),
        (["env=blend", "env.intransitivity=2"], "env.intransitivity=2: must be"),
        (["env=recorded", "env.path=nowhere.csv"], "env.path=nowhere.csv: must be"),
        (["steps=10"], "steps=10: must be a key of simlab verify"),
        (["-m", "env=blend"], "-m: must be left out"),
    ],
)
def test_refusals(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"simlab: {expected}")
    assert captured.err.count("\n") == 1


def test_help_lists_every_claim(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--help"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    for claim in READ().values():
        assert f"{claim.id} {' '.join(claim.statement.split())}" in words

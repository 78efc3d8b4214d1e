"""Configurations under fire: what is wrong with one is told in one line with key, value and what is allowed, and nothing runs."""

from __future__ import annotations

import copy
import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from command import files, simlab
from conftest import Score
from fire import Shot, misspelt, open_ended, rotated, shots, swept
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from simlab import catalogue, configuration
from simlab.checked import checked
from simlab.configuration import plan
from simlab.refusal import shown
from simlab.request import parse

REFUSED = "bad configurations refused in one line that says key, value and what is allowed"

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
"""Whether all are fired, not some for each key."""

ALL = list(shots() if LONG else rotated(shots(), 1))
PLACES = sorted({shot.words[0] for shot in ALL} | {shot.key.partition(".")[0] for shot in ALL if "." in shot.key})

WRITTEN_OUT = {
    "record": "often 7 [5,3] [0,2000] [true] [] nan {a:1} [0.5] [-1] null true [[1]] [1,1]",
    "measure": "exploit 3 [3] [exploitability,exploitability] {a:1} [nan] true [[exploitability]] average_average_duality_gap",
    "threads": "0 -1 1.5 abc true nan [1] {a:1} inf",
    "grid": "3 abc [] {} true {beta:0.1} {beta:[]} {beta:[0.1,0.1]} {seeds:[1]} {nope:[1]} {beta:[nan]} {env.n:[3,2]} {env:{n:3}}",
    "cells": "abc -1 0 1.5 500.5 true nan [1]",
    "block": "-1 1 abc true 1.5 [1] nan false",
    "store": "3 nan [a] {a:1} true null file file/sub /proc/none ''",
    "env": "null nan [blend,cyclic] {n:3} 3 blendd ℵ '' true",
    "algorithm": "egpoo null 3 [egpo] {rate:1} Egpo ''",
    "feedback": "duel null 1 [] {flip:0.1}",
    "start": "farr null 1 []",
    "launcher": "jblib null 1 []",
    "experiment": "mine 1 []",
}
"""Values that top-level keys of `simlab run` do not take."""

FILES = "7 nan {a:1} [] '' true null [a]"
NAMED = {
    "run env=recorded env.path": f"{FILES} nofile.csv . bad.csv",
    "train scaled=lm scaled.dataset=pairs.jsonl scaled.model": FILES,
    "train scaled=lm scaled.model=model scaled.dataset": FILES,
    "run env=matrix env.rows": "[[0.5,1],[1,0.5]] [[0.5]] [[0.5,nan],[0,0.5]] [[0.4,1],[0,0.5]] [[0.5,2],[-1,0.5]] [[0.5,1,0],[0,0.5]] 3",
    "run env=bradley_terry env.scores": "[1] [1,nan] [1,.inf] [a,b] 3 {a:1} [[1,2]]",
    "run env.reference": "[0.5,0.5] [0.2,0.3,0.6] [0.5,0.5,0] [-1,1,1] [nan,0.5,0.5] nan true uniformm [[0.2,0.3,0.5]]",
    "run start=given start.policy": "[0.5,0.5] [0.2,0.3,0.6] [0.5,0.5,0] [-1,1,1] [nan,0.5,0.5] nan true uniform",
    "run feedback=duels_targeted feedback.flip.pairs": "[[0,9]] [[0,0]] [[0]] [[0,1,2]] [0,1] [[-1,0]] [[0.5,1]] [[a,b]] 3 abc",
    "run feedback=duels_annotators feedback.flip.flips": "[0.6] [-0.1] [nan] [a] [] 0.1 abc [[0.1]]",
    "run feedback=duels_annotators feedback.flip.weights": "[1] [1,1] [1,1,0] [1,1,-1] [1,1,nan] [1,1,.inf] 3 abc",
    "falsify claim": "nan nothing EG-99 EG-1,EG-2 'EG-*' RDPO-1 ''",
    "falsify claim=EG-1 replay": "nofile.json . 7",
}
"""The same of keys after these words."""

CONTRADICTIONS = [
    ("run algorithm=dpo", "env=cyclic"),
    ("run algorithm=dpo env=pairs steps=5", "steps=5"),
    ("run algorithm=dpo env=pairs record=every", "record=every"),
    ("run algorithm=dpo env=pairs measure=exploitability", "measure=exploitability"),
    ("run algorithm=dpo env=pairs feedback=duels", "feedback=Duels"),
    ("run algorithm=dpo env=pairs start=reference", "start=ReferenceStart"),
    ("run algorithm=dpo env=pairs env.n=3", "env.n=3"),
    ("run algorithm=dpo env=pairs env.d=50", "env.d=50"),
    ("run algorithm=rdpo env=pairs env.flip=0.5", "env.flip=0.5"),
    ("run algorithm=pal", "env=cyclic"),
    ("run ridge=0.1", "ridge=0.1"),
    ("run ridge=true", "ridge=true"),
    ("run block=false", "block=false"),
    ("run env=population env.samples=20", "env.samples=20"),
    ("run env=low_rank env.rank=6", "env.rank=6"),
    ("run env=sequence env.vocabulary=2 env.length=1", "env.length=1"),
    ("run env=sequence env.length=1000000000000", "env.length=1000000000000"),
    ("run env=bradley_terry env.actions=3 env.scores=[1,2]", "env.actions=3"),
    ("run env=population_tournament env.actions=3 env.beats=[[0,1]]", "env.actions=3"),
    ("run env=population_cycle env.contexts=2", "env.contexts=2"),
    ("run algorithm=nash_prox algorithm.strength=5 algorithm.rate=1", "algorithm.rate=1"),
    ("run algorithm=magnetic algorithm.rate=4", "algorithm.rate=4"),
    ("run algorithm=nash_mp algorithm.rate=10", "algorithm.rate=10"),
    ("run algorithm=inpo beta=0", "algorithm.rate=null"),
    ("run feedback=duels feedback.per_action=2 algorithm.pairs=3", "feedback.per_action=2"),
    ("run measure=kl_to_equilibrium beta=0", "measure=kl_to_equilibrium"),
    ("run beta=1e200", "beta=1e+200"),
    ("run algorithm=comal algorithm.strength=1e200", "algorithm.strength=1e+200"),
    ("run 'grid={beta:[0.1]}' beta=0.2", "beta=0.2"),
    ("run 'grid={beta:[0.1,-1]}'", "beta=-1"),
    ("run -m beta=0.1,-1", "beta=-1"),
    ("train scaled.heads=3", "scaled.heads=3"),
    ("train scaled.length=3", "scaled.length=3"),
    ("train processes=2", "processes=2"),
    ("train processes=true", "processes=true"),
    ("train dry_run=1", "dry_run=1"),
    ("train memory=80", "memory=80"),
    ("train beta=0", "beta=0"),
    ("train algorithm=nash_prox", "algorithm.tolerance=1e-12"),
    ("verify seeds=3", "seeds=3"),
    ("verify seed=3", "seed=3"),
    ("verify betas=[0.1,0]", "betas=[0.1,0]"),
    ("falsify", "claim=null"),
    ("falsify claim=EG-1 actions=101", "actions=101"),
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of files, some of no use; what Hydra composes of the same words is composed once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.setattr(configuration, "compose", _composed)
    (tmp_path / "file").touch()
    (tmp_path / "bad.csv").write_text("a,b\n")
    (tmp_path / "good.csv").write_text("winner,loser,count\na,b,3\nb,c,2\nc,a,1\n")
    return tmp_path


COMPOSED: dict[tuple[str, ...], Any] = {}
_compose = configuration.compose


def _composed(command: str, words: list[str], **options: Any) -> Any:
    key = (command, *words)
    if key not in COMPOSED:
        COMPOSED[key] = _compose(command, words, **options)
    return copy.deepcopy(COMPOSED[key])


def fire(words: Iterable[str], here: Path) -> tuple[str, str]:
    """What a refused command line says before and after `: must be`; anything but a refusal fails."""
    words, before = list(words), files(here)
    status, out, err = simlab(*words)
    assert (status, out) == (2, ""), (words, out, err)
    assert err.startswith("simlab: ") and err.endswith("\n") and err.count("\n") == 1, (words, err)
    assert "Error" not in err and files(here) == before, (words, err)
    said, must, allowed = err.removeprefix("simlab: ").partition(": must be ")
    assert must and len(allowed) > 4, (words, err)
    return said, allowed


def ways(value: str) -> set[str]:
    """How a value may be shown: as written, as Hydra reads it, or one item of it."""
    try:
        read = OverridesParser.create().parse_override(f"key={value}").value()
    except HydraException:
        return {value}
    items = read if isinstance(read, list) else []
    floats = [float(item) for item in items] if all(type(item) in (int, float) for item in items) else items
    return {
        value,
        shown(read),
        shown(floats),
        *map(shown, items),
        *(shown(each) for item in items if isinstance(item, list) for each in item),
    }


def hit(shot: Shot, here: Path) -> None:
    said, _ = fire(shot.words, here)
    key, _, value = said.partition("=")
    assert key == shot.key and value in ways(shot.value), (shot, said)


@pytest.mark.parametrize("shot", list(open_ended()), ids=lambda shot: " ".join(shot.words))
def test_a_number_said_to_have_no_upper_end_may_be_huge(shot: Shot) -> None:
    command, *words = shot.words
    checked(plan(parse(command, words)).jobs[0].config)


def test_there_are_hundreds() -> None:
    written = sum(len(shlex.split(values)) for table in (WRITTEN_OUT, NAMED) for values in table.values())
    assert len(ALL) + written + len(CONTRADICTIONS) >= (3000 if LONG else 400)
    assert {shot.fault for shot in ALL} == {shot.fault for shot in shots()}


@pytest.mark.parametrize("place", PLACES)
def test_every_key_of_every_member(place: str, here: Path, score: Score) -> None:
    """Each is a fault of a kind at a key: see `fire.bad_values`."""
    mine = [shot for shot in ALL if place in (shot.key.partition(".")[0] if "." in shot.key else shot.words[0],)]
    assert mine
    for shot in mine:
        hit(shot, here)
    score(REFUSED, len(mine), len(mine))


@pytest.mark.parametrize("key", WRITTEN_OUT)
def test_keys_of_a_run(key: str, here: Path, score: Score) -> None:
    beside = ["grid={beta:[0.1,0.2]}"] if key in ("cells", "block") else []
    values = shlex.split(WRITTEN_OUT[key])
    for value in values:
        said, _ = fire(["run", *beside, f"{key}={value}"], here)
        assert said.startswith((f"{key}=", f"{key}.") if key != "grid" else ("grid", "beta=", "nope=", "env.n=")), said
    score(REFUSED, len(values), len(values))


@pytest.mark.parametrize("words", NAMED)
def test_keys_of_members(words: str, here: Path, score: Score) -> None:
    *others, key = shlex.split(words)
    values = shlex.split(NAMED[words])
    for value in values:
        said, _ = fire([*others, f"{key}={value}"], here)
        assert said.startswith(key) or key.rpartition(".")[2] in said.partition("=")[0], said
    score(REFUSED, len(values), len(values))


@pytest.mark.parametrize(("words", "said"), CONTRADICTIONS, ids=[words for words, _ in CONTRADICTIONS])
def test_contradictions(words: str, said: str, here: Path, score: Score) -> None:
    assert fire(shlex.split(words), here)[0] == said
    score(REFUSED, 1, 1)


def test_a_misspelt_key_is_told_the_right_one(here: Path) -> None:
    for shot in list(misspelt())[:: 1 if LONG else 5]:
        said, allowed = fire(shot.words, here)
        assert said == f"{shot.key}=1" and allowed.strip().endswith(f"(did you mean {shot.value}?)"), (shot, allowed)


def test_a_sweep_with_a_bad_value_runs_nothing(here: Path) -> None:
    for shot in list(swept())[:: 1 if LONG else 7]:
        hit(shot, here)


def test_every_group_has_members_that_are_told(here: Path) -> None:
    for group, members in catalogue.groups().items():
        if group in ("env", "algorithm", "feedback", "start", "launcher"):
            _, allowed = fire(["run", f"{group}=no_such"], here)
            assert all(member in allowed for member in members)

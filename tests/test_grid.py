"""`grid:`: many settings in one job, with the rows that each would have in a run of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command import files, simlab

import simlab as package
from simlab.sharing import once, sharing
from simlab.store import read

GRID = "grid={beta:[0.05,0.1],env.intransitivity:[0,0.5,1],algorithm.rate:[0.5,1]}"
WORDS = ("env=blend", "env.actions=4", "steps=20", "seeds=3")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> str:
    done = simlab("run", *words)
    assert done.status == 0, done.err
    return done.out


def rows(store: str, keys: list[str]) -> pd.DataFrame:
    """All rows of a store in an order of their own, without what names their runs."""
    table = package.load(store)
    return table.drop(columns=["run", "cell"], errors="ignore").sort_values([*keys, "seed", "context", "step"]).reset_index(drop=True)


@pytest.mark.parametrize("feedback", [["feedback=exact"], ["feedback=duels", "feedback.flip=0.1"]])
def test_rows_are_those_of_runs_of_their_own(feedback: list[str]) -> None:
    run(*WORDS, *feedback, "grid={beta:[0.05,0.1],env.intransitivity:[0,1],algorithm.rate:[0.5,1]}", "store=grid", "cells=3")
    run("-m", *WORDS, *feedback, "beta=0.05,0.1", "env.intransitivity=0,1", "algorithm.rate=0.5,1", "store=sweep")
    keys = ["beta", "env.intransitivity", "algorithm.rate"]
    ours, theirs = rows("grid", keys), rows("sweep", keys)
    assert len(list(Path("grid").glob("*.parquet"))) == 3 and len(list(Path("sweep").glob("*.parquet"))) == 8
    pd.testing.assert_frame_equal(ours[sorted(ours)], theirs[sorted(theirs)], check_exact=True)


@pytest.mark.parametrize(
    ("words", "grid", "swept"),
    [
        (["env=pairs", "algorithm=dpo", "seeds=2"], "{env.n:[200,400],beta:[0.1,0.5]}", ["env.n=200,400", "beta=0.1,0.5"]),
        (
            ["env=population", "algorithm=pal", "env.users=6", "env.samples=40"],
            "{algorithm.prototypes:[1,2]}",
            ["algorithm.prototypes=1,2"],
        ),
    ],
    ids=["offline", "users"],
)
def test_every_kind_of_experiment(words: list[str], grid: str, swept: list[str]) -> None:
    run(*words, f"grid={grid}", "store=grid")
    run("-m", *words, *swept, "store=sweep")
    ours, theirs = (package.load(store).drop(columns=["run", "cell"], errors="ignore") for store in ("grid", "sweep"))
    by = [column for column in sorted(ours) if ours[column].dtype.kind in "ifb" or column in ("users", "status")]
    ours, theirs = (table.sort_values(by).reset_index(drop=True) for table in (ours, theirs))
    shared = sorted(set(ours) & set(theirs))
    pd.testing.assert_frame_equal(ours[shared], theirs[shared], check_exact=True)
    assert {word.partition("=")[0] for word in swept} <= set(ours)


def test_blocks_together_are_the_grid_and_cells_are_numbered() -> None:
    whole, parts = "store=whole", "store=parts"
    run(*WORDS, GRID, whole)
    assert "3 runs in parts" in run(*WORDS, GRID, parts, "cells=5")
    first, second = package.load("whole"), package.load("parts")
    assert sorted(set(first.cell)) == list(range(12))
    order = ["cell", "seed", "step"]
    kept = [column for column in first if column != "run"]
    first, second = (table[kept].sort_values(order).reset_index(drop=True) for table in (first, second))
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_a_block_that_is_there_is_not_run_again_and_one_can_be_named() -> None:
    run(*WORDS, GRID, "cells=5", "block=1")
    assert len(list(Path("simlab_store").glob("*.parquet"))) == 1
    assert "3 runs in simlab_store, 1 already there" in run(*WORDS, GRID, "cells=5")


def test_the_grid_may_stand_in_a_file_and_methods_vary_outside(here: Path) -> None:
    (here / "mine/experiment").mkdir(parents=True)
    text = "# @package _global_\n# A study.\ngrid:\n  beta: [0.05, 0.1]\n  env:\n    win: [0.6, 0.9]\ncells: 3\n"
    (here / "mine/experiment/study.yaml").write_text(text)
    run("-m", "-cd", "mine", "experiment=study", "algorithm=egpo,nash_md", "steps=5")
    table = package.load("simlab_store")
    cells = table.groupby(["algorithm", "beta", "env.win"]).cell.nunique()
    assert len(cells) == 8 and (cells == 1).all() and table.run.nunique() == 4


def test_a_method_less_leaves_the_rest_as_it_was() -> None:
    run("-m", *WORDS, GRID, "algorithm=egpo,nash_md", "store=both")
    run(*WORDS, GRID, "algorithm=nash_md", "store=one")
    (alone,) = Path("one").glob("*.parquet")
    assert read(alone).table.equals(read(Path("both") / alone.name).table)


def test_measures_that_not_every_cell_takes() -> None:
    run("grid={beta:[0,0.1]}", "steps=5")
    table = package.load("simlab_store")
    assert table[table.beta == 0].kl_to_equilibrium.isna().all() and table[table.beta == 0.1].kl_to_equilibrium.notna().all()


def test_settings_of_mixed_kinds_are_text_in_every_block() -> None:
    run("algorithm=nash_md", "grid={algorithm.rate:[null,0.25,published]}", "cells=1", "steps=5")
    table = package.load("simlab_store")
    assert set(table["algorithm.rate"].dropna()) == {"0.25", "published"} and table.cell.nunique() == 3


def test_a_page_says_what_varies() -> None:
    page = run(*WORDS, GRID)
    assert page.startswith("EGPO on blend, a grid of 12 cells")
    assert "env.intransitivity  0, 0.5, 1" in page and "rate=varies" in page and "36 ok" in page


def test_last_rows_of_cells_with_different_steps() -> None:
    page = run("grid={steps:[5,10]}", "seeds=2", "feedback=duels")
    assert "4 ok" in page
    table = package.load("simlab_store")
    assert table.groupby("steps").step.max().to_dict() == {5: 5, 10: 10}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["grid=3"], "simlab: grid=3: must be null, or {KEY: [VALUE, ...]} with at least one key"),
        (["grid={beta:0.1}"], "simlab: grid.beta=0.1: must be a list of values, each once"),
        (["grid={beta:[]}"], "simlab: grid.beta=[]: must be a list of values, each once"),
        (["grid={beta:[0.1,0.1]}"], "simlab: grid.beta=[0.1,0.1]: must be a list of values, each once"),
        (["grid={seeds:[1,2]}"], "simlab: grid.seeds=[1,2]: must be left out: seeds has one value in all cells"),
        (["grid={env.wins:[0.6]}"], "simlab: env.wins=[0.6]: must be a key of env=cyclic: n, win"),
        (["grid={algorithm:[egpo,sppo]}"], "simlab: algorithm=[egpo,sppo]: must be given outside the grid: -m algorithm=egpo,sppo"),
        (["grid={beta:[0.1]}", "beta=0.2"], "simlab: beta=0.2: must be left out: the grid sets it"),
        (["grid={beta:[0.1,-1]}"], "simlab: beta=-1: must be a finite number >= 0"),
        (["grid={algorithm.rate:[0.1,100]}"], "simlab: algorithm.rate=100: must be"),
        (["grid={beta:[0.1,0.2]}", "cells=0"], "simlab: cells=0: must be an integer >= 1"),
        (["grid={beta:[0.1,0.2]}", "cells=1", "block=2"], "simlab: block=2: must be less than 2"),
        (["cells=3"], "simlab: cells=3: must be left out: only a grid has blocks"),
        (["block=1"], "simlab: block=1: must be left out: only a grid has blocks"),
        (["-m", "grid={beta:[0.1]},{beta:[0.2]}"], "simlab: grid=several values: must be one value for all runs"),
    ],
)
def test_refusals(words: list[str], expected: str, here: Path) -> None:
    outcome = simlab("run", *words)
    assert (outcome.status, outcome.out) == (2, ""), outcome
    assert outcome.err.startswith(expected) and outcome.err.count("\n") == 1, outcome.err
    assert files(here) == []


def test_what_is_shared_is_made_once_within_and_never_without() -> None:
    made: list[int] = []

    def make() -> Any:
        made.append(len(made))
        return np.array(made[-1])

    with sharing():
        assert once("kind", "a", make) is once("kind", "a", make)
        assert once("kind", "b", make) is not once("other", "b", make)
    assert once("kind", "a", make) is not once("kind", "a", make)
    assert made == [0, 1, 2, 3, 4]


def test_what_is_shared_is_kept_from_the_outermost_on_and_told_apart_by_whose_it_is() -> None:
    def drawn(of: object) -> Any:
        return once("kind", "a", lambda: np.array(0), of=of)

    with sharing():
        mine, other = [1], [1]
        with sharing():
            inner = drawn(mine)
        assert drawn(mine) is inner and drawn(other) is not inner
        found = {id(drawn([number])) for number in range(20)}
        assert len(found) == 20, "what is kept keeps whose it is, or another may come to have its id"

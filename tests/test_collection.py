"""`simlab collect`: every row of every run once, beside what tells the runs apart; what cannot be read is named."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from command import files, simlab

import simlab as package
from simlab.store import read


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sweep(*words: str) -> None:
    assert simlab("run", "-m", "steps=4", "store=kept", *words).status == 0


def test_rows_are_those_of_the_runs(here: Path) -> None:
    sweep("env=blend", "env.intransitivity=0,0.5", "algorithm=egpo,sppo", "beta=0.1,0.2", "seeds=2")
    outcome = simlab("collect", "kept")
    table = pd.read_parquet(here / "kept.parquet")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out == f"{len(table):,} rows of 8 runs in kept.parquet\n"
    stored = {path.stem: read(path) for path in (here / "kept").glob("*.parquet")}
    assert len(table) == sum(run.table.num_rows for run in stored.values()) and set(table.run) == set(stored)
    for run, rows in table.groupby("run"):
        frame = stored[run].frame
        pd.testing.assert_frame_equal(rows[frame.columns].reset_index(drop=True), frame, check_dtype=False)
    cells = table.groupby(["algorithm", "env.intransitivity", "beta"]).run.nunique()
    assert len(cells) == 8 and (cells == 1).all()
    assert not {"seeds", "steps", "store", "threads", "grid", "cells"} & set(table.columns), "what does not vary is no column"
    assert set(table.env) == {"blend"}, "but for what every figure asks for"


def test_kinds_of_experiments_share_a_table(here: Path) -> None:
    sweep("algorithm=egpo,nash_md", "algorithm.rate=null,0.25")
    assert simlab("run", "env=pairs", "algorithm=dpo", "env.n=500", "store=kept").status == 0
    assert simlab("collect", "kept", "--output", "all.csv").status == 0
    table = pd.read_csv(here / "all.csv")
    assert table[table.algorithm == "dpo"].exploitability.isna().all() and table[table.algorithm == "egpo"].estimation_error.isna().all()
    assert set(table.env) == {"cyclic", "pairs"} and set(table["algorithm.rate"].dropna()) == {0.25}


def test_settings_of_mixed_kinds_are_text(here: Path) -> None:
    sweep("algorithm=nash_md", "algorithm.rate=null,0.25,published", "record=log,[0,4]")
    assert simlab("collect", "kept").status == 0
    table = pd.read_parquet(here / "kept.parquet")
    assert set(table["algorithm.rate"].dropna()) == {"0.25", "published"} and set(table.record) == {"log", "[0, 4]"}


def test_a_setting_that_bears_a_columns_name(here: Path) -> None:
    sweep("feedback=duels", "env=blend", "seed=1,2")
    assert simlab("collect", "kept").status == 0
    table = pd.read_parquet(here / "kept.parquet")
    assert set(table["config.seed"]) == {1, 2} and set(table.seed) == {0}


def test_a_damaged_file_is_named_and_left_out(here: Path) -> None:
    sweep("beta=0.1,0.2")
    (here / "kept/broken.parquet").write_bytes(b"PAR1 and no more")
    outcome = simlab("collect", "kept", "--output", "out.parquet")
    assert outcome.status == 1 and "of 2 runs" in outcome.out
    assert outcome.err.startswith("simlab: left out: kept/broken.parquet: must be a readable parquet file")
    assert len(pd.read_parquet(here / "out.parquet").run.unique()) == 2


def test_a_run_of_another_version_is_left_out_and_said(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep("beta=0.1,0.2")
    with monkeypatch.context() as patched:
        patched.setattr("simlab.__version__", "0.0.9")
        sweep("beta=0.1")
    outcome = simlab("collect", "kept")
    assert outcome.status == 1 and "of 2 runs" in outcome.out
    assert (
        outcome.err
        == "simlab: left out: kept: 1 of 3 files hold numbers of other code (1 of simlab 0.0.9); --all-versions takes them too\n"
    )
    assert simlab("collect", "kept", "--all-versions").out.endswith("of 3 runs in kept.parquet\n")
    with pytest.warns(UserWarning, match="left out: kept: 1 of 3"):
        assert package.load("kept").run.nunique() == 2


def test_a_configuration_in_another_form_is_named(here: Path) -> None:
    sweep("beta=0.1,0.2")
    path = min((here / "kept").glob("*.parquet"))
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"config": b"beta: 0.1"}), path)
    outcome = simlab("collect", "kept")
    assert outcome.status == 1 and f"left out: kept/{path.name}: must hold its configuration as JSON" in outcome.err


def test_grids_and_runs_share_a_table(here: Path) -> None:
    assert simlab("run", "grid={beta:[0.1,0.2]}", "steps=4", "store=kept").status == 0
    sweep("beta=0.3,0.4", "steps=4")
    table = package.load("kept")
    assert table.groupby("beta").run.nunique().to_dict() == {0.1: 1, 0.2: 1, 0.3: 1, 0.4: 1}
    assert not [column for column in table if column.startswith("config.")]


def test_a_table_is_no_run_of_the_folder(here: Path) -> None:
    sweep("beta=0.1,0.2")
    simlab("collect", "kept", "--output", "kept/table.parquet")
    again = simlab("collect", "kept", "--output", "kept/table.parquet")
    assert again.status == 1 and "kept/table.parquet: must be a file that simlab has written" in again.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "simlab: the following arguments are required: folder"),
        (["none"], "simlab: none: must be an existing folder"),
        (["results/prototypes"], "simlab: results/prototypes: must be an existing folder; simlab run experiment=prototypes store=results/"),
        (["."], "simlab: .: must hold at least one run"),
        ([".", "--output", "a.txt"], "simlab: --output=a.txt: must end in .parquet or .csv"),
        ([".", "--what"], "simlab: unrecognized arguments: --what"),
    ],
)
def test_refusals(words: list[str], expected: str, here: Path) -> None:
    outcome = simlab("collect", *words)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith(expected) and outcome.err.count("\n") == 1
    assert files(here) == []

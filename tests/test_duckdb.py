"""The queries of docs/sweeps.md, run as they stand there."""

import re
from pathlib import Path

import pytest
from command import ROOT, simlab

import simlab as package

duckdb = pytest.importorskip("duckdb")

QUERIES = re.findall(r"```sql\n(.*?)```", (ROOT / "docs/sweeps.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """The rows of a small sweep in the default store, methods of which keep different measures."""
    monkeypatch.chdir(tmp_path)
    assert simlab("run", "-m", "algorithm=egpo,sppo", "beta=0.1,0.5", "seeds=2", "feedback=duels").status == 0
    return package.load("simlab_store")


def test_rows_alone(rows) -> None:
    assert len(QUERIES) == 2
    found = duckdb.sql(QUERIES[0]).df().set_index("status")
    assert found.rows.to_dict() == rows.status.value_counts().to_dict()
    assert found.middle.to_dict() == pytest.approx(rows.groupby("status").exploitability.median().to_dict())


def test_with_settings(rows) -> None:
    found = duckdb.sql(QUERIES[1]).df()
    names = {"algorithms.egpo.EGPO": "egpo", "algorithms.sppo.SPPO": "sppo"}
    expected = rows[rows.step == 1000].groupby(["algorithm", "beta"]).exploitability.median()
    assert {(names[row.method], row.beta): row.middle for row in found.itertuples()} == pytest.approx(expected.to_dict())

"""Each experiment of conf/experiment composes, and runs in small."""

from pathlib import Path

import pytest
from command import simlab

from simlab.catalogue import CONF

EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
SWEPT = {
    "egpo_simulation_nash_md": ["algorithm.opponent_pull=1.0,0.5"],
    "nash_mp_dimension": ["algorithm=nash_mp,nash_md", "env.actions=3,5"],
}
RUNS = {"nash_mp_dimension": 4}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_in_small(name: str, tmp_path: Path) -> None:
    swept = SWEPT.get(name, ["algorithm=egpo,nash_md"])
    done = simlab("run", f"experiment={name}", "steps=5", "seeds=2", "beta=0.1", f"store={tmp_path}", *swept)
    assert done.status == 0, done.err
    assert len(list(tmp_path.glob("*.parquet"))) == RUNS.get(name, 2)


def test_experiments_are_there() -> None:
    assert len(EXPERIMENTS) >= 5

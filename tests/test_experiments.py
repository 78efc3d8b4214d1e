"""Each experiment of conf/experiment composes, and runs in small; those of notebooks run in `test_notebooks`."""

from pathlib import Path

import pytest
from command import ROOT, simlab

from simlab.catalogue import CONF

EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
SELF_PLAY = ["steps=5", "beta=0.1"]
SWEPT = {
    "egpo_simulation_nash_md": ["algorithm.opponent_pull=1.0,0.5", *SELF_PLAY],
    "nash_mp_dimension": ["algorithm=nash_mp,nash_md", "env.actions=3,5", *SELF_PLAY],
    "noisy_labels": ["algorithm=dpo,rdpo", "env.flip=0,0.1", "env.n=100"],
    "prototypes": ["env.users=6", "env.samples=40", "env.prototypes=2", "algorithm.prototypes=1,2"],
}
RUNS = {"nash_mp_dimension": 4, "noisy_labels": 4}


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if not (ROOT / "notebooks" / f"{name}.py").exists()])
def test_an_experiment_in_small(name: str, tmp_path: Path) -> None:
    swept = SWEPT.get(name, ["algorithm=egpo,nash_md", *SELF_PLAY])
    done = simlab("run", f"experiment={name}", "seeds=2", f"store={tmp_path}", *swept)
    assert done.status == 0, done.err
    assert len(list(tmp_path.glob("*.parquet"))) == RUNS.get(name, 2)


def test_experiments_are_there() -> None:
    assert len(EXPERIMENTS) >= 15

"""Each experiment of conf/experiment composes, and runs in small."""

from pathlib import Path

import pytest
from command import ROOT, simlab

from simlab.catalogue import CONF

EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
SELF_PLAY = ["steps=5", "beta=0.1"]
TWO = ["algorithm=egpo,nash_md", "steps=5"]
SWEPT = {
    "dpo_rdpo_crossover": ["algorithm=dpo,rdpo", "grid={env.flip:[0.1],env.n:[100,200]}"],
    "egpo_simulation_nash_md": ["algorithm.opponent_pull=1.0,0.5", *SELF_PLAY],
    "nash_mp_dimension": ["algorithm=nash_mp,nash_md", "env.actions=3,5", *SELF_PLAY],
    "nash_mp_queries": [*TWO, "grid={beta:[0.1,1]}"],
    "noise_intransitivity": [*TWO, "record=[5]", "grid={env.intransitivity:[0,1],feedback.flip:[0.1]}"],
    "noisy_labels": ["algorithm=dpo,rdpo", "env.flip=0,0.1", "env.n=100"],
    "pal_samples": ["env.users=6", "grid={env.samples:[40,50]}"],
    "prototypes": ["env.users=6", "env.samples=40", "env.prototypes=2", "algorithm.prototypes=1,2"],
    "rdpo_slopes": ["grid={env.flip:[0.1],env.n:[100,200]}"],
    "rps_simplex": TWO,
    "stability_map": ["algorithm=egpo,online_mirror_descent", "steps=5", "record=[0,5]", "grid={beta:[0.1],algorithm.rate:[0.1,1]}"],
    "sushi": [*TWO, f"env.path={ROOT / 'examples/sushi_counts.csv'}", "grid={beta:[0.1]}"],
}
RUNS = {"nash_mp_dimension": 4, "noisy_labels": 4, "pal_samples": 1, "rdpo_slopes": 1}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_in_small(name: str, tmp_path: Path) -> None:
    swept = SWEPT.get(name, ["algorithm=egpo,nash_md", *SELF_PLAY])
    done = simlab("run", f"experiment={name}", "seeds=2", f"store={tmp_path}", *swept)
    assert done.status == 0, done.err
    assert len(list(tmp_path.glob("*.parquet"))) == RUNS.get(name, 2)


def test_experiments_are_there() -> None:
    assert len(EXPERIMENTS) >= 15

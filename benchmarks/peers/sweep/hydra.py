"""Hydra's basic launcher: the same settings as a plain Hydra application would run them, each into a parquet file in its folder.

Only the first few combinations of the grid are run, in one multirun, and the time is told for each of these.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import hydra
import numpy as np
import pandas as pd
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import DictConfig

import simlab
from benchmarks.instances import axes
from benchmarks.work import Size

LIBRARY = "hydra-core"
NAME = "benchmark_sweep"
RATES = 2
"""Of the grid: with all values of the last key 20 combinations of 10,000."""


def prepare(size: Size) -> Callable[[], NDArray]:
    ConfigStore.instance().store(name=NAME, node=_config(size))
    values = list(axes(size).items())
    chosen = [(key, some[:1]) for key, some in values[:2]] + [(values[2][0], values[2][1][:RATES]), values[3]]
    words = [f"{key}={','.join(map(str, some))}" for key, some in chosen]

    def work() -> NDArray:
        found: list[float] = []
        with tempfile.TemporaryDirectory() as folder, _command_line("--multirun", *words, f"hydra.sweep.dir={folder}"):
            hydra.main(version_base="1.3", config_path="pkg://conf", config_name=NAME)(partial(_job, found))()
        return np.array(found)[:, None]

    return work


def _config(size: Size) -> dict:
    return {
        "beta": 0.1,
        "steps": size["iterations"],
        "env": {"_target_": "envs.blend.Blend", "actions": 10, "intransitivity": 0.5},
        "algorithm": {"_target_": "algorithms.egpo.EGPO", "rate": 0.1},
        "feedback": {"_target_": "envs.feedback.Exact", "flip": 0.0},
        "start": {"_target_": "envs.start.FarStart", "spread": 3.0},
    }


def _job(found: list[float], config: DictConfig) -> None:
    """Run one combination and write its row."""
    (game,) = instantiate(config.env).games(config.beta)
    run = simlab.simulate(
        game, instantiate(config.algorithm), steps=config.steps, feedback=instantiate(config.feedback),
        start=instantiate(config.start).log_policy(game), record=[config.steps], measure=("exploitability",), threads=1,
    )  # fmt: skip
    rows = pd.DataFrame({"step": run.steps, "exploitability": run.measured["exploitability"][0]})
    rows.to_parquet(Path(HydraConfig.get().runtime.output_dir) / "rows.parquet")
    found.append(float(rows.exploitability.iloc[-1]))


@contextmanager
def _command_line(*words: str) -> Iterator[None]:
    before, sys.argv = sys.argv, ["benchmark", *words]
    try:
        yield
    finally:
        sys.argv = before

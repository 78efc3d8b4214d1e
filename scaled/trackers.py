"""Metrics shown by others: each tracker begins a run, and is then given the metrics of every iteration."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from envs.invalid import require

Log = Callable[[int, dict[str, float]], None]
"""Take the metrics of an iteration."""


def require_tracker(name: object) -> None:
    """Refuse a tracker that is unknown, or whose package is not there.

    Raises
    ------
    Invalid
        With the key `tracker`.
    """
    if name is None:
        return
    require(name in TRACKERS, "tracker", name, f"one of {', '.join(TRACKERS)}, or null")
    require(find_spec(str(name)), "tracker", name, "installed: pip install 'simlab[trackers]'")


def _tensorboard(folder: Path, config: dict[str, Any]) -> Log:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder / "tensorboard"))
    writer.add_text("config", json.dumps(config, indent=1))

    def log(step: int, row: dict[str, float]) -> None:
        for name, value in row.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return log


def _wandb(folder: Path, config: dict[str, Any]) -> Log:
    import wandb

    run = wandb.init(project="simlab", name=folder.parent.name, dir=str(folder), config=config, reinit="finish_previous")
    return lambda step, row: run.log(row, step=step)


def _mlflow(folder: Path, config: dict[str, Any]) -> Log:
    import mlflow

    mlflow.set_experiment("simlab")
    mlflow.end_run()
    mlflow.start_run(run_name=folder.parent.name)
    mlflow.log_dict(config, "config.json")
    return lambda step, row: mlflow.log_metrics(row, step=step)


TRACKERS: dict[str, Callable[[Path, dict[str, Any]], Log]] = {"tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow}
"""Packages that show metrics, each with what begins a run there."""

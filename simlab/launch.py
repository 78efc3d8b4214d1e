"""Hands checked runs to Hydra, whose launchers run them: here, or wherever `launcher` says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra import initialize_config_module
from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from simlab.configuration import VERSION_BASE, Plan
from simlab.elsewhere import Elsewhere, Look
from simlab.leftovers import sweep_folder
from simlab.request import Request

Task = Callable[[DictConfig], str | None]
"""Does a run; returns what went wrong, if that is still to be told."""


def inspect(request: Request) -> None:
    """Let Hydra show a configuration."""
    with _command_line([*request.inspect, *request.overrides]):
        hydra.main(version_base=VERSION_BASE, config_path="pkg://conf", config_name=request.command)(lambda config: None)()


def launch(request: Request, plan: Plan, task: Task, look: Look) -> None:
    """Run a task on each configuration of a plan, composed once more by Hydra itself.

    A launcher that runs them elsewhere is given only those that `look` says are missing.
    """
    if plan.sweep:
        _sweep(request, plan, task, look)
        return
    with _hydra():
        app: Any = GlobalHydra.instance().hydra
        app.run(request.command, task, list(request.overrides))


def _sweep(request: Request, plan: Plan, task: Task, look: Look) -> None:
    with _hydra(), sweep_folder(Path(plan.jobs[0].config.store).expanduser()) as folder:
        launcher, config = _launcher(request, folder, task)
        if type(launcher) is BasicLauncher:
            launcher.launch([job.overrides for job in plan.jobs], initial_job_idx=0)
        else:
            Elsewhere(launcher, plan, folder, look).launch(config.hydra.sweeper.max_batch_size)


def _launcher(request: Request, folder: Path, task: Task) -> tuple[Launcher, DictConfig]:
    """The launcher that a request chooses, and the configuration that it is chosen by."""
    app: Any = GlobalHydra.instance().hydra
    words = [*_common(request), "hydra.mode=MULTIRUN", f"hydra.sweep.dir={_quoted(folder)}"]
    config = app.compose_config(request.command, words, run_mode=RunMode.MULTIRUN)
    context = HydraContext(config_loader=app.config_loader, callbacks=Callbacks(config))
    return Plugins.instance().instantiate_launcher(hydra_context=context, task_function=task, config=config), config


def _common(request: Request) -> list[str]:
    """The overrides that a launcher can depend on; a member's keys are left to the runs, since to another member they are unknown."""
    keys = [word.partition("=")[0].lstrip("+") for word in request.overrides]
    return [word for key, word in zip(keys, request.overrides, strict=True) if "." not in key or key.startswith("hydra.")]


def _hydra() -> initialize_config_module:
    return initialize_config_module("conf", job_name="simlab", version_base=VERSION_BASE)


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"


@contextmanager
def _command_line(words: list[str]) -> Iterator[None]:
    before, sys.argv = sys.argv, ["simlab", *words]
    try:
        yield
    finally:
        sys.argv = before

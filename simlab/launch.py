"""Hands checked runs to Hydra, whose launchers run them: here, or wherever `hydra/launcher` says."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from simlab.catalogue import groups
from simlab.configuration import VERSION_BASE, Plan
from simlab.overrides import of_one_value
from simlab.refusal import wants_traceback
from simlab.request import Request

FULL_ERROR = "HYDRA_FULL_ERROR"
SWEEP_FOLDER = ".sweep-"
"""Begins the name of the folder in the store where launchers keep files of their own while a sweep runs."""


def inspect(request: Request) -> None:
    """Let Hydra show a configuration."""
    with _command_line([*request.inspect, *request.overrides]):
        _app(request.command, lambda config: None)


def launch(request: Request, plan: Plan, task: Callable[[DictConfig], None]) -> None:
    """Run a task on each configuration of a plan, composed once more by Hydra itself.

    Hydra's own handling of errors would print tracebacks, so it is told to raise; each run is told what the user wants.
    """
    overrides = list(request.overrides)
    settings = [] if wants_traceback() else [f"++hydra.job.env_set.{FULL_ERROR}='0'"]
    if not plan.sweep:
        with _command_line([*overrides, *settings]), _raising():
            _app(request.command, task)
        return
    with _folder(Path(plan.jobs[0].config.store).expanduser()) as folder:
        words = ["--multirun", *_for_each_run(plan, overrides), f"hydra.sweep.dir={_quoted(folder)}", *settings]
        with _command_line(words), _raising():
            _app(request.command, task)


def _app(command: str, task: Callable[[DictConfig], Any]) -> None:
    hydra.main(version_base=VERSION_BASE, config_path="pkg://conf", config_name=command)(task)()


def _for_each_run(plan: Plan, overrides: list[str]) -> list[str]:
    """Where members of groups vary, keys of one member may be unknown to another: apply them run by run."""
    known = {*groups(), "experiment"}
    if not known & set(plan.varies):
        return overrides
    return [word if _key(word) in {*known, *plan.varies} or _key(word).startswith("hydra") else of_one_value(word) for word in overrides]


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+")


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"


@contextmanager
def _folder(store: Path) -> Iterator[Path]:
    folder = store / f"{SWEEP_FOLDER}{uuid.uuid4().hex[:8]}"
    try:
        yield folder
    finally:
        with suppress(OSError):
            (folder / "multirun.yaml").unlink()
            folder.rmdir()


@contextmanager
def _command_line(words: list[str]) -> Iterator[None]:
    before, sys.argv = sys.argv, ["simlab", *words]
    try:
        yield
    finally:
        sys.argv = before


@contextmanager
def _raising() -> Iterator[None]:
    before = os.environ.get(FULL_ERROR)
    os.environ[FULL_ERROR] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[FULL_ERROR]
        else:
            os.environ[FULL_ERROR] = before

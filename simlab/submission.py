"""Runs as jobs of submitit, in SLURM or as processes here: all are waited for, whatever becomes of one, and Ctrl-C ends them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

FOLDER = ".submitit"
"""Where in the folder of a sweep submitit keeps a folder of logs for each job."""


@contextmanager
def patient(launcher: Launcher) -> Iterator[None]:
    """While this lasts, a launcher by submitit waits for all of its jobs, where it would give up at the first that died.

    What a job that died returns is a line that says so. An interruption cancels every job.
    """
    if not type(launcher).__module__.startswith("hydra_plugins.hydra_submitit_launcher."):
        yield
        return
    submitit: Any = import_module("submitit")
    original, jobs = submitit.AutoExecutor, list[Any]()
    submitit.AutoExecutor = _patient(original, jobs)
    try:
        yield
    except KeyboardInterrupt:
        for job in jobs:
            job.cancel(check=False)
        raise
    finally:
        submitit.AutoExecutor = original


def clean(folder: Path) -> None:
    """Take away what submitit has left in the folder of a sweep."""
    with suppress(OSError):
        shutil.rmtree(folder / FOLDER)


def _patient(executor: Any, jobs: list[Any]) -> Any:
    class Patient(executor):
        def map_array(self, function: Callable[..., Any], *arguments: Any) -> list[_Awaited]:
            started = super().map_array(function, *arguments)
            jobs.extend(started)
            return [_Awaited(job) for job in started]

    return Patient


class _Awaited:
    """A job that always comes to a result."""

    def __init__(self, job: Any):
        self.job = job

    def results(self) -> list[JobReturn]:
        """Wait for it."""
        if self.job.exception() is None:
            return self.job.results()
        lost = JobReturn(status=JobStatus.COMPLETED)
        lost.return_value = f"job {self.job.job_id} ended without a result ({self.job.state}); its log is {self.job.paths.stderr}"
        return [lost]

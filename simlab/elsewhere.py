"""Runs in other processes: launched in batches, looked for while they are away, and all attempted whichever of them dies."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from hydra.plugins.launcher import Launcher

from envs.invalid import require
from simlab.configuration import Plan
from simlab.submission import clean, patient

Look = Callable[[], list[int]]
"""Shows the runs whose rows have come into the store; returns the numbers of those that are missing."""

SECONDS = 1.0
"""Between two looks."""


class Elsewhere:
    """A launcher for the runs of a plan.

    Parameters
    ----------
    launcher : Hydra's
    plan : the runs
    folder : where the launcher keeps files of its own; they stay only where a run has failed, whose log may be among them
    look : how finished runs are found
    """

    def __init__(self, launcher: Launcher, plan: Plan, folder: Path, look: Look):
        self.launcher, self.plan, self.folder, self.look = launcher, plan, folder, look
        self.failed = False

    def launch(self, most: int | None) -> None:
        """Launch the runs that are missing, at most so many in a batch.

        Raises
        ------
        Invalid
            For a size that is none.
        """
        require(most is None or most >= 1, "hydra.sweeper.max_batch_size", most, "an integer >= 1, or null: all in one")
        missing = self.look()
        size = most or len(missing) or 1
        try:
            with _importable():
                for start in range(0, len(missing), size):
                    self._batch(missing[start : start + size])
        finally:
            if not self.failed:
                clean(self.folder)

    def _batch(self, numbers: list[int]) -> None:
        """Where a worker dies and takes its batch along, what it leaves undone is launched in halves, so that it dies alone at last."""
        try:
            with _watched(self.look), patient(self.launcher):
                returned = self.launcher.launch([self.plan.jobs[number].overrides for number in numbers], initial_job_idx=numbers[0])
        except Exception as error:
            if not _of_a_worker(error):
                raise
            undone = sorted(set(numbers) & set(self.look()))
            if numbers == undone[:1]:
                self._tell(numbers[0], f"its process ended without a result ({type(error).__name__})")
                return
            middle = (len(undone) + 1) // 2
            for half in filter(None, (undone[:middle], undone[middle:])):
                self._batch(half)
        else:
            for number, job in zip(numbers, returned, strict=True):
                if job.return_value is not None:
                    self._tell(number, job.return_value)

    def _tell(self, number: int, what: str) -> None:
        self.failed = True
        print(f"simlab: {' '.join(self.plan.jobs[number].overrides)}: {what}", file=sys.stderr)


def _of_a_worker(error: Exception) -> bool:
    """Whether a launcher gave up because a process of its own died."""
    return isinstance(error, BrokenExecutor) or type(error).__module__.startswith("ray.")


@contextmanager
def _watched(look: Look) -> Iterator[None]:
    """Look for finished runs every second."""
    over = Event()

    def watch() -> None:
        while not over.wait(SECONDS):
            with suppress(Exception):  # what is wrong with a file is told at the end
                look()

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


@contextmanager
def _importable() -> Iterator[None]:
    """Let new processes import from where this one does, not from a folder that they happen to start in."""
    own = [
        path for path in sys.path if path and not Path(path).is_relative_to(sys.prefix) and not Path(path).is_relative_to(sys.base_prefix)
    ]
    before = {name: os.environ.get(name) for name in ("PYTHONPATH", "PYTHONSAFEPATH")}
    os.environ |= {"PYTHONPATH": os.pathsep.join(own), "PYTHONSAFEPATH": "1"}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value

"""Checkpoints: all that a training run needs to go on where it was stopped, to the same numbers, bit for bit.

One is written between iterations, whole or not at all, beside the place of the run's rows, and goes when these are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from simlab import store
from simlab.refusal import Refused


class Resumable(Protocol):
    """What is trained: `scaled.executor.Executor` or `scaled.offline.Trainer`."""

    iteration: int
    steps: int

    def run(self, until: int | None = None) -> Any: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Checkpoint:
    """The file that one seed of a run goes on from.

    Parameters
    ----------
    path : the file
    identity : of the run, see `simlab.identity`
    every : iterations between two; None writes none
    """

    path: Path
    identity: str
    every: int | None

    def run(self, trained: Resumable) -> Any:
        """Train to the end, from the last checkpoint if there is one; returns what `trained.run()` does.

        Raises
        ------
        Refused
            If the file is no checkpoint of this run.
        """
        if self.every is None:
            return trained.run()
        self._resume(trained)
        while trained.iteration < trained.steps:
            trained.run(until=trained.iteration + self.every)
            self._write(trained)
        return trained.run()

    def _resume(self, trained: Resumable) -> None:
        from scaled.checkpoint import loads

        if not self.path.exists():
            return
        try:
            kept = loads(self.path.read_bytes())
            whose = kept["identity"]
        except (ValueError, KeyError, OSError) as error:
            raise Refused(f"{self.path}: must be a whole checkpoint ({error}); without the file the run begins anew") from None
        if whose != self.identity:
            raise Refused(f"{self.path}: must be a checkpoint of this run, and is one of another; without the file the run begins anew")
        trained.load_state_dict(kept["state"])

    def _write(self, trained: Resumable) -> None:
        from scaled.checkpoint import dumps

        with store.replacing(self.path) as temporary:
            temporary.write_bytes(dumps({"identity": self.identity, "state": trained.state_dict()}))

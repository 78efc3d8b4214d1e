"""A run with its rows: taken from the store, or run and put there."""

from __future__ import annotations

import json
import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Generic, TypeVar

import simlab
from simlab import store
from simlab.experiment import Experiment
from simlab.identity import identity, sources
from simlab.interrupt import interruptible

LIBRARIES = ("numpy", "numba", "scipy")


Kind = TypeVar("Kind", bound=Experiment, covariant=True)


@dataclass(frozen=True, eq=False)
class Finished(Generic[Kind]):
    """A run and its rows; `fresh` says that it ran just now."""

    experiment: Kind
    stored: store.Stored
    fresh: bool

    @property
    def is_finite(self) -> bool:
        """Whether every instance stayed finite."""
        return "nonfinite" not in self.stored.column("status")


def recall(experiment: Experiment) -> Finished | None:
    """A run that the store holds; what served until its rows were stored goes, if whoever stored them was killed before it went."""
    stored = store.find(place(experiment), identity_of(experiment))
    if not stored:
        return None
    experiment.discard()
    return Finished(experiment, stored, fresh=False)


def perform(experiment: Experiment) -> Finished:
    """Run, and store: the rows last, so that where they are nothing else is missing."""
    began = time.perf_counter()
    columns = interruptible(experiment.run)
    metadata = {
        "identity": identity_of(experiment),
        "config": json.dumps(experiment.config),
        "versions": json.dumps(versions()),
        "sources": sources(experiment.numeric),
        "method": experiment.equations,
        "world": json.dumps(experiment.facts()),
        "seconds": f"{time.perf_counter() - began:.3f}",
    }
    run = store.made(place(experiment), columns, metadata)
    if experiment.leads:
        experiment.keep(run)
        store.write(run)
    experiment.discard()
    return Finished(experiment, store.read(run.path) if experiment.leads else run, fresh=True)


def place(experiment: Experiment) -> Path:
    """The file that holds, or will hold, a run's rows."""
    return store.place(experiment.config["store"], experiment.name, identity_of(experiment))


def identity_of(experiment: Experiment) -> str:
    """What names the numbers of an experiment, see `simlab.identity`."""
    return identity(experiment.config, measure=experiment.figures, random=experiment.random, numeric=experiment.numeric)


def versions() -> dict[str, str]:
    """Of what decides numbers: simlab, Python, and LIBRARIES."""
    return {"simlab": simlab.__version__, "python": platform.python_version()} | {name: version(name) for name in LIBRARIES}

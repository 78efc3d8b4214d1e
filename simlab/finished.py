"""A run with its rows: taken from the store, or run and put there."""

from __future__ import annotations

import json
import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from omegaconf import OmegaConf

import simlab
from simlab import store
from simlab.experiment import Experiment
from simlab.facts import facts
from simlab.identity import identity, sources
from simlab.interrupt import interruptible

LIBRARIES = ("numpy", "numba", "scipy")


@dataclass(frozen=True, eq=False)
class Finished:
    """A run and its rows; `fresh` says that it ran just now."""

    experiment: Experiment
    stored: store.Stored
    fresh: bool

    @property
    def is_finite(self) -> bool:
        """Whether every instance stayed finite."""
        return "nonfinite" not in self.stored.column("status")


def recall(experiment: Experiment) -> Finished | None:
    """A run that the store holds."""
    stored = store.find(place(experiment), _identity(experiment))
    return Finished(experiment, stored, fresh=False) if stored else None


def perform(experiment: Experiment) -> Finished:
    """Run, and store."""
    began = time.perf_counter()
    columns = interruptible(experiment.run)
    metadata = {
        "identity": _identity(experiment),
        "config": OmegaConf.to_yaml(OmegaConf.create(experiment.config)),
        "versions": json.dumps(_versions()),
        "sources": sources(),
        "tableau": str(experiment.tableau),
        "world": json.dumps(facts(experiment.world, experiment.games)),
        "seconds": f"{time.perf_counter() - began:.3f}",
    }
    path = place(experiment)
    store.write(path, columns, metadata)
    return Finished(experiment, store.read(path), fresh=True)


def place(experiment: Experiment) -> Path:
    """The file that holds, or will hold, a run's rows."""
    names = [member_name(experiment, group) for group in ("algorithm", "env")]
    return store.place(experiment.config["store"], "-".join(names), _identity(experiment))


def member_name(experiment: Experiment, group: str) -> str:
    """The name of the module that a member of a group comes from."""
    return experiment.config[group]["_target_"].split(".")[-2]


def _identity(experiment: Experiment) -> str:
    return identity(experiment.config, measure=experiment.measure, random=experiment.random)


def _versions() -> dict[str, str]:
    return {"simlab": simlab.__version__, "python": platform.python_version()} | {name: version(name) for name in LIBRARIES}

"""What a benchmark is: a work, its cases, and its targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from numpy.typing import NDArray

HERE = Path(__file__).parent
OURS = "simlab"
"""The peer that all others are set beside."""

Size = dict[str, int]


@dataclass(frozen=True)
class Target:
    """How many times simlab's time a peer's should be: `least` is asked for, `aim` hoped for; below 1 for a bound of the hardware."""

    least: float
    aim: float


@dataclass(frozen=True)
class Case:
    """A work at one size.

    Parameters
    ----------
    size : numbers that every peer is given; `instances` is the number of rows of an answer
    quick : what --quick changes in it; None leaves the case out of --quick
    targets : by peer
    without : peers that have no such method, or would take hours
    per_second : units a second that simlab should reach
    """

    size: Size
    quick: Size | None = None
    targets: Mapping[str, Target] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    per_second: float | None = None

    def sized(self, quick: bool) -> Size:
        return self.size | (self.quick or {}) if quick else self.size


@dataclass(frozen=True)
class Work:
    """What the peers of a folder do.

    Parameters
    ----------
    what : one sentence
    peers : folder of benchmarks/peers
    unit : what the time is told of, "iteration and instance"
    units : of an instance, given the size
    cases : by name
    difference : how far an answer is from simlab's (expected, found), both (instances, ...)
    limit : largest difference of answers that are the same
    """

    what: str
    peers: str
    unit: str
    units: Callable[[Size], int]
    cases: Mapping[str, Case]
    difference: Callable[[NDArray, NDArray], float]
    limit: float


def names() -> list[str]:
    """The works there are."""
    return _stems(HERE / "works")


def load(name: str) -> Work:
    """A work by its name."""
    return import_module(f"benchmarks.works.{name}").WORK


def peers(work: Work, case: Case) -> list[str]:
    """Who does a case, simlab first."""
    found = _stems(HERE / "peers" / work.peers)
    return [OURS, *(name for name in found if name != OURS and name not in case.without)]


def _stems(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("[!_]*.py"))

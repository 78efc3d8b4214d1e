"""What every experiment is: a configuration that was checked, and a run of it that gives tidy rows.

There is one kind for each sort of method: `simlab.self_play` (tableaus on games), `simlab.offline` (pair losses on labelled
pairs) and `simlab.pluralistic` (learners of users on populations); `simlab.training` puts tableaus to a model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from numpy.typing import NDArray

from envs.dials import require_integer, require_nonnegative
from envs.invalid import require
from simlab import catalogue
from simlab.identity import NUMERIC
from simlab.store import Stored, final


@dataclass(frozen=True, eq=False)
class Experiment(ABC):
    """One configuration of `simlab run`, checked.

    Attributes
    ----------
    config : the configuration, resolved, as plain dictionaries and lists
    world, method : its members
    """

    config: dict[str, Any]
    world: Any
    method: Any

    page: ClassVar[str]
    """The module that shows a run, with `heading`, `rows`, `figures` and `remarks`."""

    numeric: ClassVar[tuple[str, ...]] = NUMERIC
    """Packages and modules whose sources decide the numbers."""

    @property
    @abstractmethod
    def figures(self) -> tuple[str, ...]:
        """Columns that hold what was measured, the most telling first."""

    @property
    @abstractmethod
    def random(self) -> bool:
        """Whether seeds differ."""

    @property
    @abstractmethod
    def equations(self) -> str:
        """What the method computes."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What the world is like, in numbers for JSON."""

    @abstractmethod
    def run(self) -> dict[str, NDArray]:
        """Run, and return tidy columns."""

    def headline(self, stored: Stored) -> dict[str, NDArray]:
        """The rows that say most: those of the last iteration."""
        return final(stored)

    def keep(self, stored: Stored) -> None:
        """Leave what else a run leaves beside its rows."""
        del stored

    def discard(self) -> None:
        """Take away what served until the rows were stored."""
        return

    @property
    def name(self) -> str:
        """What its file is called, before what tells it from others of that name."""
        return "-".join(member_name(self.config, group) for group in ("algorithm", "env"))

    @property
    def leads(self) -> bool:
        """Whether this process writes the rows, where there are several."""
        return True

    @property
    def beta(self) -> float:
        return float(self.config["beta"])

    @property
    def seed(self) -> int:
        """Root of all random numbers."""
        return self.config["seed"]

    @property
    def seeds(self) -> int:
        """How many seeds are run: one where they do not differ."""
        return self.config["seeds"] if self.random else 1


def require_numbers(config: dict[str, Any]) -> None:
    """Check the keys that every experiment has."""
    require_nonnegative("beta", config["beta"])
    for key, least in (("steps", 1), ("seeds", 1), ("seed", 0)):
        require_integer(key, config[key], least)
    threads = config["threads"]
    require(threads is None or (type(threads) is int and threads >= 1), "threads", threads, "an integer >= 1, or null: all")


def fit_status(fit: Any) -> str:
    """How a fit ended, from its `exists` and `converged`."""
    return "no minimiser" if not fit.exists else "ok" if fit.converged else "not converged"


def require_idle(config: dict[str, Any], keys: Iterable[str], reason: str) -> None:
    """Refuse values of top-level keys (or members of groups) that would have no effect."""
    command, groups = catalogue.content("run"), catalogue.defaults("run")
    for key in keys:
        if key in groups:
            require_idle_member(config, "run", key, reason)
        else:
            require(same(config[key], command[key]), key, config[key], f"left out: {reason}")


def require_idle_member(config: dict[str, Any], command: str, group: str, reason: str) -> None:
    """Refuse another member of a group, or other values of it, than the default."""
    default = catalogue.content(f"{group}/{catalogue.defaults(command)[group][0]}")
    require(config[group] == default, group, config[group]["_target_"].rpartition(".")[2], f"left out: {reason}")


def require_idle_dials(config: dict[str, Any], world: object, kind: str, reason: str) -> None:
    """Refuse values of those dials of a world that it lists as of no effect here: `data_dials` (on games) or `game_dials` (on data)."""
    for dial in fields(world):  # type: ignore[arg-type]
        default = list(dial.default) if isinstance(dial.default, tuple) else dial.default
        value = config["env"].get(dial.name, default)
        if dial.name in getattr(world, kind, ()):
            require(same(value, default), dial.name, value, f"left out: {reason}")


def same(value: object, other: object) -> bool:
    """Whether two settings are equal; true is not 1."""
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def member_name(config: Mapping[str, Any], group: str) -> str:
    """The name of the module that a member of a group comes from."""
    return config[group]["_target_"].split(".")[-2]

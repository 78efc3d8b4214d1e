"""From overrides to validated configurations, composed as Hydra does it: one for a run, one for each run of a sweep.

Everything is checked here before anything runs: that each key and each member of a group exists, that all that must be
given is, and that references resolve. What values mean is checked by those who use them.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, reduce
from operator import getitem
from typing import Any, NamedTuple

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import CompactHydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from envs.invalid import Invalid, require
from simlab import catalogue, grid
from simlab.overrides import parse, product, varying, without_plus, written
from simlab.refusal import Refused, sentence
from simlab.request import Request

VERSION_BASE = "1.3"
STUDIES = ("experiment", "recipe")
"""Groups whose files may set keys of all others."""

LEAVES = ("grid",)
"""Keys whose value is a mapping."""


@dataclass(frozen=True)
class Job:
    """One run that was asked for: its overrides, and the configuration they compose to, resolved."""

    overrides: tuple[str, ...]
    config: DictConfig


@dataclass(frozen=True)
class Plan:
    """Every run that was asked for.

    Attributes
    ----------
    jobs : in the order in which they are to run
    sweep : whether this is a sweep
    varies : keys that take several values in it
    """

    jobs: tuple[Job, ...]
    sweep: bool
    varies: tuple[str, ...]


def plan(request: Request) -> Plan:
    """Compose every configuration of a request, and run nothing.

    Raises
    ------
    Invalid, Refused
        For the first word that is wrong.
    """
    with initialize_config_module("conf", job_name="simlab", version_base=VERSION_BASE):
        planned = _Composer(request).plan()
        blocks = _blocks(planned, request)
        if not blocks:
            return planned
        return _Composer(replace(request, overrides=(*request.overrides, *blocks), sweep=True)).plan()


def _blocks(planned: Plan, request: Request) -> tuple[str, ...]:
    """The override that asks for all blocks of a plan's grid, unless it names one or has one."""
    configs = [job.config for job in planned.jobs if job.config.get("grid") is not None]
    if not configs or any(word.startswith("block=") for word in request.overrides):
        return ()
    for key in ("grid", "cells"):
        if key in planned.varies:
            raise Invalid(key, "several values", "one value for all runs")
    number = grid.block_count(resolved(configs[0]))
    return (f"block=range({number})",) if number > 1 else ()


class _Base(NamedTuple):
    """What chosen members of the groups compose to, Hydra's part of it, the choices, and the keys that may be set."""

    config: DictConfig
    hydra: DictConfig
    choices: dict[str, str | None]
    keys: tuple[str, ...]


class _Composer:
    """Composes the configurations of one request."""

    def __init__(self, request: Request):
        self.request = request
        self.parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        parsed = [parse(self.parser, word) for word in request.overrides]
        self.hydra: list[str] = []
        self.overrides = [override for override in parsed if not override.is_hydra_override()]
        for override in parsed:
            if override.is_sweep_override() and override.is_hydra_override():
                raise Invalid(*written(override), "one value for all runs")
        top = catalogue.defaults(request.command)
        self.groups = (*top, *(name for name in catalogue.inner_groups() if name.partition("/")[0] in top))
        self.hydra = [override.input_line or "" for override in parsed if override.is_hydra_override()]

    def plan(self) -> Plan:
        """Every run, composed."""
        runs, sweep = self.expand()
        jobs = tuple(self.job(words) for words in runs)
        return Plan(jobs, sweep, varying(self.overrides))

    def expand(self) -> tuple[list[list[str]], bool]:
        """The overrides of each run, and whether they are runs of a sweep."""
        hydra = self._base(self._choices(override for override in self.overrides if not override.is_sweep_override())).hydra
        if self.request.sweep or hydra.mode == RunMode.MULTIRUN:
            basic = hydra.sweeper["_target_"].endswith(".BasicSweeper")
            require(basic, "hydra/sweeper", hydra.runtime.choices["hydra/sweeper"], "basic, which lists all runs before the first")
            params = (hydra.sweeper.get("params") or {}).items()
            self.overrides = [*(parse(self.parser, f"{key}={value}") for key, value in params), *self.overrides]
            return product(self.overrides), True
        for override in self.overrides:
            if override.is_sweep_override():
                raise Invalid(*written(override), "one value, or a list in brackets; with -m each value is run")
        return [[override.input_line or "" for override in self.overrides]], False

    def job(self, words: Sequence[str]) -> Job:
        """Apply a run's overrides in Hydra's order, members of groups first."""
        overrides = [parse(self.parser, word) for word in words]
        base = self._base(self._choices(overrides))
        config = copy.deepcopy(base.config)
        for override in overrides:
            if override.key_or_group not in self.groups:
                self._set(config, base, override)
        _resolve(config)
        _require_given(config, base.choices)
        if config.get("grid") is not None:
            self._require_axes(config, base, overrides)
        return Job(tuple(words), config)

    def _require_axes(self, config: DictConfig, base: _Base, overrides: Iterable[Override]) -> None:
        """Refuse keys of a grid that nobody reads, and those that are set besides."""
        set_besides = {override.key_or_group: written(override)[1] for override in overrides}
        for key, values in grid.axes(resolved(config)).items():
            require(key not in self.groups, key, values, f"given outside the grid: -m {key}={','.join(map(str, values))}")
            self._require_key(key, values, base)
            require(key not in set_besides, key, set_besides.get(key), "left out: the grid sets it")

    def _choices(self, overrides: Iterable[Override]) -> tuple[str, ...]:
        """The overrides that choose members of groups, checked."""
        chosen = [override for override in overrides if override.key_or_group in self.groups]
        for override in chosen:
            self._require_member(override)
        words = {override.key_or_group: override.input_line or "" for override in chosen}
        self._require_homes(
            {key: word for key, word in words.items() if "/" in key}, [word for key, word in words.items() if "/" not in key]
        )
        return tuple(words.values())

    def _require_homes(self, inner: dict[str, str], outer: Sequence[str]) -> None:
        """Refuse members of groups that no chosen member has."""
        there = self._compose(tuple(outer))[1].runtime.choices if inner else {}
        for group, word in inner.items():
            home = group.rpartition("/")[0]
            require(group in there, group, word.partition("=")[2], f"left out: {home}={there.get(home)} has no such group")

    def _require_member(self, override: Override) -> None:
        group, value = override.key_or_group, override.value()
        without_plus(override)
        members = self._members(group)
        if value not in members:
            raise Invalid(*written(override), f"one of {', '.join(members)}{catalogue.suggestion(str(value), members)}")

    @cache  # noqa: B019  (a composer lives as long as its request)
    def _members(self, group: str) -> list[str]:
        loader = GlobalHydra.instance().config_loader()
        return loader.get_group_options(group, config_name=self.request.command, overrides=self.hydra)

    @cache  # noqa: B019
    def _base(self, choices: tuple[str, ...]) -> _Base:
        config, hydra = self._compose(choices)
        chosen = {group: hydra.runtime.choices[group] for group in self.groups if group in hydra.runtime.choices}
        if all(chosen.get(study) is None for study in STUDIES):
            return _Base(config, hydra, chosen, _keys(config))
        plain, _ = self._compose(tuple(f"{group}={member}" for group, member in chosen.items() if group not in STUDIES))
        base = _Base(config, hydra, chosen, _keys(plain))
        for key in _keys(config):
            self._require_key(key, _raw(config, key), base)
        return base

    def _compose(self, choices: tuple[str, ...]) -> tuple[DictConfig, DictConfig]:
        try:
            config = compose(self.request.command, [*self.hydra, *choices], return_hydra_config=True)
        except MissingConfigException as error:
            group, _, member = (error.missing_cfg_file or "").rpartition("/")
            members = list(error.options or [])
            if group == "hydra/launcher":
                _require_installed(choices)
            raise Invalid(group, member, f"one of {', '.join(members)}{catalogue.suggestion(member, members)}") from None
        except CompactHydraException as error:
            reason = sentence(error.__cause__ or error)
            raise Refused(f"{' '.join([*self.hydra, *choices])}: must compose with conf/{self.request.command}.yaml ({reason})") from None
        OmegaConf.set_struct(config, False)
        return config, config.pop("hydra")

    def _set(self, config: DictConfig, base: _Base, override: Override) -> None:
        self._require_key(override.key_or_group, written(override)[1], base)
        without_plus(override)
        try:
            OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        except OmegaConfBaseException as error:
            raise Invalid(*written(override), f"a value that can be set ({sentence(error)})") from None

    def _require_key(self, key: str, value: object, base: _Base) -> None:
        if key in base.keys:
            return
        group = key.partition(".")[0]
        below = [known for known in base.keys if known.startswith(f"{key}.")]
        if below and key != group:
            allowed = f"set by its keys {', '.join(below)}"
        elif group in base.choices:
            own = [known.removeprefix(f"{group}.") for known in base.keys if known.startswith(f"{group}.")]
            allowed = f"a key of {group}={base.choices[group]}: {', '.join(own) or 'it has none'}"
        else:
            own = [*base.choices, *(known for known in base.keys if "." not in known)]
            allowed = f"a key of simlab {self.request.command}: {', '.join(own)}"
        raise Invalid(key, value, allowed + catalogue.suggestion(key, [*base.choices, *base.keys]))


def resolved(config: DictConfig) -> dict[str, Any]:
    """A configuration as plain dictionaries and lists."""
    return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]


def _keys(config: DictConfig) -> tuple[str, ...]:
    """Every key that holds a value, keys of keys with dots."""
    found: list[str] = []
    for key in map(str, config):
        if key not in LEAVES and OmegaConf.is_dict(config._get_node(key)) and not OmegaConf.is_missing(config, key):
            found += [f"{key}.{name}" for name in _keys(config[key])]
        elif key != "_target_":
            found.append(key)
    return tuple(found)


def _raw(config: DictConfig, key: str) -> object:
    """A value as it stands in the file."""
    return reduce(getitem, key.split("."), OmegaConf.to_container(config))  # type: ignore[arg-type]


def _require_installed(choices: Iterable[str]) -> None:
    """Refuse a launcher whose package is not there, by the words in its file that install it."""
    for name in (word.removeprefix("launcher=") for word in choices if word.startswith("launcher=")):
        path = catalogue.CONF / "launcher" / f"{name}.yaml"
        if path.is_file() and (command := re.search(r"pip install '.+?'", path.read_text(encoding="utf-8"))):
            raise Refused(f"launcher={name}: must be installed: {command[0]}")


def _require_given(config: DictConfig, choices: dict[str, str | None]) -> None:
    for key in sorted(OmegaConf.missing_keys(config)):
        _, comment = _explanation(key, choices)
        raise Invalid(key, "???", f"given: {comment.removesuffix('; must be given')}" if comment else "given")


def _explanation(key: str, choices: dict[str, str | None]) -> tuple[str, str]:
    """Default and comment of a key, from the file of the member that it belongs to."""
    parts = key.split(".")
    for depth in range(len(parts) - 1, 0, -1):
        group = "/".join(parts[:depth])
        if group in choices:
            return catalogue.comments(f"{group}/{choices[group]}").get(".".join(parts[depth:]), ("", ""))
    return "", ""


def _resolve(config: DictConfig) -> None:
    for key in _keys(config):
        try:
            value = OmegaConf.select(config, key)
            if OmegaConf.is_config(value):
                OmegaConf.to_container(value, resolve=True)
        except OmegaConfBaseException as error:
            raise Invalid(key, _raw(config, key), f"a reference that resolves ({sentence(error)})") from None
    OmegaConf.resolve(config)

"""`simlab calibrate`: measures how often the tests of claims err, how small an effect they notice, and whether intervals cover."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from envs.dials import require_integer, require_positive
from envs.invalid import Invalid, require
from simlab import calibration_file
from simlab.calibration_page import told
from simlab.configuration import plan
from simlab.falsification_page import say
from simlab.launch import inspect
from simlab.measured import Measured, Measurement
from simlab.refusal import Refused, shown
from simlab.request import Request
from simlab.store import require_room
from simlab.verification import select
from theory.chance import ByChance
from theory.coverage import SETTINGS
from theory.instances import standard_subjects

MISCALIBRATED = 1
"""Exit status where a test or an interval errs more often than it says."""


def calibrate(request: Request) -> int:
    """Measure what a request asks for; returns the exit status. What was measured before an error is kept and told.

    Raises
    ------
    Invalid, Refused
        Before any work, for a value that is not accepted.
    """
    if request.sweep:
        raise Refused("-m: must be left out, simlab calibrate measures all claims in one run")
    config = plan(request).jobs[0].config
    if request.inspect:
        inspect(request)
        return 0
    _check(config)
    measurements = list(_measurements(config))
    require(measurements, "instances", list(config.instances or []), "instances that the claim applies to")
    if config.store is not None:
        require_room(config.store, calibration_file.NAME)
    measured, stopped = Measured(), None
    try:
        with _progress(config, len(measurements)) as tell:
            _measure(config, measurements, measured, tell)
    except TimeoutError:
        pass
    except (Exception, KeyboardInterrupt) as error:
        stopped = error
    if config.store is not None:
        measured = calibration_file.keep(config.store, measured, config)
    say(*told(measured))
    if stopped is not None:
        raise stopped
    return MISCALIBRATED if measured.misses else 0


def chance() -> dict[str, ByChance]:
    """Every claim whose findings are a matter of chance, by the name of its file."""
    return {name: claim for name, claim in select(["*"]).items() if isinstance(claim, ByChance)}


def _check(config: DictConfig) -> None:
    for key in ("seeds", "power_seeds", "simulations", "seed"):
        require_integer(key, config[key], 0)
    require(isinstance(config.brief, bool), "brief", config.brief, "true or false")
    if config.budget is not None:
        require_positive("budget", config.budget)


def _measurements(config: DictConfig) -> Iterator[Measurement]:
    """The claims that are asked for, each with what it is put to."""
    asked: Any = OmegaConf.to_object(config.claim) if OmegaConf.is_list(config.claim) else [config.claim]
    statistical = {name: claim for name, claim in select([str(word) for word in asked]).items() if isinstance(claim, ByChance)}
    if not statistical:
        known = ", ".join(claim.id for claim in chance().values())
        raise Invalid("claim", shown(config.claim), f"a claim that is a matter of chance: {known}")
    subjects = _subjects(config)
    for claim in statistical.values():
        on = [subject for subject in subjects if isinstance(subject, claim.subject) and claim.applies(subject)]
        if on:
            yield Measurement(claim.brief() if config.brief else claim, on)


def _subjects(config: DictConfig) -> list[Any]:
    standard = standard_subjects()
    if config.instances is None:
        return standard
    require(OmegaConf.is_list(config.instances), "instances", config.instances, "a list of beginnings of names, or null")
    beginnings = [str(word) for word in config.instances]
    for word in beginnings:
        require(any(one.name.startswith(word) for one in standard), "instances", word, "the beginning of a standard instance's name")
    return [one for one in standard if one.name.startswith(tuple(beginnings))]


def _measure(config: DictConfig, measurements: Sequence[Measurement], measured: Measured, tell: Callable[[str], None]) -> None:
    """Intervals, then false alarms, seed by seed, then power, claim by claim; what is done is in `measured` at any time."""
    for name, setting in SETTINGS.items() if config.simulations else ():
        tell(name)
        measured.coverage[name] = setting.covered(config.simulations, config.seed)
    for seed in range(config.seed, config.seed + config.seeds):
        tell(f"seed {seed}")
        measured.add(seed, [(one.claim, one.null(seed)) for one in measurements])
    seeds = range(config.seed, config.seed + config.power_seeds)
    for one in measurements if config.power_seeds else ():
        tell(f"power of {one.claim.id}")
        measured.power[one.claim.id] = one.power(seeds)


@contextmanager
def _progress(config: DictConfig, claims: int) -> Iterator[Callable[[str], None]]:
    """A bar on standard error where that is a terminal; gives what tells of the next step, and raises TimeoutError after the budget."""
    total = len(SETTINGS) * bool(config.simulations) + config.seeds + claims * bool(config.power_seeds)
    ends = float("inf") if config.budget is None else time.monotonic() + config.budget
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=total)

        def tell(words: str) -> None:
            if time.monotonic() > ends:
                raise TimeoutError
            progress.update(task, description=words, advance=1)

        yield tell

"""`simlab run`: checks every run that is asked for, then runs those whose rows are not in the store."""

from __future__ import annotations

import sys
import traceback
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from simlab.checked import checked
from simlab.configuration import Plan, plan
from simlab.finished import perform, place, recall
from simlab.launch import inspect, launch
from simlab.leftovers import clear
from simlab.provenance import strangers
from simlab.refusal import FAILED, Refused, explain, wants_traceback
from simlab.request import Request
from simlab.sharing import sharing
from simlab.store import require_writable
from simlab.terminal import Screen, screen
from simlab.torchrun import leads, several, spoken

_screen: Screen | None = None
"""Shows the runs of the command under way, those that happen in its process as they finish."""


def run(request: Request) -> int:
    """Check all, run all; returns the exit status: 0 unless a run failed or did not stay finite.

    Raises
    ------
    Invalid, Refused
        Before anything runs, for the first value that is not accepted.
    """
    planned = plan(request)
    if request.inspect:
        inspect(request)
        return 0
    if any(job.config.get("dry_run") is True for job in planned.jobs):
        from simlab.dry_run import show

        with spoken():
            show(planned)
        return 0
    grids = any(job.config.get("grid") is not None for job in planned.jobs)
    with sharing() if grids else nullcontext():  # runs of their own share nothing: a language model's members hold what they have loaded
        return _run(request, planned)


def _run(request: Request, planned: Plan) -> int:
    global _screen
    ready = _check(planned)
    _look_around(planned.jobs[0].config.store)
    try:
        with spoken(), screen(planned, ready.measures, ready.there) as _screen:
            launch(request, planned, work, partial(_show_remote, _screen, planned, ready))
            for number in _show_remote(_screen, planned, ready):
                _screen.failed(number)
            return 0 if _screen.succeeded else FAILED
    finally:
        _screen = None


def work(config: DictConfig) -> str | None:
    """One run, wherever a launcher runs it: simulate unless the store holds it; elsewhere an error is returned, to be told here."""
    hydra = HydraConfig.get()
    number = hydra.job.num if hydra.mode == RunMode.MULTIRUN else 0
    try:
        experiment = checked(config)
        finished = recall(experiment) or perform(experiment)
    except Exception as error:
        if wants_traceback():
            traceback.print_exc()
        if _screen is None:
            return explain(error)
        run = f"{' '.join(hydra.overrides.task)}: " if hydra.mode == RunMode.MULTIRUN else ""
        print(f"simlab: {run}{explain(error)}", file=sys.stderr)
        _screen.failed(number)
        if several():
            raise SystemExit(FAILED) from None  # the others may wait for this one, and would take its next run's numbers for this one's
    else:
        if _screen:
            _screen.finished(number, finished)
    return None


class _Checked(NamedTuple):
    """The measures that runs take, the file of each, and the runs whose files exist."""

    measures: list[str]
    places: list[Path]
    there: set[int]


def _check(planned: Plan) -> _Checked:
    """Refuse what cannot be run."""
    if "store" in planned.varies:
        stores = sorted({str(job.config.store) for job in planned.jobs})
        raise Refused(f"store={','.join(stores)}: must be one folder for all runs")
    if "launcher" in planned.varies:
        raise Refused("launcher: must be one for all runs")
    ready = _Checked([], [], set())
    for number, job in enumerate(planned.jobs):
        require_writable(job.config.store)
        experiment = checked(job.config)
        ready.measures.extend(name for name in experiment.figures if name not in ready.measures)
        ready.places.append(place(experiment))
        if ready.places[-1].exists():
            ready.there.add(number)
    return ready


def _look_around(store: str) -> None:
    """Clear what killed runs have left in a store, and tell of rows that other code has made."""
    if not leads():
        return
    clear(store)
    found = strangers(store)
    if found:
        print(f"simlab: store={store}: {found}; they are left as they are, and not used", file=sys.stderr)


def _show_remote(screen: Screen, planned: Plan, ready: _Checked) -> list[int]:
    """Show the runs that happened in other processes, by what they left in the store; returns those that left nothing."""
    present = {path for path in set(ready.places) if path.exists()}
    for number in screen.waiting():
        finished = recall(checked(planned.jobs[number].config)) if ready.places[number] in present else None
        if finished:
            screen.finished(number, replace(finished, fresh=number not in ready.there))
    return screen.waiting()

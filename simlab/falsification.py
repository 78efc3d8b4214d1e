"""`simlab falsify`: searches for the case that meets a claim's bound worst, makes it simple, keeps it, and tells."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from envs.dials import require_integer, require_positive
from envs.invalid import Invalid, require
from simlab import store, worst_file
from simlab.configuration import plan
from simlab.falsification_page import saved, say, told
from simlab.launch import inspect
from simlab.refusal import Refused, shown
from simlab.request import Request
from simlab.verification import select
from simlab.words import count
from theory.bound import Bound
from theory.candidates import Case
from theory.falsify import Search, Worst, steady
from theory.shrink import shrinking

FALSIFIED = 1
"""Exit status when a case breaks the bound."""

SHRINKING = 0.5
"""Seconds that making it simple may take, as a share of the budget, where candidates are not counted."""


def falsify(request: Request) -> int:
    """Search as a request asks, or measure a saved case again; returns the exit status.

    Raises
    ------
    Invalid, Refused
        Before any work, for a value that is not accepted.
    """
    if request.sweep:
        raise Refused("-m: must be left out, simlab falsify searches for one claim at a time")
    config = plan(request).jobs[0].config
    if request.inspect:
        inspect(request)
        return 0
    name, bound = chosen(config.claim)
    _check(config)
    if config.replay is not None:
        return _replay(bound, worst_file.recall(config.replay))
    store.require_writable(config.store)
    return _search(name, bound, config)


def bounds() -> dict[str, Bound]:
    """Every claim that can be searched, by the name of its file."""
    return {name: claim for name, claim in select(["*"]).items() if isinstance(claim, Bound)}


def chosen(word: object) -> tuple[str, Bound]:
    """The claim that a word names, and the name of its file."""
    found = {} if word is None else select([str(word)])
    searchable = {name: claim for name, claim in found.items() if isinstance(claim, Bound)}
    if len(searchable) != 1 or len(found) != 1:
        raise Invalid("claim", shown(word), f"one claim with a ratio to search: {', '.join(claim.id for claim in bounds().values())}")
    return next(iter(searchable.items()))


def _check(config: DictConfig) -> None:
    require_positive("budget", config.budget)
    if config.candidates is not None:
        require_integer("candidates", config.candidates, 1)
    require_integer("seed", config.seed, 0)
    require_integer("actions", config.actions, 2)
    require(config.actions <= 100, "actions", config.actions, "at most 100: the search has a dimension for each pair")


def _search(name: str, bound: Bound, config: DictConfig) -> int:
    """Search and shrink, for as long as nobody interrupts; keep and tell the worst case either way."""
    seconds = float(config.budget) if config.candidates is None else None
    search = Search(bound, config.seed, config.actions, config.candidates, seconds)
    began, interrupted = time.monotonic(), False
    found: list[Worst] = []
    try:
        with _progress(search):
            search.run()
        for simpler in _simpler(search):
            found.append(simpler)
    except KeyboardInterrupt:
        interrupted = True
    tried = f"{count(search.tried, 'candidate')} in {time.monotonic() - began:.1f} s, up to {config.actions} actions, seed {config.seed}"
    say(f"{bound.id}: {bound.statement}", f"searched    {tried}")
    worst = found[-1] if found else search.worst
    if worst is None:
        say("largest     none: no candidate met the claim's conditions and said something")
    else:
        worst = _as_written(bound, worst)
        path = worst_file.keep(config.store, f"{name}_seed{config.seed}", worst, _about(search))
        say(*told(bound, worst, search.worst), *saved(bound, worst, path))
    if interrupted:
        raise KeyboardInterrupt
    return FALSIFIED if worst is not None and worst.falsifies else 0


def _simpler(search: Search) -> Iterator[Worst]:
    """The worst case, ever simpler."""
    if search.worst is None:
        return
    ends = float("inf") if search.seconds is None else time.monotonic() + SHRINKING * search.seconds
    for simpler in shrinking(search.bound, search.worst):
        yield simpler
        if time.monotonic() > ends:
            return


def _about(search: Search) -> dict[str, Any]:
    """What the file says of the search, `before` of the ratio before the case was made simple."""
    dial = search.bound.dial
    return {
        "claim": search.bound.id,
        "statement": search.bound.statement,
        "dial": dial.field if dial else None,
        "seed": search.seed,
        "candidates": search.tried,
        "actions": search.actions,
        "before": worst_file.number(search.worst.ratio) if search.worst else None,
    }


def _as_written(bound: Bound, worst: Worst) -> Worst:
    """The case as its file will give it back, measured there."""
    case = worst_file.made(worst_file.written(worst.case))
    ratio = steady(bound, case)
    return worst if ratio is None else Worst(case, ratio)


def _replay(bound: Bound, case: Case) -> int:
    """Measure a saved case."""
    if bound.dial is not None and case.value is None:
        raise Refused(f"replay: must be a case with a value of {bound.dial.field}, which {bound.id} leaves free")
    ratio = steady(bound, case)
    say(f"{bound.id}: {bound.statement}")
    if ratio is None:
        say("largest     none: the case does not meet the claim's conditions, or says nothing")
        return 0
    say(*told(bound, Worst(case, ratio)))
    return FALSIFIED if Worst(case, ratio).falsifies else 0


@contextmanager
def _progress(search: Search) -> Iterator[None]:
    """A bar on standard error where that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn())
    total: Any = search.candidates or search.seconds
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(search.bound.id, total=total, said="(the first run ever compiles for some 20 s)")
        began: list[float] = []

        def tell(state: Search) -> None:
            began[:] = began or [time.monotonic()]
            done = state.tried if state.candidates else time.monotonic() - began[0]
            largest = f"{state.worst.ratio:.6g}" if state.worst else "none"
            progress.update(task, completed=done, said=f"{state.tried} candidates, largest ratio {largest}")

        search.tell = tell
        yield

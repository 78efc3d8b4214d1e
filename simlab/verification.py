"""`simlab verify`: puts every claim of conf/claim to its instances, and prints one row a claim."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from envs.dials import HEAVIEST, require_integer
from envs.invalid import Invalid, require
from simlab import catalogue, mutation_page, verdict_file
from simlab.configuration import plan
from simlab.members import blaming, make
from simlab.refusal import Refused
from simlab.request import Request
from simlab.store import require_room
from simlab.verdict_file import Setting, keep
from theory.claim import Claim, Instance, Verdict, judge
from theory.instances import standard_subjects, subjects_of
from theory.testbed import PairTestbed, PopulationTestbed

UNEXPECTED = 1
"""Exit status when a claim that should hold is violated, or one predicted to fail is not."""

WIDTH = 168
"""Columns of the table where the output is no terminal."""


def verify(request: Request) -> int:
    """Check the claims that a request selects; returns the exit status.

    Raises
    ------
    Invalid, Refused
        Before any work, for a value that is not accepted.
    """
    selected, rest = _selection(request.overrides)
    if request.sweep:
        raise Refused("-m: must be left out, simlab verify checks all claims in one run")
    config = plan(Request("verify", tuple(rest))).jobs[0].config
    if config.store is not None:
        require_room(config.store, verdict_file.NAME)
    chosen, subjects = select(selected), _subjects(config)
    require(type(config.mutants) is bool, "mutants", config.mutants, "true or false")
    console = Console()
    console = console if console.is_terminal else Console(width=WIDTH)
    if config.mutants:
        every = len(rest) < len(request.overrides)
        return mutation_page.show(list(chosen.values()), subjects, every=every, store=config.store, console=console)
    began = time.perf_counter()
    verdicts = check(list(chosen.values()), subjects)
    console.print(table(verdicts))
    console.print(summary(verdicts, subjects, time.perf_counter() - began), highlight=False)
    if config.store is not None:
        words = tuple(word for word in rest if not word.startswith("store="))
        setting = Setting(words, OmegaConf.to_object(config), _counted(subjects))  # type: ignore[arg-type]
        console.print(keep(config.store, dict(zip(chosen, verdicts, strict=True)), setting), highlight=False, markup=False, soft_wrap=True)
    return 0 if all(verdict.expected for verdict in verdicts) else UNEXPECTED


def check(chosen: Sequence[Claim], subjects: Sequence[Any]) -> list[Verdict]:
    """Judge each claim, with a progress bar on standard error where that is a terminal."""
    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    verdicts: list[Verdict] = []
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=len(chosen))
        for claim in chosen:
            progress.update(task, description=claim.id if verdicts else f"{claim.id} (the first run ever compiles for some 20 s)")
            verdicts.append(judge(claim, subjects))
            progress.advance(task)
    return verdicts


def claims() -> dict[str, Claim]:
    """Every claim of conf/claim, by the name of its file."""
    return {name: instantiate(OmegaConf.load(catalogue.CONF / "claim" / f"{name}.yaml")) for name in catalogue.groups()["claim"]}


def select(patterns: Sequence[str]) -> dict[str, Claim]:
    """Claims whose ID or file name matches one of the patterns (`EG-1`, `NMD-*`, `egpo_*`, in any case), by file name."""
    chosen: dict[str, Claim] = {}
    known = claims()
    for pattern in patterns:
        found = {name: claim for name, claim in known.items() if _matches(pattern, name) or _matches(pattern, claim.id)}
        words = [*(claim.id for claim in known.values()), *known]
        require(found, "claim", pattern, f"an ID, a name, or a pattern of some claim{catalogue.suggestion(pattern, words)}")
        chosen |= found
    return dict(sorted(chosen.items(), key=lambda item: item[1].id))


def _matches(pattern: str, word: str) -> bool:
    return fnmatch(word.lower(), pattern.lower())


def _selection(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Patterns of claim=..., and the other overrides."""
    given = [word for word in overrides if word.startswith("claim=")]
    values = [value.strip() for word in given for value in word.removeprefix("claim=").strip("[]").split(",")]
    if given and not all(values):
        raise Invalid("claim", "", "an ID, a name, a pattern, or several with commas")
    return values or ["*"], [word for word in overrides if word not in given]


def _subjects(config: DictConfig) -> list[Any]:
    betas: Any = OmegaConf.to_object(config.betas) if OmegaConf.is_list(config.betas) else config.betas
    numbers = isinstance(betas, list) and bool(betas) and all(type(beta) in (int, float) and 0 < beta <= HEAVIEST for beta in betas)
    different = numbers and len(set(betas)) == len(betas)
    require(different, "betas", betas, f"a list of different numbers in (0, {HEAVIEST:g}]")
    for key, least in (("seeds", 1), ("seed", 0)):
        require_integer(key, config[key], least)
    if config.get("env") is None:
        for key, default in (("seeds", 1), ("seed", 0)):
            require(config[key] == default, key, config[key], "given together with env: the standard instances are fixed")
        return standard_subjects(betas)
    world = make(config, "env")
    name = Path(config.env.path).name if "path" in config.env else type(world).__name__
    require(config.seeds == 1 or world.varies, "seeds", config.seeds, "1 in a world without anything random")
    with blaming(config, "env"):
        return subjects_of(name, world, betas, seed=config.seed, seeds=config.seeds)


def table(verdicts: Sequence[Verdict]) -> Table:
    """One row a claim."""
    grid = Table(header_style="bold", pad_edge=False)
    for heading, options in (
        ("ID", {"no_wrap": True}),
        ("statement", {"ratio": 5}),
        ("source", {"ratio": 4}),
        ("provenance", {}),
        ("instances", {"justify": "right"}),
        ("measured/claimed", {"justify": "right"}),
        ("verdict", {}),
    ):
        grid.add_column(heading, **options)  # type: ignore[arg-type]
    for verdict in verdicts:
        claim = verdict.claim
        ratio = f"{verdict.worst:.4g}" if verdict.instances else "-"
        verdict_cell = f"[{_colour(verdict)}]{outcome(verdict)}[/]"
        grid.add_row(claim.id, escape(claim.statement), escape(claim.source), claim.provenance, str(verdict.instances), ratio, verdict_cell)
    return grid


def outcome(verdict: Verdict) -> str:
    """The verdict in words, with the runs that did not end well."""
    predicted = verdict.claim.predicted_to_fail and verdict.outcome == "violated"
    words = verdict.outcome + (" as predicted" if predicted else "" if verdict.expected else ", against the prediction")
    ended = ", ".join(f"{count} {status}" for status, count in sorted(verdict.statuses.items()))
    return f"{words} ({ended})" if ended else words


def _colour(verdict: Verdict) -> str:
    if not verdict.expected:
        return "bold red"
    return "green" if verdict.outcome in ("holds", "violated") else "yellow"


def summary(verdicts: Sequence[Verdict], subjects: Sequence[Any], seconds: float) -> str:
    """What the table comes to, and the instance behind each surprise."""
    counts = Counter((verdict.outcome, verdict.claim.predicted_to_fail) for verdict in verdicts if verdict.expected)
    said = [
        f"{counts['holds', False]} hold",
        f"{counts['violated', True]} fail as predicted",
        f"{sum(not verdict.expected for verdict in verdicts)} against prediction",
    ]
    for outcome, words in (("inconclusive", "inconclusive"), ("does not apply", "do not apply")):
        number = sum(verdict.outcome == outcome for verdict in verdicts)
        said += [f"{number} {words}"] if number else []
    lines = [f"{len(verdicts)} claims on {_counted(subjects)}: {', '.join(said)}; {seconds:.1f} s."]
    lines.append("measured/claimed: the largest ratio over all instances (smallest where failure is predicted); at most 1 meets the claim.")
    lines += [f"{v.claim.id}: {v.outcome} on {v.closest} (ratio {v.worst:.6g})" for v in verdicts if not v.expected]
    return "\n".join(lines)


def _counted(subjects: Sequence[Any]) -> str:
    """How many there are of each kind."""
    kinds = {Instance: "instances (game, beta, start)", PairTestbed: "worlds of labelled pairs", PopulationTestbed: "populations"}
    counts = {words: sum(isinstance(subject, kind) for subject in subjects) for kind, words in kinds.items()}
    return ", ".join(f"{number} {words}" for words, number in counts.items() if number)

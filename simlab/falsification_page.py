"""What `simlab falsify` says of the worst case that it found."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from simlab import worst_file
from theory.bound import Bound
from theory.falsify import ALLOWANCE, Worst


def told(bound: Bound, worst: Worst, before: Worst | None = None) -> Iterator[str]:
    """The ratio, what it comes to, and the case; with the ratio before it was made simple."""
    if worst.falsifies:
        verdict = "FALSIFIED"
        verdict += ", as predicted" if bound.predicted_to_fail else ""
    elif worst.ratio > 1:
        verdict = f"not falsified: what exceeds 1 by less than {ALLOWANCE:g} is rounding"
    else:
        verdict = "not falsified (a search, not a proof)"
    simplified = f", {worst.ratio:.6g} where it is made simple" if before and before.ratio != worst.ratio else ""
    yield f"largest     measured/claimed = {(before or worst).ratio:.6g}{simplified}: {verdict}"
    numbers = worst_file.written(worst.case)
    dial = f", {bound.dial.field} = {worst.case.value:.6g}" if bound.dial and worst.case.value is not None else ""
    yield f"worst case  {worst.case.game.actions} actions, beta = {worst.case.game.beta:.6g}{dial}"
    yield from (f"{'P' if i == 0 else '':<12}{_row(row)}" for i, row in enumerate(numbers["rows"]))
    for key in ("reference", "start"):
        yield f"{key:<12}{numbers[key] if isinstance(numbers[key], str) else _row(numbers[key])}"


def say(*lines: str) -> None:
    """Print lines as they are."""
    Console(highlight=False, markup=False, soft_wrap=True).print("\n".join(lines))


def _row(numbers: list[float]) -> str:
    return "  ".join(f"{number:<8.6g}" for number in numbers).rstrip()


def saved(bound: Bound, worst: Worst, path: Path) -> Iterator[str]:
    """Where it is kept, and how it is met again."""
    start = "reference" if worst.case.instance.at_reference else path.stem
    yield f"saved       {path}"
    yield f"again       simlab falsify claim={bound.id} replay={shlex.quote(str(path))}"
    folder, beta = shlex.quote(str(path.parent)), worst.case.game.beta
    yield f"in a run    simlab run -cd {folder} env={path.stem} start={start} beta={beta!r} algorithm=..."

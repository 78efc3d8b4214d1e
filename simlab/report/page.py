"""The page itself: the parts of a report put into its templates, in which every word that was read is escaped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import simlab
from simlab.provenance import report as strangers
from simlab.report.card import KINDS
from simlab.report.verdicts import alarms, verdicts
from simlab.store import Stored
from simlab.words import count

HERE = Path(__file__).parent

MOST_ROWS = 250
"""Of a table of runs."""


def page(name: str, file: dict[str, Any] | None, runs: Sequence[Stored], damaged: Sequence[str]) -> str:
    """A report as HTML.

    Parameters
    ----------
    name : of the folder
    file : what a file of verdicts holds, if there is one
    runs : what was read
    damaged : why files were left out
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(HERE)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    found = verdicts(file) if file else None
    return environment.get_template("page.html").render(
        name=name,
        version=simlab.__version__,
        style=_text("page.css"),
        script=_text("page.js"),
        kinds=KINDS,
        verdicts=found,
        alarm=alarms(found.cards) if found else "",
        damaged=damaged,
        **_runs(runs),
    )


def _text(name: str) -> str:
    """A file of this folder, which goes into the page as it is."""
    return (HERE / name).read_text(encoding="utf-8")


def _runs(runs: Sequence[Stored]) -> dict[str, Any]:
    """What the template of runs shows; it imports pandas and matplotlib, where there are runs."""
    if not runs:
        return {"runs": []}
    from simlab.report.comparisons import LEVEL, comparisons
    from simlab.report.runs import groups
    from simlab.report.trajectories import trajectories

    found = groups(runs)
    compared, refused = comparisons(found)
    other = Counter(group.code for group in found for _ in range(group.runs) if group.code)
    return {
        "runs": found,
        "total": len(runs),
        "strangers": strangers(other, count(len(runs), "run")) if other else "",
        "trajectories": trajectories,
        "compared": compared,
        "refused": refused,
        "level": LEVEL,
        "most": MOST_ROWS,
    }

"""Metrics as they come: a line of JSON an iteration in a local file, and a tracker's copy where one is asked for."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any


class Stream:
    """A file of metrics.

    Parameters
    ----------
    path : the file, metrics.jsonl
    tracker : a name of `scaled.trackers.TRACKERS`, or None
    config : of the run, for the tracker
    """

    def __init__(self, path: Path, tracker: str | None, config: dict[str, Any]) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.log: Any = _log(tracker, path.parent, config) if tracker else None

    def begin(self, rows: list[dict[str, Any]]) -> None:
        """Hold these, those of a run that goes on, and no others."""
        self.path.write_text("".join(map(_line, rows)), encoding="utf-8")

    def write(self, row: dict[str, Any]) -> None:
        """Add a row, at once."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(row))
        if self.log:
            self.log(row["step"], {name: value for name, value in row.items() if name != "step"})


def _line(row: dict[str, Any]) -> str:
    finite = {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()}
    return json.dumps(finite) + "\n"


def _log(tracker: str, folder: Path, config: dict[str, Any]) -> Any:
    from scaled.trackers import TRACKERS

    return TRACKERS[tracker](folder, config)

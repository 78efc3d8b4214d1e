"""mutants.json: what `simlab verify mutants=true store=DIR` keeps in DIR, for the page on mutants in docs/."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from envs.invalid import Invalid
from simlab import store
from simlab.finished import versions
from simlab.mutation import Row
from simlab.refusal import explain

NAME = "mutants.json"
FORMAT = 1


def keep(folder: str, rows: Sequence[Row], said: Sequence[str]) -> str:
    """Write the matrix and what was said of it; returns a line about it.

    Raises
    ------
    Invalid
        With the key `store`, if it cannot be written.
    """
    path = Path(folder).expanduser() / NAME
    file = {"format": FORMAT, "versions": versions(), "said": list(said), "rows": [asdict(row) for row in rows]}
    try:
        with store.replacing(path) as temporary:
            temporary.write_text(f"{json.dumps(file, indent=1, allow_nan=False, ensure_ascii=False)}\n", encoding="utf-8")
    except OSError as error:
        raise Invalid("store", path.parent, f"a folder that can be written ({explain(error)})") from error
    return f"{path}: {len(rows)} mutants."

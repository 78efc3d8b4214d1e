"""What a run's numbers depend on, as a hash: its configuration, the files it reads, this package's version and sources."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import simlab

NUMERIC = (
    "envs",
    "algorithms",
    "simlab.run",
    "simlab.packing",
    "simlab.self_play",
    "simlab.offline",
    "simlab.pluralistic",
    "simlab.grid",
    "simlab.gridded",
)
"""Packages and modules whose sources decide the numbers."""

IRRELEVANT = ("store", "threads", "checkpoint", "dry_run", "processes", "memory", "tracker")
"""Top-level keys that do not."""

FILES = ("path", "model", "dataset", "encoder", "function")
"""Keys whose values may name files or folders."""

WHOLE = 2**26
"""Bytes up to which a file is told from another by all of its content; above, by its size, beginning, middle and end."""


def identity(config: dict[str, Any], *, measure: Iterable[str], random: bool, numeric: tuple[str, ...] = NUMERIC) -> str:
    """64 hexadecimal digits, equal for runs of equal numbers.

    Parameters
    ----------
    config : the resolved configuration of a run
    measure : the measures that its key of this name comes to
    random : whether seeds matter
    numeric : packages and modules whose sources decide the numbers
    """
    kept = {key: value for key, value in config.items() if key not in IRRELEVANT} | {"measure": list(measure)}
    if not random:
        kept |= {"seeds": 1, "seed": 0}
    content = {"config": _canonical(kept), "version": simlab.__version__, "sources": sources(numeric)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@cache
def sources(numeric: tuple[str, ...] = NUMERIC) -> str:
    """Digest of the numeric sources."""
    digest = hashlib.sha256()
    for name in numeric:
        spec = find_spec(name)
        assert spec and spec.origin
        home = Path(spec.origin)
        for path in sorted(home.parent.glob("*.py")) if spec.submodule_search_locations else [home]:
            digest.update(f"{name}/{path.name}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _canonical(value: Any, key: str = "") -> Any:
    """Equal values written alike: 1.0 as 1, and files by their content."""
    if isinstance(value, dict):
        return {name: _canonical(item, name) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if key in FILES and isinstance(value, str):
        path, colon, name = value.partition(":")
        return _digest(Path(path)) + colon + name if Path(path).exists() else value
    return value


def _digest(path: Path) -> str:
    """Of a file, or of all files in a folder, by their names in it."""
    digest = hashlib.sha256()
    if path.is_dir():
        for each in sorted(file for file in path.rglob("*") if file.is_file()):
            digest.update(f"{each.relative_to(path)} {_digest(each)}\n".encode())
        return digest.hexdigest()
    size, part = path.stat().st_size, 2**20
    with path.open("rb") as file:
        if size <= WHOLE:
            digest.update(file.read())
        for place in (0, size // 2, size - part) if size > WHOLE else ():
            file.seek(place)
            digest.update(f"{size}".encode() + file.read(part))
    return digest.hexdigest()

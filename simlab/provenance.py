"""Whether the rows of a file come from the code that would make them now: the same version, the same numeric sources."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hydra.utils import get_object

import simlab
from simlab.identity import sources
from simlab.words import count

MOST = 1000
"""Files of a folder that are looked at, which takes 70 ms."""


def other_code(metadata: Mapping[str, str]) -> str | None:
    """What other code wrote a file with this metadata, in words; None if it was this."""
    version = json.loads(metadata["versions"])["simlab"]
    if version != simlab.__version__:
        return f"simlab {version}"
    this = metadata["sources"] == sources() or metadata["sources"] in _current()
    return None if this else "other sources"


def report(found: Mapping[str, int], files: str) -> str:
    """One line about files of other code: how many of each, `found` as of `other_code`, out of `files`."""
    kinds = ", ".join(f"{number:,} of {what}" for what, number in sorted(found.items()))
    return f"{sum(found.values()):,} of {files} hold numbers of other code ({kinds})"


def strangers(folder: str | os.PathLike[str]) -> str | None:
    """What `report` says of a folder, if there is anything to say; of a large one, files taken evenly from all of it."""
    names = sorted(name for name in _names(folder) if name.endswith(".parquet") and not name.startswith("."))
    chosen = names[:: -(-len(names) // MOST) or 1]
    origins = [_origin(Path(folder).expanduser() / name) for name in chosen]
    found = Counter(origin for origin in origins if origin)
    files = count(len(names), "file") if chosen == names else f"{count(len(chosen), 'file')} looked at ({len(names):,} are there)"
    return report(found, files) if found else None


def _names(folder: str | os.PathLike[str]) -> list[str]:
    place = Path(folder).expanduser()
    return os.listdir(place) if place.is_dir() else []


def _origin(path: Path) -> str | None:
    """`other_code` of a file; None also if it is no file of a run."""
    try:
        metadata = pq.read_metadata(path).metadata or {}
    except (pa.ArrowInvalid, OSError):
        return None
    if not {b"versions", b"sources"} <= set(metadata):
        return None
    return other_code({key: metadata[key.encode()].decode() for key in ("versions", "sources")})


@cache
def _current() -> frozenset[str]:
    """The digests of the sources of all kinds of experiments."""
    from simlab.checked import KINDS, LANGUAGE, TRAINING

    return frozenset(sources(get_object(kind).numeric) for kinds in (KINDS, TRAINING, LANGUAGE) for kind in kinds.values())

"""Results on disk: one parquet file a run, written whole or not at all.

A file holds tidy rows: of self-play seed, context, step, queries, gradients, a column for each measure, status, status_step;
of other experiments no step, but what else tells their rows apart. Its metadata holds, as text: config (the resolved
configuration, JSON), versions (JSON), sources (digest of the numeric sources), method (its equations), world (what it is like,
JSON), seconds (wall time), and identity (see `simlab.identity`), of which the file's name bears the first digits.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from envs.invalid import Invalid, require
from simlab.columns import to_arrow, to_numpy
from simlab.leftovers import temporary_file
from simlab.refusal import explain

DIGITS = 12
"""How much of the identity a file's name bears."""

ROOM = 2**16
"""Bytes without which no run is started."""


@dataclass(frozen=True, eq=False)
class Stored:
    """A run that was read back.

    Attributes
    ----------
    path : the file
    table : its rows
    metadata : what it says about itself, by key
    """

    path: Path
    table: pa.Table
    metadata: dict[str, str]

    @property
    def frame(self) -> Any:
        """The rows as a pandas DataFrame."""
        return self.table.to_pandas()

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved configuration."""
        return json.loads(self.metadata["config"])

    def column(self, name: str) -> NDArray:
        """One column as an array."""
        return to_numpy(self.table.column(name))

    @property
    def columns(self) -> dict[str, NDArray]:
        """All columns as arrays, by name."""
        return {name: self.column(name) for name in self.table.column_names}


def place(folder: str | os.PathLike[str], name: str, identity: str) -> Path:
    """The file of the run with this identity; `name` is for human readers."""
    return Path(folder).expanduser() / f"{name}-{identity[:DIGITS]}.parquet"


def read(path: str | os.PathLike[str]) -> Stored:
    """Read a run back.

    Raises
    ------
    Invalid
        If there is no such file, or it was not written by `write`.
    """
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(use_threads=False)
    except FileNotFoundError:
        raise Invalid("path", path, "an existing file") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise Invalid("path", path, f"a readable parquet file ({str(error).splitlines()[0]})") from None
    metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items() if not key.startswith(b"ARROW")}
    if "identity" not in metadata:
        raise Invalid("path", path, "a file that simlab has written")
    return Stored(Path(path), table, metadata)


def find(path: Path, identity: str) -> Stored | None:
    """The finished run with this identity, if it is at its place, whole."""
    with suppress(Invalid):
        stored = read(path)
        return stored if stored.metadata["identity"] == identity else None
    return None


def made(path: Path, columns: Mapping[str, NDArray], metadata: Mapping[str, str]) -> Stored:
    """A run that is to be written."""
    arrays = {name: to_arrow(values) for name, values in columns.items()}
    return Stored(path, pa.table(arrays).replace_schema_metadata(dict(metadata)), dict(metadata))


def write(run: Stored) -> None:
    """Write a run's rows, all or nothing.

    Raises
    ------
    Invalid
        With the key `store`, if the folder cannot hold them.
    """
    try:
        with replacing(run.path) as temporary:
            pq.write_table(run.table, temporary, compression="zstd")
    except OSError as error:
        raise Invalid("store", run.path.parent, f"a folder that can be written ({explain(error)})") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place at the end, once it is on the disk, and goes if there is an error.

    Raises
    ------
    OSError
        With the name of a file, if it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_file(path) as temporary:
            try:
                yield temporary
                _flush(temporary)
                os.chmod(temporary, 0o666 & ~_umask())
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        if error.filename or not error.errno:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def _flush(path: Path) -> None:
    """Wait until a file's content is on its disk; only then is a disk known to have had room for it."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def require_writable(folder: object) -> None:
    """Refuse a store that has no room for a small file; makes nothing that stays.

    Raises
    ------
    Invalid
        With the key `store`.
    """
    if not isinstance(folder, str) or not folder:
        raise Invalid("store", folder, "the path of a folder")
    place = Path(folder).expanduser()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise Invalid("store", folder, f"a folder: {place} is a file")
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(ROOM))
    except OSError as error:
        raise Invalid("store", folder, f"a folder that can be written ({place}: {error.strerror})") from None


def require_room(folder: object, name: str) -> None:
    """Refuse a folder in which a file of this name cannot be kept; makes nothing that stays.

    Raises
    ------
    Invalid
        With the key `store`.
    """
    require_writable(folder)
    require(not (Path(str(folder)).expanduser() / name).is_dir(), "store", folder, f"a folder whose {name} is a file")


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def first(stored: Stored) -> dict[str, NDArray]:
    """The columns of the first recorded iteration, a row for each seed and context."""
    return _at(stored, np.min)


def final(stored: Stored) -> dict[str, NDArray]:
    """The columns of the last recorded iteration, a row for each seed and context."""
    return _at(stored, np.max)


def _at(stored: Stored, end: Callable[[NDArray], Any]) -> dict[str, NDArray]:
    """All rows where there are no iterations."""
    columns = stored.columns
    rows = columns["step"] == end(columns["step"]) if "step" in columns else slice(None)
    return {name: values[rows] for name, values in columns.items()}

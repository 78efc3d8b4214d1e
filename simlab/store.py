"""Results on disk: one parquet file a run, written whole or not at all.

A file holds tidy rows: of self-play seed, context, step, queries, gradients, a column for each measure, status, status_step;
of other experiments no step, but what else tells their rows apart. Its metadata holds, as text: config (the resolved
configuration, YAML), versions (JSON), sources (digest of the numeric sources), method (its equations), world (what it is like,
JSON), seconds (wall time), and identity (see `simlab.identity`), of which the file's name bears the first digits.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from envs.invalid import Invalid

DIGITS = 12
"""How much of the identity a file's name bears."""


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

    def column(self, name: str) -> NDArray:
        """One column as an array."""
        return self.table.column(name).to_numpy()

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
            table = file.read()
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


def write(path: Path, columns: Mapping[str, NDArray], metadata: Mapping[str, str]) -> None:
    """Write a run's rows, all or nothing."""
    arrays = {name: pa.array(values) for name, values in columns.items()}
    table = pa.table(arrays).replace_schema_metadata(dict(metadata))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place at the end, and goes if there is an error."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def require_writable(folder: object) -> None:
    """Refuse a store in which no file can be made; makes nothing that stays.

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
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise Invalid("store", folder, f"a folder that can be written ({place}: {error.strerror})") from None


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

"""What a killed process leaves behind in a store: half-written files, folders of sweeps.

Who makes one holds a lock on it (flock), which ends with its process, however that ends: what nobody holds is dead. On a file
system without locks nothing is held, and nothing is taken away.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LEFT = re.compile(r"\.(.+-[0-9a-f]{12}|verdicts|report)\.\w{8}\.tmp|\.sweep-[0-9a-f]{8}")
"""Names of what a store's processes make for themselves: a file while it is written, a sweep's folder while it runs."""


@contextmanager
def temporary_file(path: Path) -> Iterator[Path]:
    """An empty file beside `path`, held until the end."""

    def make() -> Path:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=".tmp")
        os.close(handle)
        return Path(name)

    with _held(make) as made:
        yield made


@contextmanager
def sweep_folder(store: Path) -> Iterator[Path]:
    """A folder in the store where launchers keep files of their own, held until the end; it goes unless they leave some."""

    def make() -> Path:
        folder = store / f".sweep-{uuid.uuid4().hex[:8]}"
        folder.mkdir(parents=True)
        return folder

    with _held(make) as made:
        try:
            yield made
        finally:
            with suppress(OSError):
                _remove(made)


def clear(store: str | os.PathLike[str]) -> None:
    """Take away what dead processes have left in a store."""
    folder = Path(store).expanduser()
    for name in os.listdir(folder) if folder.is_dir() else ():
        if LEFT.fullmatch(name):
            with suppress(OSError):
                _bury(folder / name)


@contextmanager
def _held(make: Callable[[], Path]) -> Iterator[Path]:
    """What `make` makes, locked; made anew if it was taken for dead before it was locked."""
    while True:
        path = make()
        with suppress(FileNotFoundError):
            handle = _open(path)
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX)
            if path.exists():
                break
            os.close(handle)
    try:
        yield path
    finally:
        os.close(handle)


def _bury(path: Path) -> None:
    """Remove what nobody holds; an OSError says that somebody does."""
    handle = _open(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(path)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    """A file, or a folder with nothing in it: logs of launchers are the user's."""
    path.rmdir() if path.is_dir() else path.unlink()


def _open(path: Path) -> int:
    """A handle that can be locked; over a network only a file that is open for writing can."""
    return os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)

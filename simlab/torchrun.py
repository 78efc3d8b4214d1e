"""Where torchrun starts several processes for one run, all compute and the first one speaks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


def several() -> bool:
    """Whether this process is one of several."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


def leads() -> bool:
    """Whether this process is the first, or the only one."""
    return int(os.environ.get("RANK", 0)) == 0


@contextmanager
def spoken() -> Iterator[None]:
    """While this lasts, only the first process prints; all of them tell errors."""
    if leads():
        yield
        return
    with open(os.devnull, "w", encoding="utf-8") as nothing, redirect_stdout(nothing):
        yield

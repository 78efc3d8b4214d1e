"""The command `simlab` for tests: in this process, or in one of its own."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from simlab.cli import main

ROOT = Path(__file__).resolve().parents[1]


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


def simlab(*words: object) -> Outcome:
    """Run a command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(word) for word in words])
    return Outcome(status, out.getvalue(), err.getvalue())


def python(*words: object, cwd: Path, **environment: str) -> Outcome:
    """Run Python in a process of its own that imports this tree."""
    done = subprocess.run([sys.executable, *map(str, words)], cwd=cwd, env=environ(**environment), capture_output=True, text=True)
    return Outcome(done.returncode, done.stdout, done.stderr)


def environ(**environment: str) -> dict[str, str]:
    """The environment of a process that imports this tree."""
    kept = {name: value for name, value in os.environ.items() if name != "HYDRA_FULL_ERROR"}
    return {**kept, "PYTHONPATH": str(ROOT), **environment}


def files(folder: Path) -> list[str]:
    """Everything below a folder, sorted."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))

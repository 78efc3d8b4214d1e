"""One peer in a process of its own: `python -P -m benchmarks.worker WORK PEER SIZE`, SIZE as JSON.

It prepares the work and does it once, unmeasured, then once more for each line of standard input. It answers in lines of JSON:
{"library", "version"} when it is warm (or {"missing"}, the library that is not there), {"seconds", "answer"} for each line,
{"error"} when it fails. What libraries print goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.work import load
from simlab.refusal import sentence


def main(work: str, peer: str, size: str) -> None:
    """Serve until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(**answer: Any) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    one_processor()
    try:
        module = import_module(f"benchmarks.peers.{load(work).peers}.{peer}")
        done = module.prepare(json.loads(size))
        done()
        say(library=module.LIBRARY, version=_version(module.LIBRARY))
        for _ in sys.stdin:
            say(**_timed(done))
    except ModuleNotFoundError as error:
        own = (error.name or "").partition(".")[0] in ("benchmarks", "simlab", "envs", "algorithms")
        say(error=str(error)) if own else say(missing=error.name)
    except Exception as error:
        say(error=f"{type(error).__name__}: {sentence(error)}")


def one_processor() -> None:
    """Hold this process, with all threads that it may start, to one processor."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def _timed(done: Callable[[], Any]) -> dict[str, Any]:
    """Seconds of one repetition, and its answer; that of a bound is None."""
    began = time.perf_counter()
    answer = done()
    return {"seconds": time.perf_counter() - began, "answer": None if answer is None else answer.tolist()}


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:  # a tree that is not installed
        return str(getattr(import_module(library), "__version__", "unknown"))


if __name__ == "__main__":
    main(*sys.argv[1:])

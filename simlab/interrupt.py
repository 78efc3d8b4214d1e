"""Ctrl-C while compiled code runs, which hears nothing of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from threading import Thread
from typing import TypeVar

Result = TypeVar("Result")


def interruptible(work: Callable[[], Result]) -> Result:
    """Do `work` in a thread of its own, so that this one can raise KeyboardInterrupt meanwhile; the work is then abandoned."""
    outcome: Future[Result] = Future()
    context = copy_context()

    def run() -> None:
        try:
            outcome.set_result(context.run(work))
        except BaseException as error:
            outcome.set_exception(error)

    Thread(target=run, daemon=True).start()
    return outcome.result()


def leave(status: int) -> None:
    """End the process at once, without waiting for abandoned work."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)

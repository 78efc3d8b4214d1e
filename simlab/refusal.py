"""Any error as one line for the user: key, value, and what is allowed."""

from __future__ import annotations

import os
from typing import Any

from envs.invalid import Invalid

REFUSED, FAILED, INTERRUPTED = 2, 1, 130
"""Exit statuses: nothing was started; something was started and failed; Ctrl-C."""

LONGEST = 200
"""Characters of a value that are shown."""


def wants_traceback() -> bool:
    """Whether the user has asked for tracebacks of unexpected errors."""
    return os.environ.get("HYDRA_FULL_ERROR") == "1"


def shown(value: Any) -> str:
    """A value as it would be written on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        text = f"[{','.join(map(shown, value))}]"
    elif isinstance(value, dict):
        text = "{" + ",".join(f"{key}:{shown(item)}" for key, item in value.items()) + "}"
    else:
        text = " ".join(str(value).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def status_of(error: BaseException) -> int:
    """Exit status for an error."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return REFUSED if isinstance(error, Invalid) or _from_hydra(error) else FAILED


def explain(error: BaseException) -> str:
    """One line, without the leading `simlab: `."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, Invalid):
        return f"{error.key}={shown(error.value)}: must be {error.allowed}"
    if _from_hydra(error):
        return _first_sentence(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    hint = "" if wants_traceback() else " (HYDRA_FULL_ERROR=1 shows where)"
    return f"{type(error).__name__}: {_first_sentence(error)}{hint}"


def _from_hydra(error: BaseException) -> bool:
    return any(kind.__module__.partition(".")[0] in ("hydra", "omegaconf") for kind in type(error).__mro__)


def _first_sentence(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__

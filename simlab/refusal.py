"""Any error as one line for the user: the key, its value, and what is allowed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from envs.invalid import Invalid

FAILED, REFUSED, INTERRUPTED = 1, 2, 130
"""Exit statuses: something that was started failed; nothing was started; Ctrl-C."""

LONGEST = 200
"""Characters of a value that are shown."""


class Refused(Exception):
    """A command line that simlab does not accept, for a reason that is not one key's value: the line to show."""


def wants_traceback() -> bool:
    """Whether the user has asked to see where unexpected errors come from."""
    return os.environ.get("HYDRA_FULL_ERROR") == "1"


def shown(value: Any) -> str:
    """A value as it would be written on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        text = f"[{','.join(map(shown, value))}]"
    elif isinstance(value, Mapping):
        text = "{" + ",".join(f"{key}:{shown(item)}" for key, item in value.items()) + "}"
    else:
        text = " ".join(str(value).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def explain(error: BaseException) -> str:
    """What went wrong, in one line."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, Invalid):
        return f"{error.key}={shown(error.value)}: must be {error.allowed}"
    if mark := getattr(error, "problem_mark", None):
        return f"{mark.name} line {mark.line + 1}: must be valid YAML ({getattr(error, 'problem', '')})"
    if isinstance(error, Refused) or _of_hydra(error):
        return sentence(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename2 or error.filename}: {error.strerror}"
    hint = "" if wants_traceback() else " (HYDRA_FULL_ERROR=1 shows where)"
    return f"{type(error).__name__}: {sentence(error)}{hint}"


def status_of(error: BaseException) -> int:
    """The exit status that an error asks for."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return REFUSED if is_expected(error) else FAILED


def is_expected(error: BaseException) -> bool:
    """Whether the user's words are at fault, so that no traceback helps."""
    return isinstance(error, Invalid | Refused) or _of_hydra(error) or hasattr(error, "problem_mark")


def sentence(error: BaseException) -> str:
    """The first line of an error's message."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _of_hydra(error: BaseException) -> bool:
    return any(kind.__module__.partition(".")[0] in ("hydra", "omegaconf") for kind in type(error).__mro__)

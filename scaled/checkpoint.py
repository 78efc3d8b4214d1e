"""The state of a run as bytes."""

from __future__ import annotations

import io
from typing import Any

import torch


def dumps(state: dict[str, Any]) -> bytes:
    """A state of tensors, numbers, texts, and lists, tuples and dictionaries of these."""
    written = io.BytesIO()
    torch.save(state, written)
    return written.getvalue()


def loads(content: bytes) -> dict[str, Any]:
    """The state again, on the processor; nothing but data is read, and no code is run.

    Raises
    ------
    ValueError
        If the bytes hold no such state.
    """
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds
        raise ValueError(f"{type(error).__name__}: {str(error).splitlines()[0]}") from None
    if not isinstance(state, dict):
        raise ValueError(f"a {type(state).__name__}")
    return state

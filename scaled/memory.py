"""Whether a device has the memory that training a language model takes."""

from __future__ import annotations

import os

import torch

from scaled.changes import what_would_fit
from scaled.estimate import Estimate
from scaled.language_model import LanguageModel
from scaled.need import Known, Need
from scaled.pair_training import PairPlan
from scaled.self_play import Plan
from simlab.refusal import Refused

__all__ = ["Estimate", "available", "estimate", "require_room", "what_would_fit"]

GIB = 2**30


def estimate(model: LanguageModel, *, plan: Plan | PairPlan, processes: int, judge: str | None) -> Estimate:
    """What each process needs of its device.

    Parameters
    ----------
    model : settings, of which the model's configuration, its tokenizer and the dataset are read
    plan : of self-play or of training on pairs
    processes : over which it is shared out
    judge : folder or hub name of the model that the oracle judges with, if any

    Raises
    ------
    Invalid
        With the key of what cannot be read, or does not fit together.
    """
    return Need(model, plan, processes, judge).estimate(Known())


def require_room(model: LanguageModel, *, plan: Plan | PairPlan, processes: int, judge: str | None, memory: float | None) -> None:
    """Refuse what does not fit.

    Parameters
    ----------
    model, plan, processes, judge : as in `estimate`
    memory : > 0, GiB of each process's device; None: what this process's has. Of a processor only what is counted is asked, since
        what passes make can be swapped out.

    Raises
    ------
    Refused
        With what is needed, what there is, which part takes most, and what would fit.
    """
    need, on_processor = Need(model, plan, processes, judge), memory is None and not torch.cuda.is_available()
    known = Known()
    found = need.counted(known) if on_processor else need.estimate(known)
    limit = available(memory) * (1 - need.share)
    if found.fits(limit):
        return
    fitting = what_would_fit(need, limit, known)
    advice = f"would fit: {'; or '.join(fitting)}" if fitting else "none of the changes tried would fit, nor any two of them"
    most = f"{found.largest} {_gib(found.parts[found.largest])} of it"
    least = "at least " if found.unknown or on_processor else ""
    raise Refused(f"memory: {least}{_gib(found.total)} needed by each process, {most}, and its device has {_gib(limit)}; {advice}")


def available(memory: float | None) -> float:
    """Bytes of a process's device: as given in GiB, or as it has them."""
    if memory is not None:
        return memory * GIB
    if torch.cuda.is_available():
        return torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def _gib(size: float) -> str:
    return f"{size / GIB:.3g} GiB"

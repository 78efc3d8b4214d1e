"""What to change in a run that its devices have no room for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from itertools import combinations
from typing import Any, NamedTuple

from scaled.engine import FSDP
from scaled.language_model import LanguageModel
from scaled.need import Known, Need
from scaled.pair_training import PairPlan
from scaled.weights import Full, LoRA

MOST = 4096
"""Processes at most that are suggested."""


class Change(NamedTuple):
    """Words of the command line, and what is needed with them."""

    words: str
    need: Need


def what_would_fit(need: Need, limit: float, known: Known) -> list[str]:
    """Words of the command line with which a run fits into `limit` bytes, the smallest change first.

    One setting is changed, as little as will do; where that is not enough, two are, and three such pairs are told at most. None is
    told that was not estimated.
    """
    alone = [found.words for kind in KINDS if (found := _mildest(kind(need), limit, known))]
    if alone:
        return alone
    pairs: list[str] = []
    for kinds in combinations(KINDS, 2):
        pairs += [found.words for found in [_pair(need, *kinds, limit, known)] if found and len(pairs) < 3]
        if len(pairs) == 3:
            break
    return pairs


def _mildest(changes: Iterator[Change], limit: float, known: Known) -> Change | None:
    """The first of changes, each greater than the one before, that fits; the last is tried first."""
    every = list(changes)
    if not every or not _fits(every[-1], limit, known):
        return None
    return next(change for change in every if _fits(change, limit, known))


def _pair(need: Need, one: Kind, other: Kind, limit: float, known: Known) -> Change | None:
    """The greatest change of one kind with the mildest of another, then the mildest with that."""
    every = list(one(need))
    second = _mildest(other(every[-1].need), limit, known) if every else None
    if second is None:
        return None
    both = (Change(f"{first.words} {more.words}", more.need) for first in every for more in other(first.need) if more.words == second.words)
    return next(change for change in both if _fits(change, limit, known))


def _fits(change: Change, limit: float, known: Known) -> bool:
    """What is counted is looked at first, since passes take seconds."""
    return change.need.counted(known).fits(limit) and change.need.estimate(known).fits(limit)


def _fewer_drawn(need: Need) -> Iterator[Change]:
    drawn = need.drawn()
    for batch in _halves(drawn.number if drawn else 1, 1):
        rollout = replace(need.model.rollout, batch=batch)  # type: ignore[type-var]
        yield Change(f"scaled.rollout.batch={batch}", _with(need, rollout=rollout))


def _smaller_batches(need: Need) -> Iterator[Change]:
    for batch in _halves(min(need.model.batch, need.plan.prompts // need.processes), 1):
        yield Change(f"scaled.batch={batch}", _with(need, batch=batch))


def _recompute(need: Need) -> Iterator[Change]:
    if not need.model.recompute:
        yield Change("scaled.recompute=true", _with(need, recompute=True))


def _bfloat16(need: Need) -> Iterator[Change]:
    if need.model.precision != "bfloat16":
        yield Change("scaled.precision=bfloat16", _with(need, precision="bfloat16"))


def _shards(need: Need) -> Iterator[Change]:
    sharded, count = need.model.engine.sharded, need.processes
    sharing = need if sharded else replace(need, model=_changed(need.model, engine=FSDP()))
    word = "" if sharded else "scaled/engine=fsdp"
    if need.share:
        return  # such a rollout draws in the one process that there is
    if not sharded and count > 1:
        yield Change(word, sharing)
    while (count := 2 * count) <= min(need.plan.prompts, MOST):
        if need.plan.prompts % count == 0:
            yield Change(f"{word} processes={count}".strip(), replace(sharing, processes=count))


def _adapters(need: Need) -> Iterator[Change]:
    if isinstance(need.model.weights, Full) and find_spec("peft"):
        yield Change("scaled/weights=lora", _with(need, weights=LoRA()))


def _fewer_responses(need: Need) -> Iterator[Change]:
    if not isinstance(need.plan, PairPlan):
        for count in _halves(need.plan.responses, 2):
            yield Change(f"responses={count}", replace(need, plan=need.plan._replace(responses=count)))


Kind = Callable[[Need], Iterator[Change]]
KINDS: tuple[Kind, ...] = (_fewer_drawn, _smaller_batches, _recompute, _bfloat16, _shards, _adapters, _fewer_responses)
"""Changes from what leaves a run as it is to what makes it another, each kind from the mildest on."""


def _halves(number: int, least: int) -> Iterator[int]:
    while (number := number // 2) >= least:
        yield number


def _with(need: Need, **values: Any) -> Need:
    return replace(need, model=_changed(need.model, **values))


def _changed(model: LanguageModel, **values: Any) -> LanguageModel:
    """With other settings, and what was read already: none of it depends on these."""
    made = replace(model, **values)
    vars(made).update({name: value for name, value in vars(model).items() if name not in vars(made)})
    return made

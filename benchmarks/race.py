"""Peers in turns: each is warmed and waits, then every round each does the work once, and the answers are compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peer import Peer
from benchmarks.work import OURS, Size, Work


@dataclass
class Entry:
    """What one peer has done.

    Attributes
    ----------
    library, version : what it stands on; None until it is warm
    missing : the library that is not installed, if so
    error : why it failed, if so
    seconds : of a unit, one entry a round
    answers : one a round; none of a bound, which has none
    difference : the largest distance of an answer from simlab's first
    """

    peer: str
    library: str | None = None
    version: str | None = None
    missing: str | None = None
    error: str | None = None
    seconds: list[float] = field(default_factory=list)
    answers: list[NDArray] = field(default_factory=list)
    difference: float | None = None

    def take(self, heard: dict[str, Any], size: Size, units: int) -> None:
        """Keep what the peer's process has said."""
        for key in ("library", "version", "missing", "error"):
            setattr(self, key, heard.get(key, getattr(self, key)))
        if "seconds" in heard:
            answer = heard["answer"]
            rows = size["instances"] if answer is None else len(answer)
            self.seconds.append(heard["seconds"] / (rows * units))
            self.answers.extend([] if answer is None else [np.array(answer)])

    @property
    def waits(self) -> bool:
        return self.missing is None and self.error is None


def race(name: str, work: Work, sizes: Sequence[tuple[str, Size]], repetitions: int) -> list[Entry]:
    """Run peers (their names, each with the size it is given) for so many rounds; a round starts with another peer each time."""
    entries = [Entry(peer) for peer, _ in sizes]
    with ExitStack() as stack:
        running = [(entry, stack.enter_context(closing(peer))) for entry, peer in _warm(name, work, sizes, entries)]
        for turn in range(repetitions):
            start = turn % max(1, len(running))
            for entry, peer in running[start:] + running[:start]:
                if entry.waits:
                    entry.take(peer.go(), peer.size, work.units(peer.size))
    compare(entries, work)
    return entries


def _warm(name: str, work: Work, sizes: Sequence[tuple[str, Size]], entries: list[Entry]) -> Iterator[tuple[Entry, Peer]]:
    """Start one process after the other, each when the last one waits."""
    for entry, (_, size) in zip(entries, sizes, strict=True):
        peer = Peer(name, entry.peer, size)
        yield entry, peer
        entry.take(peer.hear(), size, work.units(size))


def compare(entries: list[Entry], work: Work) -> None:
    """Hold every answer against simlab's first; a peer that does fewer instances, against so many of them."""
    (ours,) = [entry for entry in entries if entry.peer == OURS]
    for entry in entries if ours.answers else []:
        distances = [work.difference(ours.answers[0][: len(answer)], answer) for answer in entry.answers]
        entry.difference = max(distances, key=lambda distance: (distance != distance, distance), default=None)


def ratio(entry: Entry, ours: Entry) -> float | None:
    """A peer's time over simlab's: the median of the rounds' ratios."""
    rounds = list(zip(entry.seconds, ours.seconds, strict=False))
    return float(np.median([theirs / own for theirs, own in rounds])) if rounds else None


def agrees(entry: Entry, work: Work) -> bool | None:
    """Whether a peer's answers are simlab's; None where there is nothing to compare."""
    return None if entry.difference is None else bool(entry.difference <= work.limit)

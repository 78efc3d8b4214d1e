"""What a process needs of its device's memory, by part and by moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Parts = Mapping[str, int]
"""Bytes, by what they are of."""


@dataclass(frozen=True)
class Estimate:
    """What one process needs of its device.

    Attributes
    ----------
    parameters, trained : numbers of weights of the whole model, and of those that are trained
    slots, kept : policies that the method names, and those among them that go on as weights from iteration to iteration
    tokens : of the prompts and responses of an iteration, at most
    moments : bytes by part, at each of the moments of an iteration that may be the worst
    unknown : whether passes through this model cannot be looked at without data, so that what they take is left out
    """

    parameters: int
    trained: int
    slots: tuple[str, ...]
    kept: tuple[str, ...]
    tokens: int
    moments: Mapping[str, Parts]
    unknown: bool = False

    @property
    def worst(self) -> str:
        """The moment at which most is needed."""
        return max(self.moments, key=lambda moment: sum(self.moments[moment].values()))

    @property
    def parts(self) -> Parts:
        """Bytes by part at that moment."""
        return self.moments[self.worst]

    @property
    def total(self) -> int:
        """Bytes at that moment."""
        return sum(self.parts.values())

    @property
    def largest(self) -> str:
        """The part that takes most at that moment."""
        return max(self.parts, key=lambda part: self.parts[part])

    def fits(self, limit: float) -> bool:
        """Whether so many bytes are enough."""
        return self.total <= limit

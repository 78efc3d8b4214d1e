"""What a claim offers to a search for a counterexample: its ratio on one instance, and which of its numbers are free.

The ratio is the one that its check computes; nothing is written twice. See `theory.falsify`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from theory.claim import Claim, Conditions, Instance


@dataclass(frozen=True)
class Dial:
    """A number that the statement leaves free, such as a step.

    Parameters
    ----------
    field : the claim's field that lists the values which its check takes
    low, high : what a search takes it from, 0 < low < high; the statement holds there
    """

    field: str
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Bound(Claim):
    """A claim whose ratio says something on every instance it speaks of, so that its largest can be sought."""

    dial: ClassVar[Dial | None] = None
    """None: nothing is free besides the game and the start."""

    @property
    def ground(self) -> Conditions:
        """What a search keeps to: the conditions, unless those only point at instances that are known."""
        return self.conditions

    def ratio(self, instance: Instance, value: float | None = None) -> float | None:
        """The largest measured / claimed on one instance, the dial at a value; None where it says nothing or was not measured.

        Parameters
        ----------
        instance : of the claim's ground
        value : of the dial; None without one
        """
        fixed: dict[str, Any] = {} if self.dial is None else {self.dial.field: (value,)}
        ratios = [finding.ratio for finding in replace(self, **fixed).findings([instance])]
        return max((ratio for ratio in ratios if ratio is not None and not np.isnan(ratio)), default=None)

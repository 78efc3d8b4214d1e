"""How much of a claim's constant a case needs, so that a search can look for the case that needs most.

A ratio of measured to claimed near 1 says little of a constant that stands beside other terms, which may be all of the bound. What
a case needs is the least constant with which it meets the bound. The largest need that is found is a lower limit of every constant
with which the statement is true.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from scipy.optimize import brentq

from theory.bound import Bound, Dial
from theory.claim import Conditions, Instance

PRECISION = 1e-6
"""Of a need, as a share of the constant."""


@dataclass(frozen=True)
class Need:
    """Stands for a bound in a search, its ratio the share of the bound's `constant` that a case needs.

    Parameters
    ----------
    bound : Bound with a field `constant`, in which its ratio falls
    """

    bound: Any

    @property
    def dial(self) -> Dial | None:
        """The bound's."""
        return self.bound.dial

    @property
    def ground(self) -> Conditions:
        """The bound's."""
        return self.bound.ground

    def ratio(self, instance: Instance, value: float | None = None) -> float | None:
        """The share; 0 where hardly anything is needed, at most 1 where the statement is true."""

        def room(share: float) -> float:
            ratio = self._with(share).ratio(instance, value)
            return 0.0 if ratio is None else 1 / ratio - 1 if ratio > 0 else 1.0

        if self.bound.ratio(instance, value) is None:
            return None
        if room(PRECISION) >= 0:
            return 0.0
        return float(brentq(room, PRECISION, 1.0, xtol=PRECISION)) if room(1.0) >= 0 else 1.0

    def _with(self, share: float) -> Bound:
        return replace(self.bound, constant=share * self.bound.constant)

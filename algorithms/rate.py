"""The step size of a method: given, or the method's certified default, checked before any work.

Our `rate` is eta in log p+ = (1 - eta beta) log p + eta beta log ref + eta P q + const, whatever a paper calls it.
"""

from __future__ import annotations

import numpy as np

from algorithms.symbol import Symbol
from envs.invalid import Invalid, require


def require_rate(rate: object, *words: str) -> None:
    """Refuse anything but None, a positive finite number, or one of `words`."""
    number = isinstance(rate, int | float) and not isinstance(rate, bool) and 0 < rate < np.inf
    allowed = " or ".join(["a finite number > 0", "null (the default)", *words])
    require(rate is None or number or (isinstance(rate, str) and rate in words), "rate", rate, allowed)


def pulled(rate: float, beta: float) -> tuple[Symbol, Symbol]:
    """The symbols (eta, beta) of a method that pulls to the reference, for which eta beta may not exceed 1."""
    limit = f"in (0, 1/beta] = (0, {1 / beta:g}] at beta={beta:g}, or the pull to the reference overshoots" if beta > 0 else ""
    require(rate * beta <= 1 + 1e-12, "rate", rate, limit)
    return Symbol("η", rate), Symbol("β", beta)


def regularised(method: str, beta: float) -> None:
    """Refuse beta = 0 for a default that exists with a pull to the reference only."""
    if beta == 0:
        raise Invalid("rate", None, f"given at beta=0, where {method} has no certified step")

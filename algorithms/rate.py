"""The step that most methods share, and its size: given, or the method's certified default, checked before any work.

Our `rate` is eta in log p+ = (1 - eta beta) log p + eta beta log ref + eta P q + const, whatever a paper calls it.
"""

from __future__ import annotations

import numpy as np

from algorithms.symbol import Symbol
from algorithms.tableau import Stage, pairs, prox
from envs.dials import require_integer
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


def require_pairs(samples: object) -> None:
    """Refuse anything but None or a number of pairs."""
    if samples is not None:
        require_integer("pairs", samples, 1, " or null (exact)")


def pulled_stage(to: str, *, opponent: str, eta: Symbol, b: Symbol, samples: int | None) -> Stage:
    """to = normalise(policy^(1 - eta b) reference^(eta b) exp(eta P opponent)), exactly or from sampled pairs.

    The sampled form is a gradient step on the online IPO loss, learning rate eta beta K/4, over `samples` uniform pairs with one
    judged opponent each; on average over the pairs it is the exact step.
    """
    if samples is None:
        return prox(to, anchor={"policy": 1 - eta * b, "reference": eta * b}, opponent=opponent, rate=eta)
    return pairs(to, base="policy", anchor={"policy": -b, "reference": b}, opponent=opponent, rate=eta, samples=samples)


def regularised(method: str, beta: float) -> None:
    """Refuse beta = 0 for a default that exists with a pull to the reference only."""
    if beta == 0:
        raise Invalid("rate", None, f"given at beta=0, where {method} has no certified step")

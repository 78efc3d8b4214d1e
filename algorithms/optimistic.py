"""Optimistic methods: one query an iteration, used twice.

OptimisticMirrorDescent, without a pull (ONPO, arXiv 2502.16852; OMWU, arXiv 2512.24818):

    policy = normalise( policy exp(eta (2 P policy - P previous)) ),        the first step with 2 P policy alone

RegularisedOptimistic, the single-call form of EGPO (Cen, Wei and Chi, arXiv 2105.15186):

    half   = normalise( policy^(1 - eta beta) reference^(eta beta) exp(eta P half) )        the last half point
    policy = normalise( policy^(1 - eta beta) reference^(eta beta) exp(eta P half) )        the new one
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from algorithms.rate import pulled, require_rate
from algorithms.symbol import Symbol
from algorithms.tableau import Tableau, Weights, copy, prox


@dataclass(frozen=True)
class OptimisticMirrorDescent:
    """Multiplicative weights with the last win rates extrapolated; judged on its average.

    Parameters
    ----------
    rate : float > 0, eta; None takes 1, the largest for which e_0(average) <= (log K / eta + eta/4)/T is derived here
    """

    rate: float | None = None

    target: ClassVar[str] = "original"

    def __post_init__(self) -> None:
        require_rate(self.rate)

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        eta = Symbol("η", 1.0 if self.rate is None else self.rate)
        opponent: Weights = {"policy": 2.0, "previous": Symbol("-[t > 0]", np.array([0.0, -1.0]))}
        return Tableau(
            prox("next", anchor={"policy": 1.0}, opponent=opponent, rate=eta),
            copy("previous", "policy"),
            copy("policy", "next"),
        )


@dataclass(frozen=True)
class RegularisedOptimistic:
    """Two prox stages with one anchor; the first meets the half point that is already known.

    Parameters
    ----------
    rate : float in (0, 1/beta], eta; None takes min(1/(2 beta + 2), 1/4), for which KL(p* | p_t) <= (1 - eta beta)^t KL_0
        (Cen, Wei and Chi, as recalled)
    """

    rate: float | None = None

    target: ClassVar[str] = "regularised"

    def __post_init__(self) -> None:
        require_rate(self.rate)

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        eta, b = pulled(min(1.0 / (2.0 * beta + 2.0), 0.25) if self.rate is None else self.rate, beta)
        anchor = {"policy": 1 - eta * b, "reference": eta * b}
        return Tableau(
            prox("half", anchor=anchor, opponent="half", rate=eta),
            prox("policy", anchor=anchor, opponent="half", rate=eta),
        )

"""SPPO, self-play preference optimisation (Wu et al., arXiv 2405.00675), with exact expectations.

    policy = normalise( policy exp(eta P policy) )

Multiplicative weights against oneself, without a pull to the reference: it seeks the original game's equilibrium, and its
average does, at the rate of Hedge; the last iterate spirals outwards wherever that equilibrium has full support.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt
from typing import ClassVar

from algorithms.rate import require_rate
from algorithms.symbol import Symbol
from algorithms.tableau import Tableau, prox


def hedge_rate(steps: int, actions: int) -> float:
    """sqrt(8 log K / T): the step that minimises Hedge's regret bound log K/(eta T) + eta/8 from a uniform start."""
    return sqrt(8.0 * log(actions) / steps)


@dataclass(frozen=True)
class SPPO:
    """One prox stage without a pull to the reference; judged on its average.

    Parameters
    ----------
    rate : float > 0, eta (the paper's eta, the inverse of its code's beta); None takes sqrt(8 log K / steps)
    """

    rate: float | None = None

    target: ClassVar[str] = "original"

    def __post_init__(self) -> None:
        require_rate(self.rate)

    @classmethod
    def from_paper(cls, eta: float) -> SPPO:
        """From the paper's eta, which is our rate (the authors' code passes 1/eta as its beta)."""
        return cls(rate=eta)

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        eta = Symbol("η", hedge_rate(steps, actions) if self.rate is None else self.rate)
        return Tableau(prox("policy", anchor={"policy": 1}, opponent="policy", rate=eta))

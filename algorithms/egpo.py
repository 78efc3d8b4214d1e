"""EGPO, extragradient preference optimisation (arXiv 2503.08942).

    half   =  normalise( policy^(1 - eta beta) reference^(eta beta) exp(eta P policy) )
    policy =  normalise( policy^(1 - eta beta) reference^(eta beta) exp(eta P half) )

Both stages start from the same policy; only the opponent of the second is the half point. Two queries an iteration.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

from algorithms.rate import pulled, pulled_stage, require_pairs, require_rate
from algorithms.tableau import Tableau


def certified_rate(beta: float) -> float:
    """2 (sqrt(1 + beta^2) - beta): up to here KL(p* | p) contracts by 1 - eta beta at every step (derived in `theory`)."""
    return 2.0 / (sqrt(1.0 + beta**2) + beta)  # without the difference, which cancels at large beta


@dataclass(frozen=True)
class EGPO:
    """Two stages with one anchor.

    Parameters
    ----------
    rate : float in (0, 1/beta], eta (the paper's eta); None takes 2 (sqrt(1 + beta^2) - beta), derived here
    pairs : int >= 1, pairs sampled for each step (stochastic online IPO); None takes exact expectations
    """

    rate: float | None = None
    pairs: int | None = None

    target: ClassVar[str] = "regularised"

    def __post_init__(self) -> None:
        require_rate(self.rate)
        require_pairs(self.pairs)

    @classmethod
    def from_paper(cls, eta: float) -> EGPO:
        """From the paper's eta, which is our rate."""
        return cls(rate=eta)

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        eta, b = pulled(certified_rate(beta) if self.rate is None else self.rate, beta)
        return Tableau(
            pulled_stage("half", opponent="policy", eta=eta, b=b, samples=self.pairs),
            pulled_stage("policy", opponent="half", eta=eta, b=b, samples=self.pairs),
        )

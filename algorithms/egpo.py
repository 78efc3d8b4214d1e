"""EGPO, extragradient preference optimisation (arXiv 2503.08942).

    half   =  normalise( policy^(1 - eta beta) reference^(eta beta) exp(eta P policy) )
    policy =  normalise( policy^(1 - eta beta) reference^(eta beta) exp(eta P half) )

Both stages start from the same policy; only the opponent of the second is the half point. Two queries an iteration.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

from algorithms.rate import pulled, require_rate
from algorithms.tableau import Tableau, prox


def certified_rate(beta: float) -> float:
    """2 (sqrt(1 + beta^2) - beta): up to here KL(p* | p) contracts by 1 - eta beta at every step (derived in `theory`)."""
    return 2.0 * (sqrt(1.0 + beta**2) - beta)


@dataclass(frozen=True)
class EGPO:
    """Two prox stages with one anchor.

    Parameters
    ----------
    rate : float in (0, 1/beta], eta (the paper's eta); None takes 2 (sqrt(1 + beta^2) - beta), derived here
    """

    rate: float | None = None

    target: ClassVar[str] = "regularised"

    def __post_init__(self) -> None:
        require_rate(self.rate)

    @classmethod
    def from_paper(cls, eta: float) -> EGPO:
        """From the paper's eta, which is our rate."""
        return cls(rate=eta)

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        eta, b = pulled(certified_rate(beta) if self.rate is None else self.rate, beta)
        anchor = {"policy": 1 - eta * b, "reference": eta * b}
        return Tableau(
            prox("half", anchor=anchor, opponent="policy", rate=eta),
            prox("policy", anchor=anchor, opponent="half", rate=eta),
        )

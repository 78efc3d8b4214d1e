"""Exact DNO, direct Nash optimisation (Rosset et al., arXiv 2404.03715; Algorithm 1 as recalled), with exact expectations.

Soft policy iteration on the win rates against oneself, r = P policy:

    policy = normalise( policy exp(r / eta_DNO) )

The regression that the paper fits (cross-entropy between the sigmoids of reward and log-ratio differences) has this policy as
its population minimiser, so that exact DNO is SPPO's map with rate = 1/eta_DNO. DNO-Prct, the practical variant, is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from algorithms.rate import require_rate
from algorithms.sppo import hedge_rate
from algorithms.symbol import Symbol
from algorithms.tableau import Tableau, prox


@dataclass(frozen=True)
class DNO:
    """One prox stage without a pull to the reference, in DNO's symbols; judged on its average.

    Parameters
    ----------
    rate : float > 0, the inverse of the paper's eta; None takes sqrt(8 log K / steps)
    """

    rate: float | None = None

    target: ClassVar[str] = "original"

    def __post_init__(self) -> None:
        require_rate(self.rate)

    @classmethod
    def from_paper(cls, eta: float) -> DNO:
        """From the paper's eta: rate = 1/eta."""
        return cls(rate=1.0 / eta)

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        eta = Symbol("η", 1.0 / (hedge_rate(steps, actions) if self.rate is None else self.rate))
        return Tableau(prox("policy", anchor={"policy": 1}, opponent="policy", rate=1 / eta))

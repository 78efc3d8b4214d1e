"""Online mirror descent: one step against oneself, pulled to the reference.

    log p+  =  (1 - eta beta) log p + eta beta log ref + eta P p + const

The same map under several names: magnetic mirror descent (Sokota et al., ICLR 2023, arXiv 2206.05825), the inner loop of
COMAL (arXiv 2410.23223), the population step of INPO (arXiv 2407.00617) and of online IPO version 1 (arXiv 2403.08635).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from algorithms.rate import pulled, pulled_stage, regularised, require_pairs, require_rate
from algorithms.tableau import Tableau


@dataclass(frozen=True)
class OnlineMirrorDescent:
    """One stage: policy against itself.

    Parameters
    ----------
    rate : float in (0, 1/beta], eta; None takes 4 beta / (1 + 4 beta^2), the largest step for which
        KL(p* | p) is certified to contract by 1 - eta beta (Sokota et al. Theorem 3.4 with L = 1/2)
    pairs : int >= 1, pairs sampled for each step (stochastic online IPO); None takes exact expectations
    """

    rate: float | None = None
    pairs: int | None = None

    target: ClassVar[str] = "regularised"

    def __post_init__(self) -> None:
        require_rate(self.rate)
        require_pairs(self.pairs)

    @classmethod
    def from_paper(cls, step: float, alpha: float) -> OnlineMirrorDescent:
        """From magnetic mirror descent's step size (its eta) and magnet strength alpha = beta: 1/rate = alpha + 1/step."""
        return cls(rate=1.0 / (alpha + 1.0 / step))

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        rate = self.rate
        if rate is None:
            regularised("online mirror descent", beta)
            rate = 4.0 * beta / (1.0 + 4.0 * beta**2)
        eta, b = pulled(rate, beta)
        return Tableau(pulled_stage("policy", opponent="policy", eta=eta, b=b, samples=self.pairs))

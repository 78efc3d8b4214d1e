"""SPPO as it is run: a square loss on n sampled responses (Wu et al., arXiv 2405.00675, and its code).

    minimise  sum over responses y_1 .. y_n ~ policy of ( log(p(y_i)/policy(y_i)) - eta (wins(y_i) - 1/2) )^2

with wins(y_i) the win rate of y_i against the other responses, and eta/2 in place of the normaliser log Z. In population over all
responses this is the exact step up to the normaliser's error; with few responses only those that were drawn move, and noisily.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from algorithms.rate import require_rate
from algorithms.sppo import hedge_rate
from algorithms.symbol import Symbol
from algorithms.tableau import Tableau, responses
from envs.dials import require_integer


@dataclass(frozen=True)
class SPPOSampled:
    """One responses stage: the square loss fitted exactly on the responses drawn; judged on its average.

    Parameters
    ----------
    rate : float > 0, eta; None takes sqrt(8 log K / steps)
    samples : int >= 2, n
    """

    rate: float | None = None
    samples: int = 5

    target: ClassVar[str] = "original"

    def __post_init__(self) -> None:
        require_rate(self.rate)
        require_integer("samples", self.samples, 2)

    @classmethod
    def from_paper(cls, eta: float, samples: int) -> SPPOSampled:
        """From the paper's eta (the inverse of its code's beta) and its number of responses."""
        return cls(rate=eta, samples=samples)

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        eta = Symbol("η", hedge_rate(steps, actions) if self.rate is None else self.rate)
        return Tableau(responses("policy", opponent="policy", rate=eta, samples=self.samples))

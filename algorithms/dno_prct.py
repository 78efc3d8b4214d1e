"""DNO-Prct, the practical variant of DNO (Rosset et al., arXiv 2404.03715; Algorithm 2 as recalled), in population: not exact DNO.

Iterated DPO on pairs from the policy, labelled by the preference:

    scores = argmin_s  E_{y, y' ~ policy} cross-entropy( P(y, y'), sigmoid(s_y - s_y') )
    policy = normalise( policy exp(scores / eta_DNO) )

The scores are the Bradley-Terry projection of P under the policy, where exact DNO takes the win rates P policy. The two agree where
win rates are proportional to scores, and nowhere else; no convergence theorem is known. The projection solves
sum_j policy_j (P_ij - sigmoid(s_i - s_j)) = 0 by a majorising step s + 4 (...), from the last scores to a residual.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from algorithms.rate import require_rate
from algorithms.sppo import hedge_rate
from algorithms.symbol import Symbol
from algorithms.tableau import Loop, Tableau, projection, prox
from envs.dials import require_integer, require_tolerance


@dataclass(frozen=True)
class DNOPrct:
    """An inner Bradley-Terry fit, then a step along its scores.

    Parameters
    ----------
    rate : float > 0, the inverse of the paper's eta; None takes sqrt(8 log K / steps), as exact DNO
    inner : int >= 1, steps after which the fit stops, whatever its residual (where P holds zeros and ones it may have no finite optimum)
    tolerance : float in (0, 1), residual of the fit
    """

    rate: float | None = None
    inner: int = 2000
    tolerance: float = 1e-10

    target: ClassVar[str] = "original"

    def __post_init__(self) -> None:
        require_rate(self.rate)
        require_integer("inner", self.inner, 1)
        require_tolerance(self.tolerance)

    @classmethod
    def from_paper(cls, eta: float) -> DNOPrct:
        """From the paper's eta: rate = 1/eta."""
        return cls(rate=1.0 / eta)

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        eta = Symbol("η", hedge_rate(steps, actions) if self.rate is None else self.rate)
        fit = Loop((projection("scores", opponent="policy", rate=4.0),), times=self.inner, tolerance=self.tolerance)
        return Tableau(fit, prox("policy", anchor={"policy": 1.0, "scores": eta}))

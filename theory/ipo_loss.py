"""IPO-off-0: IPO's loss, its slope and its curvature, plain and debiased, against the published terms.

    L(h) = (h - 1/(2 tau))^2,        robust:  ((1 - e) L(h) - e L(-h)) / (1 - 2 e),        curvature 2 in both

A factor on the whole loss, or a wrong curvature, moves no minimiser, which is all that the other claims on IPO look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.ipo import IPO
from algorithms.pair_loss import PairLoss
from algorithms.robust_ipo import RobustIPO
from theory.claim import Finding
from theory.testbed import PairClaim, PairTestbed

MARGINS = np.linspace(-20.0, 20.0, 81)


@dataclass(frozen=True, kw_only=True)
class SquareLoss(PairClaim):
    """Value, slope and curvature of IPO's loss.

    Parameters
    ----------
    taus, flips : values of tau, and of e where the loss is debiased
    learner : tau -> PairLoss
    error : float, allowed difference as a share of the terms' size
    """

    id: str = "IPO-off-0"
    provenance: str = "recalled"
    statement: str = "IPO's loss is (h - 1/(2 tau))^2, its slope 2 (h - 1/(2 tau)), its curvature 2"
    source: str = "arXiv 2310.12036, equation 17 as recalled"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    taus: Sequence[float] = (0.1, 1.0, 5.0)
    flips: Sequence[float] = (0.0,)
    learner: Callable[[float], PairLoss] = IPO
    error: float = 1e-14

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for tau in self.taus:
            for flip in self.flips:
                yield from self._at(tau, flip)

    def _at(self, tau: float, flip: float) -> Iterable[Finding]:
        loss, target = self.made(tau, flip), 0.5 / tau
        size = 2 * (np.abs(MARGINS) + target) ** 2 / (1 - 2 * flip) + 1

        def debiased(straight: NDArray, turned: NDArray) -> NDArray:
            return ((1 - flip) * straight - flip * turned) / (1 - 2 * flip)

        for name, wrong in {
            "value": loss.value(MARGINS) - debiased((MARGINS - target) ** 2, (-MARGINS - target) ** 2),
            "slope": loss.slope(MARGINS) - debiased(2 * (MARGINS - target), -2 * (-MARGINS - target)),
            "curvature": loss.curvature(MARGINS) - 2,
        }.items():
            yield Finding(f"tau = {tau:g}, e = {flip:g}, {name}", float((np.abs(wrong) / size).max() / self.error))

    def made(self, tau: float, flip: float) -> PairLoss:
        """The loss at a tau and a flip rate."""
        return self.learner(tau)


@dataclass(frozen=True, kw_only=True)
class RobustSquareLoss(SquareLoss):
    """The same of robust IPO.

    Parameters
    ----------
    learner : (tau, flip rate) -> PairLoss
    """

    id: str = "IPO-off-0r"
    provenance: str = "derived"
    statement: str = "robust IPO's loss is ((1-e) L(h) - e L(-h))/(1-2e), L(h) = (h - 1/(2 tau))^2, with its slope and curvature 2"
    source: str = "the debiasing of arXiv 2403.00409 put to the loss of arXiv 2310.12036"
    flips: Sequence[float] = (0.0, 0.1, 0.4)
    learner: Callable[[float, float], PairLoss] = RobustIPO  # type: ignore[assignment]

    def made(self, tau: float, flip: float) -> PairLoss:
        return self.learner(tau, flip)  # type: ignore[call-arg]

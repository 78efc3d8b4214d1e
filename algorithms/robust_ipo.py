"""Robust IPO: IPO debiased for labels that are wrong with a known probability, as robust DPO (arXiv 2403.00409) debiases DPO.

    loss  =  ((1 - eps) (h - a)^2 - eps (h + a)^2) / (1 - 2 eps)
          =  (h - a)^2 - 4 a eps / (1 - 2 eps) h,        a = 1 / (2 tau)

It is (h - a / (1 - 2 eps))^2 up to a constant: a flip rate and a larger 1 / tau are one dial.
"""

from __future__ import annotations

from dataclasses import dataclass

from algorithms.pair_loss import TiltedSquare, debiasing_weight, require_tau
from envs.feedback import require_flip


@dataclass(frozen=True)
class RobustIPO(TiltedSquare):
    """The debiased square loss of the labelled winner's log-ratio difference h; h holds no beta.

    Parameters
    ----------
    tau : float > 0, the strength of the pull to the reference
    flip : float in [0, 1/2), the assumed rate of wrong labels (epsilon)

    Raises
    ------
    Invalid
        For any other value.
    """

    tau: float
    flip: float

    def __post_init__(self) -> None:
        require_tau(self.tau)
        require_flip("flip", self.flip)

    @property
    def target(self) -> float:
        """a = 1 / (2 tau)."""
        return 0.5 / self.tau

    @property
    def tilt(self) -> float:
        """-4 a eps / (1 - 2 eps)."""
        return -4.0 * self.target * debiasing_weight(self.flip)

"""Robust DPO, the debiased loss for labels that are wrong with a known probability (arXiv 2403.00409).

    loss  =  ((1 - eps) log(1 + exp(-u)) - eps log(1 + exp(u))) / (1 - 2 eps)
          =  log(1 + exp(-u)) - eps / (1 - 2 eps) u,                                    u = beta h

Its mean over flips is DPO's loss of the clean label, at every u; so is that of its gradient. It is convex, but unbounded below
on data with fewer contradictions than the flips foretell.
"""

from __future__ import annotations

from dataclasses import dataclass

from algorithms.pair_loss import TiltedLogistic, debiasing_weight
from envs.feedback import require_flip


@dataclass(frozen=True)
class RobustDPO(TiltedLogistic):
    """The debiased logistic loss of the labelled winner's margin u = beta h.

    Parameters
    ----------
    flip : float in [0, 1/2), the assumed rate of wrong labels (the paper's epsilon)

    Raises
    ------
    Invalid
        For any other rate.
    """

    flip: float

    def __post_init__(self) -> None:
        require_flip("flip", self.flip)

    @property
    def tilt(self) -> float:
        """-eps / (1 - 2 eps)."""
        return -debiasing_weight(self.flip)

"""Conservative DPO: DPO with label smoothing (Mitchell, "A note on DPO with noisy preferences and relationship to IPO", 2023).

    loss  =  (1 - s) log(1 + exp(-u)) + s log(1 + exp(u))  =  log(1 + exp(-u)) + s u,        u = beta h

For 0 < s < 1/2 every data set has a minimiser, with |u| <= log((1 - s) / s) on a pair of its own. It is biased: on labels that
are wrong with probability s it shrinks the margins a second time.
"""

from __future__ import annotations

from dataclasses import dataclass

from algorithms.pair_loss import TiltedLogistic
from envs.feedback import require_flip


@dataclass(frozen=True)
class ConservativeDPO(TiltedLogistic):
    """The smoothed logistic loss of the labelled winner's margin u = beta h.

    Parameters
    ----------
    smoothing : float in [0, 1/2), s (the note's epsilon)

    Raises
    ------
    Invalid
        For any other smoothing.
    """

    smoothing: float

    def __post_init__(self) -> None:
        require_flip("smoothing", self.smoothing)

    @property
    def tilt(self) -> float:
        """s."""
        return self.smoothing

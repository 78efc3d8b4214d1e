"""DPO, direct preference optimisation (arXiv 2305.18290; eq. 7 as recalled).

    loss  =  log(1 + exp(-u)),        u = beta h

On Bradley-Terry data of full support its minimiser is the optimum pi_ref exp(r / beta) / Z of the regularised reward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from algorithms.pair_loss import TiltedLogistic


@dataclass(frozen=True)
class DPO(TiltedLogistic):
    """The logistic loss of the labelled winner's margin u = beta h (the paper's difference of implicit rewards)."""

    tilt: ClassVar[float] = 0.0  # type: ignore[misc]

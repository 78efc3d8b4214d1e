"""IPO, identity preference optimisation (arXiv 2310.12036; eq. 17 as recalled).

    loss  =  (h - 1 / (2 tau))^2,        h = log pi/pi_ref(winner) - log pi/pi_ref(loser)

With pairs drawn from mu x mu of full support its minimiser is pi_ref exp(p(y > mu) / tau) / Z, for any preferences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from algorithms.pair_loss import TiltedSquare, require_tau


@dataclass(frozen=True)
class IPO(TiltedSquare):
    """The squared distance of the labelled winner's log-ratio difference h from 1 / (2 tau); h holds no beta.

    Parameters
    ----------
    tau : float > 0, the strength of the pull to the reference (the paper's tau)

    Raises
    ------
    Invalid
        For any other tau.
    """

    tau: float

    tilt: ClassVar[float] = 0.0  # type: ignore[misc]

    def __post_init__(self) -> None:
        require_tau(self.tau)

    @property
    def target(self) -> float:
        """1 / (2 tau)."""
        return 0.5 / self.tau

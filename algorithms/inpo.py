"""INPO, iterative Nash policy optimisation (Zhang et al., arXiv 2407.00617), in population: online mirror descent in its symbols.

    policy = normalise( policy^((eta' - beta)/eta') reference^(beta/eta') exp(P policy / eta') )

The paper's eta' weighs the KL to the previous iterate plus the regularisation, so that our rate is 1/eta'; its tau is our beta.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from algorithms.rate import pulled, regularised, require_rate
from algorithms.symbol import Symbol
from algorithms.tableau import Tableau, prox


@dataclass(frozen=True)
class INPO:
    """One prox stage, at a constant or a falling step.

    Parameters
    ----------
    rate : float in (0, 1/beta], 1/eta'; "schedule" or None: eta'_t = beta (t + 2)/2, t = 0, 1, ..., for which
        KL(p* | p_T) <= 2/(beta^2 (T + 1)) from the reference (derived here)
    """

    rate: float | str | None = None

    target: ClassVar[str] = "regularised"

    def __post_init__(self) -> None:
        require_rate(self.rate, "schedule")

    @classmethod
    def from_paper(cls, eta: float) -> INPO:
        """From the paper's constant eta: rate = 1/eta."""
        return cls(rate=1.0 / eta)

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        if isinstance(self.rate, int | float):
            _, b = pulled(self.rate, beta)
            eta = Symbol("η'", 1.0 / self.rate)
        else:
            regularised("INPO", beta)
            eta, b = Symbol("η'_t", beta * (np.arange(steps) + 2.0) / 2.0), Symbol("β", beta)
        return Tableau(prox("policy", anchor={"policy": (eta - b) / eta, "reference": b / eta}, opponent="policy", rate=1 / eta))

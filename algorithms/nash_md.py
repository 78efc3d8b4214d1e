"""Nash-MD, Nash mirror descent (Munos et al., ICML 2024, arXiv 2312.00886).

    mixture = normalise( policy^(1 - eta beta) reference^(eta beta) )           (beta is the paper's tau)
    policy  = normalise( mixture exp(eta P mixture) )

The mixture is both the centre of the step and the opponent. With a constant step the fixed point is biased: it solves
beta log(p/ref) = P p^(1 - eta beta) ref^(eta beta) + const, not the equilibrium; with eta_t = 2/(beta (t + 2)) the bias goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from algorithms.rate import pulled, regularised, require_rate
from algorithms.symbol import Symbol
from algorithms.tableau import Tableau, prox


@dataclass(frozen=True)
class NashMD:
    """A geometric mixture, then a step on its own win rates.

    Parameters
    ----------
    rate : float in (0, 1/beta], a constant eta; "published" or None: the paper's schedule eta_t = 2/(beta (t + 2)),
        t = 0, 1, ..., the one under which the last iterate is proved to reach the equilibrium
    """

    rate: float | str | None = None

    target: ClassVar[str] = "regularised"

    def __post_init__(self) -> None:
        require_rate(self.rate, "published")

    @classmethod
    def from_paper(cls, eta: float) -> NashMD:
        """From the paper's constant eta, which is our rate (its tau is our beta)."""
        return cls(rate=eta)

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        if isinstance(self.rate, (int, float)):
            eta, b = pulled(self.rate, beta)
        else:
            regularised("Nash-MD", beta)
            eta, b = Symbol("η_t", 2.0 / (beta * (np.arange(steps) + 2.0))), Symbol("β", beta)
        return Tableau(
            prox("mixture", anchor={"policy": 1 - eta * b, "reference": eta * b}),
            prox("policy", anchor={"mixture": 1}, opponent="mixture", rate=eta),
        )

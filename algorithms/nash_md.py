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

from algorithms.rate import pulled, pulled_stage, regularised, require_pairs, require_rate
from algorithms.symbol import Symbol
from algorithms.tableau import Tableau, prox
from envs.dials import require_number


@dataclass(frozen=True)
class NashMD:
    """A geometric mixture, then a step on its own win rates.

    Parameters
    ----------
    rate : float in (0, 1/beta], a constant eta; "published" or None: the paper's schedule eta_t = 2/(beta (t + 2)),
        t = 0, 1, ..., the one under which the last iterate is proved to reach the equilibrium
    pairs : int >= 1, pairs sampled for each step (stochastic online IPO); None takes exact expectations
    opponent_pull : float in [0, 1], weight of the reference in the opponent's mixture as a share of eta beta; 1 is Nash-MD, 1/2
        the baseline in the authors' simulation of arXiv 2503.08942, 0 online mirror descent
    """

    rate: float | str | None = None
    pairs: int | None = None
    opponent_pull: float = 1.0

    target: ClassVar[str] = "regularised"

    def __post_init__(self) -> None:
        require_rate(self.rate, "published")
        require_pairs(self.pairs)
        require_number("opponent_pull", self.opponent_pull, 0, 1)

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
        if self.pairs is None and self.opponent_pull == 1:
            step = prox("policy", anchor={"mixture": 1}, opponent="mixture", rate=eta)
        else:
            step = pulled_stage("policy", opponent="mixture", eta=eta, b=b, samples=self.pairs)
        weight = eta * b if self.opponent_pull == 1 else self.opponent_pull * eta * b
        return Tableau(prox("mixture", anchor={"policy": 1 - weight, "reference": weight}), step)

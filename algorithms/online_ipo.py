"""Online IPO, version 2: pairs from the current policy (Calandriello et al., arXiv 2403.08635), in population.

    theta+ = theta + a p * (adv - <p, adv>),        adv = P p - beta log(p / ref),        p = softmax theta

Its loss is mean (h(y) - h(y') - (P(y, y') - 1/2)/beta)^2 over y, y' ~ p with sampling not differentiated, h = log p/ref; the gradient
is -(4/beta) times the regularised self-play policy gradient above, so a = 4 lr/beta for learning rate lr. Where p is small it is
slow, and it is stable on rock-paper-scissors (uniform equilibrium) for a < 6 beta/(beta^2 + 1/12) only. Version 1, with pairs
from a fixed policy, is `OnlineMirrorDescent`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from algorithms.rate import regularised, require_rate
from algorithms.symbol import Symbol
from algorithms.tableau import Tableau, gradient


@dataclass(frozen=True)
class OnlineIPO:
    """One gradient stage: the policy gradient of self-play, regularised.

    Parameters
    ----------
    rate : float > 0, a; None takes 3 beta/(2 (beta^2 + 1/12)), a quarter of the linear limit on rock-paper-scissors (a choice
        of this project: no step size is certified for this method)
    """

    rate: float | None = None

    target: ClassVar[str] = "regularised"

    def __post_init__(self) -> None:
        require_rate(self.rate)

    @classmethod
    def from_paper(cls, learning_rate: float, beta: float) -> OnlineIPO:
        """From gradient descent on the paper's loss: rate = 4 learning_rate / beta (the paper's tau is our beta)."""
        return cls(rate=4.0 * learning_rate / beta)

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        if self.rate is None:
            regularised("online IPO", beta)
        a = Symbol("a", 1.5 * beta / (beta**2 + 1 / 12) if self.rate is None else self.rate)
        b = Symbol("β", beta)
        return Tableau(gradient("policy", opponent="policy", anchor={"policy": -b, "reference": b}, rate=a))

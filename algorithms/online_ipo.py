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

from algorithms.rate import regularised, require_pairs, require_rate
from algorithms.symbol import Symbol
from algorithms.tableau import Stage, Tableau, gradient, pairs


def policy_gradient(opponent: str, rate: float | None, beta: float, samples: int | None) -> Stage:
    """theta + a p * (adv - <p, adv>), adv = P opponent - beta log(p / ref), exactly or from pairs drawn from the policy.

    A rate of None takes 3 beta/(2 (beta^2 + 1/12)).
    """
    if rate is None:
        regularised("online IPO", beta)
        rate = 1.5 * beta / (beta**2 + 1 / 12)
    a, b = Symbol("a", rate), Symbol("β", beta)
    anchor = {"policy": -b, "reference": b}
    if samples is None:
        return gradient("policy", opponent=opponent, anchor=anchor, rate=a)
    return pairs("policy", opponent=opponent, anchor=anchor, rate=a, samples=samples, source="policy")


@dataclass(frozen=True)
class OnlineIPO:
    """One gradient stage: the policy gradient of self-play, regularised.

    Parameters
    ----------
    rate : float > 0, a; None takes 3 beta/(2 (beta^2 + 1/12)), a quarter of the linear limit on rock-paper-scissors (a choice
        of this project: no step size is certified for this method)
    pairs : int >= 1, pairs sampled from the policy for each step; None takes exact expectations
    """

    rate: float | None = None
    pairs: int | None = None

    target: ClassVar[str] = "regularised"

    def __post_init__(self) -> None:
        require_rate(self.rate)
        require_pairs(self.pairs)

    @classmethod
    def from_paper(cls, learning_rate: float, beta: float) -> OnlineIPO:
        """From gradient descent on the paper's loss: rate = 4 learning_rate / beta (the paper's tau is our beta)."""
        return cls(rate=4.0 * learning_rate / beta)

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        return Tableau(policy_gradient("policy", self.rate, beta, self.pairs))

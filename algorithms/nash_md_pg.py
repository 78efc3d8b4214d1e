"""Nash-MD-PG: the policy-gradient form of Nash-MD (Munos et al., arXiv 2312.00886), in population.

    mixture = normalise( policy^(1 - w) reference^w )
    theta+  = theta + a p * (adv - <p, adv>),        adv = P mixture - beta log(p / ref),        p = softmax theta

The mixture weight w is a parameter of its own (the paper's beta, `mixture_coef` in trainers), so the fixed point solves
beta log(p/ref) = P p^(1 - w) ref^w + const: self-play's equilibrium at w = 0, a best response to the reference at w = 1, and
in between neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from algorithms.online_ipo import policy_gradient
from algorithms.rate import require_pairs, require_rate
from algorithms.symbol import Symbol
from algorithms.tableau import Tableau, prox
from envs.dials import require_number


@dataclass(frozen=True)
class NashMDPG:
    """A mixture, then a policy-gradient stage against it.

    Parameters
    ----------
    rate : float > 0, a; None takes the default of `OnlineIPO` (a choice of this project, not certified)
    mixture : float in [0, 1], w, the weight of the reference in the opponent's logits
    pairs : int >= 1, pairs sampled from the policy for each step; None takes exact expectations
    """

    rate: float | None = None
    mixture: float = 0.125
    pairs: int | None = None

    target: ClassVar[str] = "regularised"

    def __post_init__(self) -> None:
        require_rate(self.rate)
        require_pairs(self.pairs)
        require_number("mixture", self.mixture, 0, 1)

    @classmethod
    def from_paper(cls, learning_rate: float, beta: float) -> NashMDPG:
        """From the paper's step size and its mixture parameter beta (our w; its tau is our beta)."""
        return cls(rate=learning_rate, mixture=beta)

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        w = Symbol("w", self.mixture)
        mixture = prox("mixture", anchor={"policy": 1 - w, "reference": w})
        return Tableau(mixture, policy_gradient("mixture", self.rate, beta, self.pairs))

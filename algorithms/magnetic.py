"""Magnetic preference optimisation (Wang et al., arXiv 2410.16714): a magnet that moves every few steps.

    policy = normalise( policy^(1 - eta alpha) centre^(eta alpha) exp(eta P policy) )          every iteration
    centre = policy                                                                           every m-th

COMAL with m steps of magnetic mirror descent in place of an exact inner solve. With m = 1 the pull cancels: multiplicative
weights against oneself, which circle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from algorithms.rate import pulled, require_rate
from algorithms.symbol import Symbol
from algorithms.tableau import Tableau, copy, prox
from envs.dials import require_integer, require_weight


@dataclass(frozen=True)
class MagneticPO:
    """One prox stage around a centre, which moves every `every` iterations.

    Parameters
    ----------
    rate : float in (0, 1/alpha], eta; None takes 4 alpha/(1 + 4 alpha^2), the inner game's certified step
    strength : float in (0, 1e100], alpha
    every : int >= 1, m
    """

    rate: float | None = None
    strength: float = 0.3
    every: int = 30

    target: ClassVar[str] = "original"

    def __post_init__(self) -> None:
        require_rate(self.rate)
        require_weight("strength", self.strength)
        require_integer("every", self.every, 1)

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        certified = 4.0 * self.strength / (1.0 + 4.0 * self.strength**2)
        eta, _ = pulled(certified if self.rate is None else self.rate, self.strength)
        alpha = Symbol("α", self.strength)
        return Tableau(
            prox("policy", anchor={"policy": 1 - eta * alpha, "centre": eta * alpha}, opponent="policy", rate=eta),
            copy("centre", "policy", every=self.every),
        )

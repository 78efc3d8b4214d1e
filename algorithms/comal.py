"""COMAL, a meta-algorithm with a moving reference (Liu et al., arXiv 2410.23223).

    policy = equilibrium of P regularised with weight tau towards the last policy

Every iteration solves a regularised game (here by an extragradient to a residual) and makes its equilibrium the next
reference. KL(p* | p) never increases, for any tau > 0 and any equilibrium p* of the original game, which is what it seeks;
the game's own beta and reference play no part beyond the start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from algorithms.egpo import certified_rate
from algorithms.nash_prox import solve_around_centre
from algorithms.symbol import Symbol
from algorithms.tableau import Tableau
from envs.dials import require_tolerance, require_weight


@dataclass(frozen=True)
class COMAL:
    """Exact inner solves around a centre that moves.

    Parameters
    ----------
    strength : float in (0, 1e100], tau
    tolerance : float > 0, residual of the inner solve
    """

    strength: float = 0.1
    tolerance: float = 1e-12

    target: ClassVar[str] = "original"

    def __post_init__(self) -> None:
        require_weight("strength", self.strength)
        require_tolerance(self.tolerance)

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        eta, tau = Symbol("η", certified_rate(self.strength)), Symbol("τ", self.strength)
        return Tableau(*solve_around_centre(eta, {"policy": 1 - eta * tau, "centre": eta * tau}, self.tolerance))

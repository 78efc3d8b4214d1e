"""Nash Prox, the proximal-point method (second version of arXiv 2505.19731).

    policy = equilibrium of  P,  pulled to the reference with weight beta and to the last policy with weight lambda

Each proximal problem is solved by an extragradient around a fixed `centre`, at its certified rate, until a pass changes the
log-probabilities by at most `tolerance`. KL(p* | p) contracts by lambda/(lambda + beta) an iteration, for any lambda > 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from algorithms.egpo import certified_rate
from algorithms.rate import pulled, require_rate
from algorithms.symbol import Symbol
from algorithms.tableau import Loop, Tableau, Weights, copy, prox
from envs.dials import require_tolerance, require_weight

INNER_STEPS = 100_000
"""Passes after which an inner solve stops, whatever its residual."""


def solve_around_centre(eta: Symbol, anchor: Weights, tolerance: float) -> tuple[Loop, ...]:
    """Extragradient passes on `policy` with a fixed anchor, to a residual; then the centre moves there."""
    passes = (
        prox("half", anchor=anchor, opponent="policy", rate=eta),
        prox("policy", anchor=anchor, opponent="half", rate=eta),
    )
    return Loop(passes, times=INNER_STEPS, tolerance=tolerance), Loop((copy("centre", "policy"),), times=1)


@dataclass(frozen=True)
class NashProx:
    """Proximal point: inner extragradients around the last policy.

    Parameters
    ----------
    rate : float in (0, 1/(beta + lambda)], of the inner solve; None takes its certified rate 2 (sqrt(1 + c^2) - c), c = beta + lambda
    strength : float in (0, 1e100], lambda
    tolerance : float > 0, residual of the inner solve
    """

    rate: float | None = None
    strength: float = 1.0
    tolerance: float = 1e-12

    target: ClassVar[str] = "regularised"

    def __post_init__(self) -> None:
        require_rate(self.rate)
        require_weight("strength", self.strength)
        require_tolerance(self.tolerance)

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        pull = beta + self.strength
        eta, _ = pulled(certified_rate(pull) if self.rate is None else self.rate, pull)
        b, lam = Symbol("β", beta), Symbol("λ", self.strength)
        anchor = {"policy": 1 - eta * (b + lam), "reference": eta * b, "centre": eta * lam}
        return Tableau(*solve_around_centre(eta, anchor, self.tolerance))

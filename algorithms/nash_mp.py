"""Nash-MP, Nash mirror prox (arXiv 2505.19731, first version), written as its paper writes it.

With prox weight lambda = beta / eta', and win rates P q:

    half   =  argmax_x <P policy, x> - beta KL(x | ref) - lambda KL(x | policy)
           =  normalise( policy^(1/(1 + eta')) reference^(eta'/(1 + eta')) exp(P policy / (beta + lambda)) )
    policy =  the same with P half

Exactly EGPO at eta = 1/(beta + lambda). In its approximate form the two problems are each solved by M natural-gradient
steps of size 1/(2 (beta + lambda)) from the current policy, on win rates asked for once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from algorithms.rate import pulled, require_rate
from algorithms.symbol import Coefficient, Symbol
from algorithms.tableau import Loop, Stage, Tableau, copy, prox
from envs.invalid import require


@dataclass(frozen=True)
class NashMP:
    """Mirror prox: two prox stages, solved exactly or by inner steps.

    Parameters
    ----------
    rate : float in (0, 1/beta), eta = 1/(beta + lambda); None takes 1/(beta + 1/2), that is lambda = 1/2
    inner : int >= 1, natural-gradient steps for each prox problem; None solves them exactly
    """

    rate: float | None = None
    inner: int | None = None

    target: ClassVar[str] = "regularised"

    def __post_init__(self) -> None:
        require_rate(self.rate)
        whole = isinstance(self.inner, int) and not isinstance(self.inner, bool) and self.inner >= 1
        require(self.inner is None or whole, "inner", self.inner, "an integer >= 1 or null (exact)")

    @classmethod
    def from_paper(cls, eta: float, beta: float) -> NashMP:
        """From the paper's learning rate eta (our eta' = beta/lambda) and beta: rate = eta / (beta (1 + eta))."""
        return cls(rate=eta / (beta * (1.0 + eta)))

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        rate = 1.0 / (beta + 0.5) if self.rate is None else self.rate
        pulled(rate, beta)
        weight = 1.0 / rate - beta
        require(weight > 0, "rate", rate, f"below 1/beta = {1 / beta if beta else float('inf'):g} (lambda = 1/rate - beta > 0)")
        lam, b = Symbol("λ", weight), Symbol("β", beta)
        if self.inner is not None:
            return self._approximate(lam, b)
        eta = Symbol("η'", beta / weight)
        anchor = {"policy": 1 / (1 + eta), "reference": eta / (1 + eta)}
        step = 1 / (b + lam)
        return Tableau(
            prox("half", anchor=anchor, opponent="policy", rate=step),
            prox("policy", anchor=anchor, opponent="half", rate=step),
        )

    def _approximate(self, lam: Symbol, b: Symbol) -> Tableau:
        """x <- x^(1/2) * (the exact solution's anchor and win rates)^(1/2), `inner` times from x = policy."""
        step = 1 / (2 * (b + lam))

        def inner(to: str, opponent: str) -> list[Stage | Loop]:
            anchor: dict[str, Coefficient] = {to: 0.5, "policy": step * lam, "reference": step * b}
            return [copy(to, "policy"), Loop((prox(to, anchor=anchor, opponent=opponent, rate=step),), times=self.inner or 1)]

        return Tableau(*inner("half", "policy"), *inner("next", "half"), copy("policy", "next"))

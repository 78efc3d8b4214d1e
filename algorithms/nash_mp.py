"""Nash-MP, Nash mirror prox (arXiv 2505.19731, first version), written as its paper writes it.

With prox weight lambda = beta / eta', and win rates P q:

    half   =  argmax_x <P policy, x> - beta KL(x | ref) - lambda KL(x | policy)
           =  normalise( policy^(1/(1 + eta')) reference^(eta'/(1 + eta')) exp(P policy / (beta + lambda)) )
    policy =  the same with P half

Exactly EGPO at eta = 1/(beta + lambda). In its approximate form the two problems are each solved by M inner steps from the
current policy, on win rates asked for once: natural-gradient steps (`NashMP` with `inner`), or plain softmax policy-gradient
steps (`NashMPSoftmax`), which need many more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from algorithms.rate import pulled, require_rate
from algorithms.symbol import Symbol
from algorithms.tableau import Loop, Stage, Tableau, copy, gradient, prox
from envs.dials import require_integer
from envs.invalid import require


def prox_weights(rate: float | None, beta: float) -> tuple[Symbol, Symbol]:
    """The symbols (lambda, beta) behind a rate 1/(beta + lambda); None is lambda = 1/2.

    Raises
    ------
    Invalid
        If the rate leaves no lambda > 0.
    """
    rate = 1.0 / (beta + 0.5) if rate is None else rate
    pulled(rate, beta)
    weight = 1.0 / rate - beta
    require(weight > 0, "rate", rate, f"below 1/beta = {1 / beta if beta else float('inf'):g} (lambda = 1/rate - beta > 0)")
    return Symbol("λ", weight), Symbol("β", beta)


def inner_loops(solve: Callable[[str, str], Stage], steps: int) -> Tableau:
    """Both prox problems by `steps` inner stages solve(to, opponent), each from the current policy."""

    def problem(to: str, opponent: str) -> list[Stage | Loop]:
        return [copy(to, "policy"), Loop((solve(to, opponent),), times=steps)]

    return Tableau(*problem("half", "policy"), *problem("next", "half"), copy("policy", "next"))


@dataclass(frozen=True)
class NashMP:
    """Mirror prox: two prox stages, solved exactly or by natural-gradient steps of size 1/(2 (beta + lambda)).

    Parameters
    ----------
    rate : float in (0, 1/beta), eta = 1/(beta + lambda); None takes 1/(beta + 1/2), that is lambda = 1/2
    inner : int >= 1, M, natural-gradient steps for each prox problem; None solves them exactly
    """

    rate: float | None = None
    inner: int | None = None

    target: ClassVar[str] = "regularised"

    def __post_init__(self) -> None:
        require_rate(self.rate)
        if self.inner is not None:
            require_integer("inner", self.inner, 1, " or null (exact)")

    @classmethod
    def from_paper(cls, eta: float, beta: float) -> NashMP:
        """From the paper's learning rate eta (our eta' = beta/lambda) and beta: rate = eta / (beta (1 + eta))."""
        return cls(rate=eta / (beta * (1.0 + eta)))

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        lam, b = prox_weights(self.rate, beta)
        if self.inner is None:
            eta = Symbol("η'", b.value / lam.value)
            anchor = {"policy": 1 / (1 + eta), "reference": eta / (1 + eta)}
            return Tableau(
                prox("half", anchor=anchor, opponent="policy", rate=1 / (b + lam)),
                prox("policy", anchor=anchor, opponent="half", rate=1 / (b + lam)),
            )
        total = 2 * (b + lam)

        def natural(to: str, opponent: str) -> Stage:
            return prox(to, anchor={to: 0.5, "policy": lam / total, "reference": b / total}, opponent=opponent, rate=1 / total)

        return inner_loops(natural, self.inner)


@dataclass(frozen=True)
class NashMPSoftmax:
    """Mirror prox with each problem solved by softmax policy-gradient steps.

    Parameters
    ----------
    rate : as in `NashMP`
    inner : int >= 1, M, policy-gradient steps for each prox problem
    step : float > 0, their size; None takes 1/(beta + lambda) (a choice of this project)
    """

    rate: float | None = None
    inner: int = 50
    step: float | None = None

    target: ClassVar[str] = "regularised"

    def __post_init__(self) -> None:
        require_rate(self.rate)
        require_integer("inner", self.inner, 1)
        number = isinstance(self.step, int | float) and not isinstance(self.step, bool) and 0 < self.step < float("inf")
        require(self.step is None or number, "step", self.step, "a finite number > 0 or null (1/(beta + lambda))")

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        lam, b = prox_weights(self.rate, beta)
        step = 1 / (b + lam) if self.step is None else Symbol("α", self.step)

        def softmax(to: str, opponent: str) -> Stage:
            return gradient(to, opponent=opponent, anchor={to: -(b + lam), "policy": lam, "reference": b}, rate=step)

        return inner_loops(softmax, self.inner)

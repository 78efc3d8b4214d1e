"""MMD-1, COMAL-2 and where they end: how far one query an iteration carries.

    step s <= 4 beta   =>   KL(p* | p+) <= KL(p* | p) / (1 + s beta)          (magnetic mirror descent, rate 1/(beta + 1/s))

Theorem 3.4 of Sokota et al. (arXiv 2206.05825) asks for s <= alpha / L^2 with the field L-smooth; for preference matrices, in
the l1 norm, L = 1/2. COMAL's inner loop (arXiv 2410.23223) is the same map with a smaller rate and half the exponent. At rate
1 on rock-paper-scissors with beta = 0.01, the self-play map circles away while an extragradient converges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from algorithms.online_mirror_descent import OnlineMirrorDescent
from envs.divergence import kl
from simlab.run import Method
from theory.bound import Bound, Dial
from theory.claim import KL_FLOOR, Claim, Conditions, Finding, Instance, contraction, equilibria, gather, runs
from theory.conditions import FROM_REFERENCE, REGULARISED, ROCK_PAPER_SCISSORS, beta_up_to


@dataclass(frozen=True, kw_only=True)
class MagneticContraction(Bound):
    """The per-step bound at shares of the step limit.

    Parameters
    ----------
    method : rate -> Method
    fractions : steps, as shares of 4 beta
    """

    id: str = "MMD-1"
    provenance: str = "recalled"
    statement: str = "magnetic mirror descent: KL(p*|p+) <= KL(p*|p)/(1 + s beta) at every step, for s <= 4 beta"
    source: str = "Sokota et al., arXiv 2206.05825, Theorem 3.4 as recalled; L = 1/2 for preference matrices derived here"
    kind: ClassVar[str] = "every step"
    dial: ClassVar[Dial | None] = Dial("fractions", 0.05, 1.0)
    method: Callable[[float], Method] = OnlineMirrorDescent
    fractions: Sequence[float] = (0.1, 0.5, 1.0)
    steps: int = 1000

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for fraction in self.fractions:
            yield from self._at(fraction, instances)

    def _at(self, fraction: float, instances: Sequence[Instance]) -> Iterable[Finding]:
        def step(beta: float) -> float:
            return fraction * 4 * beta

        for batch, run in runs(instances, lambda beta: self.method(1 / (beta + 1 / step(beta))), steps=self.steps):
            beta, distance = batch[0].game.beta, kl(equilibria(batch), run.log_policy)
            yield from gather(batch, *contraction(distance, 1 / (1 + step(beta) * beta)), run, f", s = {4 * fraction:g} beta")


@dataclass(frozen=True, kw_only=True)
class MagneticBeyondItsLimit(MagneticContraction):
    """The same bound at ten times the limit, on rock-paper-scissors with small beta.

    Parameters
    ----------
    largest_beta : the claim speaks of games with beta up to here
    """

    id: str = "MMD-1-beyond"
    provenance: str = "derived"
    statement: str = "MMD-1's bound survives s = 40 beta on rock-paper-scissors at beta = 0.01"
    source: str = "linearisation at the equilibrium: unstable above rate 2 beta/(beta^2 + 1/12)"
    sense: str = "predicted to fail"
    dial: ClassVar[None] = None
    fractions: Sequence[float] = (10.0,)
    largest_beta: float = 0.01

    @property
    def conditions(self) -> Conditions:
        return beta_up_to(self.largest_beta) | ROCK_PAPER_SCISSORS


@dataclass(frozen=True, kw_only=True)
class InnerLoopOfCOMAL(Bound):
    """KL(p* | p_k) <= (1 - eta beta / 2)^k KL(p* | ref), from the reference.

    Parameters
    ----------
    method : rate -> Method
    """

    id: str = "COMAL-2"
    provenance: str = "published"
    statement: str = "multiplicative weights on the regularised game, from ref: KL(p*|p_k) <= (1 - eta beta/2)^k KL(p*|ref)"
    source: str = "COMAL, arXiv 2410.23223, via public notes; the step eta = beta/(beta^2 + 1/2) is recalled"
    kind: ClassVar[str] = "every step"
    method: Callable[[float], Method] = OnlineMirrorDescent
    steps: int = 1000

    @property
    def conditions(self) -> Conditions:
        return REGULARISED | FROM_REFERENCE

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for batch, run in runs(instances, lambda beta: self.method(_comal_rate(beta)), steps=self.steps):
            beta, distance = batch[0].game.beta, kl(equilibria(batch), run.log_policy)
            first = distance[:, :1]
            with np.errstate(all="ignore"):
                ratio = distance / (first * (1 - _comal_rate(beta) * beta / 2) ** run.steps)
            yield from gather(batch, ratio, (distance > KL_FLOOR) & (first > KL_FLOOR) & (run.steps > 0), run)


def _comal_rate(beta: float) -> float:
    return beta / (beta**2 + 0.5)


@dataclass(frozen=True, kw_only=True)
class SelfPlayAtRateOne(Claim):
    """One query at EGPO's rate does not approach the equilibrium.

    Parameters
    ----------
    method : beta -> Method
    shrink : share of KL_0 that a convergent method would be below at the end
    """

    id: str = "OMD-rate-1"
    provenance: str = "derived"
    statement: str = "online mirror descent at rate 1, beta = 0.01, halves KL(p*|p) on rock-paper-scissors within 2000 steps"
    source: str = "linearisation: unstable above rate 2 beta/(beta^2 + 1/12) = 0.24; EGPO converges at this rate"
    kind: ClassVar[str] = "final"
    sense: str = "predicted to fail"
    method: Callable[[float], Method] = lambda beta: OnlineMirrorDescent(1.0)
    steps: int = 2000
    shrink: float = 0.5
    largest_beta: float = 0.01

    @property
    def conditions(self) -> Conditions:
        return beta_up_to(self.largest_beta) | FROM_REFERENCE | ROCK_PAPER_SCISSORS

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for batch, run in runs(instances, self.method, steps=self.steps, measure=("kl_to_equilibrium",)):
            distance = run.measured["kl_to_equilibrium"]
            with np.errstate(all="ignore"):
                shrunk = distance[:, -1] / (self.shrink * distance[:, 0])
            yield from gather(batch, shrunk, distance[:, 0] > KL_FLOOR, run)

"""EG-1: EGPO's last iterate contracts at every step, up to a sharp-enough step size; and beyond it does not.

    eta <= 2 (sqrt(1 + beta^2) - beta)   =>   KL(p* | p+) <= (1 - eta beta) KL(p* | p),

for any K, reference and start. From the identity EG-0: Pinsker turns <P (w - p), p+ - w> into at most half the product of two
l1 distances, which lambda KL(w | p) + (beta + lambda) KL(p+ | w) absorbs when 4 lambda (lambda + beta) >= 1, lambda = 1/eta - beta.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from algorithms.egpo import EGPO, certified_rate
from envs.divergence import kl
from simlab.run import Method
from theory.bound import Bound, Dial
from theory.claim import Claim, Conditions, Finding, Instance, contraction, equilibria, gather, runs
from theory.conditions import ROCK_PAPER_SCISSORS, beta_up_to


@dataclass(frozen=True, kw_only=True)
class EGPOContraction(Bound):
    """The per-step bound at shares of the certified rate.

    Parameters
    ----------
    method : rate -> Method
    fractions : rates, as shares of the certified one
    steps : iterations
    """

    id: str = "EG-1"
    provenance: str = "derived"
    statement: str = "EGPO: KL(p*|p+) <= (1 - eta beta) KL(p*|p) at every step, for eta <= 2(sqrt(1+beta^2) - beta)"
    source: str = "identity EG-0 and Pinsker's inequality; the method is arXiv 2503.08942"
    kind: ClassVar[str] = "every step"
    dial: ClassVar[Dial] = Dial("fractions", 0.05, 1.0)
    method: Callable[[float], Method] = EGPO
    fractions: Sequence[float] = (0.1, 0.5, 1.0)
    steps: int = 1000

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for fraction in self.fractions:
            yield from self._at(fraction, instances)

    def _at(self, fraction: float, instances: Sequence[Instance]) -> Iterable[Finding]:
        for batch, run in runs(instances, lambda beta: self.method(fraction * certified_rate(beta)), steps=self.steps):
            beta, distance = batch[0].game.beta, kl(equilibria(batch), run.log_policy)
            ratios = contraction(distance, 1 - fraction * certified_rate(beta) * beta)
            yield from gather(batch, *ratios, run, f", eta = {fraction:g} of the certified")


@dataclass(frozen=True, kw_only=True)
class EGPOBeyondItsLimit(Claim):
    """The same bound at a rate far above the certified one, on rock-paper-scissors.

    Parameters
    ----------
    rate : eta
    largest_beta : the claim speaks of games with beta up to here
    """

    id: str = "EG-1-beyond"
    provenance: str = "derived"
    statement: str = "EG-1's bound survives eta = 4 (twice the certified rate) on rock-paper-scissors at beta = 0.01"
    source: str = "linearisation at the equilibrium: unstable above eta = 2 sqrt(3) as beta -> 0"
    kind: ClassVar[str] = "every step"
    sense: str = "predicted to fail"
    method: Callable[[float], Method] = EGPO
    rate: float = 4.0
    steps: int = 1000
    largest_beta: float = 0.01

    @property
    def conditions(self) -> Conditions:
        return beta_up_to(self.largest_beta) | ROCK_PAPER_SCISSORS

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for batch, run in runs(instances, lambda beta: self.method(self.rate), steps=self.steps, measure=("kl_to_equilibrium",)):
            ratios = contraction(run.measured["kl_to_equilibrium"], 1 - self.rate * batch[0].game.beta)
            yield from gather(batch, *ratios, run)

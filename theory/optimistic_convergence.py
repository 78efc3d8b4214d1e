"""ONPO-1, OMWU and OMWUR: what one extrapolated query an iteration achieves.

    ONPO-1   e_0(mean of p_0 .. p_(T-1)) <= (max log 1/p_0 / eta + eta/4) / T          for eta <= 1, first step with 2 P p_0
    OMWU     the last iterate converges linearly after a burn-in where the original equilibrium is interior
    OMWUR    KL(p* | p_t) <= (1 - eta beta)^t KL_0                                     single call, eta <= min(1/(2 beta + 2), 1/4)

ONPO-1's constant is the RVU regret bound: log K / eta + eta sum |g_t - g_(t-1)|^2 - sum |p_t - p_(t-1)|^2 / (8 eta), with
g_(-1) = 0 and |g_t - g_(t-1)| <= |p_t - p_(t-1)|_1 / 2. Started with g_(-1) = g_0, a common coding choice, the bound fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from algorithms.optimistic import OptimisticMirrorDescent, RegularisedOptimistic
from envs.divergence import kl
from simlab.run import Method
from theory.bound import Bound, Dial
from theory.claim import KL_FLOOR, Claim, Conditions, Finding, Instance, equilibria, gather, runs, whatever_beta
from theory.conditions import ROCK_PAPER_SCISSORS


@dataclass(frozen=True, kw_only=True)
class OptimisticAverage(Bound):
    """The bound on the average at every T.

    Parameters
    ----------
    rates : values of eta, at most 1
    method : rate -> Method
    """

    id: str = "ONPO-1"
    provenance: str = "rate published"
    statement: str = "ONPO: exploitability at beta = 0 of the mean of p_0 .. p_(T-1) <= (max log(1/p_0)/eta + eta/4)/T, eta <= 1"
    source: str = "abstract of arXiv 2502.16852 for O(1/T); constant derived here (RVU)"
    kind: ClassVar[str] = "every step"
    dial: ClassVar[Dial] = Dial("rates", 0.05, 1.0)
    rates: Sequence[float] = (0.1, 0.5, 1.0)
    method: Callable[[float], Method] = OptimisticMirrorDescent
    steps: int = 800

    @property
    def conditions(self) -> Conditions:
        return {}

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        once = whatever_beta(instances)
        for rate in self.rates:
            yield from self._at(rate, once)

    def _at(self, rate: float, instances: Sequence[Instance]) -> Iterable[Finding]:
        options = {"measure": ("average_original_exploitability",), "slots": ()}
        for batch, run in runs(instances, lambda beta: self.method(rate), steps=self.steps, **options):
            gap = run.measured["average_original_exploitability"]
            spread = np.array([-instance.start.min() for instance in batch])[:, None]
            bound = (spread / rate + rate / 4) / np.maximum(run.steps, 1)
            yield from gather(batch, gap / bound, (run.steps > 0) & (gap[:, :1] > 1e-12), run, f", eta = {rate:g}")


@dataclass(frozen=True, kw_only=True)
class OptimisticLastIterate(Claim):
    """On rock-paper-scissors the last iterate falls by orders of magnitude after a burn-in.

    Parameters
    ----------
    rate : eta
    method : rate -> Method
    burn_in, steps : iterations between which KL(p* | p) is compared
    shrink : factor by which it must fall
    """

    id: str = "OMWU"
    provenance: str = "rate published"
    statement: str = "optimistic multiplicative weights, interior equilibrium: KL(p*|p) falls 10^6-fold from step 1000 to 4000 (RPS)"
    source: str = "arXiv 2512.24818: linear after a burn-in; the numbers are ours, for eta = 0.3"
    kind: ClassVar[str] = "final"
    rate: float = 0.3
    method: Callable[[float], Method] = OptimisticMirrorDescent
    burn_in: int = 1000
    steps: int = 4000
    shrink: float = 1e-6

    @property
    def conditions(self) -> Conditions:
        return ROCK_PAPER_SCISSORS

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        options: dict[str, Any] = {"steps": self.steps, "record": [self.burn_in, self.steps]}
        for batch, run in runs(whatever_beta(instances), lambda beta: self.method(self.rate), **options):
            best = np.log(np.stack([instance.original_equilibrium for instance in batch]))[:, None]
            distance = kl(best, run.log_policy)
            with np.errstate(all="ignore"):
                shrunk = distance[:, 1] / (self.shrink * distance[:, 0])
            yield from gather(batch, shrunk, distance[:, 0] > KL_FLOOR, run)


@dataclass(frozen=True, kw_only=True)
class SingleCall(Bound):
    """The cumulative bound of the regularised single-call form.

    Parameters
    ----------
    method : rate -> Method, at its default where the rate is None
    """

    id: str = "OMWUR"
    provenance: str = "recalled"
    statement: str = "single-call regularised optimism: KL(p*|p_t) <= (1 - eta beta)^t KL_0, eta = min(1/(2 beta + 2), 1/4)"
    source: str = "Cen, Wei and Chi, arXiv 2105.15186, as recalled"
    kind: ClassVar[str] = "every step"
    method: Callable[[None], Method] = RegularisedOptimistic
    steps: int = 1000

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for batch, run in runs(instances, lambda beta: self.method(None), steps=self.steps):
            beta, distance = batch[0].game.beta, kl(equilibria(batch), run.log_policy)
            first, rho = distance[:, :1], 1 - min(1 / (2 * beta + 2), 0.25) * beta
            with np.errstate(all="ignore"):
                ratio = distance / (first * rho**run.steps)
            yield from gather(batch, ratio, (distance > KL_FLOOR) & (first > KL_FLOOR) & (run.steps > 0), run)

"""DNO-1, DNO-3 and DNO-converges: each DNO iterate beats the one before, and yet they spiral away.

Exponential tilting raises the expectation of what it tilts by: p+ proportional to p exp(eta P p) has <p+, P p> >= <p, P p> =
1/2. The abstract of arXiv 2404.03715 calls this monotonic improvement. It does not make the iterates converge: on
rock-paper-scissors each beats its predecessor while they spiral outwards. Exact DNO is SPPO's map with rate 1/eta_DNO.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from algorithms.dno import DNO
from algorithms.sppo import SPPO
from simlab.run import Method
from theory.claim import Claim, Conditions, Finding, Instance, compare, gather, runs
from theory.conditions import FROM_REFERENCE, INTERIOR, ROCK_PAPER_SCISSORS


@dataclass(frozen=True, kw_only=True)
class MonotonicImprovement(Claim):
    """<p_(t+1), P p_t> >= 1/2 at every step.

    Parameters
    ----------
    rates : eta = 1/eta_DNO
    method : rate -> Method
    """

    id: str = "DNO-3"
    provenance: str = "published"
    statement: str = "DNO: each iterate beats its predecessor, P(p_(t+1) > p_t) >= 1/2"
    source: str = "abstract of arXiv 2404.03715 (monotonic improvement); proof by exponential tilting here"
    kind: ClassVar[str] = "every step"
    sense: str = "lower"
    rates: Sequence[float] = (0.1, 1.0, 10.0)
    method: Callable[[float], Method] = DNO
    steps: int = 300

    @property
    def conditions(self) -> Conditions:
        return {}

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for rate in self.rates:
            yield from self._at(rate, instances)

    def _at(self, rate: float, instances: Sequence[Instance]) -> Iterable[Finding]:
        for batch, run in runs(instances, lambda beta: self.method(rate), steps=self.steps):
            policy = np.exp(run.log_policy)
            advantage = np.stack([instance.game.preference for instance in batch]) - 0.5
            gain = np.einsum("nri,nij,nrj->nr", policy[:, 1:], advantage, policy[:, :-1])
            moved = np.abs(policy[:, 1:] - policy[:, :-1]).sum(axis=-1) > 1e-9
            yield from gather(batch, 0.5 / (0.5 + gain), moved, run, f", eta = {rate:g}")


@dataclass(frozen=True, kw_only=True)
class ImprovementConverges(Claim):
    """The conclusion one would like to draw from DNO-3.

    Parameters
    ----------
    rate : eta = 1/eta_DNO
    method : rate -> Method
    """

    id: str = "DNO-converges"
    provenance: str = "derived"
    statement: str = "improving on its predecessor at every step, DNO's last iterate ends less exploitable than it began (RPS)"
    source: str = "contradicts SPPO-2, since exact DNO is SPPO's map"
    kind: ClassVar[str] = "final"
    sense: str = "predicted to fail"
    rate: float = 0.1
    method: Callable[[float], Method] = DNO
    steps: int = 3000

    @property
    def conditions(self) -> Conditions:
        return FROM_REFERENCE | ROCK_PAPER_SCISSORS | INTERIOR

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        options = {"record": [0, self.steps], "measure": ("original_exploitability",), "slots": ()}
        for batch, run in runs(instances, lambda beta: self.method(self.rate), steps=self.steps, **options):
            gap = run.measured["original_exploitability"]
            yield from gather(batch, gap[:, 1] / gap[:, 0], gap[:, 0] > 1e-12, run)


@dataclass(frozen=True, kw_only=True)
class DNOIsSPPO(Claim):
    """Trajectories of exact DNO(eta) and SPPO(1/eta).

    Parameters
    ----------
    eta : DNO's own eta
    method : eta -> Method
    error : float, allowed difference of log-probabilities as a share of their size
    """

    id: str = "DNO-1"
    provenance: str = "derived"
    statement: str = "exact DNO with eta and SPPO with rate 1/eta are the same map"
    source: str = "population minimiser of the regression of arXiv 2404.03715 (Algorithm 1 as recalled)"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    eta: float = 2.0
    method: Callable[[float], Method] = DNO.from_paper
    steps: int = 25
    error: float = 1e-12

    @property
    def conditions(self) -> Conditions:
        return {}

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        ours, theirs = (lambda beta: self.method(self.eta)), (lambda beta: SPPO(1 / self.eta))
        yield from compare(instances, ours, theirs, steps=self.steps, error=self.error)

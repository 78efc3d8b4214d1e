"""OMD-0 and OMD-ID: online mirror descent under its names, and the identity behind its contraction.

OMD-0: magnetic mirror descent with step s and magnet strength alpha = beta,

    log p+ = (log p + s beta log ref + s P p) / (1 + s beta),

is online mirror descent with 1/rate = beta + 1/s. OMD-ID, with lambda = 1/rate - beta:

    (beta + lambda) KL(p* | p+) = lambda KL(p* | p) - lambda KL(p+ | p) - beta KL(p+ | p*) + <P (p - p+), p+ - p*>.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from algorithms.online_mirror_descent import OnlineMirrorDescent
from algorithms.tableau import Tableau, prox
from envs.divergence import kl
from simlab.run import Method
from theory.claim import Claim, Finding, Instance, compare, equilibria, gather, runs


@dataclass(frozen=True)
class MagneticMirrorDescent:
    """The update in the symbols of Sokota et al. (ICLR 2023): step size and magnet strength beta."""

    step: float
    target: ClassVar[str] = "regularised"

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        weight = 1 / (1 + self.step * beta)
        anchor = {"policy": weight, "reference": self.step * beta * weight}
        return Tableau(prox("policy", anchor=anchor, opponent="policy", rate=self.step * weight))


@dataclass(frozen=True, kw_only=True)
class SameMap(Claim):
    """Trajectories of the two parametrisations.

    Parameters
    ----------
    step : the magnetic step size
    method : rate -> Method, to be compared with magnetic mirror descent
    error : float, allowed difference of log-probabilities as a share of their size
    """

    id: str = "OMD-0"
    provenance: str = "derived"
    statement: str = "online mirror descent at rate 1/(beta + 1/s) is magnetic mirror descent at step s"
    source: str = "the two updates written out (arXiv 2206.05825)"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    step: float = 1.0
    method: Callable[[float], Method] = OnlineMirrorDescent
    steps: int = 25
    error: float = 1e-12

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        def ours(beta: float) -> Method:
            return self.method(1 / (beta + 1 / self.step))

        yield from compare(instances, ours, lambda beta: MagneticMirrorDescent(self.step), steps=self.steps, error=self.error)


@dataclass(frozen=True, kw_only=True)
class MirrorDescentIdentity(Claim):
    """Both sides of the identity along trajectories.

    Parameters
    ----------
    method : rate -> Method
    rate : eta, where rate * beta < 1; half of 1/beta otherwise
    error : float, allowed difference as a share of 1 + the largest term
    """

    id: str = "OMD-ID"
    provenance: str = "derived"
    statement: str = "(b+lam) KL(p*|p+) = lam KL(p*|p) - lam KL(p+|p) - b KL(p+|p*) + <P(p - p+), p+ - p*>"
    source: str = "three-point identity of the prox stage of online mirror descent"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    method: Callable[[float], Method] = OnlineMirrorDescent
    rate: float = 0.5
    steps: int = 60
    error: float = 1e-12

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for batch, run in runs(instances, lambda beta: self.method(self._rate(beta)), steps=self.steps):
            beta = batch[0].game.beta
            lam, best = 1 / self._rate(beta) - beta, equilibria(batch)
            p, new = run.log_policy[:, :-1], run.log_policy[:, 1:]
            advantage = np.stack([instance.game.preference for instance in batch]) - 0.5
            gain = np.einsum("nij,nrj,nri->nr", advantage, np.exp(p) - np.exp(new), np.exp(new) - np.exp(best))
            left = (beta + lam) * kl(best, new)
            right = [lam * kl(best, p), -lam * kl(new, p), -beta * kl(new, best), gain]
            size = np.max(np.abs([left, *right]), axis=0)
            yield from gather(batch, np.abs(left - sum(right)) / (self.error * (1 + size)), size > 1e-9, run)

    def _rate(self, beta: float) -> float:
        return min(self.rate, 0.5 / beta)

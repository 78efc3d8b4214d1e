"""NMP-A1: what errors in the two prox problems cost.

With residuals e1 of the half point and e2 of the next policy, e = (beta + lambda)(log approximate - log exact), lambda >= 1/2:

    KL(p* | p+) <= rho KL(p* | p) + (eta/2) span(e2) |w - p*|_1 + eta^2 span(e2 - e1)^2 / (4 (2 - eta))

The residuals enter EG-0's identity as a perturbation of the payoffs. Here they come from stopping after M inner steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.nash_mp import NashMP
from envs.divergence import kl, log_normalise
from simlab.run import Method
from theory.claim import KL_FLOOR, Claim, Finding, Instance, equilibria, gather, runs
from theory.extragradient_iterates import span


@dataclass(frozen=True, kw_only=True)
class InexactSteps(Claim):
    """The bound along approximate Nash-MP, residuals measured from the recorded slots.

    Parameters
    ----------
    inner : values of M
    method : (rate, M) -> Method with the slots policy and half
    slack : float, factor on the two error terms (1 is the claim)
    """

    id: str = "NMP-A1"
    provenance: str = "derived"
    statement: str = "Nash-MP, inexact: KL+ <= rho KL + (eta/2) span(e2) |w - p*|_1 + eta^2 span(e2 - e1)^2/(4(2 - eta))"
    source: str = "EG-0 with perturbed payoffs; approximate form of arXiv 2505.19731 (v1), M natural-gradient steps"
    kind: ClassVar[str] = "every step"
    inner: Sequence[int] = (1, 2, 5)
    method: Callable[[float, int], Method] = NashMP
    slack: float = 1.0
    steps: int = 200

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for inner in self.inner:
            yield from self._at(inner, instances)

    def _at(self, inner: int, instances: Sequence[Instance]) -> Iterable[Finding]:
        options: dict[str, Any] = {"steps": self.steps, "slots": ("policy", "half")}
        for batch, run in runs(instances, lambda beta: self.method(1 / (beta + 0.5), inner), **options):
            beta = batch[0].game.beta
            eta, rho, best = 1 / (beta + 0.5), 0.5 / (beta + 0.5), equilibria(batch)
            policy, after, half = run.log_policy[:, :-1], run.log_policy[:, 1:], run.log_slots["half"][:, 1:]
            first = (half - _exact(batch, policy, policy)) / eta
            second = (after - _exact(batch, policy, half)) / eta
            distance = np.abs(np.exp(half) - np.exp(best)).sum(axis=-1)
            errors = eta / 2 * span(second) * distance + eta**2 * span(second - first) ** 2 / (4 * (2 - eta))
            before = kl(best, policy)
            ratio = kl(best, after) / np.maximum(rho * before + self.slack * errors, 1e-300)
            yield from gather(batch, ratio, before > KL_FLOOR, run, f", M = {inner}")


def _exact(batch: Sequence[Instance], policy: NDArray, opponent: NDArray) -> NDArray:
    """The exact solution of the prox problem at `policy` against `opponent`, lambda = 1/2."""
    beta = batch[0].game.beta
    eta = 1 / (beta + 0.5)
    preference = np.stack([instance.game.preference for instance in batch])
    reference = np.stack([instance.game.log_reference for instance in batch])[:, None]
    wins = np.einsum("nij,nrj->nri", preference, np.exp(opponent))
    return log_normalise((1 - eta * beta) * policy + eta * beta * reference + eta * wins)

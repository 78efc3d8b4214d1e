"""EG-0: the identity behind EGPO's contraction.

With lambda = 1/eta - beta, w the half point and p+ the next policy,

    (beta + lambda) KL(p* | p+) = lambda KL(p* | p) - beta KL(w | p*) + <P (w - p), p+ - w> - lambda KL(w | p)
                                  - (beta + lambda) KL(p+ | w).

Write log p+ and log w by the two stages, take inner products with p* - p+ and p+ - w, and use antisymmetry of P - 1/2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from algorithms.egpo import EGPO, certified_rate
from envs.divergence import kl
from simlab.run import Method
from theory.claim import Claim, Finding, Instance, equilibria, gather, runs


@dataclass(frozen=True, kw_only=True)
class EGPOIdentity(Claim):
    """Both sides of the identity along trajectories, with the half point recorded.

    Parameters
    ----------
    method : rate -> Method
    fraction : the rate, as a share of the certified one
    error : float, allowed difference as a share of 1 + the largest term
    """

    id: str = "EG-0"
    provenance: str = "derived"
    statement: str = "(b+lam) KL(p*|p+) = lam KL(p*|p) - b KL(w|p*) + <P(w-p), p+ - w> - lam KL(w|p) - (b+lam) KL(p+|w)"
    source: str = "three-point identity of the two prox stages of EGPO (arXiv 2503.08942)"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    method: Callable[[float], Method] = EGPO
    fraction: float = 0.8
    steps: int = 60
    error: float = 1e-12

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        rate = {beta: self.fraction * certified_rate(beta) for beta in {instance.game.beta for instance in instances}}
        slots = ("policy", "half")
        for batch, run in runs(instances, lambda beta: self.method(rate[beta]), steps=self.steps, slots=slots):
            beta = batch[0].game.beta
            lam, best = 1 / rate[beta] - beta, equilibria(batch)
            p, new, half = run.log_policy[:, :-1], run.log_policy[:, 1:], run.log_slots["half"][:, 1:]
            advantage = np.stack([instance.game.preference for instance in batch]) - 0.5
            gain = np.einsum("nij,nrj,nri->nr", advantage, np.exp(half) - np.exp(p), np.exp(new) - np.exp(half))
            left = (beta + lam) * kl(best, new)
            right = [lam * kl(best, p), -beta * kl(half, best), gain, -lam * kl(half, p), -(beta + lam) * kl(new, half)]
            size = np.max(np.abs([left, *right]), axis=0)
            yield from gather(batch, np.abs(left - sum(right)) / (self.error * (1 + size)), size > 1e-9, run)

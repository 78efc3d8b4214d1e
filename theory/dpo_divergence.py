"""DPO-6: labels without a contradiction drive DPO to infinity, slowly, and no beta stops it.

A pair that is always won by one response has no minimiser. Gradient descent on h from 0 moves the margin u = beta h by

    u  <-  u + eta sigmoid(-u),        eta = beta^2 (learning rate of h),

so that e^u grows by eta a step and u_t = log(eta t) up to O(log(eta t)/(eta t)), for every beta: beta sets the pace and holds
nothing back. So it is for a whole world whose pairs are always won by the response of the larger reward: the data are separable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.dpo import DPO
from algorithms.fit import fit
from algorithms.pair_loss import PairLoss
from theory.claim import Conditions, Finding
from theory.conditions import REWARD
from theory.dpo_fits import decided
from theory.testbed import PairClaim, PairTestbed


@dataclass(frozen=True, kw_only=True)
class Divergence(PairClaim):
    """Whether decided pairs have a minimiser, and the margin of gradient descent on one of them against log(eta t).

    Parameters
    ----------
    learner : () -> PairLoss
    betas : multiples of the world's beta at which descent is run
    learning_rate : beta -> the learning rate of h, one that makes eta = 1
    steps : values of t
    """

    id: str = "DPO-6"
    provenance: str = "derived"
    statement: str = "DPO on labels all alike: no minimiser; gradient descent gives u = log(lr t) + O(log(lr t)/(lr t)) at every beta"
    source: str = "divergence whatever beta: Azar et al., arXiv 2310.12036, as recalled; rate derived here"
    kind: ClassVar[str] = "constant"
    sense: str = "tight"
    learner: Callable[[], PairLoss] = DPO
    betas: Sequence[float] = (0.1, 1.0, 10.0)
    learning_rate: Callable[[float], float] = lambda beta: beta**-2
    steps: Sequence[int] = (100, 1000, 10_000)

    @property
    def conditions(self) -> Conditions:
        return REWARD

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            found = fit(self.learner(), decided(instance.world))
            yield Finding(f"{instance.name}, minimiser", np.inf if found.exists else 0.0)
            betas = instance.world.beta * np.array(self.betas)
            margins = self._descend(betas)
            for t, margin in zip(self.steps, margins, strict=True):
                error = np.abs(margin - np.log(t)).max() / (np.log(t) / t)
                yield Finding(f"{instance.name}, t = {t}", float(error))

    def _descend(self, betas: NDArray) -> NDArray:
        """(len(steps), len(betas)) margins u = beta h at the steps asked for."""
        h, rates, kept, loss = np.zeros_like(betas), np.array([self.learning_rate(float(beta)) for beta in betas]), [], self.learner()
        for t in range(1, max(self.steps) + 1):
            h = h - rates * betas * loss.slope(betas * h)
            if t in self.steps:
                kept.append(betas * h)
        return np.stack(kept)

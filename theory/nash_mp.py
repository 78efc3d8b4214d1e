"""NMP-0, NMP-1, NMP-2: Nash-MP is EGPO, and at lambda = 1/2 its last iterate contracts by 1/(1 + 2 beta) an iteration.

    KL(p* | p_k) <= (1 + 2 beta)^(-N/2) KL(p* | p_0),       N = 2 k preference queries,

and, from the reference, KL(p* | p_k) <= (1 + 2 beta)^(-k) / (2 beta) by GT-6. The rate (1 + 2 beta)^(-N/2) is that of the
abstract of arXiv 2505.19731; lambda = 1/2 is exactly the threshold of EG-1, where 1 - eta beta = 1/(1 + 2 beta).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from algorithms.egpo import EGPO, certified_rate
from algorithms.nash_mp import NashMP
from envs.divergence import kl
from simlab.run import Method
from theory.bound import Bound
from theory.claim import KL_FLOOR, Claim, Conditions, Finding, Instance, compare, equilibria, gather, runs
from theory.conditions import FROM_REFERENCE, REGULARISED


@dataclass(frozen=True, kw_only=True)
class NashMPRate(Bound):
    """The bound in preference queries.

    Parameters
    ----------
    method : rate -> Method
    from_reference : compare with the absolute bound 1/(2 beta) instead of KL_0, starting at the reference
    """

    id: str = "NMP-1"
    provenance: str = "rate published"
    statement: str = "Nash-MP, lambda = 1/2: KL(p*|p) <= (1 + 2 beta)^(-N/2) KL(p*|p_0) after N preference queries"
    source: str = "abstract of arXiv 2505.19731 (v1) for the rate; constant 1 and all K, any start: EG-1 at lambda = 1/2"
    kind: ClassVar[str] = "every step"
    method: Callable[[float], Method] = NashMP
    from_reference: bool = False
    steps: int = 1000

    @property
    def conditions(self) -> Conditions:
        return REGULARISED | (FROM_REFERENCE if self.from_reference else {})

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for batch, run in runs(instances, lambda beta: self.method(1 / (beta + 0.5)), steps=self.steps):
            beta, distance = batch[0].game.beta, kl(equilibria(batch), run.log_policy)
            first = 1 / (2 * beta) if self.from_reference else distance[:, :1]
            with np.errstate(all="ignore"):
                ratio = distance / (first * (1 + 2 * beta) ** (-run.queries / 2))
            moved = (distance > KL_FLOOR) & (distance[:, :1] > KL_FLOOR) & (run.steps > 0)
            yield from gather(batch, ratio, moved, run)


@dataclass(frozen=True, kw_only=True)
class NashMPIsEGPO(Claim):
    """Trajectories of Nash-MP(lambda) and EGPO(1/(beta + lambda)).

    Parameters
    ----------
    method : rate -> Method, to be compared with EGPO at the same rate
    error : float, allowed difference of log-probabilities as a share of their size
    """

    id: str = "NMP-0"
    provenance: str = "derived"
    statement: str = "Nash-MP with prox weight lambda and EGPO with eta = 1/(beta + lambda) are the same map"
    source: str = "the two updates written out (arXiv 2505.19731 and 2503.08942)"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    method: Callable[[float], Method] = NashMP
    steps: int = 25
    error: float = 1e-12

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        def rate(beta: float) -> float:
            return 0.9 * certified_rate(beta) / (1 + beta)

        yield from compare(
            instances, lambda beta: self.method(rate(beta)), lambda beta: EGPO(rate(beta)), steps=self.steps, error=self.error
        )

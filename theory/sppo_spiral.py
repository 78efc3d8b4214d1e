"""SPPO-2: the last iterate of SPPO never approaches an interior equilibrium.

With p* of full support, <p*, P p> = 1/2 for every p, so log p+ - log p = eta P p - log Z gives

    KL(p* | p+) - KL(p* | p) = log sum p exp(eta (P p - 1/2)) >= eta (<p, P p> - 1/2) = 0        (Jensen),

strictly wherever P p is not constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from algorithms.sppo import SPPO
from envs.divergence import kl
from simlab.run import Method
from theory.claim import KL_FLOOR, Claim, Conditions, Finding, Instance, gather, runs
from theory.conditions import INTERIOR


@dataclass(frozen=True, kw_only=True)
class OutwardSpiral(Claim):
    """KL(p* | p_t) <= KL(p* | p_(t+1)) at every step.

    Parameters
    ----------
    method : beta -> Method
    """

    id: str = "SPPO-2"
    provenance: str = "derived"
    statement: str = "SPPO: KL(p*|p_t) never decreases when the original equilibrium has full support"
    source: str = "Jensen's inequality; the method is arXiv 2405.00675"
    kind: ClassVar[str] = "monotone"
    sense: str = "lower"
    method: Callable[[float], Method] = lambda beta: SPPO(0.1)
    steps: int = 500

    @property
    def conditions(self) -> Conditions:
        return INTERIOR

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for batch, run in runs(instances, self.method, steps=self.steps):
            best = np.log(np.stack([instance.original_equilibrium for instance in batch]))[:, None]
            distance = kl(best, run.log_policy)
            before, after = distance[:, :-1], distance[:, 1:]
            with np.errstate(all="ignore"):
                yield from gather(batch, before / after, before > max(KL_FLOOR, 1e-12), run)

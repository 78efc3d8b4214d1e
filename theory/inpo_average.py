"""INPO-3: the uniform average of INPO's iterates, in the regularised game.

    e(mean of p_0 .. p_(T-1)) <= log(1/min ref) / (eta T) + eta/2        from the reference, any eta beta <= 1

The regret of multiplicative weights on payoffs P p_t - beta log(p_t/ref) against any u, with the KL terms absorbed by the pull,
and convexity of exploitability.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from algorithms.inpo import INPO
from simlab.run import Method
from theory.bound import Bound, Dial
from theory.claim import KL_FLOOR, Conditions, Finding, Instance, gather, runs
from theory.conditions import FROM_REFERENCE, REGULARISED


@dataclass(frozen=True, kw_only=True)
class AverageOfINPO(Bound):
    """The bound on the average at every recorded T.

    Parameters
    ----------
    pulls : values of eta * beta in (0, 1]
    method : rate -> Method
    measure : what is bounded; the average's exploitability by default
    """

    id: str = "INPO-3"
    provenance: str = "derived"
    statement: str = "INPO, from ref: exploitability of the mean of p_0 .. p_(T-1) <= log(1/min ref)/(eta T) + eta/2"
    source: str = "regret of multiplicative weights; INPO's own O(1/sqrt T) theorem (arXiv 2407.00617) is recalled without constants"
    kind: ClassVar[str] = "every step"
    dial: ClassVar[Dial] = Dial("pulls", 0.001, 1.0)
    pulls: Sequence[float] = (0.001, 0.01, 0.1, 1.0)
    method: Callable[[float], Method] = INPO
    measure: str = "average_exploitability"
    steps: int = 1000

    @property
    def conditions(self) -> Conditions:
        return REGULARISED | FROM_REFERENCE

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for pull in self.pulls:
            yield from self._at(pull, instances)

    def _at(self, pull: float, instances: Sequence[Instance]) -> Iterable[Finding]:
        options = {"record": "log", "measure": (self.measure,), "slots": ()}
        for batch, run in runs(instances, lambda beta: self.method(pull / beta), steps=self.steps, **options):
            rate, gap = pull / batch[0].game.beta, run.measured[self.measure]
            spread = np.array([-instance.game.log_reference.min() for instance in batch])[:, None]
            bound = spread / (rate * np.maximum(run.steps, 1)) + rate / 2
            yield from gather(batch, gap / bound, (run.steps > 0) & (gap[:, :1] > KL_FLOOR), run, f", eta beta = {pull:g}")

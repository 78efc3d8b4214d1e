"""SPPO-1 and SPPO-last: SPPO's average approaches the original equilibrium, its last iterate need not.

    e_0(mean of p_0 .. p_(T-1)) <= max log(1/p_0) / (eta T) + eta/8

The paper's Theorem 4.1 gives O(1/sqrt T) for the uniform average's duality gap; the constant is Hedge's regret bound, which
applies because each iterate plays multiplicative weights against itself (J(p, p) = 1/2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from algorithms.sppo import SPPO
from simlab.run import Method
from theory.bound import Bound, Dial
from theory.claim import Conditions, Finding, Instance, gather, runs, whatever_beta
from theory.conditions import ROCK_PAPER_SCISSORS


@dataclass(frozen=True, kw_only=True)
class AverageOfSPPO(Bound):
    """Hedge's bound on the average, at every recorded T.

    Parameters
    ----------
    rates : eta; None is the optimal sqrt(8 log K / T) for the last T
    method : rate -> Method
    measure : what is bounded; the average by default
    """

    id: str = "SPPO-1"
    provenance: str = "rate published"
    statement: str = "SPPO: exploitability at beta = 0 of the mean of p_0 .. p_(T-1) <= max log(1/p_0)/(eta T) + eta/8"
    source: str = "Wu et al., arXiv 2405.00675, Theorem 4.1 for the rate; constant derived here (Hedge)"
    kind: ClassVar[str] = "every step"
    dial: ClassVar[Dial | None] = Dial("rates", 0.02, 2.0)
    rates: Sequence[float | None] = (0.02, 0.1, 1.0, None)
    method: Callable[[float | None], Method] = SPPO
    steps: int = 5000
    measure: str = "average_original_exploitability"

    @property
    def conditions(self) -> Conditions:
        return {}

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for rate in self.rates:
            yield from self._at(rate, instances)

    def _at(self, rate: float | None, instances: Sequence[Instance]) -> Iterable[Finding]:
        options = {"record": "log", "measure": (self.measure,), "slots": ()}
        once = whatever_beta(instances)
        for batch, run in runs(once, lambda beta: self.method(rate), steps=self.steps, **options):
            eta = rate or np.sqrt(8 * np.log(batch[0].game.actions) / self.steps)
            spread = np.array([-instance.start.min() for instance in batch])[:, None]
            bound = spread / (eta * np.maximum(run.steps, 1)) + eta / 8
            gap = run.measured[self.measure]
            said = (run.steps > 0) & (gap[:, :1] > 1e-12)
            yield from gather(batch, gap / bound, said, run, f", eta = {'sqrt(8 log K/T)' if rate is None else format(rate, 'g')}")


@dataclass(frozen=True, kw_only=True)
class LastIterateOfSPPO(AverageOfSPPO):
    """The same bound put to the last iterate, on rock-paper-scissors."""

    id: str = "SPPO-last"
    provenance: str = "derived"
    statement: str = "SPPO's last iterate obeys the bound of SPPO-1 (rock-paper-scissors)"
    source: str = "contradicts SPPO-2: the last iterate moves away from an interior equilibrium"
    sense: str = "predicted to fail"
    dial: ClassVar[None] = None
    rates: Sequence[float | None] = (0.1,)
    measure: str = "original_exploitability"

    @property
    def conditions(self) -> Conditions:
        return ROCK_PAPER_SCISSORS

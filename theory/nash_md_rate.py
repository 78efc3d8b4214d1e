"""NMD-1, NMD-2 and their sharp forms: Nash-MD's step inequality and the schedule that it yields.

    constant eta:                    KL(p* | p+) <= (1 - eta beta) KL(p* | p) + c eta^2
    eta_t = 2/(beta (t + 2)):        KL(p* | p_T) <= C / (beta^2 (T + 1))

Published (Munos et al., arXiv 2312.00886, Theorem 1): c = 2, C = 8. By Hoeffding's lemma on the step's normaliser c = 1/8 and
C = 1/2 also hold. The published constants are too loose to reject most wrong methods; the sharp ones are here for that. INPO (online mirror
descent in its paper's symbols) obeys the same two forms from the reference with c = 1/2 and C = 2 (INPO-1, INPO-2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from algorithms.nash_md import NashMD
from envs.divergence import kl
from simlab.run import Method
from theory.bound import Bound, Dial
from theory.claim import KL_FLOOR, Conditions, Finding, Instance, contraction, equilibria, gather, runs
from theory.conditions import FROM_REFERENCE, REGULARISED


@dataclass(frozen=True, kw_only=True)
class ConstantStep(Bound):
    """The step inequality at eta beta in `pulls`.

    Parameters
    ----------
    constant : c
    from_reference : whether the statement is made for runs from the reference alone
    pulls : values of eta * beta in (0, 1]
    method : rate -> Method
    """

    source: str = "Munos et al., arXiv 2312.00886, Theorem 1 (tau is our beta)"
    kind: ClassVar[str] = "every step"
    dial: ClassVar[Dial] = Dial("pulls", 0.001, 1.0)
    constant: float
    from_reference: bool = False
    pulls: Sequence[float] = (0.02, 0.1, 0.5, 1.0)
    method: Callable[[float], Method] = NashMD
    steps: int = 300

    @property
    def conditions(self) -> Conditions:
        return REGULARISED | (FROM_REFERENCE if self.from_reference else {})

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for pull in self.pulls:
            yield from self._at(pull, instances)

    def _at(self, pull: float, instances: Sequence[Instance]) -> Iterable[Finding]:
        for batch, run in runs(instances, lambda beta: self.method(pull / beta), steps=self.steps):
            rate, distance = pull / batch[0].game.beta, kl(equilibria(batch), run.log_policy)
            bound = (1 - pull) * distance[:, :-1] + self.constant * rate**2
            yield from gather(batch, *contraction(distance, bound), run, f", eta beta = {pull:g}")


@dataclass(frozen=True, kw_only=True)
class PublishedSchedule(Bound):
    """The last iterate under eta_t = 2/(beta (t + 2)).

    Parameters
    ----------
    constant : C
    method : rate -> Method, with a schedule where the rate is None
    """

    source: str = "Munos et al., arXiv 2312.00886, Theorem 1 (tau is our beta)"
    kind: ClassVar[str] = "every step"
    constant: float
    method: Callable[[None], Method] = NashMD
    steps: int = 1000

    @property
    def conditions(self) -> Conditions:
        return REGULARISED | FROM_REFERENCE

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for batch, run in runs(instances, lambda beta: self.method(None), steps=self.steps):
            distance = kl(equilibria(batch), run.log_policy)
            ratio = distance * batch[0].game.beta ** 2 * (run.steps + 1) / self.constant
            yield from gather(batch, ratio, (distance[:, :1] > KL_FLOOR) & (run.steps > 0), run)

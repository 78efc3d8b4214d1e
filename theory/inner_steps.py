"""NMP-M: M natural-gradient steps for each prox problem are exact prox steps of a smaller size.

An inner step halves the distance to the solution in log-probabilities, so M of them, from the current policy, give

    log to = (1 - e) log policy + e (exact),  e = 1 - 2^(-M):        approximate Nash-MP is EGPO at rate e/(beta + lambda).

NMP-A1 holds of any approximation, and cannot tell a wrong one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from algorithms.egpo import EGPO
from algorithms.nash_mp import NashMP
from simlab.run import Method
from theory.claim import Claim, Finding, Instance, compare


@dataclass(frozen=True, kw_only=True)
class InnerSteps(Claim):
    """Trajectories of Nash-MP with M inner steps and of EGPO at the smaller rate.

    Parameters
    ----------
    inner : values of M
    method : (rate, M) -> Method
    error : float, allowed difference of log-probabilities as a share of their size
    """

    id: str = "NMP-M"
    provenance: str = "derived"
    statement: str = "Nash-MP with M inner steps is EGPO at rate (1 - 2^(-M))/(beta + lambda)"
    source: str = "inner steps of size 1/(2 (beta+lambda)) summed; approximate form of arXiv 2505.19731 (v1)"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    inner: Sequence[int] = (1, 2, 5)
    method: Callable[[float, int], Method] = NashMP
    steps: int = 25
    error: float = 1e-12

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for inner in self.inner:
            for finding in self._at(inner, instances):
                yield replace(finding, instance=f"{finding.instance}, M = {inner}")

    def _at(self, inner: int, instances: Sequence[Instance]) -> Iterable[Finding]:
        def ours(beta: float) -> Method:
            return self.method(1 / (beta + 0.5), inner)

        def theirs(beta: float) -> Method:
            return EGPO((1 - 0.5**inner) / (beta + 0.5))

        yield from compare(instances, ours, theirs, steps=self.steps, error=self.error)

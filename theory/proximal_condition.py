"""PP-0 and COMAL-0: each iterate solves its proximal problem.

    PP-0       (beta + lambda) log p+ = beta log ref + lambda log p + P p+ + const          Nash Prox
    COMAL-0    tau log p+ = tau log p + P p+ + const                                        COMAL

to the residual of the inner solve. Contraction alone lets other centres and weights pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.comal import COMAL
from algorithms.nash_prox import NashProx
from simlab.run import Method, Run
from theory.claim import Conditions, Finding, Instance
from theory.conditions import REGULARISED, at_most_actions
from theory.written_out import WrittenOut, references, wins_against


@dataclass(frozen=True, kw_only=True)
class ProximalCondition(WrittenOut):
    """First-order conditions along Nash Prox.

    Parameters
    ----------
    strengths : values of lambda
    strength : the one at hand
    method : (rate of the inner solve or None, lambda) -> Method
    """

    id: str = "PP-0"
    statement: str = "Nash Prox: (beta+lambda) log p+ = beta log ref + lambda log p + P p+ + const, to the residual of the inner solve"
    source: str = "optimality of the proximal step; the method is arXiv 2505.19731 (v2)"
    kind: ClassVar[str] = "fixed point"
    strengths: Sequence[float] = (0.05, 1.0, 10.0)
    strength: float = 1.0
    method: Callable[[None, float], Method] = NashProx
    steps: int = 10
    error: float = 1e-10

    @property
    def conditions(self) -> Conditions:
        return REGULARISED | at_most_actions(10)

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for strength in self.strengths:
            for finding in super(ProximalCondition, replace(self, strength=strength)).findings(instances):
                yield replace(finding, instance=f"{finding.instance}, strength {strength:g}")

    def made(self, beta: float) -> Method:
        return self.method(None, self.strength)

    def sides(self, batch: Sequence[Instance], run: Run) -> tuple[NDArray, NDArray]:
        before, after = run.log_policy[:, :-1], run.log_policy[:, 1:]
        pull = self.pull(batch[0].game.beta)
        right = pull * references(batch) + self.strength * before + wins_against(batch, np.exp(after))
        return (pull + self.strength) * after, right

    def pull(self, beta: float) -> float:
        """Weight of the reference."""
        return beta


@dataclass(frozen=True, kw_only=True)
class CentreCondition(ProximalCondition):
    """The same of COMAL, which pulls to the last iterate alone.

    Parameters
    ----------
    strengths : values of tau
    method : tau -> Method
    """

    id: str = "COMAL-0"
    statement: str = "COMAL: tau log p+ = tau log p + P p+ + const at every step, to the residual of the inner solve"
    source: str = "optimality of the inner solve of COMAL, arXiv 2410.23223"
    strengths: Sequence[float] = (0.05, 0.1, 1.0)
    method: Callable[[float], Method] = COMAL  # type: ignore[assignment]

    @property
    def conditions(self) -> Conditions:
        return at_most_actions(10)

    def made(self, beta: float) -> Method:
        return self.method(self.strength)  # type: ignore[call-arg, arg-type]

    def pull(self, beta: float) -> float:
        return 0.0

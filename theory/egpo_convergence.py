"""EG-P and EG-5: EGPO's last iterate converges linearly to the regularised equilibrium, and to the original game's as beta -> 0.

EG-P is the abstract's statement (arXiv 2503.08942), tested as a slope: log KL(p* | p_t) falls by at least -log(1 - eta beta) an
iteration. EG-5 spells out the second half, derived here:

    e_0(p_t) <= beta max log 1/ref + sqrt((1 - eta beta)^t KL(p* | p_0) / 2),

from GT-5, EG-1 and Pinsker (win rates of p_t and p* differ by at most half their l1 distance). With beta = eps / (2 log K) and
a uniform reference it is below eps after O(log(1/eps) / eps) iterations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.egpo import EGPO, certified_rate
from simlab.run import Method
from theory.bound import Bound
from theory.claim import KL_FLOOR, Claim, Finding, Instance, gather, runs


@dataclass(frozen=True, kw_only=True)
class LinearConvergence(Claim):
    """The fitted factor per iteration against 1 - eta beta.

    Parameters
    ----------
    method : rate -> Method
    steps : iterations
    """

    id: str = "EG-P"
    provenance: str = "rate published"
    statement: str = "EGPO's last iterate converges linearly: log KL(p*|p_t) falls by at least -log(1 - eta beta) a step"
    source: str = "abstract of arXiv 2503.08942; the paper's exact step condition is unconfirmed, the certified rate is ours"
    kind: ClassVar[str] = "slope"
    method: Callable[[float], Method] = EGPO
    steps: int = 1500

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        options = {"record": range(0, self.steps + 1, 5), "measure": ("kl_to_equilibrium",), "slots": ()}
        for batch, run in runs(instances, lambda beta: self.method(certified_rate(beta)), steps=self.steps, **options):
            beta = batch[0].game.beta
            slopes = np.array([_slope(run.steps, distance) for distance in run.measured["kl_to_equilibrium"]])
            ratio = np.exp(slopes) / (1 - certified_rate(beta) * beta)
            yield from gather(batch, ratio[:, None], np.isfinite(ratio)[:, None], run)


def _slope(steps: NDArray, distance: NDArray) -> float:
    """Least-squares slope of log distance, from the start to the floor; nan when it starts there."""
    falling = np.cumprod(distance > KL_FLOOR).astype(bool)
    if falling.sum() < 2:
        return float("nan")
    return float(np.polyfit(steps[falling], np.log(distance[falling]), 1)[0])


@dataclass(frozen=True, kw_only=True)
class OriginalGame(Bound):
    """e_0(p_t) <= beta max log 1/ref + sqrt((1 - eta beta)^t KL_0 / 2) along a trajectory.

    Parameters
    ----------
    method : rate -> Method
    """

    id: str = "EG-5"
    provenance: str = "derived"
    statement: str = "EGPO: exploitability of p_t at beta = 0 is at most beta max log 1/ref + sqrt((1-eta beta)^t KL_0/2)"
    source: str = "GT-5, EG-1 and Pinsker's inequality; gives the polynomial rate to the original equilibrium"
    kind: ClassVar[str] = "every step"
    method: Callable[[float], Method] = EGPO
    steps: int = 1000

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        measure = ("kl_to_equilibrium", "original_exploitability")
        options = {"record": "log", "measure": measure, "slots": ()}
        for batch, run in runs(instances, lambda beta: self.method(certified_rate(beta)), steps=self.steps, **options):
            beta, first, gap = batch[0].game.beta, run.measured[measure[0]][:, :1], run.measured[measure[1]]
            spread = np.array([-instance.game.log_reference.min() for instance in batch])[:, None]
            bound = beta * spread + np.sqrt((1 - certified_rate(beta) * beta) ** run.steps * first / 2)
            yield from gather(batch, gap / bound, gap > KL_FLOOR, run)

"""IPO-off-3: IPO stays finite on labels without a contradiction.

A total order of A responses, each pair always won by the better one, every pair equally often: the r-th from the top wins
against a uniform opponent with probability (A - r + 1/2)/A, so that log(pi/ref) falls by 1/(A tau) from rank to rank and spans

    (A - 1) / (A tau),        for two responses h = 1/(2 tau).

DPO has no minimiser there, whatever its beta.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.ipo import IPO
from algorithms.pair_loss import PairLoss
from theory.claim import Finding
from theory.dpo_fits import furthest, scores
from theory.testbed import PairClaim, PairTestbed


@dataclass(frozen=True, kw_only=True)
class BoundedOnAnOrder(PairClaim):
    """Log-ratios fitted to the order of each prompt's rewards, and of its first two responses alone.

    Parameters
    ----------
    learner : tau -> PairLoss
    taus : values of tau
    error : float, allowed difference relative to the largest log-ratio
    """

    id: str = "IPO-off-3"
    provenance: str = "derived"
    statement: str = (
        "offline IPO, a total order of A responses without noise: log(pi/ref) spans (A-1)/(A tau); two responses: h = 1/(2 tau)"
    )
    source: str = "IPO-off-1 for deterministic P, mu uniform"
    kind: ClassVar[str] = "constant"
    sense: str = "tight"
    learner: Callable[[float], PairLoss] = IPO
    taus: Sequence[float] = (0.1, 2 / 3)
    error: float = 1e-9

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            for context, reward in enumerate(instance.world.reward):
                for responses in sorted({2, len(reward)}):
                    ratio = max(self._error(reward[:responses], tau) for tau in self.taus)
                    yield Finding(f"{instance.name}, prompt {context}, A = {responses}", ratio / self.error)

    def _error(self, reward: NDArray, tau: float) -> float:
        """Against the ladder of equal steps in the order of the rewards (of equal rewards the earlier wins)."""
        order, responses = np.argsort(-reward, kind="stable"), len(reward)
        rank = np.argsort(order)
        found = scores(self.learner(tau), (rank[:, None] < rank).astype(float))
        ladder = -np.arange(responses) / (responses * tau)
        return furthest(found[order], ladder - ladder.mean())

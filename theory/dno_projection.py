"""DNO-P: DNO-Prct fits Bradley-Terry scores, and they are not the win rates that exact DNO uses.

The scores solve sum_j policy_j (P_ij - sigmoid(s_i - s_j)) = 0: that is all that is known of the method. No convergence theorem
exists for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import expit

from algorithms.dno_prct import DNOPrct
from simlab.run import Method
from theory.claim import Claim, Conditions, Finding, Instance, gather, runs, whatever_beta
from theory.conditions import at_most_actions


@dataclass(frozen=True, kw_only=True)
class ProjectionCondition(Claim):
    """The first-order condition of the recorded scores, where a finite fit exists.

    Parameters
    ----------
    rate : eta
    method : rate -> Method with the slots policy and scores
    error : float, allowed residual in win rate
    """

    id: str = "DNO-P"
    provenance: str = "derived"
    statement: str = "DNO-Prct's scores: sum_j policy_j (P_ij - sigmoid(s_i - s_j)) = 0 (Bradley-Terry projection, not P policy)"
    source: str = "population DPO loss on the pairs of arXiv 2404.03715 (Algorithm 2 as recalled)"
    kind: ClassVar[str] = "fixed point"
    sense: str = "tight"
    rate: float = 0.5
    method: Callable[[float], Method] = DNOPrct
    steps: int = 20
    error: float = 1e-9
    largest_game: int = 10

    @property
    def conditions(self) -> Conditions:
        return at_most_actions(self.largest_game) | {"every win rate exceeds 0.02": lambda instance: instance.game.preference.min() > 0.02}

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        slots = ("policy", "scores")
        for batch, run in runs(whatever_beta(instances), lambda beta: self.method(self.rate), steps=self.steps, slots=slots):
            policy, scores = np.exp(run.log_policy[:, :-1]), run.log_slots["scores"][:, 1:]
            fitted = expit(scores[..., :, None] - scores[..., None, :])
            preference = np.stack([instance.game.preference for instance in batch])[:, None]
            residual = np.abs(((preference - fitted) * policy[..., None, :]).sum(axis=-1)).max(axis=-1)
            said = np.ptp(scores, axis=-1) > 1e-6
            yield from gather(batch, residual / self.error, said, run)

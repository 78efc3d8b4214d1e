"""CDPO-0: conservative DPO's loss is the mean of DPO's over labels that are wrong with probability s, value and slope.

    E_flip l(+-u)  =  (1 - s) log(1 + exp(-u)) + s log(1 + exp(u)),        slope  -(sigmoid(-u) - s)

A constant in front of it moves no minimiser: only its value, or a step of fixed size, tells the two apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import expit

from algorithms.cdpo import ConservativeDPO
from algorithms.pair_loss import PairLoss
from theory.claim import Finding
from theory.testbed import PairClaim, PairTestbed


@dataclass(frozen=True, kw_only=True)
class SmoothedLoss(PairClaim):
    """Value and slope at the world's margins, and at multiples of them, against the mean over flips.

    Parameters
    ----------
    learner : smoothing -> PairLoss
    smoothings : values of s in [0, 1/2)
    multiples : of the world's margins
    error : float, allowed difference relative to the terms
    """

    id: str = "CDPO-0"
    provenance: str = "authors' code"
    statement: str = "conservative DPO's loss is (1-s) log(1+e^-u) + s log(1+e^u), its slope s - sigmoid(-u)"
    source: str = "Mitchell 2023, as label_smoothing in public trainers"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    learner: Callable[[float], PairLoss] = ConservativeDPO
    smoothings: Sequence[float] = (0.0, 0.1, 0.4)
    multiples: Sequence[float] = (-30.0, -1.0, 0.0, 1.0, 30.0)
    error: float = 1e-14

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            u = np.outer(self.multiples, instance.world.rows.features @ instance.world.shift)
            for s in self.smoothings:
                loss = self.learner(s)
                value = (1 - s) * np.logaddexp(0, -u) + s * np.logaddexp(0, u)
                slope = s * expit(u) - (1 - s) * expit(-u)
                off = np.abs(loss.value(u) - value) / (1 + np.abs(u)), np.abs(loss.slope(u) - slope)
                yield Finding(f"{instance.name}, s = {s:g}", float(np.max(off) / self.error))

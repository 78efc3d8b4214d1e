"""IPO-off-6: robust IPO's estimate of a pair is unbiased at every n, with a variance known exactly.

From n labels, flipped at e, of a pair with clean and observed win probabilities p and p~,

    E h^ = (2 p - 1)/(2 tau),        Var h^ = p~ (1 - p~) / (n tau^2 (1 - 2 e)^2),

sums over the binomial distribution of the wins, without an approximation. The absolute size is what a factor before 1/tau shows in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.stats import binom

from algorithms.pair_loss import PairLoss
from algorithms.robust_ipo import RobustIPO
from theory.claim import Conditions, Finding
from theory.conditions import FLIPS_ALIKE
from theory.dpo_fits import own_margins
from theory.testbed import PairClaim, PairTestbed


@dataclass(frozen=True, kw_only=True)
class ExactEstimate(PairClaim):
    """Mean and variance of the fitted h over all numbers of wins, for every pair of the world.

    Parameters
    ----------
    learner : (tau, flip rate) -> PairLoss
    tau : float
    n : numbers of labels of the pair
    error : float, allowed difference of the mean, relative to its standard deviation, and of the variance, relative to it
    """

    id: str = "IPO-off-6"
    provenance: str = "derived"
    statement: str = "robust IPO on one pair, n labels flipped at e: E h = (2p-1)/(2 tau), Var h = p~(1-p~)/(n tau^2 (1-2e)^2)"
    source: str = "the estimate is linear in the labels"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    learner: Callable[[float, float], PairLoss] = RobustIPO
    tau: float = 0.5
    n: Sequence[int] = (1, 7, 40)
    error: float = 1e-9

    @property
    def conditions(self) -> Conditions:
        return FLIPS_ALIKE

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            rows, flip = instance.world.rows, instance.world.flip_rate
            for n in self.n:
                wins = np.arange(n + 1)
                found = own_margins(self.learner(self.tau, flip), wins / n)
                chance = binom.pmf(wins, n, rows.observed[:, None])
                mean = chance @ found
                variance = (chance * (found - mean[:, None]) ** 2).sum(axis=1)
                claimed = rows.observed * (1 - rows.observed) / (n * self.tau**2 * (1 - 2 * flip) ** 2)
                away = np.abs(mean - (2 * rows.clean - 1) / (2 * self.tau)) / np.sqrt(claimed)
                worst = max(away.max(), np.abs(variance / claimed - 1).max())
                yield Finding(f"{instance.name}, n = {n}", float(worst / self.error))

"""RDPO-W: one fit against its asymptotic law, the sharpest single test of an implementation.

    T = n e' C^-1 e  ->  chi-square with d degrees of freedom,    e = theta^ - theta*,    C of RDPO-7.

A population bias b raises T by n b' C^-1 b, and counts make n = 10^7 as cheap as n = 100: a rate assumed a tenth too large, or a
weight of 1/(1 - eps) for 1/(1 - 2 eps), show. Factors on the whole loss do not: they move no minimiser (RDPO-1 sees them).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from envs.pair_truth import robust_covariance
from envs.pairs import Pairs
from theory.chance import ByChance
from theory.claim import Finding
from theory.pair_statistics import BY_LIMIT_LAW, FALSE_ALARM, Estimator, estimates, flip_of, minimiser
from theory.robust_claim import RobustClaim
from theory.testbed import PairTestbed


@dataclass(frozen=True, kw_only=True)
class OneFit(RobustClaim, ByChance):
    """T of one seeded fit over the quantile of chi-square that it exceeds once in a million.

    Parameters
    ----------
    n : int, comparisons
    estimator : (loss, world, comparisons) -> theta - theta0
    covariance : (world, flip) -> (D, D) C
    """

    id: str = "RDPO-W"
    provenance: str = "derived"
    statement: str = "one fit of rDPO, n = 10^7: n (theta^-theta*)' C^-1 (theta^-theta*) is chi-square with d degrees of freedom"
    source: str = "RDPO-7"
    kind: ClassVar[str] = "distribution"
    false_alarm: ClassVar[str | None] = BY_LIMIT_LAW
    effect: ClassVar[str] = "told a rate of wrong labels too small by a share s"
    size: ClassVar[float] = 0.005
    n: int = 10_000_000
    estimator: Estimator = minimiser
    covariance: Callable[[Pairs, float], NDArray] = robust_covariance

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            world, flip = replace(instance.world, n=self.n), flip_of(instance.world)
            error = estimates(world, self.learner(flip), 1, self.seed, self.estimator)[0] - world.shift
            distance = self.n * error @ np.linalg.solve(self.covariance(world, flip), error)
            ratio, p = distance / chi2.isf(FALSE_ALARM, world.d), chi2.sf(distance, world.d)
            yield Finding(instance.name, float(ratio), p=float(p))

    def planted(self, size: float) -> Self:
        return replace(self, learner=lambda flip: self.learner((1 - min(size, 1.0)) * flip))

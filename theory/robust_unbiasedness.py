"""RDPO-1, RDPO-2 and RDPO-4: over the flips of a label robust DPO's loss is DPO's on average, and its variance.

    E_flip loss(u) = l(u)                                  at every margin u (the paper's reason for the loss),
    E_flip gradient = -sigmoid(-u) z                       the clean gradient, with no factor,
    Var_flip loss(u) = eps (1 - eps) / (1 - 2 eps)^2 u^2   since the two values differ by u / (1 - 2 eps).

Only values and gradients show a missing 1 / (1 - 2 eps): it leaves every minimiser (without ridge) where it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import expit

from theory.claim import Finding
from theory.pair_statistics import flip_of
from theory.robust_claim import RobustClaim, logistic, margins_of
from theory.testbed import PairTestbed


@dataclass(frozen=True, kw_only=True)
class UnbiasedLoss(RobustClaim):
    """The mean loss over flips against the clean loss.

    Parameters
    ----------
    error : float, allowed difference as a share of the terms' size
    """

    id: str = "RDPO-1"
    provenance: str = "published"
    statement: str = "labels wrong with probability e: the mean of rDPO's loss over flips is DPO's clean loss l(u), at every margin u"
    source: str = "arXiv 2403.00409, the debiased loss"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    error: float = 1e-14

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            u, flip = margins_of(instance), flip_of(instance.world)
            loss = self.learner(flip)
            straight, turned = (1.0 - flip) * loss.value(u), flip * loss.value(-u)
            size = np.abs(straight) + np.abs(turned) + logistic(u)
            yield Finding(instance.name, float((np.abs(straight + turned - logistic(u)) / size).max() / self.error))


@dataclass(frozen=True, kw_only=True)
class UnbiasedGradient(RobustClaim):
    """The mean gradient in theta over flips, pair by pair, against DPO's clean one, at several theta.

    Parameters
    ----------
    multiples : theta - theta0 as multiples of the true one
    error : float, allowed difference as a share of the terms' size
    """

    id: str = "RDPO-2"
    provenance: str = "derived"
    statement: str = "labels wrong with probability e: the mean of rDPO's gradient in theta is DPO's clean -sigmoid(-u) z, factor 1"
    source: str = "derivative of the unbiased loss of arXiv 2403.00409"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    multiples: Sequence[float] = (-3.0, 0.0, 1.0, 10.0)
    error: float = 1e-14

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            z, flip = instance.world.rows.features, flip_of(instance.world)
            loss = self.learner(flip)
            for multiple in self.multiples:
                u = z @ (multiple * instance.world.shift)
                straight, turned = (1.0 - flip) * loss.slope(u)[:, None] * z, flip * loss.slope(-u)[:, None] * -z
                clean = -expit(-u)[:, None] * z
                size = sum(np.abs(term).max() for term in (straight, turned, clean))
                error = np.abs(straight + turned - clean).max() / size
                yield Finding(f"{instance.name}, theta - theta0 times {multiple:g}", float(error / self.error))


@dataclass(frozen=True, kw_only=True)
class VarianceOverFlips(RobustClaim):
    """The variance of the loss over flips against its formula.

    Parameters
    ----------
    error : float, allowed difference as a share of the formula
    """

    id: str = "RDPO-4"
    provenance: str = "derived"
    statement: str = "variance of rDPO's loss over flips: e (1-e)/(1-2e)^2 u^2"
    source: str = "both values of the loss of arXiv 2403.00409"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    error: float = 1e-12

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            u, flip = margins_of(instance), flip_of(instance.world)
            u = u[np.abs(u) > 1e-2]
            straight, turned = self.learner(flip).value(u), self.learner(flip).value(-u)
            mean = (1.0 - flip) * straight + flip * turned
            variance = (1.0 - flip) * (straight - mean) ** 2 + flip * (turned - mean) ** 2
            claimed = flip * (1.0 - flip) / (1.0 - 2.0 * flip) ** 2 * u**2
            relative = np.abs(variance - claimed) / claimed if flip else np.abs(variance)
            yield Finding(instance.name, float(relative.max() / self.error))

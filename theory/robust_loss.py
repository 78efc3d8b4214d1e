"""RDPO-0 and RDPO-3: robust DPO's loss is the logistic one less a linear term, and what that does to gradients.

Since l(-u) = l(u) + u, the published difference of two losses is

    ((1 - eps) l(u) - eps l(-u)) / (1 - 2 eps)  =  l(u) - c u,        c = eps / (1 - 2 eps),

convex in u with the curvature of l whatever eps is, though unbounded below. The gradient of a pair is -weight(u) z with weights

    robust DPO  sigmoid(-u) + eps / (1 - 2 eps)   >   DPO  sigmoid(-u)   >   conservative DPO  sigmoid(-u) - eps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import expit

from algorithms.cdpo import ConservativeDPO
from algorithms.dpo import DPO
from algorithms.pair_loss import PairLoss
from theory.claim import Finding
from theory.pair_statistics import flip_of
from theory.robust_claim import RobustClaim, literal_loss, logistic, margins_of
from theory.testbed import PairTestbed


@dataclass(frozen=True, kw_only=True)
class LogisticPlusLinear(RobustClaim):
    """The loss against the published two terms and against l(u) - c u, its curvature against that of l, and its chords.

    Parameters
    ----------
    error : float, allowed difference as a share of the terms' size
    """

    id: str = "RDPO-0"
    provenance: str = "derived"
    statement: str = "loss ((1-e) l(u) - e l(-u))/(1-2e) = l(u) - e u/(1-2e): convex, with curvature sigmoid(u) sigmoid(-u) at every e"
    source: str = "l(-u) = l(u) + u in the loss of arXiv 2403.00409"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    error: float = 1e-14

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            u, flip = margins_of(instance), flip_of(instance.world)
            loss, tilt = self.learner(flip), flip / (1.0 - 2.0 * flip)
            value, size = loss.value(u), (logistic(u) + logistic(-u)) / (1.0 - 2.0 * flip)
            chords = loss.value((u[1:] + u[:-1]) / 2) - (value[1:] + value[:-1]) / 2
            for name, error in {
                "two terms": np.abs(value - literal_loss(u, flip)) / size,
                "l less a line": np.abs(value - (logistic(u) - tilt * u)) / size,
                "chords": np.maximum(chords, 0.0) / size[1:],
                "curvature": np.abs(loss.curvature(u) - expit(u) * expit(-u)),
            }.items():
                yield Finding(f"{instance.name}, {name}", float(error.max() / self.error))


@dataclass(frozen=True, kw_only=True)
class GradientWeights(RobustClaim):
    """Differences of the three weights against their formulas, both above 0.

    Parameters
    ----------
    plain, smooth : flip rate -> PairLoss, those compared with
    error : float, allowed difference relative to the weights
    """

    id: str = "RDPO-3"
    provenance: str = "derived"
    statement: str = "gradient weights: rDPO sigmoid(-u) + e/(1-2e) > DPO sigmoid(-u) > cDPO sigmoid(-u) - e, at every u"
    source: str = "arXiv 2403.00409 remarks on the weights (as recalled); the differences are derived here"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    plain: Callable[[float], PairLoss] = lambda flip: DPO()
    smooth: Callable[[float], PairLoss] = ConservativeDPO
    error: float = 1e-14

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            u, flip = margins_of(instance), flip_of(instance.world)
            robust, plain, smooth = (-make(flip).slope(u) for make in (self.learner, self.plain, self.smooth))
            size, ordered = 1.0 + np.abs(robust), bool((robust > plain).all() and (plain > smooth).all())
            above = np.abs(robust - plain - flip / (1.0 - 2.0 * flip)) / size
            below = np.abs(plain - smooth - flip) / size
            worst = max(above.max(), below.max(), np.abs(plain - expit(-u)).max()) / self.error
            yield Finding(instance.name, float(worst) if ordered or flip == 0 else np.inf)

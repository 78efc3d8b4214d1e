"""RDPO-6: told the true rate, robust DPO's population minimiser is the clean truth; and how its fit is checked.

The expected gradient under flips is the clean one (RDPO-2), which vanishes at theta*: DPO and conservative DPO are pulled towards
the reference there, robust DPO is not, however many labels are wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from envs.comparisons import Comparisons
from theory.claim import Finding
from theory.pair_statistics import Estimator, flip_of, minimiser
from theory.robust_claim import RobustClaim, literal_loss, literal_slope
from theory.testbed import PairTestbed


@dataclass(frozen=True, kw_only=True)
class PopulationMinimiser(RobustClaim):
    """Margins at the minimiser of the expected loss against the true margins.

    Parameters
    ----------
    flips : rates of wrong labels, known to the learner
    estimator : (loss, world, comparisons) -> theta - theta0
    error : float, allowed difference of margins, divided by 1 - 2 eps and relative to the largest
    """

    id: str = "RDPO-6"
    provenance: str = "derived"
    statement: str = "rDPO's population minimiser is theta* - theta0, whatever the (known) flip rate e < 1/2"
    source: str = "unbiased gradient of arXiv 2403.00409, log-linear policies"
    kind: ClassVar[str] = "fixed point"
    sense: str = "tight"
    flips: Sequence[float] = (0.0, 0.1, 0.2, 0.4, 0.45)
    estimator: Estimator = minimiser
    error: float = 1e-12

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            for flip in self.flips:
                world = replace(instance.world, flip=flip)
                found = self.estimator(self.learner(flip), world, world.population())
                ratio = _apart(world.rows.features, found, world.shift) * (1.0 - 2.0 * flip) / self.error
                yield Finding(f"{instance.name}, e = {flip:g}", ratio)


@dataclass(frozen=True, kw_only=True)
class LiteralMinimiser(RobustClaim):
    """The fit (Newton's method on l(u) less a line) against BFGS on the published two terms, on a sample.

    Parameters
    ----------
    per_parameter : n (1 - 2 eps)^2 / d
    error : float, allowed difference of margins, relative to the largest
    """

    id: str = "RDPO-6b"
    provenance: str = "derived"
    statement: str = "rDPO's minimiser on a sample is that of the published two-term loss (Newton's method against BFGS)"
    source: str = "loss of arXiv 2403.00409"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    per_parameter: float = 1000.0
    estimator: Estimator = minimiser
    error: float = 1e-7

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            world, flip = instance.world, flip_of(instance.world)
            sample = world.comparisons(int(self.per_parameter * world.d / (1.0 - 2.0 * flip) ** 2))
            found = self.estimator(self.learner(flip), world, sample)
            yield Finding(instance.name, _apart(world.rows.features, found, _by_bfgs(sample, flip)) / self.error)


def _by_bfgs(sample: Comparisons, flip: float) -> NDArray:
    """(D,) the point of least literal loss."""
    wins, losses = sample.wins / sample.total, sample.losses / sample.total

    def value(theta: NDArray) -> float:
        u = sample.features @ theta
        return float(wins @ literal_loss(u, flip) + losses @ literal_loss(-u, flip))

    def gradient(theta: NDArray) -> NDArray:
        u = sample.features @ theta
        return (wins * literal_slope(u, flip) - losses * literal_slope(-u, flip)) @ sample.features

    start = np.zeros(sample.features.shape[1])
    return minimize(value, start, jac=gradient, method="BFGS", options={"gtol": 1e-11}).x


def _apart(features: NDArray, found: NDArray, truth: NDArray) -> float:
    """Largest difference of margins over the largest margin of the truth (at least 1)."""
    return float(np.abs(features @ (found - truth)).max() / max(1.0, np.abs(features @ truth).max()))

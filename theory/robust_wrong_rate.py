"""RDPO-11: what robust DPO learns when it assumes a wrong flip rate.

Told eps^ where the labels are wrong with eps, a pair of its own ends at

    u = logit((p~ - eps^) / (1 - 2 eps^)),        p~ = eps + (1 - 2 eps) p,

if eps^ < p~ < 1 - eps^ (without end otherwise), so that small margins are multiplied by (1 - 2 eps) / (1 - 2 eps^): shrunk when
too few flips are assumed, stretched when too many. The factor belongs to small margins alone: larger ones, and log-linear fits to
them, are moved by amounts that depend on the world.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from scipy.special import logit

from envs.pair_truth import information
from theory.claim import Finding
from theory.pair_statistics import Estimator, flip_of, minimiser
from theory.robust_claim import RobustClaim
from theory.robust_one_pair import one_pair
from theory.testbed import PairTestbed


@dataclass(frozen=True, kw_only=True)
class WrongRate(RobustClaim):
    """Single pairs against the formula, and a world of small margins against the factor.

    Parameters
    ----------
    towards : shares of the way from eps to 1/2 at which eps^ lies; negative where eps^ < eps
    scale : standard deviation of the reward in the world of small margins
    estimator : (loss, world, comparisons) -> theta - theta0
    error, small : allowed relative differences, of single pairs and of the factor
    """

    id: str = "RDPO-11"
    provenance: str = "derived"
    statement: str = "rDPO told e^ for e: a pair ends at u = logit((p~-e^)/(1-2e^)), small margins at (1-2e)/(1-2e^) times the true ones"
    source: str = "minimum of the loss of arXiv 2403.00409"
    kind: ClassVar[str] = "fixed point"
    sense: str = "tight"
    towards: Sequence[float] = (-1 / 3, -1 / 6, 1 / 6, 1 / 3)
    scale: float = 1e-4
    estimator: Estimator = minimiser
    error: float = 1e-9
    small: float = 1e-5

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            flip = flip_of(instance.world)
            for share in self.towards:
                if (assumed := flip + share * (0.5 - flip)) >= 0:
                    yield from self._at(instance, assumed)

    def _at(self, instance: PairTestbed, assumed: float) -> Iterator[Finding]:
        name, world, loss = f"{instance.name}, told {assumed:.3g}", instance.world, self.learner(assumed)
        found = [one_pair(loss, share, 1.0 - share).theta[0] for share in world.rows.observed]
        with np.errstate(invalid="ignore"):
            claimed = logit((world.rows.observed - assumed) / (1.0 - 2.0 * assumed))  # nan outside (0, 1): no minimiser
        yield Finding(f"{name}, pairs", _largest(np.array(found), claimed) / self.error)
        world = replace(world, scale=self.scale)
        factor = (1.0 - 2.0 * flip_of(world)) / (1.0 - 2.0 * assumed)
        error = self.estimator(loss, world, world.population()) - factor * world.shift
        size = np.sqrt((error @ information(world) @ error) / (world.shift @ information(world) @ world.shift))
        yield Finding(f"{name}, small margins", float(size / self.small))


def _largest(found: np.ndarray, claimed: np.ndarray) -> float:
    """Largest difference relative to 1 + the claimed size; infinite where one of the two is missing and the other is not."""
    if (np.isfinite(found) != np.isfinite(claimed)).any():
        return np.inf
    finite = np.isfinite(claimed)
    return float((np.abs(found - claimed)[finite] / (1.0 + np.abs(claimed[finite]))).max(initial=0.0))

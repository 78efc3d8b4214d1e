"""RDPO-12: when robust DPO has a minimiser, decided by enumerating directions.

Far out in a direction v the summed loss of a sample, z pointing to the observed winners, grows with the slope

    R(v)  =  ((1 - eps) sum (v . z)_-  -  eps sum (v . z)_+) / (1 - 2 eps),

so that there is a minimiser iff R(v) > 0, that is sum (v . z)_- / sum |v . z| > eps, for every v not orthogonal to all z. R is
convex, and linear on each cone into which the hyperplanes v . z = 0 cut the space, so the finitely many edges of these cones decide:
the lines orthogonal to d - 1 independent z. The fit and its linear program are held against that enumeration, which shares nothing
with them.

In expectation over clean and flipped labels R(v) = E (v . z)_-, z pointing to the clean winner: populations always have a minimiser
where every response can win. A sample needs n well above d / (1 - 2 eps)^2. DPO's criterion (eps = 0: the data are not separable)
is too weak for robust DPO, whose linear term falls for ever along directions with few enough contradictions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.fit import INSIDE, fit, slope_slack
from algorithms.pair_loss import PairLoss
from envs.comparisons import Comparisons
from envs.pairs import Pairs
from theory.claim import Conditions, Finding
from theory.conditions import FLIPS
from theory.pair_statistics import flip_of
from theory.robust_claim import RobustClaim
from theory.testbed import PairTestbed

ROUNDING = 1e-12
"""Of a share of contradictions."""


def edges(features: NDArray) -> NDArray:
    """(number, D) unit vectors orthogonal to D - 1 of the rows, with both signs; the rows span all D dimensions."""
    rows, dimension = features.shape
    chosen = features[np.array(list(combinations(range(rows), dimension - 1)), dtype=int)]
    normal = np.linalg.svd(chosen, full_matrices=True)[2][:, -1]
    return np.concatenate([normal, -normal])


def contradicted(comparisons: Comparisons, directions: NDArray) -> NDArray:
    """sum (v . z)_- / sum |v . z| of each direction v, z pointing to the observed winners: in [0, 1], and R(v) > 0 iff it exceeds eps."""
    along = directions @ comparisons.features.T
    fall, rise = np.maximum(-along, 0.0), np.maximum(along, 0.0)
    return (fall @ comparisons.wins + rise @ comparisons.losses) / ((fall + rise) @ (comparisons.wins + comparisons.losses))


@dataclass(frozen=True, kw_only=True)
class ExistenceOfMinimiser(RobustClaim):
    """Samples of a few pairs on which the fit, or the sign of its program's slack, contradicts the enumeration.

    Parameters
    ----------
    worlds : (d, contexts, actions) of the small worlds, of the testbed's beta, flip and scale
    multiples : n as multiples of d / (1 - 2 eps)^2; both outcomes occur
    samples : int, at each
    slack : (loss, comparisons) -> number above 0 (by `algorithms.fit.INSIDE`) iff a minimiser exists
    """

    id: str = "RDPO-12"
    provenance: str = "derived"
    statement: str = "rDPO has a minimiser iff (1-e) sum(v.z)_- > e sum(v.z)_+ for all v (z to the labelled winner, v.z not all 0)"
    source: str = "recession of the loss of arXiv 2403.00409; enumeration against the fit and its linear program"
    kind: ClassVar[str] = "existence"
    sense: str = "tight"
    worlds: Sequence[tuple[int, int, int]] = ((2, 6, 5), (3, 2, 5), (5, 2, 4))
    multiples: Sequence[float] = (1.5, 5.0, 15.0)
    samples: int = 25
    slack: Callable[[PairLoss, Comparisons], float] = slope_slack

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            flip = flip_of(instance.world)
            for d, contexts, actions in self.worlds:
                world = replace(instance.world, d=d, contexts=contexts, actions=actions)
                wrong, seen = 0, set()
                for sample in self.drawn(world, flip):
                    claimed, found = self.claimed(sample, flip), fit(self.learner(flip), sample).exists
                    seen |= {claimed, found}
                    wrong += (found != claimed) + ((self.slack(self.learner(flip), sample) > INSIDE) != claimed)
                yield Finding(f"{instance.name}, d = {d}", 2.0 * wrong if len(seen) == 2 else None)

    def drawn(self, world: Pairs, flip: float) -> Iterable[Comparisons]:
        """Samples whose pairs span all dimensions, without the pairs that were not drawn."""
        for multiple in self.multiples:
            n = round(multiple * world.d / (1.0 - 2.0 * flip) ** 2)
            for index in range(self.samples):
                sample = world.comparisons(n, index=index)
                kept = sample.wins + sample.losses > 0
                if np.linalg.matrix_rank(sample.features[kept]) == world.d:
                    yield Comparisons(sample.features[kept], sample.wins[kept], sample.losses[kept])

    def claimed(self, sample: Comparisons, flip: float) -> bool:
        """Whether the statement says that a minimiser exists; shares of whole counts can equal eps exactly, and then there is none."""
        return bool(contradicted(sample, edges(sample.features)).min() > flip + ROUNDING)


@dataclass(frozen=True, kw_only=True)
class SeparabilityDecides(ExistenceOfMinimiser):
    """The same with DPO's criterion."""

    id: str = "RDPO-12-separable"
    statement: str = "rDPO has a minimiser on every sample that is not separable, as DPO has"
    source: str = "contradicts RDPO-12 on data with few contradictions"
    sense: str = "predicted to fail"
    samples: int = 10

    @property
    def conditions(self) -> Conditions:
        return super().conditions | FLIPS

    def claimed(self, sample: Comparisons, flip: float) -> bool:
        return super().claimed(sample, 0.0)


@dataclass(frozen=True, kw_only=True)
class PopulationIsBounded(RobustClaim):
    """R(v) of the expected labels, by the loss's limiting slopes, against E (v . z)_- of clean ones.

    Parameters
    ----------
    directions : int, random ones
    error : float, allowed difference, relative to E |v . z| / (1 - 2 eps)
    """

    id: str = "RDPO-12-population"
    provenance: str = "derived"
    statement: str = "population slope of rDPO far out along v = E(v.z)_- over clean winners, at every flip rate: a minimiser exists"
    source: str = "unbiased loss of arXiv 2403.00409"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    directions: int = 200
    error: float = 1e-13

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            world, flip = instance.world, flip_of(instance.world)
            rows, population = world.rows, world.population()
            along = np.random.default_rng([world.seed, 12]).standard_normal((self.directions, world.d)) @ rows.features.T
            low, high = self.learner(flip).slope(np.array([-np.inf, np.inf]))
            rise, fall = np.maximum(along, 0.0), np.maximum(-along, 0.0)
            straight, turned = rise * high - fall * low, fall * high - rise * low
            slope = straight @ population.wins + turned @ population.losses
            clean = fall @ (rows.weight * rows.clean) + rise @ (rows.weight * (1.0 - rows.clean))
            size = (rise + fall) @ rows.weight / (1.0 - 2.0 * flip)
            yield Finding(instance.name, float((np.abs(slope - clean) / size).max() / self.error))

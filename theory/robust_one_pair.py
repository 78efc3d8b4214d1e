"""RDPO-5 and RDPO-12c: robust DPO on a pair that has a parameter of its own.

With q the share of labels for the first response, the loss q L(u) + (1 - q) L(-u) is least at

    u = logit((q - eps) / (1 - 2 eps)),        which exists iff eps < q < 1 - eps:

flips are inverted, and labels more unanimous than flips allow send u to infinity. A sample of n labels therefore has no minimiser
with probability P(wins <= eps n) + P(wins >= (1 - eps) n), wins binomial: an exact number at any n.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit
from scipy.stats import binom

from algorithms.fit import Fit, fit
from algorithms.pair_loss import PairLoss
from envs.comparisons import Comparisons
from theory.chance import ByChance
from theory.claim import Finding
from theory.pair_statistics import FALSE_ALARM, binomial_p, flip_of, from_middle
from theory.robust_claim import RobustClaim, literal_loss
from theory.testbed import PairTestbed

GRID = np.linspace(-12.0, 12.0, 24_001)
"""Margins among which the least literal loss is looked up."""


def one_pair(loss: PairLoss, wins: float, losses: float) -> Fit:
    """The fit to a single pair."""
    return fit(loss, Comparisons(np.ones((1, 1)), np.array([wins]), np.array([losses])))


@dataclass(frozen=True, kw_only=True)
class MarginOfOnePair(RobustClaim):
    """The fit against the formula and against the least literal loss of a grid; and no minimiser outside.

    Parameters
    ----------
    inside : clean win probabilities in (0, 1), beside the testbed's own
    error : float, allowed difference from the formula, divided by 1 - 2 eps and the variance of a label
    """

    id: str = "RDPO-5"
    provenance: str = "derived"
    statement: str = "one pair, q = share of wins: rDPO's margin is u = logit((q-e)/(1-2e)); a minimiser exists iff e < q < 1-e"
    source: str = "minimum of the loss of arXiv 2403.00409 for one pair"
    kind: ClassVar[str] = "fixed point"
    sense: str = "tight"
    inside: Sequence[float] = (0.001, 0.02, 0.3, 0.5, 0.9, 0.99)
    error: float = 1e-12

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            flip = flip_of(instance.world)
            loss, clean = self.learner(flip), np.concatenate([self.inside, instance.world.rows.clean])
            shares = flip + (1.0 - 2.0 * flip) * clean
            found = np.array([one_pair(loss, share, 1.0 - share).theta[0] for share in shares])
            unit = self.error / ((1.0 - 2.0 * flip) * clean * (1.0 - clean))
            yield Finding(f"{instance.name}, formula", float((np.abs(found - logit(clean)) / unit).max()))
            step = GRID[1] - GRID[0]
            yield Finding(f"{instance.name}, grid", float(np.abs(found - _least(shares, flip)).max() / step))
            outside = [one_pair(loss, share, 1.0 - share).exists for share in (0.0, flip / 2, flip, 1.0 - flip, 1.0 - flip / 2, 1.0)]
            yield Finding(f"{instance.name}, outside", 2.0 * sum(outside))


def _least(shares: NDArray, flip: float) -> NDArray:
    """The margin of GRID with the least literal loss, at each share of wins."""
    straight, turned = literal_loss(GRID, flip), literal_loss(-GRID, flip)
    return GRID[[int(np.argmin(share * straight + (1.0 - share) * turned)) for share in shares]]


@dataclass(frozen=True, kw_only=True)
class ChanceOfNoMinimiser(RobustClaim, ByChance):
    """The chance by fits at every count of wins, and the share of drawn samples, against the binomial formula.

    Parameters
    ----------
    labels : values of n
    samples : int, drawn at each
    error : float, allowed difference of the exact chances
    more : float, share by which drawn labels are wrong more often than is claimed
    """

    id: str = "RDPO-12c"
    provenance: str = "derived"
    statement: str = "one pair, n labels: P(rDPO has no minimiser) = P(wins <= e n) + P(wins >= (1-e) n), wins binomial"
    source: str = "RDPO-5"
    kind: ClassVar[str] = "existence"
    false_alarm: ClassVar[str | None] = f"{FALSE_ALARM:.0e} a finding at most, on drawn samples; the others are exact"
    sense: str = "tight"
    labels: Sequence[int] = (10, 40)
    samples: int = 2000
    error: float = 1e-12
    more: float = 0.0
    effect: ClassVar[str] = "drawn labels wrong more often by a share s"
    size: ClassVar[float] = 0.5

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            for n in self.labels:
                yield from self._at(instance, n)

    def _at(self, instance: PairTestbed, n: int) -> Iterable[Finding]:
        world = replace(instance.world, contexts=1, actions=2, d=1, n=n, keep_equal=False)
        flip, observed, wins = flip_of(world), float(world.rows.observed[0]), np.arange(n + 1)
        missing = np.array([not one_pair(self.learner(flip), count, n - count).exists for count in range(n + 1)])
        predicted = (wins <= flip * n + 1e-9) | (wins >= (1.0 - flip) * n - 1e-9)
        chance = binom.pmf(wins, n, observed)
        yield Finding(f"{instance.name}, n = {n}, exact", float(abs(chance[missing].sum() - chance[predicted].sum()) / self.error))
        source, claimed = replace(world, flip=min((1.0 + self.more) * flip, 0.49)), chance[predicted].sum()
        drawn = [int(source.comparisons(seed=100 * self.seed + n, index=index).wins[0]) for index in range(self.samples)]
        count, limits = int(missing[drawn].sum()), binom.ppf([FALSE_ALARM / 2, 1.0 - FALSE_ALARM / 2], self.samples, claimed)
        ratio, p = from_middle(count, limits[0] - 0.5, limits[1] + 0.5), binomial_p(count, self.samples, claimed)
        yield Finding(f"{instance.name}, n = {n}, drawn", ratio, p=p)

    def planted(self, size: float) -> Self:
        return replace(self, more=size)

    def brief(self) -> Self:
        return replace(self, labels=self.labels[:1], samples=self.samples // 10)

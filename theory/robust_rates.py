"""RDPO-7 to RDPO-10 and RDPO-14: how the error and the two gaps of robust DPO scale, with their constants.

    sqrt(n) (theta^ - theta*)  ->  N(0, C),        C = H^-1 + eps (1 - eps) / (1 - 2 eps)^2  H^-1 S H^-1,
    n E |theta^ - theta*|_H^2  ->  tr(H C)  =  d + eps (1 - eps) / (1 - 2 eps)^2 tr(S H^-1),        S = E[z z'],
    n E (J* - J(theta^))       ->  (beta/2) tr(F C),
    sqrt(n) rms(reward gap)    ->  sqrt(g'C g),        g = beta F (theta* - theta0).

The paper bounds the error by 1/(1 - 2 eps) sqrt(d/n) up to constants, and the sub-optimality of the reward by the same order; C and
all constants are derived here. The exponents 1/2 and 1 are met up to the drift of the constants: in eps only for small margins
(p (1 - p) -> 1/4 makes C = 4 S^-1/(1 - 2 eps)^2), in d because margins of a fixed spread do not stay the same. So slopes are compared
with those of the exact constants. They cannot see a wrong constant, which the limits (kind "distribution") do.

The regularised gap is fast (1/n, d, 1/(1 - 2 eps)^2) because pi* is its optimum. The reward gap is first order in the error, but a
fixed direction g of it decides: at a fixed spread of the reward its root mean square hardly grows with d, and the sqrt(d) of the
bound is an upper bound and not the typical rate (RDPO-14).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import polygamma
from scipy.stats import binom, norm

from envs.pair_truth import reward_gap, robust_covariance
from envs.pairs import Pairs
from theory.chance import ByChance
from theory.claim import Conditions, Finding
from theory.pair_statistics import (
    BY_LIMIT_LAW,
    FALSE_ALARM,
    Estimator,
    binomial_p,
    estimates,
    flip_of,
    from_middle,
    log_slope,
    mean_limits,
    mean_p,
    minimiser,
    one_flip_rate,
    slope_weights,
)
from theory.robust_claim import RobustClaim
from theory.robust_growth import Dial, Point, SampleSize
from theory.robust_risks import Risk, SquaredError, SquaredRewardGap
from theory.testbed import PairTestbed

POINTS = 100
"""More than a dial has, so that points of different seeds draw different samples."""

THINNED = 40
"""By how much a brief check has fewer fits."""


@dataclass(frozen=True, kw_only=True)
class RateClaim(RobustClaim, ByChance):
    """Fits along a dial.

    Parameters
    ----------
    dial : where to fit
    risk : what is measured
    estimator : (loss, world, comparisons) -> theta - theta0
    covariance : (world, flip) -> (D, D) C
    """

    source: str = "asymptotics of M-estimators, for the loss of arXiv 2403.00409"
    dial: Dial = field(default_factory=SampleSize)
    risk: Risk = field(default_factory=SquaredError)
    estimator: Estimator = minimiser
    covariance: Callable[[Pairs, float], NDArray] = robust_covariance

    @property
    def conditions(self) -> Conditions:
        return super().conditions | {"the risk depends on the estimate": self._matters}

    def _matters(self, testbed: PairTestbed) -> bool:
        """Without reward there is no reward gap."""
        return one_flip_rate(testbed.world) and bool(self.weights(testbed.world).sum() > 0)

    def shifts(self, world: Pairs, fits: int, number: int) -> NDArray:
        """(fits, D) estimates of theta - theta0, at point `number` of the dial."""
        return estimates(world, self.learner(flip_of(world)), fits, POINTS * self.seed + number, self.estimator)

    def weights(self, world: Pairs) -> NDArray:
        """Weights of the limit law of n times the risk."""
        return self.risk.weights(world, self.covariance(world, flip_of(world)))

    def brief(self) -> Self:
        return replace(self, dial=self.dial.thinned(THINNED))


@dataclass(frozen=True, kw_only=True)
class LimitLaw(RateClaim):
    """n times the mean risk of many fits, against the quantiles of the limit law's mean, at every point of the dial."""

    kind: ClassVar[str] = "distribution"
    false_alarm: ClassVar[str | None] = BY_LIMIT_LAW
    sense: str = "tight"
    effect: ClassVar[str] = "claimed constant too large by a share s"
    size: ClassVar[float] = 0.7

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            for number, point in enumerate(self.dial.points(instance.world)):
                for world in point.worlds:
                    mean = world.n * float(self.risk.of(world, self.shifts(world, point.fits, number)).mean())
                    weights = self.weights(world)
                    ratio, p = from_middle(mean, *mean_limits(weights, point.fits)), mean_p(mean, weights, point.fits)
                    yield Finding(f"{instance.name}, n = {world.n}", ratio, p=p)

    def planted(self, size: float) -> Self:
        return replace(self, covariance=lambda world, flip: (1 + size) * self.covariance(world, flip))


@dataclass(frozen=True, kw_only=True)
class GrowthRate(RateClaim):
    """The slope of the mean risk (to the power of the rate) on log scales, against that of the exact constants.

    Parameters
    ----------
    allowance : half the width of the interval the slope must be in; beyond chance at 1e-6 with the default fits
    exponent : float, the slope claimed in place of that of the exact constants, or None
    excess : float, by how much more than that is claimed
    """

    kind: ClassVar[str] = "slope"
    false_alarm: ClassVar[str | None] = f"{FALSE_ALARM:.0e} a finding at most, with the default fits"
    sense: str = "tight"
    allowance: float = 0.02
    exponent: float | None = None
    excess: float = 0.0
    effect: ClassVar[str] = "claimed exponent too large by s"
    size: ClassVar[float] = 0.1

    @property
    def conditions(self) -> Conditions:
        fails = {"the exact constants have another slope": self._elsewhere} if self.predicted_to_fail and self.exponent is not None else {}
        return super().conditions | fails

    def _elsewhere(self, testbed: PairTestbed) -> bool:
        exponent = 0.0 if self.exponent is None else self.exponent
        return self._matters(testbed) and abs(self.exact(self.dial.points(testbed.world)) - exponent) > 2 * self.allowance

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            points = self.dial.points(instance.world)
            claimed = (self.exact(points) if self.exponent is None else self.exponent) + self.excess
            off = abs(self.measured(points) - claimed)
            yield Finding(instance.name, off / self.allowance, p=float(2 * norm.sf(off / self.deviation(points))))

    def deviation(self, points: Sequence[Point]) -> float:
        """Standard deviation of the slope of the fits, by the limit law.

        A mean risk is taken for a chi-square of f degrees of freedom by its first two moments; its log has the variance trigamma(f/2).
        """

        def variance(point: Point) -> float:
            weights = [self.weights(world) for world in point.worlds]
            squares = sum((each**2).sum() for each in weights) / point.fits
            return float(polygamma(1, sum(each.sum() for each in weights) ** 2 / squares / 2))

        squares = slope_weights([point.x for point in points]) ** 2
        return self.risk.power * float(np.sqrt(squares @ [variance(point) for point in points]))

    def planted(self, size: float) -> Self:
        return replace(self, exponent=None, excess=size)

    def brief(self) -> Self:
        return replace(super().brief(), allowance=self.allowance * THINNED**0.5)

    def measured(self, points: Sequence[Point]) -> float:
        """The slope of the fits."""

        def mean(point: Point, number: int) -> float:
            risks = [self.risk.of(world, self.shifts(world, point.fits, number)).mean() for world in point.worlds]
            return float(np.mean(risks)) ** self.risk.power

        return log_slope([point.x for point in points], [mean(point, number) for number, point in enumerate(points)])

    def exact(self, points: Sequence[Point]) -> float:
        """The slope of the exact constants."""
        means = [np.mean([self.weights(world).sum() / world.n for world in point.worlds]) for point in points]
        return log_slope([point.x for point in points], np.array(means) ** self.risk.power)


@dataclass(frozen=True, kw_only=True)
class SignOfRewardGap(RateClaim):
    """How many of many fits earn more reward than pi*, over the binomial limits of one half.

    Parameters
    ----------
    share : float, of fits that are claimed to
    """

    id: str = "RDPO-10-sign"
    provenance: str = "derived"
    statement: str = "about half of rDPO's fits earn MORE plain reward than pi*: pi* is optimal for the KL-regularised reward only"
    source: str = "the reward gap is -g'(theta^-theta*) to first order, symmetric about 0"
    kind: ClassVar[str] = "distribution"
    false_alarm: ClassVar[str | None] = BY_LIMIT_LAW
    sense: str = "tight"
    risk: Risk = field(default_factory=SquaredRewardGap)
    share: float = 0.5
    effect: ClassVar[str] = "claimed share too large by s"
    size: ClassVar[float] = 0.2

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            points = self.dial.points(instance.world)
            for world in points[-1].worlds:
                shifts = self.shifts(world, points[-1].fits, len(points) - 1)
                better = [reward_gap(world, world.log_policy(shift)) < 0 for shift in shifts if np.isfinite(shift).all()]
                limits = binom.ppf([FALSE_ALARM / 2, 1.0 - FALSE_ALARM / 2], len(shifts), self.share)
                ratio, p = from_middle(sum(better), limits[0] - 0.5, limits[1] + 0.5), binomial_p(sum(better), len(shifts), self.share)
                yield Finding(instance.name, ratio, p=p) if len(better) == len(shifts) else Finding(instance.name, np.inf, p=0.0)

    def planted(self, size: float) -> Self:
        return replace(self, share=min(self.share + size, 1.0))

"""DPO-5 and CDPO-3: under flips the error of DPO and of its smoothed form has a floor that no number of labels lowers.

With labels flipped at e and smoothed by s (0: DPO), w = s + (1 - 2 s) p~ and b the bias of the population's minimiser, whose
fitted probabilities are q = sigmoid(z . (theta* - theta0 + b)),

    E |theta^ - theta*|_H^2  =  |b|_H^2 + tr(H C)/n,        sqrt(n) (theta^ - theta* - b)  ->  N(0, C),
    C = H_b^-1 E[((1 - 2 s)^2 p~ (1 - p~) + (w - q)^2) z z'] H_b^-1,        H_b = E[q (1 - q) z z'].

The first equality leaves out 2 b'H E[theta^ - theta* - b], of order 1/n as well, which on the standard worlds is small beside the
trace; the scatter about the biased limit is checked on its own. H is the Fisher information of clean labels. b is found here
from its own equation E[(w - q) z] = 0, and not by a fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import root
from scipy.special import expit
from scipy.stats import chi2

from algorithms.cdpo import ConservativeDPO
from algorithms.dpo import DPO
from algorithms.fit import fit
from algorithms.pair_loss import PairLoss
from envs.pair_truth import information
from envs.pairs import Pairs
from theory.chance import ByChance
from theory.claim import Conditions, Finding
from theory.conditions import FLIPS_ALIKE, at_most_pairs
from theory.pair_statistics import BY_LIMIT_LAW, FALSE_ALARM
from theory.testbed import PairClaim, PairTestbed


@dataclass(frozen=True, kw_only=True)
class Floor(PairClaim, ByChance):
    """Repeated fits at several n: their mean square error, and their scatter about the biased limit.

    Parameters
    ----------
    learner : flip rate -> PairLoss
    smoothing : flip rate -> s of the formula
    law : (world, s) -> (D,) b and (D, D) C
    n : numbers of labels
    repeats : int, fits at each
    largest : int, pairs of the largest world it is put to
    """

    id: str = "DPO-5"
    provenance: str = "derived"
    statement: str = "DPO, flips: E|err|_H^2 = bias^2 + tr(H C)/n, C = H_b^-1 E[(p~(1-p~) + (p~-q)^2) zz'] H_b^-1"
    source: str = "asymptotics of M-estimators, for the loss of arXiv 2305.18290"
    kind: ClassVar[str] = "distribution"
    false_alarm: ClassVar[str | None] = BY_LIMIT_LAW
    sense: str = "tight"
    learner: Callable[[float], PairLoss] = lambda flip: DPO()
    smoothing: Callable[[float], float] = lambda flip: 0.0
    law: Callable[[Pairs, float], tuple[NDArray, NDArray]] = field(default_factory=lambda: limit)
    n: Sequence[int] = (10_000, 100_000, 1_000_000)
    repeats: int = 200
    seed: int = 5
    largest: int = 2000
    effect: ClassVar[str] = "claimed C too large by a share s"
    size: ClassVar[float] = 2.0

    @property
    def conditions(self) -> Conditions:
        return FLIPS_ALIKE | at_most_pairs(self.largest)

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            world, flip = instance.world, instance.world.flip_rate
            bias, covariance = self.law(world, self.smoothing(flip))
            metric, loss = information(world), self.learner(flip)
            for n in self.n:
                samples = (world.comparisons(n, self.seed, repeat) for repeat in range(self.repeats))
                errors = np.stack([fit(loss, sample).theta for sample in samples]) - world.shift
                square = np.einsum("ri,ij,rj->", errors, metric, errors)
                yield self._finding(f"{instance.name}, n = {n}, mean square", square, bias, covariance / n, metric)
                around, precision = errors - bias, np.linalg.inv(covariance / n)
                square = np.einsum("ri,ij,rj->", around, precision, around)
                yield self._finding(f"{instance.name}, n = {n}, scatter", square, np.zeros_like(bias), covariance / n, precision)

    def _finding(self, name: str, total: float, mean: NDArray, covariance: NDArray, metric: NDArray) -> Finding:
        ratio, p = _surprise(total, mean, covariance, metric, self.repeats)
        return Finding(name, ratio, p=p)

    def planted(self, size: float) -> Self:
        def law(world: Pairs, s: float) -> tuple[NDArray, NDArray]:
            bias, covariance = self.law(world, s)
            return bias, (1 + size) * covariance

        return replace(self, law=law)

    def brief(self) -> Self:
        return replace(self, repeats=self.repeats // 40)


@dataclass(frozen=True, kw_only=True)
class ConservativeFloor(Floor):
    """The same for conservative DPO with s = e."""

    id: str = "CDPO-3"
    statement: str = "conservative DPO, s = e: E|err|_H^2 = bias^2 + tr(H C)/n, C with (1-2e)^2 p~(1-p~) + (w-q)^2, w = e + (1-2e)p~"
    source: str = "asymptotics of M-estimators, for the smoothed logistic loss (Mitchell 2023)"
    learner: Callable[[float], PairLoss] = ConservativeDPO
    smoothing: Callable[[float], float] = lambda flip: flip


def limit(world: Pairs, s: float) -> tuple[NDArray, NDArray]:
    """(D,) bias b and (D, D) covariance C of the module's formulas."""
    z, weight, observed = world.rows.features, world.rows.weight, world.rows.observed
    target = s + (1 - 2 * s) * observed

    def moment(value: NDArray) -> NDArray:
        return (z * (weight * value)[:, None]).T @ z

    def excess(theta: NDArray) -> NDArray:
        return (weight * (expit(z @ theta) - target)) @ z

    def slope(theta: NDArray) -> NDArray:
        q = expit(z @ theta)
        return moment(q * (1 - q))

    theta = root(excess, np.zeros(world.d), jac=slope, tol=1e-14).x
    q = expit(z @ theta)
    inverse = np.linalg.inv(moment(q * (1 - q)))
    scores = moment((1 - 2 * s) ** 2 * observed * (1 - observed) + (target - q) ** 2)
    return theta - world.shift, inverse @ scores @ inverse


def _surprise(total: float, mean: NDArray, covariance: NDArray, metric: NDArray, repeats: int) -> tuple[float, float]:
    """How far a sum of |x|_metric^2 over independent normal x lies from its mean, over half of the two-sided interval; and its p.

    Quantiles are those of the shifted chi-square of the same first three cumulants (Pearson's approximation).
    """
    spread, away = metric @ covariance, metric @ mean
    first = repeats * (mean @ away + np.trace(spread))
    second = repeats * (4 * away @ covariance @ away + 2 * np.trace(spread @ spread))
    third = repeats * (24 * away @ covariance @ metric @ covariance @ away + 8 * np.trace(spread @ spread @ spread))
    freedom, unit = 8 * second**3 / third**2, third / (4 * second)
    quantile, tail = (chi2.isf, chi2.sf) if total > first else (chi2.ppf, chi2.cdf)
    place = (total - first) / unit + freedom
    ratio = (place - freedom) / (quantile(FALSE_ALARM / 2, freedom) - freedom)
    return float(ratio), float(min(1.0, 2 * tail(place, freedom)))

"""DPO-3 and CDPO-2: flipped labels shrink log-linear policies towards the reference, smoothing shrinks them again.

For small margins the logistic loss is a square, and the limit of fits to more and more labels flipped at e is

    DPO                              theta - theta0  ->  (1 - 2 e)   (theta* - theta0)
    conservative DPO with s = e      theta - theta0  ->  (1 - 2 e)^2 (theta* - theta0)

up to a share of the order of the squared margins. At margins of any size the bias is that of the population's minimiser
(`theory.dpo_floor`); conservative DPO's is the larger on every world tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from algorithms.cdpo import ConservativeDPO
from algorithms.dpo import DPO
from algorithms.fit import fit
from algorithms.pair_loss import PairLoss
from algorithms.rdpo import RobustDPO
from envs.pair_truth import information, robust_covariance
from envs.pairs import Pairs
from theory.chance import ByChance
from theory.claim import Conditions, Finding
from theory.conditions import FLIPS_ALIKE, REWARD
from theory.dpo_fits import flips_alike
from theory.pair_statistics import BY_LIMIT_LAW, FALSE_ALARM
from theory.testbed import PairClaim, PairTestbed

Learner = Callable[[float], PairLoss]


def bias(loss: PairLoss, world: Pairs) -> NDArray:
    """(D,) limit of the error theta - theta*."""
    return fit(loss, world.population()).theta - world.shift


def length(error: NDArray, metric: NDArray) -> float:
    """sqrt(error' metric error)."""
    return float(np.sqrt(error @ metric @ error))


@dataclass(frozen=True, kw_only=True)
class Shrinkage(PairClaim):
    """The population's minimiser for a reward of small spread against the stated multiple of the truth.

    Parameters
    ----------
    learner : flip rate -> PairLoss
    times : int, the power of 1 - 2 e
    scale : float, the reward's standard deviation
    error : float, allowed distance relative to the multiple's length, in the norm of H
    """

    id: str = "DPO-3"
    provenance: str = "derived"
    statement: str = "log-linear DPO, flips e, small margins, n to infinity: theta - theta0 = (1-2e)(theta* - theta0)"
    source: str = "expansion of the expected logistic loss of arXiv 2305.18290"
    kind: ClassVar[str] = "constant"
    sense: str = "tight"
    learner: Learner = lambda flip: DPO()
    times: int = 1
    scale: float = 1e-3
    error: float = 1e-5

    @property
    def conditions(self) -> Conditions:
        return FLIPS_ALIKE

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            world = replace(instance.world, scale=self.scale)
            claimed, metric = (1 - 2 * world.flip_rate) ** self.times * world.shift, information(world)
            error = bias(self.learner(world.flip_rate), world) + world.shift - claimed
            yield Finding(instance.name, length(error, metric) / (self.error * length(claimed, metric)))


@dataclass(frozen=True, kw_only=True)
class ConservativeShrinkage(Shrinkage):
    """The same for conservative DPO, which shrinks twice."""

    id: str = "CDPO-2"
    statement: str = "log-linear conservative DPO, s = e, flips e, small margins, n to infinity: factor (1-2e)^2"
    source: str = "expansion of the expected smoothed logistic loss (Mitchell 2023)"
    learner: Learner = ConservativeDPO
    times: int = 2


@dataclass(frozen=True, kw_only=True)
class ConservativeBiasIsLarger(PairClaim):
    """DPO's bias over conservative DPO's, in the norm of H.

    Parameters
    ----------
    learner : flip rate -> PairLoss
    """

    id: str = "CDPO-2a"
    provenance: str = "derived"
    statement: str = "with s = e, on labels flipped at e, conservative DPO's bias is larger than DPO's"
    source: str = "CDPO-2 against DPO-3, at the world's own margins"
    kind: ClassVar[str] = "final"
    learner: Learner = ConservativeDPO

    @property
    def conditions(self) -> Conditions:
        return FLIPS_ALIKE | REWARD

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            world, metric = instance.world, information(instance.world)
            theirs = length(bias(self.learner(world.flip_rate), world), metric)
            yield Finding(instance.name, length(bias(DPO(), world), metric) / theirs if theirs > 1e-9 else np.inf)


@dataclass(frozen=True, kw_only=True)
class NoBiasFromFlips(PairClaim, ByChance):
    """One fit to many labels: T = n e'C^-1 e over the point that chi-square with D degrees of freedom passes with chance 1e-6.

    C is the least covariance that an unbiased estimate from flipped labels has, robust DPO's to first order.

    Parameters
    ----------
    learner : flip rate -> PairLoss
    n : int, labels
    """

    id: str = "DPO-consistent"
    provenance: str = "derived"
    statement: str = "DPO's estimate from 10^6 flipped labels lies within sampling error of theta*"
    source: str = "contradicts DPO-3: the bias does not fade with n"
    kind: ClassVar[str] = "distribution"
    false_alarm: ClassVar[str | None] = BY_LIMIT_LAW
    sense: str = "predicted to fail"
    learner: Learner = lambda flip: DPO()
    n: int = 1_000_000
    seed: int = 3
    effect: ClassVar[str] = "robust DPO in place of the learner, told a rate of wrong labels too small by a share s (1: DPO)"
    size: ClassVar[float] = 0.02

    @property
    def conditions(self) -> Conditions:
        return FLIPS_ALIKE | {"DPO's bias is ten times what sampling explains": self._biased}

    def _biased(self, testbed: PairTestbed) -> bool:
        world = testbed.world
        return flips_alike(world) and self._distance(bias(DPO(), world), world) > 10 * _limit(world)

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            world = instance.world
            error = fit(self.learner(world.flip_rate), world.comparisons(self.n, self.seed)).theta - world.shift
            distance = self._distance(error, world)
            yield Finding(instance.name, distance / _limit(world), p=float(chi2.sf(distance, world.d)))

    def planted(self, size: float) -> Self:
        return replace(self, learner=lambda flip: RobustDPO((1 - min(size, 1.0)) * flip))

    def _distance(self, error: NDArray, world: Pairs) -> float:
        return float(self.n * error @ np.linalg.solve(robust_covariance(world, world.flip_rate), error))


@dataclass(frozen=True, kw_only=True)
class NoBiasWithSmoothing(NoBiasFromFlips):
    """The same of conservative DPO, told the right rate."""

    id: str = "CDPO-consistent"
    statement: str = "conservative DPO's estimate, s = e, from 10^6 labels flipped at e lies within sampling error of theta*"
    source: str = "contradicts CDPO-2: smoothing adds to the bias"
    learner: Learner = ConservativeDPO


def _limit(world: Pairs) -> float:
    return float(chi2.isf(FALSE_ALARM, world.d))

"""DPO-2 and CDPO-1: what flipped labels, and smoothing, do to the margin of a pair that has a parameter of its own.

Labels that are wrong with probability e name the first response with probability p~ = e + (1 - 2 e) p. Then

    DPO-2     DPO's margin is logit(p~), so |u| <= log((1 - e)/e) even for p = 1
    CDPO-1    on these labels conservative DPO with s = e shrinks again: u = logit(q), 1 - 2 q = (1 - 2 e)^2 (1 - 2 p)
    CDPO-1a   on clean labels its expected loss is DPO's on the flipped ones, so the two share their minimisers
    CDPO-1b   on any labels |u| <= log((1 - s)/s): no data drive it to infinity

All are identities of the expected loss; they hold whatever else is fitted beside the pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from algorithms.cdpo import ConservativeDPO
from algorithms.dpo import DPO
from algorithms.fit import fit
from algorithms.pair_loss import PairLoss
from envs.pairs import Pairs
from theory.claim import Conditions, Finding
from theory.conditions import FLIPS_ALIKE
from theory.dpo_fits import furthest, own_margins
from theory.testbed import PairClaim, PairTestbed

SURE = (0.9, 1 - 1e-3, 1 - 1e-6, 1.0)
"""Win probabilities p towards certainty."""


@dataclass(frozen=True, kw_only=True)
class MarginOfDPO(PairClaim):
    """Margins fitted to flipped labels against the closed form, and against their bound as p tends to 1.

    Parameters
    ----------
    learner : flip rate -> PairLoss
    shrinkages : int, how many times 1 - 2 e multiplies 2 p - 1
    bounded : whether the bound is checked too
    error : float, allowed difference relative to the largest margin
    """

    id: str = "DPO-2"
    provenance: str = "derived"
    statement: str = "DPO on one pair, flips e: u = logit(e + (1-2e)p), and |u| <= log((1-e)/e) up to p = 1"
    source: str = "minimiser of the logistic loss of arXiv 2305.18290"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    learner: Callable[[float], PairLoss] = lambda flip: DPO()
    shrinkages: int = 1
    bounded: bool = True
    error: float = 1e-9

    @property
    def conditions(self) -> Conditions:
        return FLIPS_ALIKE

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            rows, flip = instance.world.rows, instance.world.flip_rate
            loss = self.learner(flip)
            truth = logit(0.5 + (1 - 2 * flip) ** self.shrinkages * (rows.clean - 0.5))
            yield Finding(instance.name, furthest(own_margins(loss, rows.observed), truth) / self.error)
            if self.bounded:
                margins = own_margins(loss, flip + (1 - 2 * flip) * np.array(SURE))
                yield Finding(f"{instance.name}, p to 1", float(np.abs(margins).max() / np.log((1 - flip) / flip)))


@dataclass(frozen=True, kw_only=True)
class MarginOfConservativeDPO(MarginOfDPO):
    """Margins that are shrunk twice."""

    id: str = "CDPO-1"
    statement: str = "conservative DPO, s = e, on labels flipped at e: u = logit(q), 1-2q = (1-2e)^2 (1-2p)"
    source: str = "minimiser of the smoothed logistic loss (Mitchell 2023)"
    learner: Callable[[float], PairLoss] = ConservativeDPO
    shrinkages: int = 2
    bounded: bool = False


@dataclass(frozen=True, kw_only=True)
class SmoothingIsNoise(PairClaim):
    """Conservative DPO on expected clean labels against DPO on expected flipped ones, pair by pair and log-linear.

    Parameters
    ----------
    learner : flip rate -> PairLoss, on clean labels
    error : float, allowed difference relative to the largest margin, or parameter
    """

    id: str = "CDPO-1a"
    provenance: str = "derived"
    statement: str = "conservative DPO, s = e, on clean labels has the minimiser of DPO on labels flipped at e"
    source: str = "the mean of a label flipped at e is the label smoothed by e"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    learner: Callable[[float], PairLoss] = ConservativeDPO
    error: float = 1e-9

    @property
    def conditions(self) -> Conditions:
        return FLIPS_ALIKE

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            world, loss = instance.world, self.learner(instance.world.flip_rate)
            alone = own_margins(loss, world.rows.clean), own_margins(DPO(), world.rows.observed)
            yield Finding(f"{instance.name}, pair by pair", furthest(*alone) / self.error)
            together = _limit(loss, replace(world, flip=0.0)), _limit(DPO(), world)
            yield Finding(f"{instance.name}, log-linear", furthest(*together) / self.error)


def _limit(loss: PairLoss, world: Pairs) -> NDArray:
    return fit(loss, world.population()).theta


@dataclass(frozen=True, kw_only=True)
class BoundedMargins(PairClaim):
    """Margins of pairs won always, as often as the world says, or never, over their bound.

    Parameters
    ----------
    learner : smoothing -> PairLoss
    smoothings : values of s in (0, 1/2)
    """

    id: str = "CDPO-1b"
    provenance: str = "derived"
    statement: str = "conservative DPO on one pair: |u| <= log((1-s)/s) whatever the labels, also all alike"
    source: str = "minimiser of the smoothed logistic loss (Mitchell 2023)"
    kind: ClassVar[str] = "final"
    learner: Callable[[float], PairLoss] = ConservativeDPO
    smoothings: Sequence[float] = (0.01, 0.1, 0.4)

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            shares = np.concatenate([instance.world.rows.clean, [0.0, 1.0]])
            for s in self.smoothings:
                largest = np.abs(own_margins(self.learner(s), shares)).max()
                yield Finding(f"{instance.name}, s = {s:g}", float(largest / np.log((1 - s) / s)))

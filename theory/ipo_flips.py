"""IPO-off-4 and IPO-off-5: for IPO a flip rate and tau are one dial.

Labels flipped at e have 2 p~ - 1 = (1 - 2 e)(2 p - 1), and IPO's minimiser is linear in 2 p - 1 and 1/tau, so that

    IPO-off-4     on one pair h = (2 p~ - 1)/(2 tau); on any features flips at e do what tau -> tau/(1 - 2 e) does on clean labels
    IPO-off-5     the debiased loss ((1 - e) L(h) - e L(-h))/(1 - 2 e), L(h) = (h - 1/(2 tau))^2, is
                  (h - 1/(2 tau (1 - 2 e)))^2 + const

The comparison of two fits is blind to a wrong constant before 1/tau; the value on one pair is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from algorithms.fit import fit
from algorithms.ipo import IPO
from algorithms.pair_loss import PairLoss
from algorithms.robust_ipo import RobustIPO
from theory.claim import Conditions, Finding
from theory.conditions import FLIPS_ALIKE
from theory.dpo_fits import furthest, own_margins
from theory.testbed import PairClaim, PairTestbed


@dataclass(frozen=True, kw_only=True)
class FlipsAreTau(PairClaim):
    """Fits to expected flipped labels against the closed form, pair by pair, and against clean fits at another tau, log-linear.

    Parameters
    ----------
    learner : tau -> PairLoss
    taus : values of tau
    error : float, allowed difference relative to the largest log-ratio, or parameter
    """

    id: str = "IPO-off-4"
    provenance: str = "derived"
    statement: str = "offline IPO on one pair: h = (2p-1)/(2 tau); flips at e act as tau -> tau/(1-2e), on any features"
    source: str = "minimiser of the loss of arXiv 2310.12036"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    learner: Callable[[float], PairLoss] = IPO
    taus: Sequence[float] = (0.1, 2.0)
    error: float = 1e-9

    @property
    def conditions(self) -> Conditions:
        return FLIPS_ALIKE

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            world, clean = instance.world, replace(instance.world, flip=0.0)
            for tau in self.taus:
                alone = own_margins(self.learner(tau), world.rows.observed)
                claimed = (1 - 2 * world.flip_rate) * (2 * world.rows.clean - 1) / (2 * tau)
                yield Finding(f"{instance.name}, pair by pair, tau = {tau:g}", furthest(alone, claimed) / self.error)
                flipped = fit(self.learner(tau), world.population(log_ratio=True)).theta
                slower = fit(self.learner(tau / (1 - 2 * world.flip_rate)), clean.population(log_ratio=True)).theta
                yield Finding(f"{instance.name}, log-linear, tau = {tau:g}", furthest(flipped, slower) / self.error)


@dataclass(frozen=True, kw_only=True)
class DebiasingIsTau(PairClaim):
    """The loss and its slope against the two-term form, and against the square with another target, at many margins.

    Parameters
    ----------
    learner : (tau, flip rate) -> PairLoss
    taus : values of tau
    multiples : of the world's log-ratios
    error : float, allowed difference relative to the terms
    """

    id: str = "IPO-off-5"
    provenance: str = "derived"
    statement: str = "robust IPO: ((1-e)L(h) - e L(-h))/(1-2e) = (h - 1/(2 tau (1-2e)))^2 + const"
    source: str = "debiasing of arXiv 2403.00409 put to the loss of arXiv 2310.12036"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    learner: Callable[[float, float], PairLoss] = RobustIPO
    taus: Sequence[float] = (0.1, 2.0)
    multiples: Sequence[float] = (-10.0, -1.0, 0.0, 1.0, 10.0)
    error: float = 1e-12

    @property
    def conditions(self) -> Conditions:
        return FLIPS_ALIKE

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            world, e = instance.world, instance.world.flip_rate
            h = np.outer(self.multiples, world.rows.features @ world.shift / world.beta)
            for tau in self.taus:
                loss, aim = self.learner(tau, e), 1 / (2 * tau)
                terms = (1 - e) * (h - aim) ** 2 / (1 - 2 * e), e * (h + aim) ** 2 / (1 - 2 * e)
                constant = aim**2 - (aim / (1 - 2 * e)) ** 2
                off = (
                    loss.value(h) - (terms[0] - terms[1]),
                    loss.value(h) - (h - aim / (1 - 2 * e)) ** 2 - constant,
                    loss.slope(h) - 2 * (h - aim / (1 - 2 * e)),
                )
                yield Finding(f"{instance.name}, tau = {tau:g}", float(np.abs(off).max() / (self.error * (1 + np.max(terms)))))

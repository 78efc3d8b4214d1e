"""SPPO-4 and DNO-2: what one exact step does to winners and losers, and that it minimises DNO's regression.

SPPO-4. log p+ - log p = eta P p - log Z, and Hoeffding's lemma bounds the normaliser, 0 <= log Z/eta - 1/2 <= eta/8: every response
with a win rate above 1/2 + eta/8 rises, every one below 1/2 falls.

DNO-2. The regression of the cross-entropy between sigmoid(r_i - r_j) and sigmoid(eta_DNO (g_i - g_j)), r = P p, g = log p+ / p,
has gradient eta_DNO sum_j w_ij (sigmoid(eta_DNO (g_i - g_j)) - sigmoid(r_i - r_j)), which is 0 at the exact step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from algorithms.dno import DNO
from algorithms.sppo import SPPO
from simlab.run import Method, Run
from theory.claim import Claim, Conditions, Finding, Instance, gather, runs, whatever_beta
from theory.conditions import at_most_actions

ROUNDING = 1e-12
"""Win rates and log-probabilities are told apart beyond this."""


def _wins(batch: Sequence[Instance], run: Run) -> NDArray:
    """(N, R - 1, K) win rates against each policy but the last."""
    preference = np.stack([instance.game.preference for instance in batch])
    return np.einsum("nij,nrj->nri", preference, np.exp(run.log_policy[:, :-1]))


@dataclass(frozen=True, kw_only=True)
class WinnersRise(Claim):
    """Rises and falls of all responses at every step, and the normaliser's bounds.

    Parameters
    ----------
    rates : values of eta
    method : rate -> Method
    """

    id: str = "SPPO-4"
    provenance: str = "derived"
    statement: str = "SPPO, exact: responses with win rate above 1/2 + eta/8 rise, below 1/2 fall; 0 <= log Z/eta - 1/2 <= eta/8"
    source: str = "idea of the abstract of arXiv 2405.00675 (chosen responses rise, rejected ones fall); bounds derived here (Hoeffding)"
    kind: ClassVar[str] = "every step"
    rates: Sequence[float] = (0.1, 1.0)
    method: Callable[[float], Method] = SPPO
    steps: int = 200

    @property
    def conditions(self) -> Conditions:
        return {}

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for rate in self.rates:
            yield from self._at(rate, whatever_beta(instances))

    def _at(self, rate: float, instances: Sequence[Instance]) -> Iterable[Finding]:
        for batch, run in runs(instances, lambda beta: self.method(rate), steps=self.steps):
            wins, rise = _wins(batch, run), np.diff(run.log_policy, axis=1)
            winners, losers = wins > 0.5 + rate / 8 + ROUNDING, wins < 0.5 - ROUNDING
            wrong = (winners & (rise <= 0)) | (losers & (rise >= 0))
            normaliser = np.log((np.exp(run.log_policy[:, :-1] + rate * (wins - 0.5))).sum(axis=-1)) / rate
            excess = np.where(normaliser < -ROUNDING, np.inf, normaliser / (rate / 8))
            said = np.any(winners | losers, axis=-1)
            yield from gather(batch, np.where(np.any(wrong, axis=-1), np.inf, excess), said, run, f", eta = {rate:g}")


@dataclass(frozen=True, kw_only=True)
class RegressionMinimised(Claim):
    """The gradient of DNO's regression at the policy that the method returns.

    Parameters
    ----------
    eta : DNO's own eta
    method : eta -> Method
    error : float, allowed size of the gradient's terms
    """

    id: str = "DNO-2"
    provenance: str = "derived"
    statement: str = "DNO: the exact step sets the gradient of its regression to zero"
    source: str = "arXiv 2404.03715 (Algorithm 1 as recalled); gradient written out here"
    kind: ClassVar[str] = "fixed point"
    sense: str = "tight"
    eta: float = 2.0
    method: Callable[[float], Method] = DNO.from_paper
    steps: int = 20
    error: float = 1e-12
    largest_game: int = 10

    @property
    def conditions(self) -> Conditions:
        return at_most_actions(self.largest_game)

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for batch, run in runs(whatever_beta(instances), lambda beta: self.method(self.eta), steps=self.steps):
            rewards, gains = _wins(batch, run), self.eta * np.diff(run.log_policy, axis=1)
            target = expit(rewards[..., :, None] - rewards[..., None, :])
            fitted = expit(gains[..., :, None] - gains[..., None, :])
            said = np.ptp(rewards, axis=-1) > 1e-6
            yield from gather(batch, np.abs(fitted - target).max(axis=(-1, -2)) / self.error, said, run)

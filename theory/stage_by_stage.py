"""OMWUR-0, DNO-P-0 and NMDPG-2: single steps against their equations, where nothing sharper than a bound is known of the iterates.

    OMWUR-0    log w+ = r log p + (1 - r) log ref + eta P w,   log p+ = r log p + (1 - r) log ref + eta P w+        r = 1 - eta beta
    DNO-P-0    one inner pass:  s+ = s + 4 (P p - sum_j p_j sigmoid(s_i - s_j)),   log p+ = log p + eta s+
    NMDPG-2    theta+ = theta + a d/dtheta (<p, P m> - beta KL(p | ref)),   m = p^(1-w) ref^w held fixed

all up to a constant. The derivative is taken by the complex step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from algorithms.dno_prct import DNOPrct
from algorithms.nash_md_pg import NashMDPG
from algorithms.optimistic import RegularisedOptimistic
from envs.divergence import log_normalise
from envs.game import Game
from simlab.run import Method, Run
from theory.claim import Conditions, Instance
from theory.conditions import REGULARISED, at_most_actions
from theory.online_ipo_gradients import derivative
from theory.written_out import WrittenOut, references, wins_against


@dataclass(frozen=True, kw_only=True)
class SingleCallUpdates(WrittenOut):
    """Both stages of the regularised single-call form, from the recorded half points.

    Parameters
    ----------
    rate : eta, where rate * beta < 1; half of 1/beta otherwise
    method : rate -> Method with the slots policy and half
    """

    id: str = "OMWUR-0"
    statement: str = (
        "single call: log w+ = r log p + (1-r) log ref + eta P w + c, and log p+ the same with P w+; r = 1 - eta beta, w_0 = p_0"
    )
    source: str = "the updates of Cen, Wei and Chi, arXiv 2105.15186, as recalled"
    provenance: str = "recalled"
    slots: ClassVar[Sequence[str]] = ("policy", "half")
    rate: float = 0.4
    method: Callable[[float], Method] = RegularisedOptimistic

    def made(self, beta: float) -> Method:
        return self.method(self._rate(beta))

    def sides(self, batch: Sequence[Instance], run: Run) -> tuple[NDArray, NDArray]:
        rate, half = self._rate(batch[0].game.beta), run.log_slots["half"]
        pull = rate * batch[0].game.beta
        anchor, wins = (1 - pull) * run.log_policy[:, :-1] + pull * references(batch), wins_against(batch, np.exp(half))
        left = np.concatenate([half[:, 1:], run.log_policy[:, 1:]], axis=1)
        return left, np.concatenate([anchor + rate * wins[:, :-1], anchor + rate * wins[:, 1:]], axis=1)

    def _rate(self, beta: float) -> float:
        return min(self.rate, 0.5 / beta)


@dataclass(frozen=True, kw_only=True)
class ProjectionSteps(WrittenOut):
    """One inner pass and one step of DNO-Prct.

    Parameters
    ----------
    rate : eta
    method : (rate, inner passes) -> Method with the slots policy and scores
    """

    id: str = "DNO-P-0"
    statement: str = "DNO-Prct, one inner pass: s+ = s + 4 (P p - sum_j p_j sigmoid(s_i - s_j)) + c, then log p+ = log p + eta s+ + c"
    source: str = "the majorising step of the fit used here, and the step of arXiv 2404.03715 (Algorithm 2 as recalled)"
    slots: ClassVar[Sequence[str]] = ("policy", "scores")
    rate: float = 0.5
    method: Callable[[float, int], Method] = DNOPrct
    steps: int = 10

    @property
    def conditions(self) -> Conditions:
        return at_most_actions(10)

    def made(self, beta: float) -> Method:
        return self.method(self.rate, 1)

    def sides(self, batch: Sequence[Instance], run: Run) -> tuple[NDArray, NDArray]:
        before, after = run.log_slots["scores"][:, :-1], run.log_slots["scores"][:, 1:]
        policy = np.exp(run.log_policy[:, :-1])
        fitted = np.einsum("nrij,nrj->nri", expit(before[..., :, None] - before[..., None, :]), policy)
        right = [before + 4 * (wins_against(batch, policy) - fitted), run.log_policy[:, :-1] + self.rate * after]
        return np.concatenate([after, run.log_policy[:, 1:]], axis=1), np.concatenate(right, axis=1)


def regularised_value(game: Game, logits: NDArray, policy: NDArray, mixture: NDArray) -> Any:
    """<p, P mixture> - beta KL(p | ref) at complex logits (K,), the mixture (K,) held fixed; `policy` plays no part."""
    log_p = logits - np.log(np.exp(logits).sum())
    return np.exp(log_p) @ (game.preference @ mixture - game.beta * (log_p - game.log_reference))


@dataclass(frozen=True, kw_only=True)
class PolicyGradientSteps(WrittenOut):
    """Steps of Nash-MD-PG against derivatives of the value that it ascends.

    Parameters
    ----------
    rate : a
    mixture : w
    method : (rate, mixture) -> Method
    """

    id: str = "NMDPG-2"
    statement: str = "Nash-MD-PG: theta+ = theta + a d/dtheta (<p, P m> - beta KL(p|ref)), m = p^(1-w) ref^w held fixed"
    source: str = "update of arXiv 2312.00886 as in public trainers; the derivative is taken of the value itself"
    rate: float = 0.5
    mixture: float = 0.3
    method: Callable[[float, float], Method] = NashMDPG
    steps: int = 3

    @property
    def conditions(self) -> Conditions:
        return REGULARISED | at_most_actions(10)

    def made(self, beta: float) -> Method:
        return self.method(self.rate, self.mixture)

    def sides(self, batch: Sequence[Instance], run: Run) -> tuple[NDArray, NDArray]:
        before = run.log_policy[:, :-1]
        mixtures = np.exp(log_normalise((1 - self.mixture) * before + self.mixture * references(batch)))
        slopes = [
            [derivative(regularised_value, instance.game, *pair) for pair in zip(*own, strict=True)]
            for instance, *own in zip(batch, before, mixtures, strict=True)
        ]
        return run.log_policy[:, 1:], before + self.rate * np.array(slopes)

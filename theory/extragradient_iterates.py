"""NMP-3 to NMP-6: half iterates, log-probabilities in the span norm, and exploitability of the extragradient's iterates.

With rho = 1 - eta beta, KL_k = KL(p* | p_k), w_k the half point made from p_k, s_k = span(log p_k - log p*):

    NMP-3   KL(p* | w_k) <= 2 rho^k KL_0                                   the constant 2 as recalled; 1 is too small
    NMP-4   s_(k+1) <= rho s_k + eta |w_k - p*|_1
    NMP-5   s_k <= rho^k s_0 + (2/beta) sqrt(4 KL_0) rho^((k-1)/2)         half the exponent of KL
    NMP-6   e(p_k) <= KL_k/(4 beta) + beta sqrt(KL_k/2) s_k                 twice that for the duality gap

NMP-4 subtracts the fixed-point equation of p* from the second stage; NMP-5 sums it with NMP-3 and Pinsker; NMP-6 bounds
KL(p | p*) + KL(p* | p) = <p - p*, log p - log p*> in GT-4's form.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.nash_mp import NashMP
from envs.divergence import kl
from envs.game import Game
from simlab import metrics
from simlab.run import Method, Run
from theory.bound import Bound
from theory.claim import KL_FLOOR, Conditions, Finding, Instance, equilibria, gather, runs
from theory.conditions import REGULARISED, witness

SPAN_FLOOR = 1e-8
"""Spans of log-probabilities below this are rounding."""


def span(difference: NDArray) -> NDArray:
    """Largest minus smallest entry over the last axis."""
    return np.ptp(difference, axis=-1)


@dataclass(frozen=True, kw_only=True)
class ExtragradientIterates(Bound):
    """What the four statements share: Nash-MP's trajectory at lambda = 1/2, half points recorded.

    Parameters
    ----------
    method : rate -> Method with the slots policy and half
    """

    kind: ClassVar[str] = "every step"
    method: Callable[[float], Method] = NashMP
    steps: int = 500

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for batch, run in runs(instances, lambda beta: self.method(1 / (beta + 0.5)), steps=self.steps, slots=("policy", "half")):
            with np.errstate(all="ignore"):
                yield from gather(batch, *self.ratios(batch, run), run)

    @abstractmethod
    def ratios(self, batch: Sequence[Instance], run: Run) -> tuple[NDArray, NDArray]:
        """(N, ...) measured / claimed, and where it counts."""


def _decay(batch: Sequence[Instance]) -> tuple[float, float, float]:
    """beta, eta = 1/(beta + 1/2), and rho = 1 - eta beta."""
    beta = batch[0].game.beta
    return beta, 1 / (beta + 0.5), 0.5 / (beta + 0.5)


@dataclass(frozen=True, kw_only=True)
class HalfIterate(ExtragradientIterates):
    """KL(p* | w_k) <= constant rho^k KL_0.

    Parameters
    ----------
    constant : float
    """

    constant: float = 2.0

    def ratios(self, batch: Sequence[Instance], run: Run) -> tuple[NDArray, NDArray]:
        _, _, rho = _decay(batch)
        best = equilibria(batch)
        first, half = kl(best, run.log_policy[:, :1]), kl(best, run.log_slots["half"][:, 1:])
        return half / (self.constant * rho ** run.steps[:-1] * first), (half > KL_FLOOR) & (first > KL_FLOOR)


@dataclass(frozen=True, kw_only=True)
class SmallerHalfIterateConstant(HalfIterate):
    """The same with the constant 1, on an instance that is known to exceed it.

    Parameters
    ----------
    witness : name of the standard instance
    """

    id: str = "NMP-3-one"
    provenance: str = "derived"
    statement: str = "Nash-MP: NMP-3 with the constant 1, KL(p*|w_k) <= (1 + 2 beta)^(-k) KL_0"
    source: str = "measured: exceeded by up to a fifth on cyclic games"
    kind: ClassVar[str] = "existence"
    sense: str = "predicted to fail"
    constant: float = 1.0
    witness: str = "cycle of 5, beta=0.01, from the reference"

    @property
    def conditions(self) -> Conditions:
        return witness(self.witness)

    @property
    def ground(self) -> Conditions:
        return REGULARISED


@dataclass(frozen=True, kw_only=True)
class SpanRecursion(ExtragradientIterates):
    """s_(k+1) <= rho s_k + eta |w_k - p*|_1."""

    id: str = "NMP-4"
    provenance: str = "derived"
    statement: str = "Nash-MP: s_(k+1) <= (1 - eta beta) s_k + eta |w_k - p*|_1 for s = span(log p - log p*)"
    source: str = "the second stage less the fixed-point equation of p*"

    def ratios(self, batch: Sequence[Instance], run: Run) -> tuple[NDArray, NDArray]:
        _, eta, rho = _decay(batch)
        best = equilibria(batch)
        spans = span(run.log_policy - best)
        distance = np.abs(np.exp(run.log_slots["half"][:, 1:]) - np.exp(best)).sum(axis=-1)
        resolved = spans[:, 1:] > SPAN_FLOOR * (1 + np.abs(best).max(axis=-1))
        return spans[:, 1:] / (rho * spans[:, :-1] + eta * distance), resolved


@dataclass(frozen=True, kw_only=True)
class SpanDecay(ExtragradientIterates):
    """s_k <= rho^k s_0 + (2/beta) sqrt(4 KL_0) rho^((k-1)/2)."""

    id: str = "NMP-5"
    provenance: str = "derived"
    statement: str = "Nash-MP: span(log p_k - log p*) <= rho^k s_0 + (2/beta) sqrt(4 KL_0) rho^((k-1)/2), rho = 1/(1 + 2 beta)"
    source: str = "NMP-4 summed with NMP-3 (its constant recalled) and Pinsker's inequality; the abstract of arXiv 2505.19731 has the rate"

    def ratios(self, batch: Sequence[Instance], run: Run) -> tuple[NDArray, NDArray]:
        beta, _, rho = _decay(batch)
        best = equilibria(batch)
        spans, first = span(run.log_policy - best), kl(best, run.log_policy[:, :1])
        bound = rho**run.steps * spans[:, :1] + 2 / beta * np.sqrt(4 * first) * rho ** ((run.steps - 1) / 2)
        return spans / bound, (spans > SPAN_FLOOR) & (run.steps > 0)


@dataclass(frozen=True, kw_only=True)
class ExploitabilityOfIterates(ExtragradientIterates):
    """e(p_k) <= KL_k/(4 beta) + beta sqrt(KL_k/2) s_k.

    Parameters
    ----------
    measure : (games, log_policy) -> exploitability
    """

    id: str = "NMP-6"
    provenance: str = "derived"
    statement: str = "Nash-MP: exploitability of p_k <= KL_k/(4 beta) + beta sqrt(KL_k/2) span(log p_k - log p*)"
    source: str = "GT-4 with KL(p|p*) <= sqrt(KL(p*|p)/2) times the span; the abstract of arXiv 2505.19731 has the rate"
    measure: Callable[[Sequence[Game], NDArray], NDArray] = metrics.exploitability

    def ratios(self, batch: Sequence[Instance], run: Run) -> tuple[NDArray, NDArray]:
        beta, _, _ = _decay(batch)
        best = equilibria(batch)
        distance, spans = kl(best, run.log_policy), span(run.log_policy - best)
        gap = self.measure([instance.game for instance in batch], run.log_policy)
        return gap / (distance / (4 * beta) + beta * np.sqrt(distance / 2) * spans), (distance > KL_FLOOR) & (spans > SPAN_FLOOR)

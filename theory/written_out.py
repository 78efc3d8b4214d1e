"""SPPO-5, ONPO-2, INPO-4 and NMD-2w: iterates written out as responses to what was met before, exactly, at every T.

    SPPO-5    log p_T = log p_0 + eta T P a_T + const                        a_T the mean of p_0 .. p_(T-1)
    ONPO-2    log p_T = log p_0 + eta (T P a_T + P p_(T-1)) + const          (g_(-1) = 0)
    INPO-4    log p_T = log ref + P sum_t w_t p_t / beta + const             w_t = 2 (t + 1)/(T (T + 1)), eta'_t = beta (t + 2)/2
    NMD-2w     log p_T = log ref + P sum_t w_t m_t / beta + const             m_t = p_t^(t/(t+2)) ref^(2/(t+2)), eta_t = 2/(beta (t + 2))

The first two sum the steps. The others hold from any start: with x = log p/ref, (t + 1)(t + 2) x_(t+1) = t (t + 1) x_t + (2/beta)(t + 1)
P q_t telescopes. Bounds let a step of another size, a schedule that is off by one and an average over other iterates pass; these do not.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.inpo import INPO
from algorithms.nash_md import NashMD
from algorithms.optimistic import OptimisticMirrorDescent
from algorithms.sppo import SPPO
from envs.divergence import log_normalise
from simlab.run import Method, Run
from theory.claim import Claim, Conditions, Finding, Instance, gather, runs


def wins_against(batch: Sequence[Instance], policies: NDArray) -> NDArray:
    """(N, R, K) win rates against (N, R, K) policies, P of each instance's game."""
    return np.einsum("nij,nrj->nri", np.stack([instance.game.preference for instance in batch]), policies)


def references(batch: Sequence[Instance]) -> NDArray:
    """(N, 1, K) log-probabilities of the batch's references."""
    return np.stack([instance.game.log_reference for instance in batch])[:, None]


@dataclass(frozen=True, kw_only=True)
class WrittenOut(Claim):
    """Two sides that agree along a run, up to a number for each policy.

    Parameters
    ----------
    error : float, allowed difference as a share of 1 + the size of the sides
    """

    provenance: str = "derived"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    slots: ClassVar[Sequence[str]] = ("policy",)
    steps: int = 25
    error: float = 1e-12

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for batch, run in runs(instances, self.made, steps=self.steps, slots=self.slots):
            left, right = self.sides(batch, run)
            size = 1 + np.abs(left).max(axis=-1) + np.abs(right).max(axis=-1)
            moved = np.ptp(right, axis=-1) > 1e-9
            yield from gather(batch, np.ptp(left - right, axis=-1) / (self.error * size), moved, run)

    @abstractmethod
    def made(self, beta: float) -> Method:
        """The method at one beta."""

    @abstractmethod
    def sides(self, batch: Sequence[Instance], run: Run) -> tuple[NDArray, NDArray]:
        """Both sides, (N, ..., K)."""


@dataclass(frozen=True, kw_only=True)
class SumOfWins(WrittenOut):
    """SPPO's iterate and its average.

    Parameters
    ----------
    rate : eta
    method : rate -> Method
    """

    id: str = "SPPO-5"
    statement: str = "SPPO: log p_T = log p_0 + eta T P a_T + const, a_T the mean of p_0 .. p_(T-1)"
    source: str = "the steps of arXiv 2405.00675 summed"
    rate: float = 0.5
    method: Callable[[float], Method] = SPPO

    @property
    def conditions(self) -> Conditions:
        return {}

    def made(self, beta: float) -> Method:
        return self.method(self.rate)

    def sides(self, batch: Sequence[Instance], run: Run) -> tuple[NDArray, NDArray]:
        wins = wins_against(batch, np.exp(run.log_average[:, 1:]))
        return run.log_policy[:, 1:] - run.log_policy[:, :1], self.rate * run.steps[1:, None] * wins


@dataclass(frozen=True, kw_only=True)
class OptimisticSumOfWins(SumOfWins):
    """The same of optimistic mirror descent, whose last win rates count twice."""

    id: str = "ONPO-2"
    statement: str = "ONPO: log p_T = log p_0 + eta (T P a_T + P p_(T-1)) + const, a_T the mean of p_0 .. p_(T-1)"
    source: str = "the steps of arXiv 2502.16852 summed, the first with 2 P p_0"
    method: Callable[[float], Method] = OptimisticMirrorDescent

    def sides(self, batch: Sequence[Instance], run: Run) -> tuple[NDArray, NDArray]:
        left, right = super().sides(batch, run)
        return left, right + self.rate * wins_against(batch, np.exp(run.log_policy[:, :-1]))


@dataclass(frozen=True, kw_only=True)
class ScheduledINPO(WrittenOut):
    """INPO under its schedule answers a weighted average of its own iterates.

    Parameters
    ----------
    method : None -> Method, with its schedule
    """

    id: str = "INPO-4"
    statement: str = "INPO, eta'_t = beta (t+2)/2: log p_T = log ref + P sum_t w_t p_t / beta + const, w_t = 2(t+1)/(T(T+1)), any start"
    source: str = "the steps of arXiv 2407.00617 telescoped"
    method: Callable[[None], Method] = INPO

    def made(self, beta: float) -> Method:
        return self.method(None)

    def sides(self, batch: Sequence[Instance], run: Run) -> tuple[NDArray, NDArray]:
        weights = run.steps[1:, None]
        total = np.cumsum(weights * np.exp(self.met(batch, run)), axis=1) * 2 / (weights * (weights + 1))
        return run.log_policy[:, 1:] - references(batch), wins_against(batch, total) / batch[0].game.beta

    def met(self, batch: Sequence[Instance], run: Run) -> NDArray:
        """(N, R - 1, K) log-probabilities of the opponents."""
        return run.log_policy[:, :-1]


@dataclass(frozen=True, kw_only=True)
class ScheduledNashMD(ScheduledINPO):
    """Nash-MD under its schedule answers a weighted average of its mixtures."""

    id: str = "NMD-2w"
    statement: str = "Nash-MD, eta_t = 2/(beta (t+2)): log p_T = log ref + P sum_t w_t m_t / beta + c, m_t = p_t^(t/(t+2)) ref^(2/(t+2))"
    source: str = "the steps of arXiv 2312.00886 telescoped; w_t as in INPO-4"
    method: Callable[[None], Method] = NashMD

    def met(self, batch: Sequence[Instance], run: Run) -> NDArray:
        pull = 2 / (run.steps[:-1, None] + 2)
        return log_normalise((1 - pull) * run.log_policy[:, :-1] + pull * references(batch))

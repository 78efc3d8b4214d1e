"""PP-1 and COMAL-1: exact proximal steps contract, or at least never retreat, for any strength.

    PP-1       KL(p* | p+) <= lambda/(lambda + beta) KL(p* | p)          Nash Prox, p* the regularised equilibrium, any lambda > 0
    COMAL-1    KL(p* | p+) <= KL(p* | p)                                 COMAL, p* any equilibrium of the original game, any tau > 0

Both from the optimality of p+ in its proximal problem, without a condition on the step: <p* - p+, P p+> <= 0 by symmetry. That
sets them apart from mirror prox, which needs lambda large enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from algorithms.comal import COMAL
from algorithms.nash_prox import NashProx
from envs.divergence import kl
from simlab.run import Method
from theory.bound import Bound, Dial
from theory.claim import Conditions, Finding, Instance, contraction, equilibria, gather, runs, whatever_beta
from theory.conditions import REGULARISED, at_most_actions

EXACT_FLOOR = 1e-14
"""Divergences below this are out of reach of inner solves to a residual of 1e-12."""


@dataclass(frozen=True, kw_only=True)
class ProximalContraction(Bound):
    """The per-step bound of Nash Prox.

    Parameters
    ----------
    strengths : values of lambda
    method : (rate of the inner solve or None, lambda) -> Method
    largest_game : the claim is put to games of up to so many actions
    """

    id: str = "PP-1"
    provenance: str = "derived"
    statement: str = "Nash Prox: KL(p*|p+) <= lambda/(lambda + beta) KL(p*|p) at every step, for any lambda > 0"
    source: str = "optimality of the proximal step; the method is arXiv 2505.19731 (v2)"
    kind: ClassVar[str] = "every step"
    dial: ClassVar[Dial] = Dial("strengths", 0.05, 10.0)
    strengths: Sequence[float] = (0.05, 1.0, 10.0)
    method: Callable[[None, float], Method] = NashProx
    steps: int = 25
    largest_game: int = 10

    @property
    def conditions(self) -> Conditions:
        return REGULARISED | at_most_actions(self.largest_game)

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for strength in self.strengths:
            yield from self._at(strength, instances)

    def _at(self, strength: float, instances: Sequence[Instance]) -> Iterable[Finding]:
        for batch, run in runs(instances, lambda beta: self.method(None, strength), steps=self.steps):
            distance = kl(equilibria(batch), run.log_policy)
            ratio, _ = contraction(distance, strength / (strength + batch[0].game.beta))
            yield from gather(batch, ratio, distance[:, :-1] > EXACT_FLOOR, run, f", lambda = {strength:g}")


@dataclass(frozen=True, kw_only=True)
class MovingReference(Bound):
    """COMAL's divergence from an original equilibrium never increases.

    Parameters
    ----------
    strengths : values of tau
    method : tau -> Method
    largest_game : the claim is put to games of up to so many actions
    """

    id: str = "COMAL-1"
    provenance: str = "published"
    statement: str = "COMAL: KL(p*|p+) <= KL(p*|p) for any tau > 0 and any equilibrium p* of the original game"
    source: str = "COMAL, arXiv 2410.23223, via public notes"
    kind: ClassVar[str] = "monotone"
    dial: ClassVar[Dial] = Dial("strengths", 0.05, 10.0)
    strengths: Sequence[float] = (0.1, 1.0)
    method: Callable[[float], Method] = COMAL
    steps: int = 25
    largest_game: int = 10

    @property
    def conditions(self) -> Conditions:
        return at_most_actions(self.largest_game)

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        once = whatever_beta(instances)
        for strength in self.strengths:
            yield from self._at(strength, once)

    def _at(self, strength: float, instances: Sequence[Instance]) -> Iterable[Finding]:
        for batch, run in runs(instances, lambda beta: self.method(strength), steps=self.steps):
            with np.errstate(divide="ignore"):
                best = np.log(np.stack([instance.original_equilibrium for instance in batch]))[:, None]
            distance = kl(best, run.log_policy)
            before, after = distance[:, :-1], distance[:, 1:]
            yield from gather(batch, after / (before + EXACT_FLOOR), before > 1e-10, run, f", tau = {strength:g}")

"""LIN-1: which steps are stable near the equilibrium of rock-paper-scissors.

Deterministic rock-paper-scissors with a uniform reference rests at the uniform policy, where P turns log-probabilities with
frequency w = 1/(2 sqrt 3) and the pull shrinks them. Eigenvalues of one iteration, with r = 1 - eta beta:

    online mirror descent    r + i eta w                         stable  iff  eta < 2 beta/(beta^2 + 1/12)
    online IPO v2            1 - (a/3)(beta - i w)               stable  iff  a < 6 beta/(beta^2 + 1/12)
    EGPO                     r + i eta w (r + i eta w)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from algorithms.egpo import EGPO
from algorithms.online_mirror_descent import OnlineMirrorDescent
from envs.divergence import kl, log_normalise
from envs.game import Game
from simlab.run import Method, simulate
from theory.claim import Claim, Conditions, Finding, Instance, whatever_start
from theory.conditions import ROCK_PAPER_SCISSORS, beta_up_to

FREQUENCY = 1 / (2 * np.sqrt(3))
UNIFORM = np.full(3, -np.log(3.0))
NEARBY = log_normalise(UNIFORM + 1e-6 * np.array([1.0, -0.5, 0.0]))


@dataclass(frozen=True, kw_only=True)
class StabilityThreshold(Claim):
    """Started near the equilibrium, KL falls below the limit and grows above it.

    Parameters
    ----------
    method : rate -> Method
    weight : the limit is weight * 2 beta/(beta^2 + 1/12)
    margins : shares of the limit that are tried, below and above 1
    largest_beta : the claim is put to games with beta up to here (beyond, the limit exceeds 1/beta)
    """

    id: str = "LIN-1"
    provenance: str = "derived"
    statement: str = "online mirror descent on RPS (uniform reference) is stable iff eta < 2 beta/(beta^2 + 1/12)"
    source: str = "eigenvalues of the linearised update"
    kind: ClassVar[str] = "threshold"
    sense: str = "tight"
    method: Callable[[float], Method] = OnlineMirrorDescent
    weight: float = 1.0
    margins: Sequence[float] = (0.97, 1.03)
    steps: int = 2000
    largest_beta: float = 0.1

    @property
    def conditions(self) -> Conditions:
        return beta_up_to(self.largest_beta) | ROCK_PAPER_SCISSORS

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for instance in whatever_start(instances):
            game = Game(instance.game.preference, UNIFORM, instance.game.beta)
            limit = self.weight * 2 * game.beta / (game.beta**2 + 1 / 12)
            for margin in self.margins:
                run = simulate(game, self.method(margin * limit), steps=self.steps, start=NEARBY, record=[0, self.steps])
                first, last = kl(UNIFORM, run.log_policy[0])
                ratio = last / first if margin < 1 else first / last
                yield Finding(f"{instance.name}, {margin:g} of the limit", float(ratio), str(run.status[0]))


@dataclass(frozen=True, kw_only=True)
class FactorOfEGPO(Claim):
    """KL's factor per iteration against the squared modulus of EGPO's eigenvalue.

    Parameters
    ----------
    method : rate -> Method
    rates : eta
    error : float, allowed relative difference
    """

    id: str = "LIN-1-EGPO"
    provenance: str = "derived"
    statement: str = "EGPO near the equilibrium of RPS (uniform reference): KL's factor is |r + i eta w (r + i eta w)|^2, r = 1 - eta beta"
    source: str = "eigenvalues of the linearised update, w = 1/(2 sqrt 3)"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    method: Callable[[float], Method] = EGPO
    rates: Sequence[float] = (0.3, 0.9)
    steps: int = 50
    error: float = 1e-5

    @property
    def conditions(self) -> Conditions:
        return beta_up_to(1) | ROCK_PAPER_SCISSORS

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for instance in whatever_start(instances):
            game = Game(instance.game.preference, UNIFORM, instance.game.beta)
            for rate in self.rates:
                run = simulate(game, self.method(rate), steps=self.steps, start=NEARBY, record="every")
                distance = kl(UNIFORM, run.log_policy[0])
                distance = distance[: 1 + np.count_nonzero(distance > 1e-18)]
                turn = (1 - rate * game.beta) + 1j * rate * FREQUENCY
                factor = abs((1 - rate * game.beta) + 1j * rate * FREQUENCY * turn) ** 2
                error = np.abs(distance[1:] / distance[:-1] - factor).max() / (self.error * factor)
                yield Finding(f"{instance.name}, eta = {rate:g}", float(error), str(run.status[0]))

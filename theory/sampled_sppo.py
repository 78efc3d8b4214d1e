"""SPPO-3: how many responses SPPO needs before its average keeps the exact-gradient bound.

The bound of SPPO-1 is for exact win rates. With n sampled responses, judged by single labels, the average over 300 iterations keeps
it for n = 50 and exceeds it for n = 5. The check is statistical: a confidence limit of a mean over seeds, on the safe side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from algorithms.sppo_sampled import SPPOSampled
from envs.feedback import Duels
from simlab.run import Method, simulate
from theory.chance import ByChance
from theory.claim import OF_A_MEAN, Conditions, Finding, Instance, mean_below, whatever_beta
from theory.conditions import FROM_REFERENCE, at_most_actions, witness

ENOUGH = 50
"""Responses with which the bound is kept."""


@dataclass(frozen=True, kw_only=True)
class SampledAverage(ByChance):
    """The mean over seeds of the average's exploitability against SPPO-1's bound.

    Parameters
    ----------
    samples : n
    method : (rate, n) -> Method
    rate : eta
    seeds : int >= 2
    largest_game : the claim is put to games of up to so many actions
    share : float, of the bound that is claimed
    """

    source: str = "finite-sample square loss of arXiv 2405.00675 with Bernoulli labels; measured here against SPPO-1"
    kind: ClassVar[str] = "distribution"
    false_alarm: ClassVar[str | None] = OF_A_MEAN
    samples: int
    method: Callable[[float, int], Method] = SPPOSampled
    rate: float = 0.1
    seeds: int = 32
    steps: int = 300
    largest_game: int = 10
    share: float = 1.0
    effect: ClassVar[str] = "claimed bound too small by a factor 1 + s"
    size: ClassVar[float] = 1.0

    @property
    def conditions(self) -> Conditions:
        return at_most_actions(self.largest_game) | FROM_REFERENCE

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        return [self._at(instance) for instance in whatever_beta(instances)]

    def _at(self, instance: Instance) -> Finding:
        run = simulate(
            instance.game,
            self.method(self.rate, self.samples),
            steps=self.steps,
            seeds=self.seeds,
            seed=self.seed,
            feedback=Duels(1),
            record=[self.steps],
            measure=("average_original_exploitability",),
            slots=(),
        )
        gap = run.measured["average_original_exploitability"][:, 0]
        bound = -instance.start.min() / (self.rate * self.steps) + self.rate / 8
        return mean_below(f"{instance.name}, n = {self.samples}", gap, self.share * bound, run)

    def planted(self, size: float) -> Self:
        return replace(self, share=1 / (1 + size))

    def brief(self) -> Self:
        return replace(self, steps=60, seeds=16)


@dataclass(frozen=True, kw_only=True)
class FewResponses(SampledAverage):
    """The same with few responses, on an instance that is known to exceed the bound.

    Parameters
    ----------
    witness : beginning of the standard instance's name
    """

    kind: ClassVar[str] = "existence"
    sense: str = "predicted to fail"
    witness: str = "tournament 10.1, "
    effect: ClassVar[str] = f"{ENOUGH}/(1 + s) responses"
    size: ClassVar[float] = 4.0

    @property
    def conditions(self) -> Conditions:
        return super().conditions | witness(self.witness)

    def planted(self, size: float) -> Self:
        return replace(self, samples=max(2, round(ENOUGH / (1 + size))))

    def brief(self) -> Self:
        return replace(self, seeds=16)

"""SPPO-3-many: two sampled steps with many responses are two exact ones, within what chance allows.

A drawn response meets n - 1 others, whose labels are independent Bernoulli variables of mean P q: by Hoeffding's inequality all win
rates of two steps on K responses are within d = sqrt(log(4 K / alarm)/(2 (n - 1))) of P q but for a chance of `alarm`. In the span of
log-probabilities the first step is therefore within 2 eta d of the exact one, the second within (1 + eta/2) 2 eta d + 2 eta d: P moves
win rates apart by at most the l1 distance of two policies, which is at most half their span. The step is so large that a second step
against the first policy shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from algorithms.sppo import SPPO
from algorithms.sppo_sampled import SPPOSampled
from envs.feedback import Duels
from simlab.run import Method, simulate
from theory.chance import ByChance
from theory.claim import Conditions, Finding, Instance, whatever_beta
from theory.conditions import FROM_REFERENCE, at_most_actions

ALARM = 1e-6
DRAWN = 30
"""Expected draws of a response that is counted on to be drawn: it is not with probability exp(-DRAWN)."""


@dataclass(frozen=True, kw_only=True)
class ManyResponses(ByChance):
    """The span between the log-probabilities of both methods, on responses that are drawn, over the bound.

    Parameters
    ----------
    samples : n
    rate : eta
    method : (rate, samples) -> Method
    """

    id: str = "SPPO-3-many"
    provenance: str = "derived"
    statement: str = "SPPO with n = 3000 sampled responses follows exact SPPO within what Hoeffding's inequality allows, over two steps"
    source: str = "finite-sample square loss of arXiv 2405.00675 with Bernoulli labels; bound derived here"
    kind: ClassVar[str] = "every step"
    false_alarm: ClassVar[str | None] = f"{ALARM:.0e} a finding at most (by Hoeffding's inequality)"
    samples: int = 3000
    rate: float = 8.0
    method: Callable[[float, int], Method] = SPPOSampled
    largest_game: int = 5
    effect: ClassVar[str] = "step too large by a factor 1 + s"
    size: ClassVar[float] = 0.5

    @property
    def conditions(self) -> Conditions:
        drawn = {"every response is drawn": lambda instance: instance.start.min() > np.log(DRAWN / self.samples)}
        return FROM_REFERENCE | at_most_actions(self.largest_game) | drawn

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for instance in whatever_beta(instances):
            yield from self._at(instance)

    def _at(self, instance: Instance) -> Iterable[Finding]:
        options = {"steps": 2, "start": instance.start, "record": "every", "seed": self.seed}
        sampled = simulate(instance.game, self.method(self.rate, self.samples), feedback=Duels(1), **options)  # type: ignore[arg-type]
        exact = simulate(instance.game, SPPO(self.rate), **options).log_policy[0]  # type: ignore[arg-type]
        others = 2 * (self.samples - 1)
        allowed = np.sqrt(np.log(4 * instance.game.actions / ALARM) / others)
        for step, growth in ((1, 1.0), (2, 2 + self.rate / 2)):
            drawn = exact[:step].min(axis=0) > np.log(DRAWN / self.samples)
            off = np.ptp((sampled.log_policy[0, step] - exact[step])[drawn]) / (2 * self.rate * growth)
            p = min(1.0, 4 * instance.game.actions * float(np.exp(-others * off**2)))
            yield Finding(f"{instance.name}, step {step}", float(off / allowed), str(sampled.status[0]), p)

    def planted(self, size: float) -> Self:
        """Steps that are larger than stated."""
        return replace(self, method=lambda rate, samples: self.method((1 + size) * rate, samples))

    def brief(self) -> Self:
        return replace(self, samples=1000)

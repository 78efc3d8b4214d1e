"""NMP-K: Nash-MP's rate does not depend on the number of responses.

The bound (1 + 2 beta)^(-k) has no K in it. Every game's first k actions make a game of their own: the mean factor that KL falls by
in an iteration stays below 1/(1 + 2 beta) for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from algorithms.nash_mp import NashMP
from envs.divergence import kl, log_normalise
from envs.equilibrium import regularised_nash
from envs.game import Game
from simlab.run import Method, simulate
from theory.claim import KL_FLOOR, Claim, Conditions, Finding, Instance
from theory.conditions import FROM_REFERENCE, REGULARISED, at_least_actions

SIZES = (3, 10, 30, 100, 300)


@dataclass(frozen=True, kw_only=True)
class DimensionIndependence(Claim):
    """The mean factor per iteration on nested sub-games.

    Parameters
    ----------
    method : rate -> Method
    smallest_game : the claim is put to games of at least so many actions
    """

    id: str = "NMP-K"
    provenance: str = "rate published"
    statement: str = "Nash-MP: KL falls by 1/(1 + 2 beta) an iteration or more, alike on the first 3, 10, 30, 100, ... actions"
    source: str = "abstract of arXiv 2505.19731 (v1): a rate without K; constants as in NMP-1"
    kind: ClassVar[str] = "constant"
    method: Callable[[float], Method] = NashMP
    steps: int = 40
    smallest_game: int = 30

    @property
    def conditions(self) -> Conditions:
        return REGULARISED | FROM_REFERENCE | at_least_actions(self.smallest_game)

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for instance in instances:
            for size in (size for size in SIZES if size <= instance.game.actions):
                yield self._at(instance, size)

    def _at(self, instance: Instance, size: int) -> Finding:
        whole = instance.game
        game = Game(whole.preference[:size, :size], log_normalise(whole.log_reference[:size]), whole.beta)
        run = simulate(game, self.method(1 / (game.beta + 0.5)), steps=self.steps)
        distance = kl(regularised_nash(game), run.log_policy[0])
        seen = np.flatnonzero(distance > KL_FLOOR)
        if len(seen) < 2:
            return Finding(f"{instance.name}, K = {size}", None, str(run.status[0]))
        last = seen[-1]
        factor = (distance[last] / distance[0]) ** (1 / run.steps[last])
        return Finding(f"{instance.name}, K = {size}", float(factor * (1 + 2 * game.beta)), str(run.status[0]))

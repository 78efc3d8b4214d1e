"""GT-5 and GT-6: how far regularisation moves the equilibrium.

    e_0(p*) <= beta (max log 1/ref - KL(p* | ref))        exploitability of p* in the original game
    KL(p* | ref) <= 1/(2 beta)

Both from optimality of p* against deviations: to the best pure action (GT-5), to the reference itself (GT-6: the deviation
gains <ref - p*, P p*> >= -1/2 and saves beta KL(p* | ref), and p* is optimal).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from envs.divergence import kl
from envs.equilibrium import regularised_nash
from envs.game import Game
from simlab import metrics
from theory.bound import Bound
from theory.claim import KL_FLOOR, Finding, Instance, ratio_of, whatever_start


@dataclass(frozen=True, kw_only=True)
class OriginalExploitabilityOfEquilibrium(Bound):
    """e_0(p*) <= beta (max log 1/ref - KL(p* | ref))."""

    id: str = "GT-5"
    provenance: str = "derived"
    statement: str = "exploitability of p* at beta = 0 is at most beta (max log 1/ref - KL(p* | ref))"
    source: str = "optimality of p* against pure deviations"
    kind: ClassVar[str] = "constant"
    sense: str = "upper"
    equilibrium: Callable[[Game], NDArray] = regularised_nash

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for instance in whatever_start(instances):
            game, best = instance.game, self.equilibrium(instance.game)
            odds = game.log_reference - game.log_reference.min()  # in this form nothing cancels
            bound = game.beta * float(np.exp(best) @ (odds - best))
            gap = float(metrics.exploitability(game, best, beta=0.0))
            yield Finding(instance.name, ratio_of(gap, bound))


@dataclass(frozen=True, kw_only=True)
class DistanceToReference(Bound):
    """KL(p* | ref) <= 1/(2 beta)."""

    id: str = "GT-6"
    provenance: str = "derived"
    statement: str = "KL(p* | ref) <= 1/(2 beta)"
    source: str = "optimality of p* against the reference"
    kind: ClassVar[str] = "constant"
    sense: str = "upper"
    equilibrium: Callable[[Game], NDArray] = regularised_nash

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for instance in whatever_start(instances):
            distance = float(kl(self.equilibrium(instance.game), instance.game.log_reference))
            yield Finding(instance.name, 2 * instance.game.beta * distance if distance > KL_FLOOR else None)

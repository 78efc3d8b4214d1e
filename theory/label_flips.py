"""FLIP-1 and FLIP-2: what flipped labels do to the equilibrium, and what debiasing undoes.

Labels that are wrong with probability epsilon have win rates epsilon + (1 - 2 epsilon) P q. Constants do not move a policy, so
a method that reaches the equilibrium at beta from clean labels reaches the one at beta/(1 - 2 epsilon) from flipped ones. Labels
debiased by (label - epsilon)/(1 - 2 epsilon) have mean P q again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from algorithms.egpo import EGPO
from envs.divergence import kl
from envs.equilibrium import regularised_nash
from envs.feedback import Exact
from simlab.run import Method
from theory.claim import Claim, Finding, Instance, gather, runs


@dataclass(frozen=True, kw_only=True)
class FlippedLabels(Claim):
    """The last iterate under flipped labels is the equilibrium at beta / shrink.

    Parameters
    ----------
    flip, assumed_flip : rates in [0, 1/2): of the world, and of the debiasing
    method : beta -> Method, one that converges on clean labels
    moves : whether the target is beta/(1 - 2 flip) rather than the clean beta
    accuracy : KL from the target below which the run counts as there
    """

    statement: str = ""
    source: str = "win rates of flipped labels are affine in P q"
    kind: ClassVar[str] = "fixed point"
    sense: str = "tight"
    flip: float = 0.2
    assumed_flip: float = 0.0
    moves: bool = True
    method: Callable[[float], Method] = lambda beta: EGPO()
    steps: int = 3000
    accuracy: float = 1e-16

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        feedback = Exact(flip=self.flip, assumed_flip=self.assumed_flip)
        for batch, run in runs(instances, self.method, steps=self.steps, record=[self.steps], feedback=feedback):
            shrink = 1 - 2 * self.flip if self.moves else 1.0
            targets = [regularised_nash(instance.game.with_beta(instance.game.beta / shrink)) for instance in batch]
            distance = kl(np.stack(targets), run.log_policy[:, -1])
            yield from gather(batch, distance / self.accuracy, _told_apart(batch, self.flip), run)


def _told_apart(batch: Sequence[Instance], flip: float) -> np.ndarray:
    """(N,) whether the equilibria with and without flips differ, so that the claim says something."""
    moved = [regularised_nash(instance.game.with_beta(instance.game.beta / (1 - 2 * flip))) for instance in batch]
    clean = [instance.equilibrium for instance in batch]
    return kl(np.stack(clean), np.stack(moved)) > 1e-10

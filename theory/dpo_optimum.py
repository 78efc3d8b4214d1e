"""DPO-1: on Bradley-Terry data DPO ends at the optimum of the regularised reward.

With labels of mean sigmoid(r_a - r_b), every response of a prompt connected to every other by compared pairs, and one parameter
a response, the minimiser of the expected loss is

    pi  ~  pi_ref exp(r / beta),

whatever the weights of the pairs: each pair's term is least at the margin r_a - r_b, and these margins are consistent. Without
the reference in the margin the minimiser is exp(r / beta) alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.dpo import DPO
from algorithms.pair_loss import PairLoss
from envs.divergence import log_normalise
from envs.game import Game
from theory.claim import Conditions, Finding
from theory.dpo_fits import any_weights, furthest, scores
from theory.testbed import PairClaim, PairTestbed


def from_reference(game: Game, score: NDArray) -> NDArray:
    """(K,) log pi with beta log(pi/ref) = score + const."""
    return log_normalise(game.log_reference + score / game.beta)


def _undecided(testbed: PairTestbed) -> bool:
    clean = testbed.world.rows.clean
    return bool(np.minimum(clean, 1 - clean).min() > 1e-6)


@dataclass(frozen=True, kw_only=True)
class OptimumOfDPO(PairClaim):
    """The fit to each prompt's expected clean labels against the closed form.

    Parameters
    ----------
    learner : () -> PairLoss
    policy : (game, scores) -> (K,) log-probabilities that the fitted scores stand for
    error : float, allowed difference of log-probabilities relative to the largest
    """

    id: str = "DPO-1"
    provenance: str = "published"
    statement: str = "DPO, Bradley-Terry labels, any weights of pairs: minimiser ref exp(r/beta)/Z"
    source: str = "Rafailov et al., arXiv 2305.18290"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    learner: Callable[[], PairLoss] = DPO
    policy: Callable[[Game, NDArray], NDArray] = from_reference
    error: float = 1e-9

    @property
    def conditions(self) -> Conditions:
        return {"no pair is decided to rounding": _undecided}

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            world = instance.world
            for context, game in enumerate(world.games(world.beta)):
                truth = log_normalise(game.log_reference + world.reward[context] / world.beta)
                for name, weights in _weights(instance, context, game):
                    found = self.policy(game, scores(self.learner(), weights * game.preference))
                    yield Finding(f"{instance.name}, prompt {context}, {name}", furthest(found, truth) / self.error)


def _weights(instance: PairTestbed, context: int, game: Game) -> Iterator[tuple[str, NDArray]]:
    """The weights of two draws from the reference, arbitrary ones, and a chain that joins neighbours alone."""
    q = np.exp(game.log_reference)
    yield "pairs from the reference", np.outer(q, q)
    yield "arbitrary weights", any_weights(instance.world, context, game.actions)
    yield "a chain", np.eye(game.actions, k=1) + np.eye(game.actions, k=-1)

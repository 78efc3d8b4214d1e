"""DPO-7: on preferences that no reward explains, DPO ranks responses by their Borda counts, if all pairs weigh the same.

With every pair of K responses equally often, the scores r of the minimiser of DPO's expected loss satisfy

    sum_j sigmoid(r_i - r_j)  =  sum_j P_ij        for every i,

and the left side increases in r_i, so that r_i > r_j iff i wins more often than j against a uniform opponent. Symmetric flips
are an increasing map of P, e + (1 - 2 e) P, and change no order: rankings and accuracies cannot tell a debiased loss from a
plain one (DPO-7b). With unequal weights of the pairs the order follows the weights too (DPO-7w).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.dpo import DPO
from algorithms.pair_loss import PairLoss
from envs.game import Game
from envs.pairs import Pairs
from theory.claim import Conditions, Finding
from theory.conditions import FLIPS_ALIKE
from theory.dpo_fits import any_preferences, any_weights, scores
from theory.testbed import PairClaim, PairTestbed

ROUNDING = 1e-9


def even(world: Pairs, draw: int, actions: int) -> NDArray:
    """(K, K) equal weights of all pairs."""
    return 1.0 - np.eye(actions)


def turned(score: NDArray, borda: NDArray) -> float:
    """The largest difference of two scores whose Borda counts are in the other order; 0 where there are none."""
    difference, order = score[:, None] - score, borda[:, None] - borda
    order = np.where(np.abs(order) > ROUNDING, np.sign(order), 0.0)
    return float(np.maximum(-difference * order, 0.0).max())


@dataclass(frozen=True, kw_only=True)
class BordaOrder(PairClaim):
    """Scores fitted to random preferences, and to the world's, against Borda counts of the clean preferences.

    Parameters
    ----------
    learner : flip rate -> PairLoss
    weights : (world, draw, K) -> (K, K) weights of pairs
    flipped : whether the labels are wrong at the world's rates, or clean
    draws : int, random matrices a world
    """

    id: str = "DPO-7"
    provenance: str = "derived"
    statement: str = "DPO, any P (also cyclic), all pairs equally often: scores are in the order of the Borda counts sum_j P_ij"
    source: str = "first-order condition of the expected loss of arXiv 2305.18290"
    kind: ClassVar[str] = "monotone"
    learner: Callable[[float], PairLoss] = lambda flip: DPO()
    weights: Callable[[Pairs, int, int], NDArray] = even
    flipped: bool = False
    draws: int = 20

    @property
    def conditions(self) -> Conditions:
        return {"more than 2 responses": lambda testbed: testbed.world.actions > 2}

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            world, flip = instance.world, instance.world.flip_rate if self.flipped else 0.0
            loss = self.learner(flip)
            for draw, (name, game) in enumerate(self._games(world)):
                weights = self.weights(world, draw, game.actions)
                score = scores(loss, weights * game.flipped(flip).preference)
                yield Finding(f"{instance.name}, {name}", turned(score, game.preference.sum(axis=1)) / ROUNDING)

    def _games(self, world: Pairs) -> Iterator[tuple[str, Game]]:
        yield from any_preferences(world, self.draws)


@dataclass(frozen=True, kw_only=True)
class OrderUnderFlips(BordaOrder):
    """Labels flipped at the world's rate against the clean counts, for random preferences and for the world's."""

    id: str = "DPO-7b"
    statement: str = "symmetric flips change no order of DPO's scores (all pairs equally often)"
    source: str = "DPO-7: flips are an increasing map of Borda counts"
    flipped: bool = True

    @property
    def conditions(self) -> Conditions:
        return FLIPS_ALIKE

    def _games(self, world: Pairs) -> Iterator[tuple[str, Game]]:
        yield from any_preferences(world, self.draws)
        yield from ((f"prompt {context}", game) for context, game in enumerate(world.games(world.beta)))


@dataclass(frozen=True, kw_only=True)
class OrderUnderWeights(BordaOrder):
    """Unequal weights of pairs, on preferences without structure."""

    id: str = "DPO-7w"
    statement: str = "DPO, any P, pairs unequally often: scores are in the order of sum_j P_ij"
    source: str = "contradicts the first-order condition, which weighs the pairs"
    kind: ClassVar[str] = "existence"
    sense: str = "predicted to fail"
    weights: Callable[[Pairs, int, int], NDArray] = any_weights

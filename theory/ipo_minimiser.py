"""IPO-off-1: what offline IPO ends at, for any preferences.

One parameter a response, pairs with symmetric weights N_ij that connect all responses, w_ij = N_ij P_ij. The least-squares
conditions of the expected loss are linear (IPO-off-2),

    L h = b,        L = diag(N 1) - N,        b_i = sum_j (w_ij - w_ji) / (2 tau),        h = log(pi/ref) = L^+ b + const.

For pairs of two draws from mu, N_ij = mu_i mu_j, they solve in closed form (IPO-off-1),

    pi  ~  ref exp(p(y > mu) / tau),        p(y > mu) = sum_j mu_j P_yj  with  P_yy = 1/2,

whether or not a reward explains P, and whether or not pairs of equal draws are kept. For other weights the closed form with mu
the share of each response is wrong (IPO-off-product). mu is the distribution of the data, not of the policy: with the policy in
its place the formula would be that of self-play.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.ipo import IPO
from algorithms.pair_loss import PairLoss
from envs.pairs import Pairs
from theory.claim import Conditions, Finding
from theory.conditions import REWARD
from theory.dpo_fits import any_preferences, any_weights, furthest, scores
from theory.testbed import PairClaim, PairTestbed

LogRatios = Callable[[NDArray, NDArray, float], NDArray]
"""(weights (K, K), P (K, K), tau) -> (K,) log(pi/ref), up to a constant."""


def win_rates(weights: NDArray, preference: NDArray, tau: float) -> NDArray:
    """p(y > mu)/tau with mu the share of each response in the pairs."""
    return preference @ (weights.sum(axis=1) / weights.sum()) / tau


def least_squares(weights: NDArray, preference: NDArray, tau: float) -> NDArray:
    """L^+ b."""
    off_diagonal = weights - np.diag(np.diag(weights))
    laplacian = np.diag(off_diagonal.sum(axis=1)) - off_diagonal
    pull = (off_diagonal * (preference - preference.T)).sum(axis=1) / (2 * tau)
    return np.linalg.pinv(laplacian) @ pull


def product(world: Pairs, draw: int, reference: NDArray) -> Iterator[tuple[str, NDArray]]:
    """Pairs of two draws from the reference, and from a random distribution; equal draws count for nothing but the shares."""
    other = np.random.default_rng([world.seed, 41, draw, 0]).dirichlet(np.ones(len(reference)))
    yield "mu = reference", np.outer(reference, reference)
    yield "mu random", np.outer(other, other)


def uneven(world: Pairs, draw: int, reference: NDArray) -> Iterator[tuple[str, NDArray]]:
    """Weights of no product, and a ring of neighbours alone."""
    ring = np.roll(np.eye(len(reference)), 1, axis=1)
    yield "any weights", any_weights(world, draw, len(reference))
    yield "a ring", ring + ring.T


@dataclass(frozen=True, kw_only=True)
class MinimiserOfIPO(PairClaim):
    """Fits to random preferences, and to those of the world's prompts, against the closed form.

    Parameters
    ----------
    learner : tau -> PairLoss
    claimed : LogRatios, the closed form
    weights : (world, draw, (K,) reference) -> names and (K, K) weights of pairs
    taus : values of tau
    draws : int, random matrices a world
    error : float, allowed difference relative to the largest log-ratio
    """

    id: str = "IPO-off-1"
    provenance: str = "published"
    statement: str = "offline IPO, pairs from mu x mu, any P: minimiser ref exp(p(y > mu)/tau)/Z"
    source: str = "Azar et al., arXiv 2310.12036; checked in the form derived here"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    learner: Callable[[float], PairLoss] = IPO
    claimed: LogRatios = win_rates
    weights: Callable[[Pairs, int, NDArray], Iterator[tuple[str, NDArray]]] = product
    taus: Sequence[float] = (0.1, 2.0)
    draws: int = 5
    error: float = 1e-9

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            world = instance.world
            games = [*any_preferences(world, self.draws), *((f"prompt {x}", game) for x, game in enumerate(world.games(1.0)))]
            for draw, (name, game) in enumerate(games):
                for weighing, weights in self.weights(world, draw, np.exp(game.log_reference)):
                    ratio = max(self._error(weights, game.preference, tau) for tau in self.taus)
                    yield Finding(f"{instance.name}, {name}, {weighing}", ratio / self.error)

    def _error(self, weights: NDArray, preference: NDArray, tau: float) -> float:
        found, claimed = scores(self.learner(tau), weights * preference), self.claimed(weights, preference, tau)
        return furthest(found - found.mean(), claimed - claimed.mean())


@dataclass(frozen=True, kw_only=True)
class MinimiserForAnyWeights(MinimiserOfIPO):
    """Fits with weights of no product against L^+ b."""

    id: str = "IPO-off-2"
    provenance: str = "derived"
    statement: str = "offline IPO, any connected weights N, any P: log(pi/ref) = L^+ b, L = diag(N1)-N, b_i = sum_j N_ij(2P_ij-1)/(2 tau)"
    source: str = "normal equations of the loss of arXiv 2310.12036"
    claimed: LogRatios = least_squares
    weights: Callable[[Pairs, int, NDArray], Iterator[tuple[str, NDArray]]] = uneven


@dataclass(frozen=True, kw_only=True)
class ClosedFormForAnyWeights(MinimiserOfIPO):
    """Fits with weights of no product against the closed form of IPO-off-1."""

    id: str = "IPO-off-product"
    provenance: str = "derived"
    statement: str = "offline IPO, pairs from no product, mu = shares of responses: minimiser ref exp(p(y > mu)/tau)/Z"
    source: str = "contradicts IPO-off-2 unless N_ij = mu_i mu_j"
    sense: str = "predicted to fail"
    weights: Callable[[Pairs, int, NDArray], Iterator[tuple[str, NDArray]]] = uneven

    @property
    def conditions(self) -> Conditions:
        return REWARD | {"more than 3 responses": lambda testbed: testbed.world.actions > 3}

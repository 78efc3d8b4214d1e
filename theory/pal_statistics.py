"""What claims on users who differ share: the learner under test, whom it can tell apart, and one score for all.

Estimated margins are compared under the world's own features, so that a learner may parametrise users as it likes.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from algorithms.dpo import DPO
from algorithms.fit import fit
from algorithms.pal import PAL
from envs.comparisons import Comparisons
from envs.people import People
from envs.population import Population
from envs.population_bradley_terry import PopulationBradleyTerry
from envs.population_world import PopulationWorld
from envs.survey import score_features
from envs.user_comparisons import UserComparisons

Learner = Callable[..., PAL]
"""prototypes=, shrinkage=, restarts= to a learner with the `fit` of :class:`algorithms.pal.PAL`."""

Aggregate = Callable[[People], NDArray]
"""People to the (C, K, K) preferences of one of them chosen at random."""

APART = 0.5
"""Standard deviation of margins over users from which they count as different."""
DOUBT = 1e-3
"""Variance that a user's answers must have, in the mean over comparisons along the worst direction; even answers have 1/4."""


UNKNOWN = "an unknown rate (drawn samples, without limits for chance)"
"""The false alarm of claims that compare errors on drawn samples as they come."""


def majority(people: People) -> NDArray:
    """(C, K, K) mean of the users' preferences."""
    return np.stack([people.preference(context) for context in range(people.contexts)])


def firm_majority(people: People) -> NDArray:
    """(C, K, K) how many users have the row's response closer than the column's; a tie counts half."""
    return (np.sign(people.scores[:, :, :, None] - people.scores[:, :, None, :]) / 2 + 0.5).mean(axis=1)


def affine_rank(points: NDArray) -> int:
    """Dimension of the smallest plane through points, (U, D)."""
    return int(np.linalg.matrix_rank(points - points.mean(axis=0), tol=1e-9 * (1 + np.abs(points).max()) * np.sqrt(len(points))))


def rank(people: People) -> int:
    """Dimension of what comparisons tell of a user: that of the coordinates, or less, as scores are known up to a constant."""
    return int(np.linalg.matrix_rank(people.features))


def plane(people: People) -> int:
    """Affine rank of the users, in what comparisons tell of them."""
    return affine_rank(people.coordinates @ people.features.T)


def differ(people: People) -> bool:
    """Whether users differ enough to matter: their margins by `APART`, root mean square over pairs."""
    margins = people.coordinates @ people.features.T
    return bool(np.sqrt(margins.var(axis=0).mean()) >= APART)


def drawn(world: PopulationWorld) -> bool:
    """Whether it draws, as many as one likes, users who mix prototypes and differ."""
    return isinstance(world, Population | PopulationBradleyTerry) and differ(world.people())


def estimable(people: People) -> bool:
    """Whether every user's margins can be estimated: no user is nearly certain in some direction (`DOUBT`)."""
    left, scale, _ = np.linalg.svd(people.features, full_matrices=False)
    axes = left[:, scale > 1e-9 * scale.max()]
    variance = people.probabilities * (1 - people.probabilities)
    return all(np.linalg.eigvalsh((axes * own[:, None]).T @ axes)[0] > DOUBT for own in variance)


def margin_gap(data: UserComparisons, found: NDArray, truth: NDArray) -> float:
    """Largest difference of margins of users at two places, relative to the largest margin (at least 1)."""
    margins = data.margins(truth)
    return float(np.abs(data.margins(found) - margins).max() / max(1.0, np.abs(margins).max()))


def excess(data: UserComparisons, found: NDArray, truth: NDArray) -> float:
    """Cross-entropy of predictions above that of the truth: a mean over comparisons, nats."""
    return data.cross_entropy(found) - data.cross_entropy(truth)


def in_scores(people: People, data: UserComparisons) -> UserComparisons:
    """The same comparisons for users who have a score for each response."""
    features = score_features(people.pairs, people.actions)
    return UserComparisons(features, np.zeros(len(features)), data.wins, data.losses)


def one_score(data: UserComparisons) -> NDArray:
    """The coordinates that fit everybody's comparisons best: of scores, the Bradley-Terry fit; nan where there is none."""
    pooled = data.pooled
    return fit(DPO(), Comparisons(data.features, pooled.wins[0], pooled.losses[0])).theta


def cycles(preference: NDArray) -> int:
    """How many triangles of a (K, K) matrix have majorities that go round."""
    side = np.sign(preference - 0.5)
    return sum(bool(side[i, j] == side[j, k] == side[k, i] != 0) for i, j, k in combinations(range(len(side)), 3))


def spanned(people: People) -> bool:
    """Whether the users lie in all directions that their prototypes do, so that nobody else can lie off their plane."""
    prototypes = people.prototypes.reshape(len(people.prototypes), -1)
    return plane(people) == affine_rank(prototypes @ people.features.T)

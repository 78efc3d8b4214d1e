"""What a learner of users is given and scored on: users it learns from, and others whom it meets with a few comparisons each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.invalid import require
from envs.user_comparisons import UserComparisons


@dataclass(frozen=True, eq=False)
class Survey:
    """Comparisons of seen users and of newcomers.

    Parameters
    ----------
    seen, seen_answers : UserComparisons
        What the learner is given of the users it learns from, and what its predictions for them are scored on.
    newcomers : {m: (shown, answers)}
        For each number m of comparisons: m of each of some other users, and what predictions for these are scored on.
    scores : (m, I) array
        Features of the pairs with one parameter for each response: of one Bradley-Terry score for all users.
    coordinates, newcomer_coordinates : (U, D) arrays, or None
        The truth, where it is known; answers are then expected counts.
    """

    seen: UserComparisons
    seen_answers: UserComparisons
    newcomers: dict[int, tuple[UserComparisons, UserComparisons]]
    scores: NDArray
    coordinates: NDArray | None = None
    newcomer_coordinates: NDArray | None = None


def require_shots(shots: Any, most: float = np.inf) -> None:
    """Refuse anything but a rising list of integers in [1, most]."""
    listed = isinstance(shots, Sequence) and not isinstance(shots, str) and len(shots) > 0 and all(type(m) is int for m in shots)
    rising = listed and all(before < after for before, after in pairwise([0, *shots]))
    allowed = "a rising list of integers >= 1" if np.isinf(most) else f"a rising list of integers from 1 to {most:g}"
    require(rising and shots[-1] <= most, "shots", shots, allowed)


def score_features(pairs: NDArray, actions: int) -> NDArray:
    """(m, contexts actions) features e_i - e_j of pairs (m, 3): prompt, first, second."""
    prompt, first, second = pairs.T
    features = np.zeros((len(pairs), (int(prompt.max()) + 1) * actions))
    row = np.arange(len(pairs))
    features[row, prompt * actions + first] = 1.0
    features[row, prompt * actions + second] = -1.0
    return features

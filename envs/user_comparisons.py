"""Comparisons that say who made them: one list of pairs, and how often each user preferred each side of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs.dials import read_only
from envs.invalid import require


@dataclass(frozen=True, eq=False)
class UserComparisons:
    """How often each of U users preferred each side of m pairs.

    To a user with coordinates a (an ideal point, or a vector of rewards) the margin of the first side of pair i over the second
    is features[i] . a + offset[i]; the first is preferred with probability sigmoid(margin).

    Parameters
    ----------
    features : (m, D) array
    offset : (m,) array
    wins, losses : (U, m) arrays
        How often the first, and the second, was preferred: finite, at least 0; each user has made at least one comparison.

    Raises
    ------
    Invalid
        With the argument and what is allowed.
    """

    features: NDArray
    offset: NDArray
    wins: NDArray
    losses: NDArray

    def __post_init__(self) -> None:
        for key in ("features", "offset", "wins", "losses"):
            object.__setattr__(self, key, read_only(key, getattr(self, key)))
            require(np.isfinite(getattr(self, key)).all(), key, "an array with nan or inf", "finite")
        shape = self.features.shape
        require(len(shape) == 2 and min(shape) >= 1, "features", f"array of shape {shape}", "of shape (m, D)")
        require(
            self.offset.shape == shape[:1], "offset", f"array of shape {self.offset.shape}", f"of shape ({shape[0]},), one entry a pair"
        )
        for key in ("wins", "losses"):
            counts = getattr(self, key)
            fits = counts.ndim == 2 and len(counts) >= 1 and counts.shape == (len(self.wins), shape[0])
            require(fits, key, f"array of shape {counts.shape}", f"of shape (U, {shape[0]}): users, pairs")
            require(counts.min() >= 0, key, counts.min(), "counts >= 0")
        idle = np.flatnonzero(self.compared == 0)
        if len(idle):
            require(False, "wins", f"all 0 for user {idle[0]}, as losses", "at least one comparison of each user")

    @property
    def users(self) -> int:
        """U."""
        return len(self.wins)

    @property
    def compared(self) -> NDArray:
        """(U,) how many comparisons each user has made."""
        return self.wins.sum(axis=1) + self.losses.sum(axis=1)

    def margins(self, coordinates: ArrayLike) -> NDArray:
        """(..., m) margins of every pair to users at `coordinates`, (..., D)."""
        return np.asarray(coordinates) @ self.features.T + self.offset

    def of(self, users: ArrayLike) -> UserComparisons:
        """The comparisons of some users, a list of indices."""
        users = np.asarray(users)
        return UserComparisons(self.features, self.offset, self.wins[users], self.losses[users])

    @property
    def pooled(self) -> UserComparisons:
        """The same comparisons as if one user had made them all."""
        return UserComparisons(self.features, self.offset, self.wins.sum(axis=0, keepdims=True), self.losses.sum(axis=0, keepdims=True))

    def cross_entropy(self, coordinates: ArrayLike) -> float:
        """Mean negative log-likelihood of a comparison, of users at (U, D) coordinates, or all at (D,); nan where these hold nan."""
        margins = self.margins(coordinates)
        if np.isnan(margins).any():
            return np.nan
        total = (self.wins * np.logaddexp(0.0, -margins) + self.losses * np.logaddexp(0.0, margins)).sum()
        return float(total / self.compared.sum())

    def accuracy(self, coordinates: ArrayLike) -> float:
        """The share of comparisons, of pairs on which a user's answers lean to one side, whose margin says that side.

        Of expected counts this is agreement with the sign of the user's own margin, whatever the labels' noise.
        """
        agreed, told = self._agreement(coordinates)
        return float(agreed.sum() / told.sum()) if told.any() else np.nan

    def accuracies(self, coordinates: ArrayLike) -> NDArray:
        """(U,) the accuracy of each user alone; nan of one whose answers lean nowhere."""
        agreed, told = (counts.sum(axis=1) for counts in self._agreement(coordinates))
        return np.divide(agreed, told, out=np.full(self.users, np.nan), where=told > 0)

    def _agreement(self, coordinates: ArrayLike) -> tuple[NDArray, NDArray]:
        """(U, m) comparisons on whose side the margin is, and all, of pairs on which a user's answers lean to one side."""
        lean = self.wins - self.losses
        told = np.where(lean != 0, self.wins + self.losses, 0.0)
        return told * (self.margins(coordinates) * lean > 0), told

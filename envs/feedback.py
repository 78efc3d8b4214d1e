"""What a method is told about the preferences: expected labels, or single duels; flipped labels; debiased labels.

A label says that action i was preferred to action j. With a flip rate e_ij it is wrong with that probability, so that
its mean is P + e (1 - 2 P) entry by entry. A learner that assumes a rate a may debias it, label -> (label - a) / (1 - 2 a).
A method sees labels only; metrics always use the clean P.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Protocol, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs.dials import require_integer
from envs.game import Game, flip_preference
from envs.invalid import require


class Flip(Protocol):
    """A rate of wrong labels for each pair of actions."""

    def rates(self, preference: NDArray) -> ArrayLike:
        """Symmetric (K, K) array, or one number for all pairs, in [0, 1/2]."""
        ...


@dataclass(frozen=True)
class SymmetricFlip:
    """Every label is wrong with the same probability `flip` (epsilon), in [0, 1/2]."""

    flip: float

    def __post_init__(self) -> None:
        require_noise("flip", self.flip)

    def rates(self, preference: NDArray) -> ArrayLike:
        return self.flip


@dataclass(frozen=True)
class MarginFlip:
    """Close pairs are mislabelled more often: e_ij = flip (1 - |2 P_ij - 1|)^sharpness.

    Parameters
    ----------
    flip : float in [0, 1/2], the rate at a tie
    sharpness : float > 0; the larger, the faster the rate falls as a pair becomes clear
    """

    flip: float
    sharpness: float = 1.0

    def __post_init__(self) -> None:
        require_noise("flip", self.flip)
        require(_is_number(self.sharpness) and 0 < self.sharpness < np.inf, "sharpness", self.sharpness, "a finite number > 0")

    def rates(self, preference: NDArray) -> ArrayLike:
        return self.flip * (1.0 - np.abs(2.0 * preference - 1.0)) ** self.sharpness


@dataclass(frozen=True)
class TargetedFlip:
    """Only chosen pairs are mislabelled, an adversary's choice.

    Parameters
    ----------
    flip : float in [0, 1/2]
    pairs : sequence of (i, j), distinct action indices, counted from 0
    """

    flip: float
    pairs: Sequence[Sequence[int]]

    def __post_init__(self) -> None:
        require_noise("flip", self.flip)
        listed = _is_list(self.pairs) and all(_is_list(pair) for pair in self.pairs)
        require(listed, "pairs", self.pairs, "a list of pairs of actions, as [[0,1],[2,3]]")
        pairs = tuple(tuple(pair) for pair in self.pairs)
        for pair in pairs:
            valid = len(pair) == 2 and pair[0] != pair[1] and all(isinstance(i, int | np.integer) and i >= 0 for i in pair)
            require(valid, "pairs", list(pair), "pairs of two different action indices >= 0")
        require(pairs, "pairs", "[]", "a list of at least one pair of actions")
        object.__setattr__(self, "pairs", pairs)

    def rates(self, preference: NDArray) -> ArrayLike:
        actions = len(preference)
        rates = np.zeros_like(preference)
        for i, j in self.pairs:
            require(max(i, j) < actions, "pairs", [i, j], f"of actions below K={actions}")
            rates[i, j] = rates[j, i] = self.flip
        return rates


@dataclass(frozen=True)
class AnnotatorFlip:
    """Each label comes from an annotator drawn at random, each with a rate of their own: the mean rate, pair by pair.

    Parameters
    ----------
    flips : sequence of rates in [0, 1/2], one an annotator
    weights : sequence of shares of the work, positive; equal when None
    """

    flips: Sequence[float]
    weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        require(_is_list(self.flips) and len(self.flips) > 0, "flips", self.flips, "a list of at least one rate")
        for flip in self.flips:
            require_noise("flips", flip)
        if self.weights is not None:
            matched = _is_list(self.weights) and len(self.weights) == len(self.flips)
            positive = matched and all(_is_number(weight) and 0 < weight < np.inf for weight in self.weights)
            require(positive, "weights", self.weights, f"{len(self.flips)} positive numbers, one an annotator")

    def rates(self, preference: NDArray) -> ArrayLike:
        return float(np.average(self.flips, weights=self.weights))


@dataclass(frozen=True, kw_only=True)
class Exact:
    """Expected labels: a query of policy q returns the win rates P q (of the flipped and debiased labels, if any).

    Parameters
    ----------
    flip : float in [0, 1/2], or a `Flip`
    assumed_flip : float in [0, 1/2), the rate that debiasing assumes; 0 leaves labels as they are
    """

    flip: float | Flip = 0.0
    assumed_flip: float = 0.0

    random = False
    per_action = 0
    """Duels behind each entry of a win rate; 0 stands for infinitely many."""

    def __post_init__(self) -> None:
        if not hasattr(self.flip, "rates"):
            object.__setattr__(self, "flip", SymmetricFlip(self.flip))  # type: ignore[arg-type]
        require_flip("assumed_flip", self.assumed_flip)

    def labels(self, game: Game) -> NDArray:
        """(K, K) array: the mean of a label for (i, j), before debiasing."""
        return flip_preference(game.preference, self.flip.rates(game.preference))  # type: ignore[union-attr]

    def debiased(self, labels: NDArray) -> NDArray:
        """(label - a) / (1 - 2 a), unbiased for the clean label when a is the true symmetric rate."""
        return (labels - self.assumed_flip) / (1.0 - 2.0 * self.assumed_flip)


@dataclass(frozen=True)
class Duels(Exact):
    """Bernoulli labels: a query of policy q duels each action `per_action` times with opponents drawn from q.

    Parameters
    ----------
    per_action : int >= 1, duels an action and query
    flip, assumed_flip : as in `Exact`; debiasing multiplies the variance of labels by 1 / (1 - 2 a)^2
    """

    per_action: int = 1

    random = True

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = isinstance(self.per_action, int | np.integer) and not isinstance(self.per_action, bool)
        require(whole, "per_action", self.per_action, "an integer >= 1")
        require_integer("per_action", int(self.per_action), 1)


def require_noise(key: str, flip: object) -> None:
    """Refuse anything but a rate in [0, 1/2]."""
    require(_is_number(flip) and 0 <= flip <= 0.5, key, flip, "a rate in [0, 1/2]")


def require_flip(key: str, flip: object) -> None:
    """Refuse anything but a rate in [0, 1/2), which a learner can correct for."""
    require(_is_number(flip) and 0 <= flip < 0.5, key, flip, "a rate in [0, 1/2): at 1/2 a label carries nothing")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_list(value: object) -> bool:
    return isinstance(value, Collection) and not isinstance(value, str | dict)

"""Start policies: where a method begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from envs.dials import numbers, require_number
from envs.divergence import log_normalise
from envs.game import Game
from envs.invalid import require


class Start(Protocol):
    """What a start policy offers: `random` says whether it depends on seed and index."""

    @property
    def random(self) -> bool: ...

    def log_policy(self, game: Game, *, seed: int = 0, index: int = 0) -> NDArray:
        """(K,) log-probabilities for seed number `index` under the root `seed`."""
        ...


@dataclass(frozen=True, kw_only=True)
class ReferenceStart:
    """The game's reference policy."""

    random: ClassVar[bool] = False

    def log_policy(self, game: Game, *, seed: int = 0, index: int = 0) -> NDArray:
        del seed, index
        return game.log_reference


@dataclass(frozen=True, kw_only=True)
class FarStart:
    """log p = log softmax(spread z), z standard normal: far from the reference and from any equilibrium.

    The draw depends on seed, index and K alone, so the games of all contexts, methods and KL coefficients share it.

    Parameters
    ----------
    spread : float
        In [1e-6, 1000], nats: standard deviation of the logits.

    Raises
    ------
    Invalid
        For any other value.
    """

    spread: float = 3.0

    random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_number("spread", self.spread, 1e-6, 1000)

    def log_policy(self, game: Game, *, seed: int = 0, index: int = 0) -> NDArray:
        rng = np.random.default_rng([seed, index, 0, 2])  # four words, as World.games: a shorter list is padded with zeros
        return log_normalise(self.spread * rng.standard_normal(game.actions))


@dataclass(frozen=True, kw_only=True)
class GivenStart:
    """A policy written out.

    Parameters
    ----------
    policy : K probabilities
        Positive, summing to 1 to 1e-9.

    Raises
    ------
    Invalid
        For any other value, and by `log_policy` where the game has not K actions.
    """

    policy: Sequence[float]

    random: ClassVar[bool] = False

    def __post_init__(self) -> None:
        policy = numbers("policy", self.policy)
        positive = all(probability > 0 for probability in policy)
        require(positive and abs(sum(policy) - 1) <= 1e-9, "policy", list(policy), "positive probabilities that sum to 1")
        object.__setattr__(self, "policy", policy)

    def log_policy(self, game: Game, *, seed: int = 0, index: int = 0) -> NDArray:
        del seed, index
        require(len(self.policy) == game.actions, "policy", list(self.policy), f"{game.actions} probabilities, one for each action")
        return np.log(np.asarray(self.policy) / sum(self.policy))

"""What every world has: a preference matrix drawn from a seed, a reference policy, and a number of contexts.

A world is one file: a frozen dataclass whose fields are its dials, with `preference(rng)` and the flag `random`
that says whether that draw depends on `rng`. This file turns it into games.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from envs.dials import numbers, require_integer
from envs.game import Game
from envs.invalid import Invalid, require


@dataclass(frozen=True, kw_only=True)
class World(ABC):
    """A source of games.

    Parameters
    ----------
    reference : "uniform", "random" (uniform on the simplex), or K probabilities
    contexts : int
        Number of prompts, each with its own matrix where the world is random and its own reference where that is.
    """

    reference: str | Sequence[float] = "uniform"
    contexts: int = 1

    random: ClassVar[bool] = True
    """Whether `preference` depends on its generator."""

    def __post_init__(self) -> None:
        if not (isinstance(self.reference, str) and self.reference in ("uniform", "random")):
            object.__setattr__(self, "reference", _probabilities(self.reference))
        require_integer("contexts", self.contexts, 1)
        if self.contexts > 1 and not self.varies:
            raise Invalid("contexts", self.contexts, "1 in a world that draws neither its matrix nor its reference")

    @property
    def varies(self) -> bool:
        """Whether games drawn with different seeds differ."""
        return self.random or self.reference == "random"

    @abstractmethod
    def preference(self, rng: np.random.Generator) -> NDArray:
        """Draw one (K, K) preference matrix."""

    def games(self, beta: float, *, seed: int = 0, index: int = 0) -> list[Game]:
        """The games (one a context) of seed number `index` under the root `seed`; the same whatever else is drawn."""
        return [self._game(beta, [seed, index, context]) for context in range(self.contexts)]

    def _game(self, beta: float, stream: list[int]) -> Game:
        preference = self.preference(np.random.default_rng([*stream, 0]))
        return Game(preference, self._log_reference(len(preference), np.random.default_rng([*stream, 1])), beta)

    def _log_reference(self, actions: int, rng: np.random.Generator) -> NDArray:
        if self.reference == "uniform":
            return np.full(actions, -np.log(actions))
        if self.reference == "random":
            weights = rng.standard_exponential(actions)
        else:
            weights = np.asarray(self.reference, dtype=np.float64)
            require(len(weights) == actions, "reference", list(weights), f"of length {actions}, the number of actions")
        return np.log(weights / weights.sum())


def _probabilities(reference: object) -> tuple[float, ...]:
    allowed = "uniform, random, or a list of K positive probabilities that sum to 1"
    try:
        weights = numbers("reference", reference)
    except Invalid:
        raise Invalid("reference", reference, allowed) from None
    require(all(weight > 0 for weight in weights) and abs(sum(weights) - 1) <= 1e-9, "reference", list(weights), allowed)
    return weights

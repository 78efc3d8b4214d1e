"""The transitive world: every action has a score, and the better score is the likelier winner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from envs.dials import numbers, require_integer, require_number
from envs.invalid import require
from envs.triangle import complete
from envs.world import World

DRAWN_ACTIONS = 10
"""Number of actions where neither `actions` nor `scores` says."""


@dataclass(frozen=True, kw_only=True)
class BradleyTerry(World):
    """P[i, j] = sigmoid((s_i - s_j) / temperature).

    Bradley and Terry, "Rank analysis of incomplete block designs", Biometrika 39 (1952).

    Parameters
    ----------
    actions : int or None
        K, at least 2. None means as many as `scores`, or 10 where these are drawn.
    scores : K finite numbers, or None
        The scores s; None draws each from the standard normal distribution.
    temperature : float
        In [1e-6, 1e6]; the higher, the closer every pair is to a tie.

    Raises
    ------
    Invalid
        For any other value, and where `actions` is not the number of `scores`.
    """

    actions: int | None = None
    scores: Sequence[float] | None = None
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.scores is not None:
            object.__setattr__(self, "scores", numbers("scores", self.scores))
        super().__post_init__()
        if self.actions is not None:
            require_integer("actions", self.actions, 2)
        if self.scores is not None:
            self._require_scores(self.scores)
        require_number("temperature", self.temperature, 1e-6, 1e6)

    def _require_scores(self, scores: Sequence[float]) -> None:
        require(len(scores) >= 2 and np.isfinite(scores).all(), "scores", list(scores), "at least 2 finite numbers")
        require(self.actions in (None, len(scores)), "actions", self.actions, f"{len(scores)}, the number of scores, or left out")

    @property
    def random(self) -> bool:  # type: ignore[override]
        """Whether the scores are drawn."""
        return self.scores is None

    def preference(self, rng: np.random.Generator) -> NDArray:
        drawn = self.scores is None
        scores = rng.standard_normal(self.actions or DRAWN_ACTIONS) if drawn else np.asarray(self.scores)
        return complete(expit((scores[:, None] - scores[None, :]) / self.temperature))

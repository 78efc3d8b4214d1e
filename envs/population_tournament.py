"""The world where a majority can want anything: users with firm rankings whose pairwise majorities are a given tournament."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from envs.dials import require_integer
from envs.invalid import Invalid, require
from envs.people import People
from envs.population_world import PopulationWorld

DRAWN_ACTIONS = 5
"""Number of actions where neither `actions` nor `beats` says."""

GAP = 50.0
"""Reward between neighbours in a ranking: sigmoid(50) is 1 in floating point."""


@dataclass(frozen=True, kw_only=True)
class PopulationTournament(PopulationWorld):
    """P[i, j] = 1/2 + 1/(K (K - 1)) where i beats j, from K (K - 1) users of whom each ranks all responses and is never in doubt.

    For each pair, i beating j, there are two users: one ranks i, j, and then the others in order; the other ranks the others in
    reverse order, and then i, j. They agree on i over j and on nothing else, so any tournament is the majority of some users.
    McGarvey, "A theorem on the construction of voting paradoxes", Econometrica 21 (1953).

    Parameters
    ----------
    actions : int or None
        K, from 2 to 50. None means as many as `beats` names, or 5 where it is drawn.
    beats : K (K - 1) / 2 pairs [i, j], or None
        Which response beats which, one for each pair of responses; None tosses a fair coin for each (and for each prompt).

    Raises
    ------
    Invalid
        For any other value, and where `actions` is not the number of responses in `beats`.
    """

    actions: int | None = None
    beats: Sequence[Sequence[int]] | None = None

    def __post_init__(self) -> None:
        if self.beats is not None:
            object.__setattr__(self, "beats", _duels(self.beats))
        super().__post_init__()
        if self.actions is not None:
            require_integer("actions", self.actions, 2)
            require(self.actions <= 50, "actions", self.actions, "at most 50: there are actions (actions - 1) users")
        if self.beats is not None:
            self._require_tournament(self.beats)

    def _require_tournament(self, beats: Sequence[Sequence[int]]) -> None:
        size = 1 + max((max(duel) for duel in beats), default=0)
        complete = 2 <= size <= 50 and sorted(tuple(sorted(duel)) for duel in beats) == list(combinations(range(size), 2))
        require(complete, "beats", [list(duel) for duel in beats], "pairs [i, j] of 0, ..., K - 1, K from 2 to 50, each pair once")
        require(self.actions in (None, size), "actions", self.actions, f"{size}, the number of responses in beats, or left out")

    @property
    def random(self) -> bool:  # type: ignore[override]
        """Whether the tournament is drawn."""
        return self.beats is None

    def draw(self, rng: np.random.Generator) -> People:
        actions = self.actions or DRAWN_ACTIONS
        if self.beats is None:
            rewards = np.stack([mcgarvey(_coins(rng, actions)) for _ in range(self.contexts)], axis=1)
        else:
            rewards = np.repeat(mcgarvey(self.beats)[:, None], self.contexts, axis=1)
        return People.of_rewards(rewards, np.eye(len(rewards)))


def mcgarvey(beats: Sequence[Sequence[int]]) -> NDArray:
    """(K (K - 1), K) rewards of users whose majorities are the tournament `beats`, with `GAP` between neighbours in a ranking."""
    actions = 1 + max(max(duel) for duel in beats)
    rankings = []
    for winner, loser in beats:
        others = [k for k in range(actions) if k not in (winner, loser)]
        rankings += [[winner, loser, *others], [*others[::-1], winner, loser]]
    return GAP * (actions - 1 - np.argsort(rankings, axis=1))


def _coins(rng: np.random.Generator, actions: int) -> list[tuple[int, int]]:
    pairs = list(combinations(range(actions), 2))
    return [(i, j) if coin else (j, i) for (i, j), coin in zip(pairs, rng.integers(0, 2, len(pairs)), strict=True)]


def _duels(beats: object) -> tuple[tuple[int, int], ...]:
    try:
        duels = tuple((first, second) for first, second in beats)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        duels = ((None, None),)
    whole = all(type(k) is int and k >= 0 for duel in duels for k in duel)
    if not whole:
        raise Invalid("beats", beats, "a list of pairs [i, j] of integers >= 0")
    return duels

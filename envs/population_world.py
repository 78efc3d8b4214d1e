"""Worlds of people: who they are is drawn from a seed; what they say together is a game, what each says is a survey."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from envs.dials import require_integer
from envs.game import Game
from envs.people import People
from envs.survey import Survey, require_shots, score_features
from envs.user_comparisons import UserComparisons
from envs.world import World


@dataclass(frozen=True, kw_only=True)
class PopulationWorld(World):
    """A source of people, and of the games that they make together; one draw of users faces all prompts of a seed.

    A subclass draws them, the same first prompts whatever `contexts` is. To those who choose between two responses on behalf of
    all, the people are one preference matrix a prompt, the mean over users, which need not be transitive where each user's is.

    Parameters
    ----------
    samples : int
        How many comparisons of each user a learner is given, at least 1.
    unseen : int
        How many newcomers it meets afterwards, at least 1.
    shots : sequence of int
        With how many comparisons each: it is scored at each of these numbers, which rise.

    The games depend on none of the three.
    """

    samples: int = 150
    unseen: int = 200
    shots: Sequence[int] = (2, 5, 10, 20, 50, 100)

    data_dials: ClassVar[tuple[str, ...]] = ("samples", "unseen", "shots")
    """Dials of the comparisons, without effect on `games`."""
    game_dials: ClassVar[tuple[str, ...]] = ("reference",)
    """Dials of the games, without effect on comparisons."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("samples", "unseen"):
            require_integer(key, getattr(self, key), 1)
        require_shots(self.shots)
        object.__setattr__(self, "shots", tuple(self.shots))

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> People:
        """Draw people and prompts."""

    def draw_weights(self, rng: np.random.Generator, people: People, count: int) -> NDArray:
        """(count, M) weights of further users: here, users drawn uniformly from the list of those that there are."""
        return people.weights[rng.integers(people.users, size=count)]

    def people(self, seed: int = 0, index: int = 0) -> People:
        """The people of seed number `index` under the root `seed`."""
        return self.draw(_stream(seed, index, 0))

    def newcomers(self, count: int, seed: int = 0, index: int = 0) -> People:
        """`count` other users of the same population, who judge the same responses."""
        require_integer("count", count, 1)
        people = self.people(seed, index)
        return replace(people, weights=self.draw_weights(_stream(seed, index, 2), people, count))

    def comparisons(self, seed: int = 0, index: int = 0) -> UserComparisons:
        """What a learner sees of `people(seed, index)`."""
        return self.people(seed, index).comparisons(self.samples, _stream(seed, index, 3))

    def survey(self, seed: int = 0, index: int = 0) -> Survey:
        """What a learner is given of these people, and the truth that it is scored on: everybody's expected answers to every pair."""
        people, newcomers = self.people(seed, index), self.newcomers(self.unseen, seed, index)
        expected = newcomers.expected()
        return Survey(
            seen=self.comparisons(seed, index),
            seen_answers=people.expected(),
            newcomers={m: (newcomers.comparisons(m, _stream(seed, index, 4 + m)), expected) for m in self.shots},
            scores=score_features(people.pairs, people.actions),
            coordinates=people.coordinates,
            newcomer_coordinates=newcomers.coordinates,
        )

    def preference(self, rng: np.random.Generator) -> NDArray:
        """The (K, K) preference matrix of the first prompt."""
        return self.draw(rng).preference(0)

    def games(self, beta: float, *, seed: int = 0, index: int = 0) -> list[Game]:
        people = self.people(seed, index)
        references = [np.random.default_rng([seed, index, context, 1]) for context in range(self.contexts)]
        return [Game(people.preference(context), self._log_reference(people.actions, rng), beta) for context, rng in enumerate(references)]


def _stream(seed: int, index: int, part: int) -> np.random.Generator:
    """Part 0 is the stream of a world's first context, part 1 that of its reference."""
    return np.random.default_rng([seed, index, 0, part])

"""The recorded world: comparisons that people (or judges) have made, read from a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from envs.comparison_file import read_rankings, read_tally
from envs.dials import require_integer, require_number
from envs.invalid import Invalid, require
from envs.survey import Survey, require_shots, score_features
from envs.triangle import complete
from envs.user_comparisons import UserComparisons
from envs.world import World

GIVEN = 0.8
"""The share of a seen user's comparisons that a learner is given."""


@dataclass(frozen=True, kw_only=True)
class Recorded(World):
    """P[i, j] = (w_ij + smoothing) / (w_ij + w_ji + 2 smoothing), w_ij the number of times i was preferred to j.

    The file is read once, when the world is made. A pair nobody compared is a tie, P = 1/2, where smoothing > 0, and an
    error where smoothing = 0.

    Parameters
    ----------
    path : str
        A file `.csv` (header winner,loser,count) or `.soc` (PrefLib, strict complete orders).
    smoothing : float
        In [0, 1e6]: comparisons added to each side of each pair. 1/2 is the mean under Jeffreys' prior.
    unseen : int
        In a survey, how many people a learner meets as newcomers; it learns from the others. At least 1.
    shots : sequence of int
        With how many comparisons each: it is scored at each of these numbers, which rise.

    Attributes
    ----------
    items : tuple of K str
        Labels of the actions in order: by number where every label is an integer, else by the alphabet.
    counts : (K, K) integer array
        w, read-only.

    Raises
    ------
    Invalid
        For any other value; for a file that cannot be read, with its first bad line; for a pair nobody compared.
    """

    path: str | os.PathLike[str]
    smoothing: float = 0.5
    unseen: int = 1000
    shots: Sequence[int] = (2, 5, 10, 20)
    items: tuple[str, ...] = field(init=False)
    counts: NDArray[np.int64] = field(init=False, repr=False, compare=False)

    random = False
    data_dials: ClassVar[tuple[str, ...]] = ("unseen", "shots")
    """Dials of surveys, without effect on `games`."""
    game_dials: ClassVar[tuple[str, ...]] = ("smoothing", "reference", "contexts")
    """Dials of games, without effect on surveys."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("smoothing", self.smoothing, 0, 1e6)
        require_integer("unseen", self.unseen, 1)
        require_shots(self.shots)
        object.__setattr__(self, "shots", tuple(self.shots))
        items, counts = read_tally(self.path)
        counts.setflags(write=False)
        object.__setattr__(self, "items", items)
        object.__setattr__(self, "counts", counts)
        if self.smoothing == 0 and self.unobserved_pairs:
            i, j = self._unobserved[0]
            raise Invalid("smoothing", self.smoothing, f"above 0: nobody compared {items[i]!r} with {items[j]!r}")

    @property
    def unobserved_pairs(self) -> int:
        """Number of pairs nobody compared."""
        return len(self._unobserved)

    @property
    def _unobserved(self) -> NDArray:
        return np.argwhere(np.triu(self.counts + self.counts.T == 0, 1))

    def preference(self, rng: np.random.Generator) -> NDArray:
        del rng
        wins = self.counts + self.smoothing
        compared = wins + wins.T
        np.fill_diagonal(compared, 1.0)  # no item meets itself
        return complete(wins / compared)

    def survey(self, seed: int = 0, index: int = 0) -> Survey:
        """People of a `.soc` file, parted by chance into users to learn from and newcomers, each asked about every pair.

        A learner is given four fifths of the pairs of each user, and m of the pairs of each newcomer; it is scored on the rest.
        """
        places, rng = read_rankings(self.path), np.random.default_rng([seed, index, 0, 2])
        people, pairs = len(places), np.array([(0, i, j) for i, j in zip(*np.triu_indices(len(self.items), 1), strict=True)])
        require(self.unseen < people, "unseen", self.unseen, f"below {people}, the number of people in the file")
        require_shots(self.shots, len(pairs) - 1)
        answers = places[:, pairs[:, 1]] < places[:, pairs[:, 2]]
        answers = answers[rng.permutation(people)]
        order = rng.permuted(np.tile(np.arange(len(pairs)), (people, 1)), axis=1)
        features = score_features(pairs, len(self.items))

        def parted(users: slice, m: int) -> tuple[UserComparisons, UserComparisons]:
            """The answers to m pairs of each user, and those to the others."""
            given = order[users] < m
            sides = [(answers[users], ~answers[users])] * 2
            first, rest = ([side & mask for side in pair] for pair, mask in zip(sides, (given, ~given), strict=True))
            return UserComparisons(features, np.zeros(len(pairs)), *first), UserComparisons(features, np.zeros(len(pairs)), *rest)

        seen, seen_answers = parted(slice(self.unseen, None), round(GIVEN * len(pairs)))
        newcomers = {m: parted(slice(self.unseen), m) for m in self.shots}
        return Survey(seen, seen_answers, newcomers, scores=features)

"""The recorded world: comparisons that people (or judges) have made, read from a file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from envs.comparison_file import read_tally
from envs.dials import require_number
from envs.invalid import Invalid
from envs.triangle import complete
from envs.world import World


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
    items: tuple[str, ...] = field(init=False)
    counts: NDArray[np.int64] = field(init=False, repr=False, compare=False)

    random = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("smoothing", self.smoothing, 0, 1e6)
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

"""Files of users: prototypes of taste, and how each user mixes them.

An .npz file with `prototypes` G (M, D) and `weights` w (U, M), whose rows sum to 1; an entry below 0 is a user outside the simplex of the
prototypes, as PAL may find. It may hold `shares` (U,), nonnegative and of sum 1, of how much each user counts (equal if absent), and
`projection` (H, D), which takes H features to the space of ideal points (if absent, H = D and they are there already).
"""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.invalid import Invalid, require
from simlab.refusal import sentence

NEEDED, OPTIONAL = ("prototypes", "weights"), ("shares", "projection")
MISS = 1e-6
"""How far sums may miss 1: files may hold float32."""


class Crowd(NamedTuple):
    """U users, by their (U, D) ideal points, (U,) shares, and the (H, D) projection of features, or None."""

    points: NDArray
    shares: NDArray
    projection: NDArray | None

    @property
    def width(self) -> int:
        """H, the number of features."""
        return self.points.shape[1] if self.projection is None else len(self.projection)


def read_crowd(path: str | os.PathLike[str]) -> Crowd:
    """The users of a file.

    Raises
    ------
    Invalid
        With the key `path`, and the first array that is missing or wrong.
    """
    found = _arrays(path)

    def check(fits: object, key: str, allowed: str) -> None:
        require(fits, "path", f"{path}: {key} of shape {found[key].shape}", f"a file with {key} {allowed}")

    prototypes, weights = found["prototypes"], found["weights"]
    check(prototypes.ndim == 2 and prototypes.size, "prototypes", "of shape (M, D)")
    check(weights.ndim == 2 and len(weights) and weights.shape[1] == len(prototypes), "weights", f"of shape (U, {len(prototypes)})")
    check(np.abs(weights.sum(axis=1) - 1).max() <= MISS, "weights", "whose rows sum to 1")
    shares = found.setdefault("shares", np.full(len(weights), 1 / len(weights)))
    check(shares.shape == (len(weights),), "shares", f"of shape ({len(weights)},), one of each user")
    check(shares.min() >= 0 and abs(shares.sum() - 1) <= MISS, "shares", "that are nonnegative and sum to 1")
    projection = found.get("projection")
    if projection is not None:
        fits = projection.ndim == 2 and projection.shape[1] == prototypes.shape[1]
        check(fits, "projection", f"of shape (H, {prototypes.shape[1]})")
    return Crowd(weights @ prototypes, shares / shares.sum(), projection)


def _arrays(path: str | os.PathLike[str]) -> dict[str, NDArray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            read: dict[str, NDArray] = dict(file)
    except Exception as error:  # files that are damaged, of another kind or not there raise many kinds
        raise Invalid("path", path, f"an .npz file that can be read ({sentence(error)})") from None
    absent, unknown = [key for key in NEEDED if key not in read], sorted(set(read) - {*NEEDED, *OPTIONAL})
    require(not absent, "path", path, f"a file with {' and '.join(absent)}: it holds {', '.join(sorted(read)) or 'nothing'}")
    require(not unknown, "path", f"{path}: {', '.join(unknown)}", f"a file of {', '.join((*NEEDED, *OPTIONAL))} alone")
    for key, array in read.items():
        numbers = array.dtype.kind in "iuf" and np.isfinite(array).all()
        require(numbers, "path", f"{path}: {key} of type {array.dtype}", f"a file whose {key} are finite numbers")
    return {key: array.astype(np.float64) for key, array in read.items()}

"""The offline world: a log-linear reference, a linear reward, and labelled pairs of responses, all enumerated.

    pi_theta(a | x)  ~  exp(theta . phi(x, a)),      pi_ref = pi_theta0,      r(x, a) = beta (theta* - theta0) . phi(x, a)

so that pi_theta* is the optimum of E r - beta KL(pi | pi_ref). A pair is a prompt x (uniform) and two independent draws from
pi_ref(. | x); the first wins with probability p = sigmoid(z . (theta* - theta0)), z = beta (phi(x, a) - phi(x, b)), and its
label is then flipped with probability eps. Every pair x, a < b is a row with a weight, so a sample of any size is a multinomial
and a binomial draw, and truths are finite sums (`envs.pair_truth`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from envs.dials import read_only, require_integer, require_number
from envs.divergence import log_normalise
from envs.feedback import Flip, SymmetricFlip
from envs.invalid import require


@dataclass(frozen=True, eq=False)
class Comparisons:
    """How often each side of each pair was preferred.

    Parameters
    ----------
    features : (m, D) array
        z: the margin of the first response of pair i over the second is features[i] . theta.
    wins, losses : (m,) arrays
        How often the first, and the second, was preferred: finite, at least 0, not all 0; expected counts need not be integers.

    Raises
    ------
    Invalid
        With the argument and what is allowed.
    """

    features: NDArray
    wins: NDArray
    losses: NDArray

    def __post_init__(self) -> None:
        for key in ("features", "wins", "losses"):
            object.__setattr__(self, key, read_only(key, getattr(self, key)))
            require(np.isfinite(getattr(self, key)).all(), key, "an array with nan or inf", "finite")
        shape = self.features.shape
        require(len(shape) == 2 and min(shape) >= 1, "features", f"array of shape {shape}", "of shape (m, D)")
        for key in ("wins", "losses"):
            counts = getattr(self, key)
            require(counts.shape == shape[:1], key, f"array of shape {counts.shape}", f"of shape ({shape[0]},), one entry for each pair")
            require(counts.min() >= 0, key, counts.min(), "counts >= 0")
        require(self.total > 0, "wins", "all 0, as losses", "at least one comparison")

    @property
    def total(self) -> float:
        """n, the number of comparisons."""
        return float(self.wins.sum() + self.losses.sum())


@dataclass(frozen=True)
class Pairs:
    """A drawn world, and the pairs that are sampled in it.

    Parameters
    ----------
    n : int >= 1, comparisons of a sample
    contexts, actions : int >= 1, >= 2; prompts, and responses to each
    dimension : int in [1, contexts (actions - 1)], D: phi has independent normal entries of variance 1/D
    beta : float in [1e-6, 1e6], the KL coefficient
    flip : float in [0, 1/2), or a `Flip`: the probability of a wrong label
    scale : float in [0, 1e6], standard deviation of the reward under the reference within a prompt (root mean square over prompts)
    keep_equal : bool
        Whether pairs of equal draws are kept: they carry nothing but count in n, so that every asymptotic constant depends on it.
    seed : int >= 0, of phi, theta0 and the direction of the reward

    Raises
    ------
    Invalid
        For any other value.
    """

    n: int = 10_000
    contexts: int = 6
    actions: int = 5
    dimension: int = 8
    beta: float = 0.5
    flip: float | Flip = 0.0
    scale: float = 0.5
    keep_equal: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for key, least in {"n": 1, "contexts": 1, "actions": 2, "dimension": 1, "seed": 0}.items():
            require_integer(key, getattr(self, key), least)
        most = self.contexts * (self.actions - 1)
        require(self.dimension <= most, "dimension", self.dimension, f"at most contexts (actions - 1) = {most}, or no data determine theta")
        require_number("beta", self.beta, 1e-6, 1e6)
        require_number("scale", self.scale, 0, 1e6)
        require(isinstance(self.keep_equal, bool), "keep_equal", self.keep_equal, "true or false")
        if not hasattr(self.flip, "rates"):
            object.__setattr__(self, "flip", SymmetricFlip(self.flip))  # type: ignore[arg-type]

    @cached_property
    def phi(self) -> NDArray:
        """(contexts, actions, D) features."""
        return _stream(self.seed, 0).standard_normal((self.contexts, self.actions, self.dimension)) / np.sqrt(self.dimension)

    @cached_property
    def theta0(self) -> NDArray:
        """(D,) parameters of the reference."""
        return _stream(self.seed, 1).standard_normal(self.dimension)

    @cached_property
    def shift(self) -> NDArray:
        """(D,) theta* - theta0, what a fit estimates."""
        direction = _stream(self.seed, 2).standard_normal(self.dimension)
        reward, q = self.phi @ direction, np.exp(self.log_reference)
        variance = (q * (reward - (q * reward).sum(axis=1, keepdims=True)) ** 2).sum(axis=1)
        return self.scale / self.beta * direction / np.sqrt(variance.mean())

    @cached_property
    def log_reference(self) -> NDArray:
        """(contexts, actions) log pi_ref."""
        return log_normalise(self.phi @ self.theta0)

    @cached_property
    def reward(self) -> NDArray:
        """(contexts, actions) r, up to a constant of each prompt."""
        return self.beta * self.phi @ self.shift

    @cached_property
    def rows(self) -> Rows:
        """The pairs, a prompt after the other."""
        first, second = np.triu_indices(self.actions, 0 if self.keep_equal else 1)
        q = np.exp(self.log_reference)
        weight = np.where(first == second, 1.0, 2.0) * q[:, first] * q[:, second]
        clean = expit(self.reward[:, :, None] - self.reward[:, None, :])
        rates = np.stack([np.broadcast_to(self.flip.rates(matrix), matrix.shape) for matrix in clean])  # type: ignore[union-attr]
        observed = clean + rates * (1.0 - 2.0 * clean)
        return Rows(
            features=self.beta * (self.phi[:, first] - self.phi[:, second]).reshape(-1, self.dimension),
            weight=(weight / weight.sum()).ravel(),
            clean=clean[:, first, second].ravel(),
            observed=observed[:, first, second].ravel(),
        )

    def comparisons(self, n: int | None = None, seed: int = 0, *, log_ratio: bool = False) -> Comparisons:
        """A sample: n pairs (the world's `n` by default), labelled.

        Parameters
        ----------
        seed : of the sample; the same world gives independent samples for different seeds
        log_ratio : whether features are phi(a) - phi(b), for losses of h itself (IPO), in place of beta times that
        """
        rng = np.random.default_rng([self.seed, 3, seed])
        pairs = rng.multinomial(self.n if n is None else n, self.rows.weight)
        wins = rng.binomial(pairs, self.rows.observed)
        return Comparisons(self._features(log_ratio), wins, pairs - wins)

    def population(self, *, log_ratio: bool = False) -> Comparisons:
        """The expected counts of one comparison: a fit to them is the limit of fits to large samples."""
        weight, observed = self.rows.weight, self.rows.observed
        return Comparisons(self._features(log_ratio), weight * observed, weight * (1.0 - observed))

    def log_policy(self, shift: ArrayLike) -> NDArray:
        """(contexts, actions) log pi_theta at theta = theta0 + shift."""
        return log_normalise(self.phi @ (self.theta0 + np.asarray(shift)))

    def _features(self, log_ratio: bool) -> NDArray:
        return self.rows.features / self.beta if log_ratio else self.rows.features


@dataclass(frozen=True, eq=False)
class Rows:
    """The enumerated pairs of a world.

    Parameters
    ----------
    features : (m, D) array, z = beta (phi(x, a) - phi(x, b))
    weight : (m,) array, the probability of the pair, summing to 1
    clean, observed : (m,) arrays, p and its flipped form: the probability that the first, or its label, wins
    """

    features: NDArray
    weight: NDArray
    clean: NDArray
    observed: NDArray


def _stream(seed: int, part: int) -> np.random.Generator:
    return np.random.default_rng([seed, part])

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
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from envs.comparisons import Comparisons
from envs.dials import require_integer, require_number
from envs.divergence import log_normalise
from envs.feedback import Flip, SymmetricFlip, require_flip
from envs.game import Game, flip_preference
from envs.invalid import require
from envs.triangle import complete

__all__ = ["Comparisons", "Pairs", "Rows"]


@dataclass(frozen=True)
class Pairs:
    """A drawn world, and the pairs that are sampled in it.

    Parameters
    ----------
    n : int >= 1, comparisons of a sample
    contexts, actions : int >= 1, >= 2; prompts, and responses to each
    d : int in [1, contexts (actions - 1)], features of a response: phi has independent normal entries of variance 1/d
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
    d: int = 8
    beta: float = 0.5
    flip: float | Flip = 0.0
    scale: float = 0.5
    keep_equal: bool = False
    seed: int = 0

    varies: ClassVar[bool] = False
    """Whether `games` of different seeds differ."""
    data_dials: ClassVar[tuple[str, ...]] = ("n", "flip", "keep_equal")
    """Dials of the comparisons, without effect on `games`."""

    def __post_init__(self) -> None:
        for key, least in {"n": 1, "contexts": 1, "actions": 2, "d": 1, "seed": 0}.items():
            require_integer(key, getattr(self, key), least)
        most = self.contexts * (self.actions - 1)
        require(self.d <= most, "d", self.d, f"at most contexts (actions - 1) = {most}, or no data determine theta")
        require_number("beta", self.beta, 1e-6, 1e6)
        require_number("scale", self.scale, 0, 1e6)
        require(isinstance(self.keep_equal, bool), "keep_equal", self.keep_equal, "true or false")
        if not hasattr(self.flip, "rates"):
            require_flip("flip", self.flip)
            object.__setattr__(self, "flip", SymmetricFlip(self.flip))  # type: ignore[arg-type]
        for key in ("flip", "flips"):  # at 1/2 nothing could be corrected, which most of what is known of pairs presumes
            for rate in np.ravel(getattr(self.flip, key, [])):
                require_flip(key, rate.item())

    @cached_property
    def phi(self) -> NDArray:
        """(contexts, actions, D) features."""
        return _stream(self.seed, 0).standard_normal((self.contexts, self.actions, self.d)) / np.sqrt(self.d)

    @cached_property
    def theta0(self) -> NDArray:
        """(D,) parameters of the reference."""
        return _stream(self.seed, 1).standard_normal(self.d)

    @cached_property
    def shift(self) -> NDArray:
        """(D,) theta* - theta0, what a fit estimates."""
        direction = _stream(self.seed, 2).standard_normal(self.d)
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
    def preference(self) -> NDArray:
        """(contexts, actions, actions) clean probabilities that one response beats another."""
        return np.stack([complete(expit(reward[:, None] - reward)) for reward in self.reward])

    @cached_property
    def rows(self) -> Rows:
        """The pairs, a prompt after the other."""
        first, second = np.triu_indices(self.actions, 0 if self.keep_equal else 1)
        q = np.exp(self.log_reference)
        weight = np.where(first == second, 1.0, 2.0) * q[:, first] * q[:, second]
        rates = np.stack([np.broadcast_to(self.flip.rates(matrix), matrix.shape) for matrix in self.preference])  # type: ignore[union-attr]
        observed = flip_preference(self.preference, rates)
        return Rows(
            features=self.beta * (self.phi[:, first] - self.phi[:, second]).reshape(-1, self.d),
            weight=(weight / weight.sum()).ravel(),
            clean=self.preference[:, first, second].ravel(),
            observed=observed[:, first, second].ravel(),
            rates=rates[:, first, second].ravel(),
        )

    @property
    def flip_rate(self) -> float:
        """The share of labels that are wrong."""
        return float(self.rows.weight @ self.rows.rates)

    def games(self, beta: float, *, seed: int = 0, index: int = 0) -> list[Game]:
        """A game a prompt: the clean preferences, at the reference; seeds draw nothing here."""
        del seed, index
        return [Game(preference, log_q, beta) for preference, log_q in zip(self.preference, self.log_reference, strict=True)]

    def comparisons(self, n: int | None = None, seed: int = 0, index: int = 0, *, log_ratio: bool = False) -> Comparisons:
        """A sample: n pairs (the world's `n` by default), labelled.

        Parameters
        ----------
        seed, index : root and number of the sample; samples of one world are independent of each other
        log_ratio : whether features are phi(a) - phi(b), for losses of h itself (IPO), in place of beta times that
        """
        rng = np.random.default_rng([self.seed, 3, seed, index])
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
    rates : (m,) array, the probability that a label is wrong
    """

    features: NDArray
    weight: NDArray
    clean: NDArray
    observed: NDArray
    rates: NDArray


def _stream(seed: int, part: int) -> np.random.Generator:
    return np.random.default_rng([seed, part])

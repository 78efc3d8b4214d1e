"""People who differ: each has an ideal point among the responses and prefers what lies closer to it.

    a_u(x) = sum_m w_um G_m' psi(x),        s_u(x, y) = -|y - a_u(x)|^2 / temperature,        Pr(u: y over z | x) = sigmoid(s_y - s_z)

Ideal points are mixtures of M prototypes G_m, whose weights w are all that tells one user from another. This is the pluralistic
alignment framework of Chen, Chen, Rege and Vinayak (arXiv 2406.08469) in a probabilistic form: distances are squared, so that the
margin s_y - s_z is affine in w and in the ideal point, and labels have probabilities (a form chosen for this project; the paper's
code scores by unsquared distances or angles, and offers hinge losses).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from envs.dials import read_only, require_integer, require_positive
from envs.invalid import require
from envs.triangle import complete
from envs.user_comparisons import UserComparisons


@dataclass(frozen=True, eq=False)
class People:
    """U users, and the K responses to each of C prompts that they judge.

    Parameters
    ----------
    items : (C, K, D) array
        The responses, in the space of ideal points.
    prototypes : (M, E, D) array, or (M, D) where E = 1
        G: a prototype maps the features of a prompt to an ideal point.
    weights : (U, M) array
        w: rows of nonnegative numbers that sum to 1.
    temperature : float > 0
        The higher, the closer every pair is to a tie.
    prompts : (C, E) array, or None
        psi. None is one feature that is always 1: ideal points do not depend on the prompt (the paper's model A, otherwise B).

    Raises
    ------
    Invalid
        With the argument and what is allowed.
    """

    items: NDArray
    prototypes: NDArray
    weights: NDArray
    temperature: float = 1.0
    prompts: NDArray | Any = None

    def __post_init__(self) -> None:
        if self.prompts is None:
            object.__setattr__(self, "prompts", np.ones((len(self.items), 1)))
        for key in ("items", "prototypes", "weights", "prompts"):
            object.__setattr__(self, key, read_only(key, getattr(self, key)))
            require(np.isfinite(getattr(self, key)).all(), key, "an array with nan or inf", "finite")
        if self.prototypes.ndim == 2:
            object.__setattr__(self, "prototypes", self.prototypes[:, None, :])
        require_positive("temperature", self.temperature)
        self._require_shapes()
        deviation = np.abs(self.weights.sum(axis=1) - 1.0).max()
        require(self.weights.min() >= 0, "weights", self.weights.min(), "nonnegative")
        require(deviation <= 1e-9, "weights", f"rows that miss 1 by {deviation:.3g}", "rows that sum to 1")

    def _require_shapes(self) -> None:
        shape = self.items.shape
        require(len(shape) == 3 and min(shape) >= 1 and shape[1] >= 2, "items", f"array of shape {shape}", "of shape (C, K, D), K >= 2")
        fits = self.prompts.ndim == 2 and len(self.prompts) == shape[0] and self.prompts.shape[1] >= 1
        require(fits, "prompts", f"array of shape {self.prompts.shape}", f"of shape ({shape[0]}, E): prompts, features")
        tail = (self.prompts.shape[1], shape[2])
        fits = self.prototypes.ndim == 3 and len(self.prototypes) >= 1 and self.prototypes.shape[1:] == tail
        require(fits, "prototypes", f"array of shape {self.prototypes.shape}", f"of shape (M, {tail[0]}, {tail[1]})")
        fits = self.weights.ndim == 2 and len(self.weights) >= 1 and self.weights.shape[1] == len(self.prototypes)
        require(fits, "weights", f"array of shape {self.weights.shape}", f"of shape (U, {len(self.prototypes)}): users, prototypes")

    @classmethod
    def of_rewards(cls, rewards: ArrayLike, weights: ArrayLike) -> People:
        """People whose rewards are mixtures of rewards, (M, C, K): user u prefers y to z with probability sigmoid(r_uy - r_uz).

        Orthonormal items e_k and ideal points r at temperature 2 say so: 2 (e_y - e_z) . r / 2 = r_y - r_z. Prompts are told apart
        by indicators, and the coordinates of a user are the rewards. Hence every mixture of Bradley-Terry users is such a population.
        """
        rewards = read_only("rewards", rewards)
        require(rewards.ndim == 3, "rewards", f"array of shape {rewards.shape}", "of shape (M, C, K)")
        _, contexts, actions = rewards.shape
        items = np.broadcast_to(np.eye(actions), (contexts, actions, actions))
        return cls(items=items, prototypes=rewards, weights=np.asarray(weights), temperature=2.0, prompts=np.eye(contexts))

    @property
    def contexts(self) -> int:
        """C."""
        return self.items.shape[0]

    @property
    def actions(self) -> int:
        """K."""
        return self.items.shape[1]

    @property
    def users(self) -> int:
        """U."""
        return len(self.weights)

    @cached_property
    def coordinates(self) -> NDArray:
        """(U, E D) what a learner estimates: each user's mixture of prototypes; without prompt features, the ideal point."""
        return self.weights @ self.prototypes.reshape(len(self.prototypes), -1)

    @cached_property
    def ideal_points(self) -> NDArray:
        """(U, C, D) a_u(x)."""
        return np.einsum("ce,ued->ucd", self.prompts, self.coordinates.reshape(self.users, *self.prototypes.shape[1:]))

    @cached_property
    def scores(self) -> NDArray:
        """(C, U, K) s, by distances."""
        return np.stack([self._scores(context) for context in range(self.contexts)])

    def _scores(self, context: int) -> NDArray:
        away = self.items[context] - self.ideal_points[:, context, None, :]
        return -(away**2).sum(axis=2) / self.temperature

    def preferences(self, context: int = 0) -> NDArray:
        """(U, K, K) P_u[i, j], the probability that user u prefers response i to j."""
        scores = self.scores[context]
        return expit(scores[:, :, None] - scores[:, None, :])

    def preference(self, context: int = 0) -> NDArray:
        """(K, K) the mean of P_u over users: how often i is preferred to j by a user chosen at random."""
        scores = self.scores[context]
        return complete(np.stack([expit(scores[:, [i]] - scores).mean(axis=0) for i in range(self.actions)]))

    @cached_property
    def pairs(self) -> NDArray:
        """(m, 3) prompt, first and second response of every pair, the first before the second."""
        first, second = np.triu_indices(self.actions, 1)
        prompt = np.repeat(np.arange(self.contexts), len(first))
        return np.column_stack([prompt, np.tile(first, self.contexts), np.tile(second, self.contexts)])

    @cached_property
    def features(self) -> NDArray:
        """(m, E D) 2 psi(x) kron (y - z) / temperature: with `offset`, the margin as a learner sees it."""
        prompt, first, second = self.pairs.T
        difference = self.items[prompt, first] - self.items[prompt, second]
        return 2.0 / self.temperature * (self.prompts[prompt, :, None] * difference[:, None, :]).reshape(len(prompt), -1)

    @cached_property
    def offset(self) -> NDArray:
        """(m,) (|z|^2 - |y|^2) / temperature: the part of the margin that is the same for all users."""
        prompt, first, second = self.pairs.T
        square = (self.items**2).sum(axis=2)
        return (square[prompt, second] - square[prompt, first]) / self.temperature

    @cached_property
    def probabilities(self) -> NDArray:
        """(U, m) how likely each user prefers the first of each pair: by `scores`, not by `features`, so that either checks the other."""
        prompt, first, second = self.pairs.T
        return expit(self.scores[prompt, :, first] - self.scores[prompt, :, second]).T

    def comparisons(self, samples: int, seed: Sequence[int] | np.random.Generator) -> UserComparisons:
        """`samples` comparisons of each user, of pairs chosen uniformly with replacement; `seed` is a list of integers, or a generator."""
        require_integer("samples", samples, 1)
        rng, pairs = np.random.default_rng(seed), len(self.pairs)
        compared = rng.multinomial(samples, np.full(pairs, 1.0 / pairs), size=self.users)
        wins = rng.binomial(compared, self.probabilities)
        return UserComparisons(self.features, self.offset, wins, compared - wins)

    def expected(self) -> UserComparisons:
        """The expected counts of one comparison of each user: a fit to them is the limit of fits to large samples."""
        wins, pairs = self.probabilities, len(self.pairs)
        return UserComparisons(self.features, self.offset, wins / pairs, (1.0 - wins) / pairs)

    def utility(self, log_policy: ArrayLike, log_reference: ArrayLike) -> NDArray:
        """(..., U) how often each user prefers the policy's response to the reference's: the mean of p' P_u ref over prompts.

        Parameters
        ----------
        log_policy : (..., C, K) log-probabilities
        log_reference : (C, K) log-probabilities; as the policy, they give everybody 1/2
        """
        policy, reference, shape = np.exp(log_policy), np.exp(log_reference), (self.contexts, self.actions)
        require(policy.shape[-2:] == shape, "log_policy", f"array of shape {policy.shape}", f"of shape (..., {shape[0]}, {shape[1]})")
        require(reference.shape == shape, "log_reference", f"array of shape {reference.shape}", f"of shape {shape}")
        rates = [policy[..., context, :] @ self._win_rates(context, reference[context]) for context in range(self.contexts)]
        return np.mean(rates, axis=0)

    def _win_rates(self, context: int, opponent: NDArray) -> NDArray:
        """(K, U) how often each user prefers each response to the opponent's, a response at a time for the sake of memory."""
        scores = self.scores[context]
        return np.stack([expit(scores[:, [i]] - scores) @ opponent for i in range(self.actions)])


def mixing_weights(rng: np.random.Generator, users: int, prototypes: int, concentration: float) -> NDArray:
    """(users, prototypes) rows drawn from Dirichlet(concentration, ...); at 0, one prototype a user, each equally likely."""
    if concentration == 0:
        return np.eye(prototypes)[rng.integers(prototypes, size=users)]
    return rng.dirichlet(np.full(prototypes, concentration), size=users)


def require_concentration(value: object) -> None:
    """Raise :class:`Invalid` unless `value` can be the `concentration` of `mixing_weights`."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and (value == 0 or 0.01 <= value <= 1000)
    require(number, "concentration", value, "0, or a number in [0.01, 1000]")

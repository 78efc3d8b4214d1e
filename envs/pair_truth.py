"""Exact truths of a world of pairs: information matrices, the error of estimators, and what a policy is worth."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs.divergence import kl
from envs.pairs import Pairs


def second_moment(world: Pairs) -> NDArray:
    """(D, D) S = E[z z'] over pairs."""
    return _moment(world, np.ones_like(world.rows.weight))


def information(world: Pairs) -> NDArray:
    """(D, D) H = E[p (1 - p) z z'], the Fisher information of one clean label."""
    return _moment(world, world.rows.clean * (1.0 - world.rows.clean))


def robust_covariance(world: Pairs, flip: float) -> NDArray:
    """(D, D) C: sqrt(n) times the error of robust DPO tends to N(0, C) where every label is wrong with probability `flip`.

    C = H^-1 + flip (1 - flip) / (1 - 2 flip)^2  H^-1 S H^-1 (derived here).
    """
    inverse = np.linalg.inv(information(world))
    return inverse + flip * (1.0 - flip) / (1.0 - 2.0 * flip) ** 2 * inverse @ second_moment(world) @ inverse


def policy_fisher(world: Pairs, shift: ArrayLike) -> NDArray:
    """(D, D) F = E_x Cov(phi) under pi_theta, theta = theta0 + shift."""
    policy = np.exp(world.log_policy(shift))
    centred = world.phi - np.einsum("xa,xad->xd", policy, world.phi)[:, None]
    return np.einsum("xa,xad,xae->de", policy, centred, centred) / world.contexts


def reward(world: Pairs, log_policy: ArrayLike) -> float:
    """E r of a policy, (contexts, actions) log-probabilities."""
    return float((np.exp(log_policy) * world.reward).sum(axis=1).mean())


def objective(world: Pairs, log_policy: ArrayLike) -> float:
    """J = E r - beta KL(pi | pi_ref)."""
    return reward(world, log_policy) - world.beta * float(kl(log_policy, world.log_reference).mean())


def regularised_gap(world: Pairs, log_policy: ArrayLike) -> float:
    """J(pi*) - J(pi) = beta KL(pi | pi*), for any policy, without cancellation."""
    return world.beta * float(kl(log_policy, world.log_policy(world.shift)).mean())


def reward_gap(world: Pairs, log_policy: ArrayLike) -> float:
    """E r of pi* less that of pi: of either sign, since pi* is not the best policy for the reward alone."""
    return reward(world, world.log_policy(world.shift)) - reward(world, log_policy)


def estimation_error(world: Pairs, shift: ArrayLike) -> float:
    """|theta - theta*|_H at theta = theta0 + shift: the root mean square error of margins, weighed as the data determine them."""
    error = np.asarray(shift) - world.shift
    return float(np.sqrt(error @ information(world) @ error))


def accuracy(world: Pairs, log_policy: ArrayLike) -> float:
    """The share of sampled pairs whose likelier winner has the larger log pi/pi_ref; pairs that tie are left out."""
    clear = (world.rows.clean != 0.5) * world.rows.weight
    return float(clear @ (_differences(world, log_policy) * (world.rows.clean - 0.5) > 0) / clear.sum()) if clear.any() else np.nan


def borda_agreement(world: Pairs, log_policy: ArrayLike) -> float:
    """The share of all pairs of responses to a prompt that log pi/pi_ref and the Borda score order alike.

    The Borda score of a response is its mean probability of beating a uniformly drawn one.
    """
    score = world.preference.mean(axis=2)
    ratio = np.asarray(log_policy) - world.log_reference
    first, second = np.triu_indices(world.actions, 1)
    agree = (score[:, first] - score[:, second]) * (ratio[:, first] - ratio[:, second]) > 0
    return float(agree.mean())


def _differences(world: Pairs, log_policy: ArrayLike) -> NDArray:
    """(m,) log pi/pi_ref of each row's first response less that of its second."""
    ratio = np.asarray(log_policy) - world.log_reference
    first, second = np.triu_indices(world.actions, 0 if world.keep_equal else 1)
    return (ratio[:, first] - ratio[:, second]).ravel()


def _moment(world: Pairs, value: NDArray) -> NDArray:
    features = world.rows.features
    return (features * (world.rows.weight * value)[:, None]).T @ features

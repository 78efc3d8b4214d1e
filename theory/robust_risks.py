"""Three risks of an estimate theta^ = theta* + e of a world's optimum, each with the law of n times it.

    error        e' H e                     H the Fisher information of clean labels         A = H
    gap          J(pi*) - J(pi_theta^)      = beta KL(pi_theta^ | pi*), regularised          A = (beta/2) F(theta*)
    reward gap   (E r(pi*) - E r(pi))^2     the plain reward, of either sign before          A = g g',  g = beta F(theta*) (theta* - theta0)
                                            the square

With sqrt(n) e -> N(0, C) each is e'A e to first order, so that n times it tends to sum_i w_i X_i, w the eigenvalues of A C, and
its mean to tr(A C). F(theta) = E_x Cov(phi) under pi_theta is the policy's own, centred, Fisher information.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs.pair_truth import information, policy_fisher, regularised_gap, reward_gap
from envs.pairs import Pairs

Fisher = Callable[[Pairs, ArrayLike], NDArray]


class Risk(Protocol):
    """What an estimate costs; second order in its error."""

    power: ClassVar[float]
    """Of the mean risk in the rate: 1/2 for root mean squares."""

    def of(self, world: Pairs, shifts: NDArray) -> NDArray:
        """(R,) risks of (R, D) estimates of theta - theta0."""
        ...

    def weights(self, world: Pairs, covariance: NDArray) -> NDArray:
        """Weights w of the limit law of n times the risk."""
        ...


@dataclass(frozen=True)
class SquaredError:
    """e' H e."""

    power: ClassVar[float] = 0.5

    def of(self, world: Pairs, shifts: NDArray) -> NDArray:
        errors = shifts - world.shift
        return np.einsum("ri,ij,rj->r", errors, information(world), errors)

    def weights(self, world: Pairs, covariance: NDArray) -> NDArray:
        return np.linalg.eigvals(information(world) @ covariance).real


@dataclass(frozen=True)
class RegularisedGap:
    """J(pi*) - J(pi).

    Parameters
    ----------
    fisher : (world, theta - theta0) -> (D, D) F
    """

    fisher: Fisher = policy_fisher
    power: ClassVar[float] = 1.0

    def of(self, world: Pairs, shifts: NDArray) -> NDArray:
        return np.array([regularised_gap(world, world.log_policy(shift)) for shift in shifts])

    def weights(self, world: Pairs, covariance: NDArray) -> NDArray:
        return world.beta / 2 * np.linalg.eigvals(self.fisher(world, world.shift) @ covariance).real


@dataclass(frozen=True)
class SquaredRewardGap:
    """(E r(pi*) - E r(pi))^2.

    Parameters
    ----------
    fisher : (world, theta - theta0) -> (D, D) F
    """

    fisher: Fisher = policy_fisher
    power: ClassVar[float] = 0.5

    def of(self, world: Pairs, shifts: NDArray) -> NDArray:
        return np.array([reward_gap(world, world.log_policy(shift)) ** 2 for shift in shifts])

    def weights(self, world: Pairs, covariance: NDArray) -> NDArray:
        slope = world.beta * self.fisher(world, world.shift) @ world.shift
        return np.atleast_1d(slope @ covariance @ slope)

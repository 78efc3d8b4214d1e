"""An offline learner is a loss of one number, the margin of the response that the label prefers.

With h = log pi/pi_ref(winner) - log pi/pi_ref(loser), the DPO family reads the margin u = beta h and IPO reads h itself.
Labels that are wrong with probability s are smoothed, or debiased, by mixing the losses of both orders,

    (1 - s) L(u) + s L(-u)  =  L(u) - s (L(u) - L(-u)),
    ((1 - s) L(u) - s L(-u)) / (1 - 2 s)  =  L(u) + s / (1 - 2 s) (L(u) - L(-u)),

and for both families L(u) - L(-u) is linear: -u for the logistic loss log(1 + exp(-u)), -4 a u for the square (u - a)^2. Every
loss here is therefore one of the two plus `tilt` times u: convex, with the curvature of the clean loss, and exact up to flips
near 1/2, where the difference of two large losses is not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from algorithms.pair_kernel import logistic
from envs.invalid import require


class PairLoss(Protocol):
    """A strictly convex loss of the margin of the observed winner; functions of arrays, entry by entry.

    The limits of `slope` at -inf and inf say whether data have a minimiser. `log_ratio` says that the margin is h itself.
    """

    log_ratio: ClassVar[bool]

    def value(self, margin: ArrayLike) -> NDArray: ...

    def slope(self, margin: ArrayLike) -> NDArray: ...

    def curvature(self, margin: ArrayLike) -> NDArray: ...


class Terms(NamedTuple):
    """What pairs of margins u add to a fit: the sum of wins L(u) + losses L(-u), and its slopes and curvatures in u, (m,) each."""

    value: float
    slopes: NDArray
    curvatures: NDArray


def terms(loss: PairLoss, margin: NDArray, wins: NDArray, losses: NDArray) -> Terms:
    """Of any loss by its three functions; of the logistic ones compiled, from one exponential a pair."""
    if isinstance(loss, TiltedLogistic):
        values, slopes, curvatures = np.empty((3, len(margin)))
        return Terms(logistic(margin, wins, losses, loss.tilt, values, slopes, curvatures), slopes, curvatures)
    return Terms(
        float(wins @ loss.value(margin) + losses @ loss.value(-margin)),
        wins * loss.slope(margin) - losses * loss.slope(-margin),
        wins * loss.curvature(margin) + losses * loss.curvature(-margin),
    )


class TiltedLogistic(ABC):
    """log(1 + exp(-u)) + tilt u."""

    log_ratio: ClassVar[bool] = False

    @property
    @abstractmethod
    def tilt(self) -> float:
        """Coefficient of the linear term, below 1/2."""

    def value(self, margin: ArrayLike) -> NDArray:
        """The loss of the observed winner at margin u = beta h."""
        margin = np.asarray(margin, dtype=np.float64)
        return np.logaddexp(0.0, -margin) + self.tilt * margin

    def slope(self, margin: ArrayLike) -> NDArray:
        """tilt - sigmoid(-u)."""
        return self.tilt - expit(-np.asarray(margin, dtype=np.float64))

    def curvature(self, margin: ArrayLike) -> NDArray:
        """sigmoid(u) sigmoid(-u), whatever the tilt."""
        margin = np.asarray(margin, dtype=np.float64)
        return expit(margin) * expit(-margin)

    def __str__(self) -> str:
        return f"log(1 + exp(-u)){_linear(self.tilt, 'u')},  u = beta h"


class TiltedSquare(ABC):
    """(h - target)^2 + tilt h."""

    log_ratio: ClassVar[bool] = True

    @property
    @abstractmethod
    def target(self) -> float:
        """The margin that a clean label asks for."""

    @property
    @abstractmethod
    def tilt(self) -> float:
        """Coefficient of the linear term."""

    def value(self, margin: ArrayLike) -> NDArray:
        """The loss of the observed winner at margin h."""
        margin = np.asarray(margin, dtype=np.float64)
        return (margin - self.target) ** 2 + self.tilt * margin

    def slope(self, margin: ArrayLike) -> NDArray:
        """2 (h - target) + tilt."""
        return 2.0 * (np.asarray(margin, dtype=np.float64) - self.target) + self.tilt

    def curvature(self, margin: ArrayLike) -> NDArray:
        """2."""
        return np.full_like(np.asarray(margin, dtype=np.float64), 2.0)

    def __str__(self) -> str:
        return f"(h - {self.target:.4g})^2{_linear(self.tilt, 'h')}"


def debiasing_weight(flip: float) -> float:
    """c = flip / (1 - 2 flip); 1 - 2 flip is exact in floating point near 1/2."""
    return flip / (1.0 - 2.0 * flip)


def require_tau(tau: object) -> None:
    """Refuse anything but a positive finite number."""
    require(_is_number(tau) and 0 < tau < np.inf, "tau", tau, "a finite number > 0")  # type: ignore[operator]


def _linear(coefficient: float, symbol: str) -> str:
    return f" {'-' if coefficient < 0 else '+'} {abs(coefficient):.4g} {symbol}" if coefficient else ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.floating) and not isinstance(value, bool)

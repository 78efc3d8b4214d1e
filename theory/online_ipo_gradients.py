"""IPO-1 to IPO-5: the losses of online IPO, their gradients, and the maps that gradient steps on them are.

With theta the logits, h = log(softmax(theta)/ref), opponents and sampling not differentiated:

    version 1, pairs from nu, opponent p     L1 = sum nu_i nu_j (h_i - h_j - ((P p)_i - (P p)_j)/beta)^2
    version 2, pairs from p                  L2 = sum p_i p_j (h_i - h_j - (P_ij - 1/2)/beta)^2

    IPO-1   grad L1 = 4 nu (d - <nu, d>),  d = h - P p/beta
    IPO-2   grad L2 = 4 p (h - <p, h> - (P p - 1/2)/beta)
    IPO-3   a gradient step on L1 with uniform nu and learning rate l is online mirror descent at rate 4 l/(beta K)
    IPO-4   grad L2 = -(4/beta) p (adv - <p, adv>),  adv = P p - beta h: the policy gradient of regularised self-play
    IPO-5   both gradients vanish at the regularised equilibrium

Derivatives of the losses themselves are taken by the complex step, exact to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.online_ipo import OnlineIPO
from algorithms.online_mirror_descent import OnlineMirrorDescent
from envs.game import Game
from simlab.run import Method, simulate
from theory.claim import Claim, Finding, Instance, whatever_start

COMPLEX_STEP = 1e-30


def loss_1(game: Game, logits: NDArray, policy: NDArray, pairs: NDArray) -> complex:
    """L1 at complex logits (K,), the opponent `policy` (K,) and the pairs' distribution (K,) held fixed."""
    return _squared(game, logits, _differences(game.preference @ policy), pairs)


def loss_2(game: Game, logits: NDArray, policy: NDArray, pairs: NDArray) -> complex:
    """L2 at complex logits (K,); the pairs come from the fixed `policy`, whatever `pairs` is."""
    return _squared(game, logits, game.preference - 0.5, policy)


def _squared(game: Game, logits: NDArray, target: NDArray, pairs: NDArray) -> complex:
    h = logits - np.log(np.exp(logits).sum()) - game.log_reference
    return (np.outer(pairs, pairs) * (_differences(h) - target / game.beta) ** 2).sum()


def _differences(values: NDArray) -> NDArray:
    return values[:, None] - values[None, :]


def derivative(loss: Callable[..., complex], game: Game, log_policy: NDArray, pairs: NDArray) -> NDArray:
    """(K,) derivative of a loss by the logits, at logits = log_policy."""
    bumps = log_policy + 1j * COMPLEX_STEP * np.eye(game.actions)
    return np.array([loss(game, bumped, np.exp(log_policy), pairs).imag for bumped in bumps]) / COMPLEX_STEP


def gradient_1(game: Game, log_policy: NDArray, pairs: NDArray) -> NDArray:
    """IPO-1's formula."""
    d = log_policy - game.log_reference - game.preference @ np.exp(log_policy) / game.beta
    return 4 * pairs * (d - pairs @ d)


def gradient_2(game: Game, log_policy: NDArray, pairs: NDArray) -> NDArray:
    """IPO-2's formula."""
    p, h = np.exp(log_policy), log_policy - game.log_reference
    return 4 * p * (h - p @ h - (game.preference @ p - 0.5) / game.beta)


@dataclass(frozen=True, kw_only=True)
class GradientOfLoss(Claim):
    """A loss's derivative against its formula.

    Parameters
    ----------
    loss : loss_1 or loss_2
    formula : gradient_1 or gradient_2
    error : float, allowed difference as a share of the formula's terms
    """

    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    source: str = "Calandriello et al., arXiv 2403.08635; gradients written out here"
    loss: Callable[..., complex]
    formula: Callable[[Game, NDArray, NDArray], NDArray]
    error: float = 1e-12

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for instance in instances:
            game, pairs = instance.game, np.exp(instance.game.log_reference)
            size = 1 / game.beta + np.abs(instance.start - game.log_reference).max()
            difference = derivative(self.loss, game, instance.start, pairs) - self.formula(game, instance.start, pairs)
            yield Finding(instance.name, float(np.abs(difference).max() / (self.error * size)))


@dataclass(frozen=True, kw_only=True)
class StepOnLoss(Claim):
    """One step of a method against one gradient step on a loss.

    Parameters
    ----------
    loss : loss_1 or loss_2
    method : rate -> Method
    rate : the method's; the learning rate is rate beta K/4 on L1 (uniform pairs) and rate beta/4 on L2
    error : float, allowed difference of log-probabilities as a share of the step's terms
    """

    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    loss: Callable[..., complex]
    method: Callable[[float], Method]
    rate: float = 0.5
    error: float = 1e-12

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for instance in instances:
            game, actions = instance.game, instance.game.actions
            learning_rate = self.rate * game.beta / 4 * (actions if self.loss is loss_1 else 1)
            pull = learning_rate * derivative(self.loss, game, instance.start, np.full(actions, 1 / actions))
            stepped = simulate(game, self.method(self.rate), steps=1, start=instance.start, record=[1]).log_policy[0, 0]
            size = 1 + self.rate * (1 + game.beta * np.abs(instance.start - game.log_reference).max())
            moved = np.ptp(pull) > 1e-9
            yield Finding(instance.name, float(np.ptp(stepped - instance.start + pull) / (self.error * size)) if moved else None)


@dataclass(frozen=True, kw_only=True)
class StepIsMirrorDescent(StepOnLoss):
    """IPO-3."""

    id: str = "IPO-3"
    provenance: str = "derived"
    statement: str = "a gradient step on online IPO v1, uniform pairs, learning rate l: online mirror descent at 4 l/(beta K)"
    source: str = "loss and step of the authors' code of arXiv 2503.08942, whose simulation sets half this rate; map derived here"
    loss: Callable[..., complex] = loss_1
    method: Callable[[float], Method] = OnlineMirrorDescent


@dataclass(frozen=True, kw_only=True)
class StepIsPolicyGradient(StepOnLoss):
    """IPO-4."""

    id: str = "IPO-4"
    provenance: str = "derived"
    statement: str = "online IPO v2's gradient is -(4/beta) times the policy gradient of regularised self-play"
    source: str = "the equivalence is that of Calandriello et al., arXiv 2403.08635, via public notes; constant derived here"
    loss: Callable[..., complex] = loss_2
    method: Callable[[float], Method] = OnlineIPO


@dataclass(frozen=True, kw_only=True)
class GradientsVanish(Claim):
    """IPO-5: both derivatives at the equilibrium.

    Parameters
    ----------
    error : float, allowed size as a share of the gradient's terms
    point : where they should vanish
    """

    id: str = "IPO-5"
    provenance: str = "derived"
    statement: str = "the gradients of online IPO v1 and v2 vanish at the regularised equilibrium"
    source: str = "fixed-point equation of p* put into IPO-1 and IPO-2"
    kind: ClassVar[str] = "fixed point"
    sense: str = "tight"
    error: float = 1e-11
    point: Callable[[Instance], NDArray] = lambda instance: instance.equilibrium

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for instance in whatever_start(instances):
            game, point = instance.game, self.point(instance)
            size = 1 / game.beta + np.abs(point - game.log_reference).max()
            for loss in (loss_1, loss_2):
                slope = derivative(loss, game, point, np.exp(game.log_reference))
                yield Finding(f"{instance.name}, {loss.__name__}", float(np.abs(slope).max() / (self.error * size)))

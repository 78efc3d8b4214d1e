"""DPO-8: DPO may lower the probability of the response that the labels prefer.

The loss sees a difference of log-probabilities alone. On a log-linear policy a small step of gradient descent at rate lr, on the
pair w over l, moves the chosen response's log-probability by

    lr beta sigmoid(-u) (phi_w - E_pi phi) . (phi_w - phi_l),

which is negative where the step raises other responses by more than w. Followed on, all probability may end on a response that
no label has named. (With one parameter a response the product is 1 - pi_w + pi_l > 0: tables show nothing of this.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from algorithms.dpo import DPO
from algorithms.pair_loss import PairLoss
from envs.divergence import log_normalise
from envs.pairs import Pairs
from theory.claim import Finding
from theory.testbed import PairClaim, PairTestbed


def stepped(loss: PairLoss, shift: NDArray, direction: NDArray, beta: float, rate: float) -> NDArray:
    """(D,) shift = theta - theta0 after a gradient step of `loss` on one pair, direction = phi_w - phi_l."""
    return shift - rate * beta * loss.slope(beta * direction @ shift) * direction


@dataclass(frozen=True, kw_only=True)
class Displacement(PairClaim):
    """Gradient descent on one pair of three responses: what is left of the chosen one, and what the unseen third lacks of 1.

    Parameters
    ----------
    learner : () -> PairLoss
    features : (3, D) list; 0 is chosen over 1, and the reference is uniform
    steps : int, at rate 1 and beta = 1
    left : float, the probability below which a response counts as gone
    """

    id: str = "DPO-8"
    provenance: str = "derived"
    statement: str = "features (1,0), (.8,0), (5,0), uniform reference: 50 unit steps of DPO on 0 over 1 take pi(0) from 1/3 below 1e-6"
    source: str = "instance derived here; that DPO can lower both responses is known as likelihood displacement"
    kind: ClassVar[str] = "final"
    learner: Callable[[], PairLoss] = DPO
    features: Sequence[Sequence[float]] = ((1.0, 0.0), (0.8, 0.0), (5.0, 0.0))
    steps: int = 50
    left: float = 1e-6

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        features = np.asarray(self.features)
        shift = np.zeros(features.shape[1])
        loss = self.learner()
        path = [shift := stepped(loss, shift, features[0] - features[1], 1.0, 1.0) for _ in range(self.steps)]
        chosen, rejected, third = np.exp(log_normalise(features @ shift))
        margins = [0.0, *((features[0] - features[1]) @ np.array(path).T)]
        yield Finding("three responses, the chosen", float(chosen / self.left))
        yield Finding("three responses, the third", float((1.0 - third) / self.left))
        widens = chosen > rejected and all(after > before for before, after in pairwise(margins))
        yield Finding("three responses, the margin grows", 0.0 if widens else np.inf)


@dataclass(frozen=True, kw_only=True)
class DirectionOfTheChosen(PairClaim):
    """The change of log pi(w) over a small step against its formula: every ordered pair of every prompt.

    Parameters
    ----------
    learner : () -> PairLoss
    features : world -> (contexts, K, D) features of the policy
    rate : float, the step is taken forwards and backwards at this rate, times 1/beta
    error : float, allowed difference relative to the formula's largest value
    """

    id: str = "DPO-8-sign"
    provenance: str = "derived"
    statement: str = "a DPO step on w over l moves log pi(w) by lr beta sigmoid(-u) (phi_w - E phi).(phi_w - phi_l), maybe < 0"
    source: str = "gradient of the loss of arXiv 2305.18290 on log-linear policies"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    learner: Callable[[], PairLoss] = DPO
    features: Callable[[Pairs], NDArray] = lambda world: world.phi
    rate: float = 1e-4
    error: float = 1e-5

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            world = instance.world
            for name, shift in (("at the reference", 0.0 * world.shift), ("half-way to the optimum", 0.5 * world.shift)):
                pairs = [(x, w, l) for x in range(world.contexts) for w, l in permutations(range(world.actions), 2)]
                found = np.array([self._measured(world, shift, *pair) for pair in pairs])
                claimed = np.array([self._claimed(world, shift, *pair) for pair in pairs])
                yield Finding(f"{instance.name}, {name}", float(np.abs(found - claimed).max() / (self.error * np.abs(claimed).max())))

    def _measured(self, world: Pairs, shift: NDArray, x: int, w: int, l: int) -> float:
        phi, rate = self.features(world)[x], self.rate / world.beta
        ends = [stepped(self.learner(), shift, phi[w] - phi[l], world.beta, sign * rate) for sign in (1, -1)]
        up, down = (log_normalise(phi @ (world.theta0 + end))[w] for end in ends)
        return float((up - down) / (2 * rate))

    def _claimed(self, world: Pairs, shift: NDArray, x: int, w: int, l: int) -> float:
        phi, policy = world.phi[x], np.exp(world.log_policy(shift)[x])
        pull = world.beta * expit(-world.beta * (phi[w] - phi[l]) @ shift)
        return float(pull * (phi[w] - policy @ phi) @ (phi[w] - phi[l]))

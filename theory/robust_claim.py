"""What claims on robust DPO (rDPO, arXiv 2403.00409) share: the learner under test, told the true rate of wrong labels.

The loss of the observed winner's margin u is ((1 - eps) l(u) - eps l(-u)) / (1 - 2 eps), l(u) = log(1 + exp(-u)).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from algorithms.pair_loss import PairLoss
from algorithms.rdpo import RobustDPO
from theory.claim import Conditions
from theory.conditions import ONE_FLIP_RATE
from theory.testbed import PairClaim, PairTestbed


@dataclass(frozen=True, kw_only=True)
class RobustClaim(PairClaim):
    """A statement about robust DPO where labels are wrong at one rate.

    Parameters
    ----------
    learner : assumed flip rate -> PairLoss, the loss under test
    """

    learner: Callable[[float], PairLoss] = RobustDPO

    @property
    def conditions(self) -> Conditions:
        return ONE_FLIP_RATE


def logistic(margin: NDArray) -> NDArray:
    """l(u) = log(1 + exp(-u)), in the precision of u."""
    return np.logaddexp(margin.dtype.type(0), -margin)


def literal_loss(margin: NDArray, flip: float) -> NDArray:
    """The published two-term form of the loss, in extended precision: near eps = 1/2 its terms cancel."""
    wide, rate = margin.astype(np.longdouble), np.longdouble(flip)
    return ((1 - rate) * logistic(wide) - rate * logistic(-wide)) / (1 - 2 * rate)


def literal_slope(margin: NDArray, flip: float) -> NDArray:
    """The derivative of the two-term form."""
    return (-(1.0 - flip) * expit(-margin) - flip * expit(margin)) / (1.0 - 2.0 * flip)


def margins_of(testbed: PairTestbed) -> NDArray:
    """Margins from -40 to 40, around 0, and the true ones of the testbed's pairs."""
    world = testbed.world
    return np.concatenate([np.linspace(-40.0, 40.0, 161), [-1e-9, 1e-9], world.rows.features @ world.shift])

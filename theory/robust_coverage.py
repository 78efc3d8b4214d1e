"""RDPO-13: the reward gap is at most the span of the reward times coverage times the error of the parameters.

    |E r(pi*) - E r(pi_theta)|  <=  (span r / 2) sqrt(kappa) |theta - theta*|_Cov_ref,
    kappa = max over theta_t between theta* and theta of lambda_max(Cov_ref^-1 F(theta_t)),

F(theta_t) = E_x Cov(phi) under pi_theta_t, Cov_ref the same under the reference, span r the largest difference of rewards in a
prompt. Proof: d/dt E r(pi_theta_t) = E_x Cov(r, phi . (theta - theta*)) under pi_theta_t; Cauchy-Schwarz, and a variable of span s
has variance at most s^2/4. The bound is near tight for two responses of about equal probability, whatever the reference. The paper's
form, with r_max sqrt(kappa / 2) as recalled, is of the same kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from envs.pair_truth import policy_fisher, reward_gap
from envs.pairs import Pairs
from theory.claim import Conditions, Finding
from theory.conditions import REWARD
from theory.pair_statistics import Estimator, estimates, flip_of, minimiser
from theory.robust_claim import RobustClaim
from theory.testbed import PairTestbed

SEGMENT = np.linspace(0.0, 1.0, 33)
"""Where kappa is looked for; a maximum missed between two of them would only make the bound stricter."""


def coverage(world: Pairs, shift: NDArray) -> float:
    """kappa between theta* and theta0 + shift."""
    reference = policy_fisher(world, np.zeros(world.d))
    between = (world.shift + place * (shift - world.shift) for place in SEGMENT)
    return max(float(eigh(policy_fisher(world, at), reference, eigvals_only=True)[-1]) for at in between)


def two_responses(world: Pairs, seed: int) -> Pairs:
    """One prompt with two responses, a spread of the reward that may make the optimum even where the reference is not."""
    drawn = replace(world, contexts=1, actions=2, d=1, seed=seed)
    return replace(drawn, scale=drawn.scale * float(np.abs(drawn.theta0 / drawn.shift)[0]))


@dataclass(frozen=True, kw_only=True)
class CoverageBound(RobustClaim):
    """|Reward gap| over the bound, at fits to few labels and at multiples of the truth, in the testbed and on two responses.

    Parameters
    ----------
    kappa : (world, theta - theta0) -> the coverage of the bound
    multiples : of theta* - theta0 that count as estimates, beside fits
    per_parameter : n (1 - 2 eps)^2 / d of the fits
    fits : int
    pairs : int, draws of two responses
    """

    id: str = "RDPO-13"
    provenance: str = "derived"
    statement: str = "|reward gap| <= (span r/2) sqrt(kappa) |theta-theta*|_Cov_ref, kappa = max lambda_max(Cov_ref^-1 F) along the way"
    source: str = "arXiv 2403.00409 has r_max sqrt(kappa/2) (as recalled); this form is derived here"
    kind: ClassVar[str] = "final"
    kappa: Callable[[Pairs, NDArray], float] = coverage
    multiples: Sequence[float] = (-2.0, 0.0, 0.9, 1.1, 4.0)
    per_parameter: float = 50.0
    fits: int = 10
    pairs: int = 10
    estimator: Estimator = minimiser

    @property
    def conditions(self) -> Conditions:
        return super().conditions | REWARD

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            pairs = [two_responses(instance.world, seed) for seed in range(self.pairs)]
            for label, worlds in {"": [instance.world], ", two responses": pairs}.items():
                ratios = [self._ratio(world, shift) for world in worlds for shift in self._shifts(world)]
                yield Finding(f"{instance.name}{label}", max(ratios))

    def _shifts(self, world: Pairs) -> Iterator[NDArray]:
        flip = flip_of(world)
        sized = replace(world, n=round(self.per_parameter * world.d / (1.0 - 2.0 * flip) ** 2))
        fitted = estimates(sized, self.learner(flip), self.fits, 0, self.estimator)
        yield from fitted[np.isfinite(fitted).all(axis=1)]
        yield from (multiple * world.shift for multiple in self.multiples)

    def _ratio(self, world: Pairs, shift: NDArray) -> float:
        error = shift - world.shift
        distance = sqrt(error @ policy_fisher(world, np.zeros(world.d)) @ error)
        bound = np.ptp(world.reward, axis=1).max() / 2 * sqrt(self.kappa(world, shift)) * distance
        return abs(reward_gap(world, world.log_policy(shift))) / float(bound)

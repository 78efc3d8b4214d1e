"""What a pair loss tends to on a world of labelled pairs: the minimiser of its expectation, and the spread around it.

    sqrt(n) (theta_n - theta_inf)  ->  N(0, A^-1 B A^-1),      A = E[loss''(u) z z'],      B = E[loss'(u)^2 z z']

over pairs and labels at theta_inf, z pointing to the labelled winner (the sandwich of M-estimation, written out here; for robust
DPO with the right flip rate it is `envs.pair_truth.robust_covariance`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from algorithms.fit import fit
from algorithms.pair_loss import PairLoss
from envs.pair_truth import information
from envs.pairs import Pairs


@dataclass(frozen=True, eq=False)
class Limit:
    """Where fits to ever larger samples go.

    Parameters
    ----------
    shift : (d,) array, theta_inf - theta0; nan where the expected loss has no minimiser
    covariance : (d, d) array, of sqrt(n) times the error
    """

    shift: NDArray
    covariance: NDArray


def limit(loss: PairLoss, world: Pairs) -> Limit:
    """The limit of fits of a loss to samples of a world."""
    population = world.population(log_ratio=loss.log_ratio)
    shift = fit(loss, population).theta
    margin, wins, losses, features = population.features @ shift, population.wins, population.losses, population.features
    curvature = wins * loss.curvature(margin) + losses * loss.curvature(-margin)
    square = wins * loss.slope(margin) ** 2 + losses * loss.slope(-margin) ** 2
    bread, filling = ((features * weight[:, None]).T @ features for weight in (curvature, square))
    if not np.isfinite(bread).all():
        return Limit(shift, np.full_like(bread, np.nan))
    half = np.linalg.solve(bread, filling)
    return Limit(shift, np.linalg.solve(bread, half.T))


def expected_error(loss: PairLoss, world: Pairs, n: int) -> float:
    """Root of E |theta - theta*|_H^2 after n comparisons: bias^2 + tr(H covariance) / n, for large n."""
    found, metric = limit(loss, world), information(world)
    bias = found.shift - world.shift
    return float(np.sqrt(bias @ metric @ bias + np.trace(metric @ found.covariance) / n))

"""How often the intervals of seeds hold the truth, on simulated seeds.

Where 95% is asked they are to hold it in 93.5% to 96.5% of 2,000 simulations; an exact interval of a share, which only promises at
least 95%, may hold it more often.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simlab.intervals import Interval, interval, proportion, seeds_slope, slope, standard_error
from simlab.statistics import paired
from theory.calibration import Share

BETWEEN = (0.935, 0.965)
"""What a share of simulations is to lie in."""

SIZES = np.array([100, 300, 1000, 3000, 10000])
"""Abscissae of slopes."""


@dataclass(frozen=True)
class Setting:
    """An interval and the law of its seeds.

    Parameters
    ----------
    simulate : generator -> the interval of one sample
    truth : what it is to hold
    at_least : whether it promises no more than to hold it often enough
    """

    simulate: Callable[[np.random.Generator], Interval]
    truth: float
    at_least: bool = False

    def covered(self, simulations: int, seed: int) -> Share:
        """How many of the intervals hold the truth."""
        found = (self.simulate(np.random.default_rng([seed, number])) for number in range(simulations))
        return Share(sum(bool(each.low <= self.truth <= each.high) for each in found), simulations)

    def kept(self, share: Share) -> bool:
        """Whether a share of simulations is as it is to be."""
        low, high = BETWEEN
        return low <= share.count / share.trials <= (1.0 if self.at_least else high)


def mean(values: NDArray) -> Interval:
    """Studentised."""
    return interval(values, statistic=np.mean, error=standard_error)


def curve(rng: np.random.Generator) -> Interval:
    """The slope of medians of 25 seeds whose errors fall with the root of n."""
    return seeds_slope(SIZES, rng.lognormal(sigma=0.5, size=(25, 5)) / np.sqrt(SIZES))


def differences(rng: np.random.Generator) -> Interval:
    """The median difference of two methods on 20 common seeds."""
    luck = rng.normal(size=20)
    return paired(luck + rng.normal(size=20), luck + rng.normal(size=20) + 1).difference


SETTINGS = {
    "median, 6 seeds, lognormal": Setting(lambda rng: interval(rng.lognormal(size=6)), 1.0),
    "median, 10 seeds, normal": Setting(lambda rng: interval(rng.normal(size=10)), 0.0),
    "median, 20 seeds, lognormal": Setting(lambda rng: interval(rng.lognormal(size=20)), 1.0),
    "median, 50 seeds, normal": Setting(lambda rng: interval(rng.normal(size=50)), 0.0),
    "mean, 20 seeds, normal": Setting(lambda rng: mean(rng.normal(size=20)), 0.0),
    "mean, 100 seeds, normal": Setting(lambda rng: mean(rng.normal(size=100)), 0.0),
    "mean, 100 seeds, lognormal": Setting(lambda rng: mean(rng.lognormal(size=100)), float(np.exp(0.5))),
    "median difference, 20 seeds": Setting(differences, -1.0),
    "share of 1,000 trials, 1/2": Setting(lambda rng: proportion(int(rng.binomial(1000, 0.5)), 1000), 0.5, at_least=True),
    "share of 100 trials, 1/10": Setting(lambda rng: proportion(int(rng.binomial(100, 0.1)), 100), 0.1, at_least=True),
    "slope, 5 points": Setting(lambda rng: slope(SIZES, rng.lognormal(sigma=0.3, size=5) / np.sqrt(SIZES)), -0.5),
    "slope of medians, 25 seeds": Setting(curve, -0.5),
}
"""Intervals at 95% by name."""

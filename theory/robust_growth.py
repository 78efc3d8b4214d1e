"""Dials along which the risks of robust DPO grow: comparisons, wrong labels, and features.

A dial turns a world into a few points, each with its place x, one or several worlds (averaged over), and fits a world. Limit laws
hold where n is large, in units of tr((H + F) C), F the Fisher information of the reference policy: at n = 1 unit the margins of
pairs, or the log-ratios of responses under the reference, are wrong by about 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Protocol, Self

import numpy as np

from envs.pair_truth import information, policy_fisher, robust_covariance
from envs.pairs import Pairs
from theory.pair_statistics import flip_of


@dataclass(frozen=True)
class Point:
    """A place on a dial.

    Parameters
    ----------
    x : float
    worlds : worlds there
    fits : int, samples of each world
    """

    x: float
    worlds: Sequence[Pairs]
    fits: int


def unit(world: Pairs) -> float:
    """tr((H + F) C), with C of RDPO-7; d / (1 - 2 eps)^2 and more."""
    fisher = information(world) + policy_fisher(world, np.zeros(world.d))
    return float(np.trace(fisher @ robust_covariance(world, flip_of(world))))


class Dial(Protocol):
    """Points derived from a world."""

    def points(self, world: Pairs) -> list[Point]: ...

    def thinned(self, factor: int) -> Self:
        """The same with fewer fits by a factor."""
        ...


@dataclass(frozen=True)
class SampleSize:
    """x = n; the squared errors of a point add up to `terms` squares of normals.

    Parameters
    ----------
    multiples : of the unit
    terms : int
    """

    multiples: Sequence[int] = (200, 800, 3_200, 12_800, 51_200)
    terms: int = 2000

    def points(self, world: Pairs) -> list[Point]:
        sizes = [round(multiple * unit(world)) for multiple in self.multiples]
        return [Point(n, [replace(world, n=n)], ceil(self.terms / world.d)) for n in sizes]

    def thinned(self, factor: int) -> Self:
        return replace(self, terms=self.terms // factor)


@dataclass(frozen=True)
class FlipRate:
    """x = 1 / (1 - 2 eps), at a fixed n.

    Parameters
    ----------
    flips : values of eps in [0, 1/2)
    multiple : n in the largest unit
    terms : as in `SampleSize`
    """

    flips: Sequence[float] = (0.0, 0.25, 0.4, 0.47, 0.49)
    multiple: int = 1000
    terms: int = 2000

    def points(self, world: Pairs) -> list[Point]:
        fits, worlds = ceil(self.terms / world.d), [replace(world, flip=flip) for flip in self.flips]
        n = round(self.multiple * max(map(unit, worlds)))
        return [Point(1.0 / (1.0 - 2.0 * flip_of(flipped)), [replace(flipped, n=n)], fits) for flipped in worlds]

    def thinned(self, factor: int) -> Self:
        return replace(self, terms=self.terms // factor)


@dataclass(frozen=True)
class Dimension:
    """x = d, at a fixed n and a fixed spread of the reward, averaged over draws of the world (one draw's slope is luck).

    Parameters
    ----------
    dimensions : values of d, at most 64
    draws : int, worlds at each
    fits : int, samples of each world
    multiple : n in the largest unit
    """

    dimensions: Sequence[int] = (5, 10, 20, 40)
    draws: int = 32
    fits: int = 12
    multiple: int = 1000

    def points(self, world: Pairs) -> list[Point]:
        seeds = range(1000 * world.seed, 1000 * world.seed + self.draws)
        drawn = {d: [replace(world, d=d, contexts=16, actions=5, seed=seed) for seed in seeds] for d in self.dimensions}
        n = round(self.multiple * max(unit(each) for worlds in drawn.values() for each in worlds))
        return [Point(d, [replace(each, n=n) for each in worlds], self.fits) for d, worlds in drawn.items()]

    def thinned(self, factor: int) -> Self:
        return replace(self, draws=max(1, self.draws // factor))

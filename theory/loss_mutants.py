"""Wrong pair losses made from right ones: each operator changes one thing of a loss of the labelled winner's margin.

Exchanging eps and 1 - eps is not listed: the debiased and the smoothed loss of 1 - eps are those of eps with the labels swapped. A
margin without beta, or with beta squared, is `stretched`; on data it is a mutant of the estimator (`theory.function_mutants`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from algorithms.pair_loss import PairLoss

LossOperator = Callable[[Any], Any]
"""From a pair loss to a wrong one."""

MARGINS = np.concatenate([np.linspace(-40.0, 40.0, 161), [-1e-3, 1e-3]])
"""Where two losses are compared."""


@dataclass(frozen=True)
class LossMutant:
    """times L(stretch u) + tilt u, and beyond that a slope or a curvature that belongs to no loss.

    Parameters
    ----------
    original : PairLoss, L
    times, stretch : float, of the loss and of its margin; stretch = -1 swaps the labels
    tilt : float, added to the slope
    slope_times, curvature_times : float, of the slope and the curvature alone
    """

    original: PairLoss
    times: float = 1.0
    stretch: float = 1.0
    tilt: float = 0.0
    slope_times: float = 1.0
    curvature_times: float = 1.0

    @property
    def log_ratio(self) -> bool:
        """The original's."""
        return self.original.log_ratio

    def value(self, margin: ArrayLike) -> NDArray:
        margin = np.asarray(margin, dtype=np.float64)
        return self.times * self.original.value(self.stretch * margin) + self.tilt * margin

    def slope(self, margin: ArrayLike) -> NDArray:
        margin = np.asarray(margin, dtype=np.float64)
        return self.slope_times * (self.times * self.stretch * self.original.slope(self.stretch * margin) + self.tilt)

    def curvature(self, margin: ArrayLike) -> NDArray:
        margin = np.asarray(margin, dtype=np.float64)
        return self.curvature_times * self.times * self.stretch**2 * self.original.curvature(self.stretch * margin)


def of_loss(loss: PairLoss) -> dict[str, LossOperator]:
    """Every mutant of a loss of this kind, by what it changes."""
    return dict([*_shape(), *_tilt(loss), *_numbers(loss), *_debiasing(loss)])


def same_loss(one: Any, other: Any, error: float = 1e-12) -> bool:
    """Whether values, slopes and curvatures agree at margins from -40 to 40, as a share of 1 + their size."""
    for name in ("value", "slope", "curvature"):
        ours, theirs = getattr(one, name)(MARGINS), getattr(other, name)(MARGINS)
        if not (np.abs(ours - theirs) <= error * (1 + np.abs(theirs))).all():
            return False
    return True


def _shape() -> Iterator[tuple[str, LossOperator]]:
    """What any loss can suffer."""
    yield "labels swapped", lambda loss: LossMutant(loss, stretch=-1.0)
    yield "margin halved", lambda loss: LossMutant(loss, stretch=0.5)
    yield "margin doubled", lambda loss: LossMutant(loss, stretch=2.0)
    yield "loss doubled", lambda loss: LossMutant(loss, times=2.0)
    yield "slope alone halved", lambda loss: LossMutant(loss, slope_times=0.5)
    yield "curvature alone halved", lambda loss: LossMutant(loss, curvature_times=0.5)
    yield "tilted by 0.01", lambda loss: LossMutant(loss, tilt=0.01)
    yield "tilted by -0.01", lambda loss: LossMutant(loss, tilt=-0.01)


def _tilt(loss: PairLoss) -> Iterator[tuple[str, LossOperator]]:
    """The linear term that debiases or smooths, in losses that have one."""
    if getattr(loss, "tilt", 0.0):
        yield from ((words, _retilted(factor)) for words, factor in (("no tilt", 0.0), ("tilt of the other sign", -1.0)))


def _retilted(factor: float) -> LossOperator:
    return lambda loss: LossMutant(loss, tilt=(factor - 1.0) * loss.tilt)


def _numbers(loss: PairLoss) -> Iterator[tuple[str, LossOperator]]:
    """The loss at another rate, or another tau."""
    names: list[str] = [field.name for field in fields(loss)] if is_dataclass(loss) else []
    for name in names:
        for words, factor in (("half", 0.5), ("a tenth more", 1.1), ("twice", 2.0)):
            yield f"{words} {name}", _renumbered(name, factor)


def _renumbered(name: str, factor: float) -> LossOperator:
    return lambda loss: replace(loss, **{name: factor * getattr(loss, name)})


def _debiasing(loss: PairLoss) -> Iterator[tuple[str, LossOperator]]:
    """The factor 1/(1 - 2 eps), of the loss and of its linear term."""
    if hasattr(loss, "flip"):
        yield "no 1/(1 - 2 eps)", lambda one: LossMutant(one, times=1 - 2 * one.flip)
        yield "1/(1 - eps) for 1/(1 - 2 eps)", lambda one: LossMutant(one, times=(1 - 2 * one.flip) / (1 - one.flip))
        yield "no 1/(1 - 2 eps) in the tilt", lambda one: LossMutant(one, tilt=-2 * one.flip * one.tilt)

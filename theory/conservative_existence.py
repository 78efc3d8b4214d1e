"""CDPO-4: conservative DPO has a minimiser on every data set, unique on the span of the compared pairs.

For 0 < s < 1/2 its slope is positive far to the right of every pair and negative far to the left, so that the objective grows in
all directions that the data see, and it is strictly convex there. DPO has no minimiser on labels without a contradiction, robust
DPO also none on many small samples: data on which one of them has none are among those tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.cdpo import ConservativeDPO
from algorithms.fit import fit
from algorithms.pair_loss import PairLoss
from envs.comparisons import Comparisons
from theory.claim import Conditions, Finding
from theory.conditions import at_most_pairs
from theory.dpo_fits import decided
from theory.testbed import PairClaim, PairTestbed


@dataclass(frozen=True, kw_only=True)
class AlwaysAMinimiser(PairClaim):
    """The gradient at the fitted point, and how much the objective has risen a margin of 1/1000 away in every direction tried.

    Parameters
    ----------
    learner : smoothing -> PairLoss
    smoothings : values of s in (0, 1/2)
    n : sizes of the samples that are tried besides separable data
    error : float, allowed norm of the gradient relative to the largest feature
    largest : int, pairs of the largest world it is put to
    """

    id: str = "CDPO-4"
    provenance: str = "derived"
    statement: str = "conservative DPO, 0 < s < 1/2: one minimiser on the data's span, whatever the labels"
    source: str = "strict convexity and slopes s - 1 < 0 < s of the smoothed loss (Mitchell 2023)"
    kind: ClassVar[str] = "existence"
    learner: Callable[[float], PairLoss] = ConservativeDPO
    smoothings: Sequence[float] = (0.01, 0.2, 0.45)
    n: Sequence[int] = (1, 5, 30)
    error: float = 1e-9
    largest: int = 2000

    @property
    def conditions(self) -> Conditions:
        return at_most_pairs(self.largest)

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            for s in self.smoothings:
                loss = self.learner(s)
                for name, data in self._data(instance):
                    yield Finding(f"{instance.name}, {name}, s = {s:g}", self._ratio(loss, data))

    def _data(self, instance: PairTestbed) -> Iterator[tuple[str, Comparisons]]:
        yield "separable", decided(instance.world)
        for n in self.n:
            yield f"n = {n}", instance.world.comparisons(n, 7)

    def _ratio(self, loss: PairLoss, data: Comparisons) -> float:
        found = fit(loss, data)
        if not (found.exists and found.converged):
            return np.inf
        flat = found.gradient_norm / (self.error * np.abs(data.features).max())
        return float(flat) if _is_least(loss, data, found.theta) else np.inf


def _is_least(loss: PairLoss, data: Comparisons, theta: NDArray) -> bool:
    """Whether the objective is larger at points beside theta, in each of 20 directions that move some margin by 1/1000."""
    seen = data.features[data.wins + data.losses > 0]
    directions = np.random.default_rng([0, 37, 0, 0]).standard_normal((20, len(seen))) @ seen
    directions *= 1e-3 / np.abs(directions @ seen.T).max(axis=1, keepdims=True)
    least = _objective(loss, data, theta)
    return all(_objective(loss, data, theta + sign * step) > least for step in directions for sign in (1, -1))


def _objective(loss: PairLoss, data: Comparisons, theta: NDArray) -> float:
    margin = data.features @ theta
    return float(data.wins @ loss.value(margin) + data.losses @ loss.value(-margin))

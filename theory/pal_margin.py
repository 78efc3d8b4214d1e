"""PAL-1 and PAL-2: with squared distances the margin is affine in a user's weights, so that a new user is a convex problem.

Of s(x) = -|x - a|^2 / T and a = sum_k w_k G_k' psi(prompt), sum_k w_k = 1,

    s(x) - s(y)  =  (2/T) (psi kron (x - y)) . sum_k w_k vec(G_k)  -  (|x|^2 - |y|^2) / T,

as |a|^2 cancels: logistic regression with an offset. With distances as they are (the paper's code, as recalled) it does not cancel, and
the margin is no such function (PAL-1u). Both sides are computed here on their own, distances and features, for mixtures that are no
user of the world: what is shared by a simulator and its learner is tested by neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from envs.people import People, mixing_weights
from theory.claim import Conditions, Finding
from theory.pal_conditions import BY_DISTANCE, DIFFERENT
from theory.testbed import PopulationClaim, PopulationTestbed

Design = Callable[[People], tuple[NDArray, NDArray]]
"""People to features (m, E D) and offset (m,) of their pairs."""


def of_people(people: People) -> tuple[NDArray, NDArray]:
    """Features and offset as a learner is given them."""
    return people.features, people.offset


def anybody(people: People, count: int) -> People:
    """Other mixtures of the same prototypes: corners, and points drawn uniformly from the simplex."""
    rng = np.random.default_rng([0, 0, 11, count])
    return replace(people, weights=np.vstack([np.eye(len(people.prototypes)), mixing_weights(rng, count, len(people.prototypes), 1.0)]))


def by_distance(people: People, power: float = 2.0) -> NDArray:
    """(U, m) margins -|x - a|^power + |y - a|^power over the temperature."""
    prompt, first, second = people.pairs.T
    away = np.linalg.norm(people.items[:, None] - people.ideal_points.transpose(1, 0, 2)[:, :, None], axis=3) ** power
    return (away[prompt, :, second] - away[prompt, :, first]).T / people.temperature


def size(people: People) -> float:
    """What rounding errors of margins are relative to: the largest distance squared over the temperature."""
    return 1.0 + float(np.abs(people.scores).max())


@dataclass(frozen=True, kw_only=True)
class Margin(PopulationClaim):
    """Margins by distances against features and offset.

    Parameters
    ----------
    design : Design, under test
    mixtures : int, beside the prototypes themselves
    error : float, allowed difference relative to the terms' size
    """

    id: str = "PAL-1"
    provenance: str = "derived"
    statement: str = "|y-a|^2 - |x-a|^2 over T = (2/T) (x-y).a - (|x|^2-|y|^2)/T: affine in the ideal point, and in the weights"
    source: str = "model A of arXiv 2406.08469 with squared distances"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    design: Design = of_people
    mixtures: int = 20
    error: float = 1e-13

    def findings(self, instances: Sequence[PopulationTestbed]) -> Iterable[Finding]:
        for instance in instances:
            yield self._at(instance.name, instance.world.people())

    def _at(self, name: str, people: People) -> Finding:
        others = anybody(people, self.mixtures)
        features, offset = self.design(others)
        difference = np.abs(others.coordinates @ features.T + offset - by_distance(others)).max()
        return Finding(name, float(difference / (self.error * size(others))))


@dataclass(frozen=True, kw_only=True)
class PromptMargin(Margin):
    """The same where ideal points depend on the prompt; worlds without prompt features are given two."""

    id: str = "PAL-2"
    statement: str = "ideal points a = sum_k w_k G_k' psi(prompt): the margin is affine in w, features (2/T) psi(prompt) kron (x-y)"
    source: str = "model B of arXiv 2406.08469 with squared distances"
    contexts: int = 4

    @property
    def conditions(self) -> Conditions:
        return BY_DISTANCE

    def findings(self, instances: Sequence[PopulationTestbed]) -> Iterator[Finding]:
        for instance in instances:
            features = max(instance.world.prompt_features, 2)  # type: ignore[attr-defined]
            world = replace(instance.world, contexts=self.contexts, prompt_features=features)  # type: ignore[call-arg]
            yield self._at(instance.name, world.people())


@dataclass(frozen=True, kw_only=True)
class PlainMargin(PopulationClaim):
    """The margin of a mixture of two users against the mixture of their margins.

    Parameters
    ----------
    power : float, of the distance
    error : float, allowed difference relative to the terms' size
    """

    id: str = "PAL-1u"
    provenance: str = "derived"
    statement: str = "without squares, |y-a| - |x-a| is affine in the weights, so that a new user is a convex problem"
    source: str = "the distance of the paper's code, as recalled"
    kind: ClassVar[str] = "identity"
    sense: str = "predicted to fail"
    power: float = 1.0
    error: float = 1e-12

    @property
    def conditions(self) -> Conditions:
        return DIFFERENT

    def findings(self, instances: Sequence[PopulationTestbed]) -> Iterable[Finding]:
        for instance in instances:
            people = instance.world.people()
            count = len(people.prototypes)
            halfway = replace(people, weights=(np.eye(count)[0] + np.eye(count)) / 2)
            corners = by_distance(replace(people, weights=np.eye(count)), self.power)
            defect = np.abs(by_distance(halfway, self.power) - (corners[0] + corners) / 2).max()
            yield Finding(instance.name, float(defect / (self.error * size(people))))

"""NMD-3: with a constant step Nash-MD rests at a biased point, known in closed form, and not at the equilibrium.

With w = eta beta the fixed point p solves beta log(p / ref) = P m + const, m = p^(1 - w) ref^w. Its mixture m therefore is the
equilibrium at beta/(1 - w), and p = ref (m / ref)^(1/(1 - w)) normalised. Nash-MD-PG (NMDPG-1) has the same fixed point with w
its mixture weight: started there it does not move, started at the equilibrium it leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.nash_md import NashMD
from algorithms.nash_md_pg import NashMDPG
from envs.divergence import kl, log_normalise
from envs.equilibrium import regularised_nash
from envs.game import Game
from simlab.run import Method
from theory.bound import Bound
from theory.claim import Claim, Conditions, Finding, Instance, gather, runs
from theory.conditions import FROM_REFERENCE, REGULARISED


def biased_fixed_point(game: Game, pull: float) -> NDArray:
    """(K,) log-probabilities at which Nash-MD with eta beta = pull in [0, 1) rests."""
    mixture = regularised_nash(game.with_beta(game.beta / (1 - pull)))
    return log_normalise(game.log_reference + (mixture - game.log_reference) / (1 - pull))


@dataclass(frozen=True, kw_only=True)
class BiasedFixedPoint(Claim):
    """Started at the closed form, Nash-MD does not move.

    Parameters
    ----------
    pulls : values of w = eta * beta in (0, 1)
    method : (beta, w) -> Method
    error : float, allowed change of log-probabilities in one step, as a share of their size
    """

    id: str = "NMD-3"
    provenance: str = "derived"
    statement: str = "Nash-MD, constant step: fixed point b log(p/ref) = P p^(1-w) ref^w + c, w = eta b (via p* at b/(1-w))"
    source: str = "fixed-point equation of the update of arXiv 2312.00886"
    kind: ClassVar[str] = "fixed point"
    sense: str = "tight"
    pulls: Sequence[float] = (0.02, 0.3)
    method: Callable[[float, float], Method] = lambda beta, pull: NashMD(pull / beta)
    error: float = 1e-11

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for pull in self.pulls:
            yield from self._at(pull, instances)

    def _at(self, pull: float, instances: Sequence[Instance]) -> Iterable[Finding]:
        at_rest = [replace(instance, start=biased_fixed_point(instance.game, pull)) for instance in instances]
        for batch, run in runs(at_rest, lambda beta: self.method(beta, pull), steps=1):
            change = np.abs(run.log_policy[:, 1] - run.log_policy[:, 0]).max(axis=-1)
            size = 1 + np.abs(run.log_policy[:, 0]).max(axis=-1)
            says = kl(np.stack([instance.equilibrium for instance in batch]), run.log_policy[:, 0]) > 1e-8
            yield from gather(batch, change / (self.error * size), says, run, f", w = {pull:g}")


@dataclass(frozen=True, kw_only=True)
class UnbiasedAtConstantStep(Bound):
    """Started at the equilibrium, Nash-MD with a constant step stays there.

    Parameters
    ----------
    pull : w = eta * beta in (0, 1)
    method : (beta, w) -> Method
    accuracy : KL from the equilibrium within which "stays" is meant
    """

    id: str = "NMD-unbiased"
    provenance: str = "derived"
    statement: str = "Nash-MD with constant step eta beta = 0.3 stays at the equilibrium p*"
    source: str = "contradicts NMD-3 wherever p* differs from the reference"
    kind: ClassVar[str] = "fixed point"
    sense: str = "predicted to fail"
    pull: float = 0.3
    method: Callable[[float, float], Method] = lambda beta, pull: NashMD(pull / beta)
    steps: int = 200
    accuracy: float = 1e-10

    @property
    def conditions(self) -> Conditions:
        return REGULARISED | FROM_REFERENCE | {"the fixed point of NMD-3 is not the equilibrium": self._biased}

    def _biased(self, instance: Instance) -> bool:
        game = instance.game
        return game.beta > 0 and float(kl(instance.equilibrium, biased_fixed_point(game, self.pull))) > 100 * self.accuracy

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        options: dict[str, Any] = {"steps": self.steps, "record": [self.steps]}
        at_equilibrium = [replace(instance, start=instance.equilibrium) for instance in instances]
        for batch, run in runs(at_equilibrium, lambda beta: self.method(beta, self.pull), **options):
            distance = kl(np.stack([instance.equilibrium for instance in batch]), run.log_policy[:, 0])
            yield from gather(batch, distance / self.accuracy, np.isfinite(distance), run)


@dataclass(frozen=True, kw_only=True)
class BiasOfPolicyGradient(BiasedFixedPoint):
    """The same fixed point under policy-gradient steps."""

    id: str = "NMDPG-1"
    statement: str = "Nash-MD-PG with mixture weight w: fixed point beta log(p/ref) = P p^(1-w) ref^w + const"
    source: str = "update of arXiv 2312.00886 as in public trainers; fixed point derived here"
    pulls: Sequence[float] = (0.125, 0.5)
    method: Callable[[float, float], Method] = lambda beta, pull: NashMDPG(mixture=pull)


@dataclass(frozen=True, kw_only=True)
class UnbiasedPolicyGradient(UnbiasedAtConstantStep):
    """Started at the equilibrium, Nash-MD-PG stays there."""

    id: str = "NMDPG-unbiased"
    statement: str = "Nash-MD-PG with mixture weight w = 0.3 stays at the equilibrium p*"
    source: str = "contradicts NMDPG-1 wherever p* differs from the reference"
    method: Callable[[float, float], Method] = lambda beta, pull: NashMDPG(mixture=pull)

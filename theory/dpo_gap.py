"""DPO-4: what any policy lacks of the regularised optimum is a divergence.

    J(pi*) - J(pi) = beta E_x KL(pi | pi*),        J(pi) = E r - beta KL(pi | pi_ref),      pi* ~ pi_ref exp(r / beta)

Proof: r = beta log(pi*/pi_ref) + const, so J(pi) = const - beta KL(pi | pi*). The divergence on the right is from pi to pi*, not
the reverse, and so is that of J: with either turned round the two sides differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from envs.divergence import log_normalise
from envs.pair_truth import objective, regularised_gap
from envs.pairs import Pairs
from theory.claim import Finding
from theory.testbed import PairClaim, PairTestbed


@dataclass(frozen=True, kw_only=True)
class GapOfAnyPolicy(PairClaim):
    """The divergence against the difference of two values of J, for policies near to and far from pi*.

    Parameters
    ----------
    value : (world, (contexts, actions) log-probabilities) -> J
    gap : (world, log-probabilities) -> the divergence form
    error : float, allowed difference relative to the terms of J
    """

    id: str = "DPO-4"
    provenance: str = "derived"
    statement: str = "J(pi*) - J(pi) = beta KL(pi | pi*) for any policy pi"
    source: str = "Gibbs variational principle, with pi* = ref exp(r/beta)/Z of arXiv 2305.18290"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    value: Callable[[Pairs, NDArray], float] = objective
    gap: Callable[[Pairs, NDArray], float] = regularised_gap
    error: float = 1e-14

    def findings(self, instances: Sequence[PairTestbed]) -> Iterable[Finding]:
        for instance in instances:
            world = instance.world
            best = log_normalise(world.log_reference + world.reward / world.beta)
            for name, policy in _policies(world, best):
                spread = np.abs(policy).max() + np.abs(best).max() + np.abs(world.log_reference).max()
                size = np.abs(world.reward).max() + world.beta * spread
                difference = abs(self.value(world, best) - self.value(world, policy) - self.gap(world, policy))
                yield Finding(f"{instance.name}, {name}", float(difference / (self.error * size)))


def _policies(world: Pairs, best: NDArray) -> Iterator[tuple[str, NDArray]]:
    yield "the reference", world.log_reference
    yield "uniform", np.full_like(best, -np.log(world.actions))
    yield "near the optimum", log_normalise(best + 0.1 * world.phi @ np.ones(world.d))
    for spread in (1.0, 10.0, 100.0):
        logits = np.random.default_rng([world.seed, 31, 0, 0]).standard_normal(best.shape)
        yield f"random, spread {spread:g}", log_normalise(spread * logits)

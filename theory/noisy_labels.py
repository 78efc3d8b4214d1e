"""EG-N: EGPO under noisy labels settles within eta sigma^2 / beta of the equilibrium.

For independent zero-mean noise e1, e2 on the two win rates of an iteration and lambda = 1/eta - beta >= 1/2,

    E KL(p* | p_T) <= (1 - eta beta)^T KL_0 + eta E[span(e2 - e1)^2] / (4 beta (2 - eta)).

n Bernoulli labels an action have variance at most 1/(4 n) each, and span^2 <= 2 sum of squares, so E[span(e2 - e1)^2] <= K/n. The
check is statistical: the lower confidence limit of the mean over seeds must not exceed the bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from algorithms.egpo import EGPO
from envs.divergence import kl
from envs.feedback import Duels, Exact
from simlab.run import Method, simulate
from theory.chance import ByChance
from theory.claim import OF_A_MEAN, Conditions, Finding, Instance, mean_below
from theory.conditions import FROM_REFERENCE, at_most_actions, beta_from


@dataclass(frozen=True, kw_only=True)
class NoisyEGPO(ByChance):
    """The mean over seeds against the bound.

    Parameters
    ----------
    per_action : values of n
    rate : eta; at most 1/(beta + 1/2) is used
    method : rate -> Method
    feedback : n -> feedback
    seeds : int >= 2
    share : float, of the bound that is claimed
    """

    id: str = "EG-N"
    provenance: str = "derived"
    statement: str = "EGPO, n Bernoulli labels an action: E KL(p*|p_T) <= (1-eta beta)^T KL_0 + eta K/(4 n beta (2-eta)), over 64 seeds"
    source: str = "EG-0 with noisy payoffs; the abstract of arXiv 2503.08942 claims robustness to noise"
    kind: ClassVar[str] = "distribution"
    false_alarm: ClassVar[str | None] = OF_A_MEAN
    per_action: Sequence[int] = (1, 10)
    rate: float = 0.2
    method: Callable[[float], Method] = EGPO
    feedback: Callable[[int], Exact] = Duels
    seeds: int = 64
    steps: int = 400
    smallest_beta: float = 0.1
    largest_game: int = 10
    share: float = 1.0
    effect: ClassVar[str] = "claimed bound too small by a factor 1 + s"
    size: ClassVar[float] = 30.0

    @property
    def conditions(self) -> Conditions:
        return beta_from(self.smallest_beta) | at_most_actions(self.largest_game) | FROM_REFERENCE

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        for instance in instances:
            for count in self.per_action:
                yield self._at(instance, count)

    def _at(self, instance: Instance, count: int) -> Finding:
        game = instance.game
        rate = min(self.rate, 1 / (game.beta + 0.5))
        options = {"steps": self.steps, "seeds": self.seeds, "seed": self.seed, "record": [0, self.steps], "feedback": self.feedback(count)}
        run = simulate(game, self.method(rate), **options)  # type: ignore[arg-type]
        distance = kl(instance.equilibrium, run.log_policy)
        noise = rate * game.actions / (4 * count * game.beta * (2 - rate))
        bound = (1 - rate * game.beta) ** self.steps * distance[0, 0] + noise
        return mean_below(f"{instance.name}, n = {count}", distance[:, 1], self.share * bound, run)

    def planted(self, size: float) -> Self:
        return replace(self, share=1 / (1 + size))

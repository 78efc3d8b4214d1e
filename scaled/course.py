"""What a model went through, measured as exactly as a table: on an enumerated set of responses nothing needs to be estimated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.equilibrium import regularised_nash
from envs.game import Game
from envs.invalid import require
from simlab.metrics import exploitability, kl


@dataclass(frozen=True, eq=False)
class Course:
    """R recorded iterations on C prompts.

    Attributes
    ----------
    games : C games
    steps : (R,) iterations; 0 is the start
    log_policy : (C, R, K) log-probabilities of the returned slot
    residuals : (iterations, stages) root mean square, over prompts and responses, of log pi - target less its mean over each prompt's
        responses, after the last pass of each stage; nan where nothing was realised
    queries, gradients : (R,) preference queries (of all prompts at once) and gradient evaluations by then
    """

    games: Sequence[Game]
    steps: NDArray
    log_policy: NDArray
    residuals: NDArray
    queries: NDArray
    gradients: NDArray

    def exploitability(self) -> NDArray:
        """(C, R), from the clean preferences, at each game's beta."""
        return exploitability(self.games, self.log_policy)

    def kl_to_equilibrium(self) -> NDArray:
        """(C, R) KL(p* | p), p* the regularised equilibrium; nan where beta = 0 leaves it open."""
        measured = np.full(self.log_policy.shape[:2], np.nan)
        for number, game in enumerate(self.games):
            if game.beta > 0:
                measured[number] = kl(regularised_nash(game), self.log_policy[number])
        return measured

    def reference_exploitability(self) -> NDArray:
        """(C,), to compare with."""
        return exploitability(self.games, np.stack([game.log_reference for game in self.games]))

    def tail_average(self, first: int) -> NDArray:
        """(C, K) log of the mean policy over the records from iteration `first` on."""
        kept = self.log_policy[:, self.steps >= first]
        require(kept.shape[1], "first", first, f"at most the last recorded iteration, {self.steps.max(initial=0)}")
        return np.logaddexp.reduce(kept, axis=1) - np.log(kept.shape[1])

"""An offline learner on a model whose responses can be enumerated, beside the exact minimiser of its loss on a table.

Comparisons are of pairs of responses drawn from the reference, labelled as `feedback` says: their expected counts with exact
feedback, else per_action times K of them for each prompt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.fit import fit
from envs.comparisons import tabular
from envs.divergence import log_normalise
from envs.game import Game
from envs.invalid import require
from simlab.members import blaming, make
from simlab.offline import open_values
from simlab.refusal import Refused
from simlab.training import Path, Training


@dataclass(frozen=True, eq=False)
class OfflineTraining(Training):
    """A pair loss; the residual is the mean loss above that of the table, the least there is."""

    def with_method(self, config: dict[str, Any], games: list[Game]) -> OfflineTraining:
        with blaming(config, "feedback"):
            assumed = self.feedback.assumed_flip
            require(assumed == 0, "assumed_flip", assumed, "left out: an offline learner is told by its own keys what to assume")
        require(self.config["responses"] is None, "responses", self.config["responses"], "left out: the comparisons are given")
        optimised = hasattr(self.model.realisation, "inner")
        require(optimised, "scaled", type(self.model).__name__, "a model that an optimizer moves (tiny), with an offline learner")
        weight = [np.exp(game.log_reference[:, None] + game.log_reference) for game in games]
        wrong = [np.broadcast_to(self.feedback.flip.rates(game.preference), game.preference.shape) for game in games]  # type: ignore[union-attr]
        off = ~np.eye(games[0].actions, dtype=bool)
        rate = float(sum((w * r)[off].sum() for w, r in zip(weight, wrong, strict=True)) / sum(w[off].sum() for w in weight))
        known = {"flip": rate, "smoothing": rate, "tau": self.beta / 4}
        completed = config | {"algorithm": config["algorithm"] | open_values(config, known)}
        return replace(self, config=completed, method=make(completed, "algorithm"))

    @property
    def lesson(self) -> str:
        drawn = self.feedback.per_action * self.start(0)[0][0].actions
        many = f"{drawn} comparisons for each prompt" if self.feedback.random else "the expected counts of comparisons"
        return f"{many} of two draws from the reference"

    @property
    def equations(self) -> str:
        return str(self.method)

    def path(self, index: int) -> Path:
        from scaled.offline import Trainer

        games, policy = self.start(index)
        counts = self._counts(games, index)
        log_table, least = self._table(games, counts)
        steps = self.config["steps"]
        trainer = Trainer(policy, self.method, counts, self.beta, steps=steps, realisation=self.model.realisation)
        log_policy, means = self.checkpoint(index).run(trainer)
        spent = np.arange(steps + 1)
        tables = np.broadcast_to(log_table[:, None], log_policy.shape)
        return Path(log_policy, tables, means - least, np.zeros_like(spent), spent * self.model.realisation.inner)

    def _counts(self, games: list[Game], index: int) -> NDArray:
        """(C, K, K) how often the row's response was preferred, of pairs of different draws from the reference."""
        rng = np.random.default_rng([self.seed, index, 0, 9])
        return np.stack([self._counted(game, rng) for game in games])

    def _counted(self, game: Game, rng: np.random.Generator) -> NDArray:
        first, second = np.triu_indices(game.actions, 1)
        share = np.exp(game.log_reference[first] + game.log_reference[second])
        labels = self.feedback.labels(game)[first, second]
        pairs: NDArray = share / share.sum()
        wins = pairs * labels
        if self.feedback.random:
            pairs = rng.multinomial(self.feedback.per_action * game.actions, pairs)
            wins = rng.binomial(pairs, labels)
        counts = np.zeros((game.actions, game.actions))
        counts[first, second], counts[second, first] = wins, pairs - wins
        return counts

    def _table(self, games: list[Game], counts: NDArray) -> tuple[NDArray, float]:
        """(C, K) log-probabilities of the minimisers, and their mean loss."""
        unit = 1.0 if self.method.log_ratio else self.beta
        fits = [fit(self.method, tabular(each)) for each in counts]
        for prompt, found in enumerate(fits):
            if not found.exists:
                raise Refused(f"prompt {prompt}: {found.message}")
        logs = [log_normalise(game.log_reference + found.theta / unit) for game, found in zip(games, fits, strict=True)]
        share = counts.sum(axis=(1, 2)) / counts.sum()
        return np.stack(logs), float(share @ [found.value for found in fits])

"""An offline learner on a language model: a pair loss on the labelled pairs of a dataset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from envs.invalid import require
from simlab import catalogue
from simlab.experiment import member_name, require_idle_member
from simlab.language_training import LanguageTraining
from simlab.members import blaming, make
from simlab.offline import open_values

SEEN = ("loss", "margin", "accuracy", "length")
"""Measures of an iteration: means over the pairs of its steps, before each."""


@dataclass(frozen=True, eq=False)
class LanguagePairs(LanguageTraining):
    """A pair loss; `accuracy` is the share of pairs whose chosen response the model has raised above the rejected."""

    def with_method(self, config: dict[str, Any]) -> LanguagePairs:
        require(config["responses"] is None, "responses", config["responses"], "left out: the pairs are given")
        require_idle_member(config, "train", "env", "the pairs are given")
        oracle = config["scaled"]["oracle"]
        default = catalogue.content("scaled/oracle/" + catalogue.defaults("scaled/lm")["oracle"][0])
        require(oracle == default, "scaled/oracle", oracle["_target_"].rpartition(".")[2], "left out: the pairs are given")
        with blaming(config, "feedback"):
            assumed = self.feedback.assumed_flip
            require(assumed == 0, "assumed_flip", assumed, "left out: an offline learner is told by its own keys what to assume")
            require(self.feedback.per_action <= 1, "per_action", self.feedback.per_action, "1: a pair has one label")
        kind = type(self.feedback.flip).__name__
        require(np.ndim(self._rates()) == 0, "feedback.flip", kind, "one rate for all pairs, whose clean preferences are not known")
        with blaming(config, "scaled"):
            require(self.model.vocabulary is None, "vocabulary", self.model.vocabulary, "null: the pairs are given")
            rows = len(self.model.pairs)
        require(config["prompts"] <= rows, "prompts", config["prompts"], f"at most {rows}, the rows of the dataset")
        rate = float(np.asarray(self._rates()))
        known = {"flip": rate, "smoothing": rate, "tau": self.beta / 4}
        completed = config | {"algorithm": config["algorithm"] | open_values(config, known)}
        return replace(self, config=completed, method=make(completed, "algorithm"))

    def _rates(self) -> Any:
        return self.feedback.flip.rates(np.full((2, 2), 0.5))  # type: ignore[union-attr]

    @property
    def figures(self) -> tuple[str, ...]:
        return SEEN

    @property
    def name(self) -> str:
        return f"{member_name(self.config, 'algorithm')}-pairs"

    @property
    def lesson(self) -> str:
        turned = "turned by chance" if self.feedback.random else "turned, in expectation"
        flips = f", {float(self._rates()):.0%} of labels {turned}" if float(self._rates()) else ""
        return f"{self.config['prompts']} labelled pairs a step, {self.model.inner} steps an iteration{flips}"

    @property
    def meaning(self) -> str:
        return "means over the pairs of an iteration, before its steps"

    @property
    def equations(self) -> str:
        return str(self.method)

    def plan(self, index: int) -> Any:
        from scaled.pair_training import PairPlan

        config = self.config
        numbers = (config["prompts"], config["steps"], self.root(index, 8))
        return PairPlan(self.method, self.beta, float(self._rates()), self.feedback.random, *numbers)

    def learner(self, index: int, network: Any) -> Any:
        from scaled.pair_training import PairTraining

        return PairTraining(self.model, network, self.plan(index))

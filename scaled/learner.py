"""What `scaled.self_play` and `scaled.pair_training` have in common: a language model on the move, and where it stands in its course."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from algorithms.tableau import POLICY
from scaled.batches import Batches
from scaled.language_model import LanguageModel
from scaled.network import Network
from scaled.pool import Pooled
from scaled.trained import Snapshot, Trained


class Learner(ABC):
    """A network trained in place; its start is the reference.

    Parameters
    ----------
    model : settings
    network : the model, loaded
    rows : of the dataset
    prompts : of a batch, over all processes
    steps : iterations in all
    seed : of the order of the dataset
    kept : slots that go on as weights

    Attributes
    ----------
    weights : a snapshot of each slot that goes on; what is one state is one snapshot
    iteration : how many were done
    queries, gradients : spent by then
    """

    def __init__(
        self, model: LanguageModel, network: Network, *, rows: int, prompts: int, steps: int, seed: int, kept: Iterable[str]
    ) -> None:
        self.model, self.network = model, network
        self.batches, self.own = Batches(rows, prompts, seed), network.processes.share(prompts)
        self.policy = Pooled(network, model.batch)
        self.trained = Trained(self.policy, model.realisation)
        self.weights: dict[str, Snapshot] = dict.fromkeys(kept, self.trained.snapshot())
        self.iteration, self.steps = 0, steps
        self.queries = self.gradients = 0

    @abstractmethod
    def step(self) -> dict[str, float]:
        """One iteration; returns what was seen in it."""

    def resume(self, weights: dict[str, Snapshot], iteration: int, spent: Mapping[str, Any]) -> None:
        """Go on from these weights, after so many iterations, with `queries` and `gradients` spent."""
        self.weights, self.iteration = weights, iteration
        self.queries, self.gradients = spent["queries"], spent["gradients"]
        self.trained.restore(weights[POLICY])

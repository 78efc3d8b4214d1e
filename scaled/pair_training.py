"""Offline learners on a language model: a pair loss of `algorithms/` on the labelled pairs of a dataset.

    mean over pairs of  (1 - e) L(u) + e L(-u),     h = log pi/ref(chosen) - log pi/ref(rejected),   u = beta h, or h itself

with e the share of wrong labels where they are expected, and a label turned or not where they are drawn. The reference is the model
at its start. An iteration is `inner` optimizer steps, each on the next batch of pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.pair_loss import PairLoss
from algorithms.tableau import POLICY, REFERENCE
from envs.dials import require_integer
from scaled.language_model import LanguageModel
from scaled.learner import Learner
from scaled.network import Network
from scaled.objectives import pair_losses
from scaled.pool import Pool
from scaled.prompts import Response
from scaled.realisation import NonFinite, require_finite


class PairPlan(NamedTuple):
    """What a run on pairs does.

    Attributes
    ----------
    loss : of the margin
    beta : > 0, KL coefficient
    flip : in [0, 1/2], share of labels that are turned
    drawn : whether labels are turned by chance, or all of them in expectation
    prompts : >= 1 pairs a step, over all processes
    steps : iterations in all
    seed : of all draws
    """

    loss: PairLoss
    beta: float
    flip: float
    drawn: bool
    prompts: int
    steps: int
    seed: int


class PairTraining(Learner):
    """One pair loss on one language model.

    Parameters
    ----------
    model : settings
    network : the model, loaded
    plan : see there
    """

    def __init__(self, model: LanguageModel, network: Network, plan: PairPlan) -> None:
        for key, least in (("prompts", 1), ("steps", 1), ("seed", 0)):
            require_integer(key, getattr(plan, key), least)
        self.plan = plan
        sizes = {"rows": len(model.pairs), "prompts": plan.prompts, "steps": plan.steps, "seed": plan.seed}
        super().__init__(model, network, kept=[POLICY, REFERENCE], **sizes)
        wrong = np.random.default_rng([plan.seed, 0, 0, 13]).random(len(model.pairs)) < plan.flip
        self.share_wrong = wrong.astype(float) if plan.drawn else np.full(len(wrong), plan.flip)

    def step(self) -> dict[str, float]:
        """One iteration; returns what was seen in it, means over its steps.

        Raises
        ------
        NonFinite
            With the dataset's row whose loss is not finite; the weights are then those before the iteration.
        """
        inner = self.model.inner
        batches = [self.batches[number] for number in range(self.iteration * inner, (self.iteration + 1) * inner)]
        references = self._references(batches)
        self.trained.rate = self.model.rate(self.iteration, self.steps)
        self.trained.restore(self.weights[POLICY])
        found = [self._descend(rows, reference) for rows, reference in zip(batches, references, strict=True)]
        self.weights[POLICY] = self.trained.snapshot()
        self.iteration, self.gradients = self.iteration + 1, self.gradients + inner
        means = {name: float(np.mean([each[name] for each in found])) for name in found[0]}
        means["tokens"] *= inner
        return means | {"queries": self.queries, "gradients": self.gradients}

    def _references(self, batches: Sequence[NDArray]) -> list[Tensor]:
        """(pairs, 2) log-probabilities of each batch under the reference."""
        self.trained.restore(self.weights[REFERENCE])
        found = []
        for rows in batches:
            self._take(rows)
            found.append(self.policy.log_probs())
        return found

    def _take(self, rows: NDArray) -> None:
        pairs = [self.model.pairs[row] for row in rows]
        answers = [[Response(tokens, "") for tokens in (pair.chosen, pair.rejected)] for pair in pairs[self.own]]
        self.policy.pool = Pool([pair.prompt for pair in pairs], self.own, answers, torch.zeros(len(pairs), 2, dtype=torch.float64))

    def _descend(self, rows: NDArray, reference: Tensor) -> dict[str, float]:
        """One optimizer step."""
        self._take(rows)
        wrong = torch.from_numpy(self.share_wrong[rows])
        factor = 1.0 if self.plan.loss.log_ratio else self.plan.beta
        margins: list[Tensor] = []

        def losses(logs: Tensor, place: slice) -> Tensor:
            ratio = logs - reference[place].to(logs.device)
            margin, share = factor * (ratio[:, 0] - ratio[:, 1]), wrong[place].to(logs.device)
            margins.append(margin.detach())
            return (1 - share) * pair_losses(self.plan.loss, margin) + share * pair_losses(self.plan.loss, -margin)

        self.trained.optimizer.zero_grad()
        with np.errstate(invalid="ignore"):  # what is no number is told below
            each = self.policy.accumulate(losses, 1 / len(rows))
        try:
            require_finite(each, "the loss")
        except NonFinite as failure:
            self.trained.restore(self.weights[POLICY])
            line = self.model.examples[rows[failure.prompt]].line
            raise failure.at(f"iteration {self.iteration}, ").of(line, self.model.dataset) from None
        self.model.realisation.step(self.policy, self.trained.optimizer)
        margin = self.network.processes.gather(torch.cat(margins))
        lengths = self.network.processes.gather(self.policy.pool.lengths)
        return {
            "loss": float(each.mean()),
            "margin": float(margin.mean()),
            "accuracy": float((margin > 0).double().mean()),
            "length": float(lengths.mean()),
            "tokens": float(lengths.sum()),
        }

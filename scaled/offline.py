"""Offline learners on a model: a pair loss of `algorithms/` minimised on counted comparisons by an optimizer, all pairs at once.

    sum over prompts and pairs y, z of  wins_yz L(u) + losses_yz L(-u),   over their number,      h = log pi/ref(y) - log pi/ref(z)

u = beta h, or h itself where the loss says so. The reference is the model at its start.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from algorithms.pair_loss import PairLoss
from envs.dials import require_integer
from envs.invalid import require
from scaled.objectives import pair_losses
from scaled.policy import Policy, as_array
from scaled.realisation import Regression, require_finite


class Trainer:
    """One pair loss on one model, trained in place.

    Parameters
    ----------
    policy : the model, at the reference
    loss : PairLoss
    counts : (C, K, K) array, how often the row's response was preferred to the column's; the diagonal is left out
    beta : > 0, KL coefficient
    steps : >= 1, records; `realisation.inner` optimizer steps before each
    realisation : the optimizer

    Raises
    ------
    Invalid
        Before any work, for what does not fit together.
    """

    def __init__(self, policy: Policy, loss: PairLoss, counts: NDArray, beta: float, *, steps: int, realisation: Regression) -> None:
        require_integer("steps", steps, 1)
        shape = (policy.contexts, policy.actions, policy.actions)
        require(counts.shape == shape, "counts", f"array of shape {counts.shape}", f"of shape {shape}")
        self.place = tuple(map(torch.as_tensor, np.nonzero(np.triu(counts + counts.swapaxes(1, 2), 1))))
        prompt, first, second = self.place
        self.wins, self.losses = torch.as_tensor(counts)[prompt, first, second], torch.as_tensor(counts)[prompt, second, first]
        self.total = float(self.wins.sum() + self.losses.sum())
        require(self.total > 0, "counts", "all 0", "at least one comparison")
        self.policy, self.loss, self.factor = policy, loss, 1.0 if loss.log_ratio else beta
        self.steps, self.iteration, self.inner = steps, 0, realisation.inner
        self.optimizer = realisation.optimizer(policy)
        self.logs, self.means = [torch.from_numpy(as_array(policy))], [float("nan")]

    def run(self, until: int | None = None) -> tuple[NDArray, NDArray]:
        """Go on to record `until`, the last when None; returns log-probabilities (C, records, K) and mean losses (records,) so far.

        Raises
        ------
        NonFinite
            With the prompt whose loss is not finite, before a step is taken with it.
        """
        while self.iteration < (self.steps if until is None else min(until, self.steps)):
            for _ in range(self.inner):
                self._descend()
            self.logs.append(torch.from_numpy(as_array(self.policy)))
            self.means.append(float("nan"))
            self.iteration += 1
        with torch.no_grad():
            self.means[-1] = float(self._each_prompt().sum())
        return torch.stack(self.logs, dim=1).numpy(), np.array(self.means)

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimizer, records: `torch.save` takes it, and a run resumed from it is the same bitwise."""
        return {
            "iteration": self.iteration,
            "policy": self.policy.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "logs": list(self.logs),
            "means": list(self.means),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state of a trainer with the same arguments."""
        self.policy.load_state_dict(state["policy"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.iteration, self.logs, self.means = state["iteration"], list(state["logs"]), list(state["means"])

    def _descend(self) -> None:
        parts = self._each_prompt()
        require_finite(parts, "the loss")
        if np.isnan(self.means[-1]):
            self.means[-1] = float(parts.detach().sum())
        self.optimizer.zero_grad()
        parts.sum().backward()
        self.optimizer.step()

    def _each_prompt(self) -> torch.Tensor:
        """(C,) what each prompt adds to the mean loss."""
        prompt, first, second = self.place
        ratio = self.policy.log_probs().double() - self.logs[0]
        margin = (ratio[prompt, first] - ratio[prompt, second]) * self.factor
        terms = self.wins * pair_losses(self.loss, margin) + self.losses * pair_losses(self.loss, -margin)
        return torch.zeros(self.policy.contexts, dtype=torch.float64).index_add(0, prompt, terms) / self.total


def train(policy: Policy, loss: PairLoss, counts: NDArray, beta: float, *, steps: int, realisation: Regression) -> tuple[NDArray, NDArray]:
    """What a `Trainer` with these arguments comes to.

    Returns
    -------
    (C, steps + 1, K) log-probabilities at the start and after each record, and (steps + 1,) mean losses
    """
    return Trainer(policy, loss, counts, beta, steps=steps, realisation=realisation).run()

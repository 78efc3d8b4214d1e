"""Offline learners on a model: a pair loss of `algorithms/` minimised on counted comparisons by an optimizer, all pairs at once.

    sum over prompts and pairs y, z of  wins_yz L(u) + losses_yz L(-u),   over their number,      h = log pi/ref(y) - log pi/ref(z)

u = beta h, or h itself where the loss says so. The reference is the model at its start.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from algorithms.pair_loss import PairLoss
from envs.dials import require_integer
from envs.invalid import require
from scaled.objectives import pair_losses
from scaled.policy import Policy, as_array
from scaled.realisation import Regression, require_finite


def train(policy: Policy, loss: PairLoss, counts: NDArray, beta: float, *, steps: int, realisation: Regression) -> tuple[NDArray, NDArray]:
    """Train a policy in place.

    Parameters
    ----------
    policy : the model, at the reference
    loss : PairLoss
    counts : (C, K, K) array, how often the row's response was preferred to the column's; the diagonal is left out
    beta : > 0, KL coefficient
    steps : >= 1, records; `realisation.inner` optimizer steps before each
    realisation : the optimizer

    Returns
    -------
    (C, steps + 1, K) log-probabilities at the start and after each record, and (steps + 1,) mean losses

    Raises
    ------
    NonFinite
        With the prompt whose loss is not finite, before a step is taken with it.
    """
    require_integer("steps", steps, 1)
    shape = (policy.contexts, policy.actions, policy.actions)
    require(counts.shape == shape, "counts", f"array of shape {counts.shape}", f"of shape {shape}")
    prompt, first, second = np.nonzero(np.triu(counts + counts.swapaxes(1, 2), 1))
    wins, losses = (torch.as_tensor(part) for part in (counts[prompt, first, second], counts[prompt, second, first]))
    total = float(wins.sum() + losses.sum())
    require(total > 0, "counts", "all 0", "at least one comparison")
    place = tuple(torch.as_tensor(part) for part in (prompt, first, second))
    optimizer = realisation.optimizer(policy)
    start = as_array(policy)
    reference = torch.from_numpy(start)

    def each_prompt() -> torch.Tensor:
        """(C,) what each prompt adds to the mean loss."""
        ratio = policy.log_probs().double() - reference
        margin = (ratio[place[0], place[1]] - ratio[place[0], place[2]]) * (1.0 if loss.log_ratio else beta)
        terms = wins * pair_losses(loss, margin) + losses * pair_losses(loss, -margin)
        return torch.zeros(policy.contexts, dtype=torch.float64).index_add(0, place[0], terms) / total

    logs, means = [start], []
    for _ in range(steps):
        for inner in range(realisation.inner):
            parts = each_prompt()
            require_finite(parts, "the loss")
            if inner == 0:
                means.append(float(parts.detach().sum()))
            optimizer.zero_grad()
            parts.sum().backward()
            optimizer.step()
        logs.append(as_array(policy))
    with torch.no_grad():
        means.append(float(each_prompt().sum()))
    return np.stack(logs, axis=1), np.array(means)

"""The judge: answers about pairs of responses, as the feedback says: expected or drawn, flipped, debiased.

One judge serves C prompts, each with its own game. Win rates are less 1/2, which changes no policy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from envs.feedback import Exact
from envs.game import Game
from scaled.policy import draw


class Oracle:
    """Labels for C games of one K.

    Parameters
    ----------
    games : C games
    feedback : `Exact()`, or `Duels(...)` for Bernoulli labels against sampled opponents
    generator : of all draws
    """

    def __init__(self, games: Sequence[Game], feedback: Exact, generator: torch.Generator) -> None:
        self.feedback, self.generator = feedback, generator
        labels = np.stack([feedback.labels(game) for game in games])
        self.labels = torch.from_numpy(labels if feedback.random else feedback.debiased(labels))

    def win_rates(self, log_policy: Tensor) -> Tensor:
        """(C, K): every response against the (C, K) policy; with `Duels`, the mean of that many labels for each response."""
        if not self.feedback.random:
            return ((self.labels - 0.5) @ log_policy.exp()[..., None])[..., 0]
        contexts, actions = log_policy.shape
        duels = self.feedback.per_action
        opponents = draw(log_policy, actions * duels, self.generator).view(contexts, actions, duels)
        first = torch.arange(actions)[:, None].expand_as(opponents)
        return self.judge(first, opponents).mean(-1) - 0.5

    def judge(self, first: Tensor, second: Tensor) -> Tensor:
        """A debiased label for each (C, ...) pair of responses: drawn where feedback is drawn, expected where it is exact."""
        prompt = torch.arange(len(self.labels)).view(-1, *[1] * (first.ndim - 1))
        chance = self.labels[prompt, first, second]
        if not self.feedback.random:
            return chance
        won = torch.rand(chance.shape, dtype=torch.float64, generator=self.generator) < chance
        return torch.from_numpy(self.feedback.debiased(won.numpy()))

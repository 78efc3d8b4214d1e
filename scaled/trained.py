"""What is trained: a policy with the way it is moved and the state of its optimizer, which can be put back to where they were."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from scaled.policy import Movable, normalise
from scaled.realisation import Aim, Realisation

Snapshot = dict[str, Any]
"""Weights and optimizer state, neither of which changes any more."""


class Trained:
    """A policy on the move.

    Parameters
    ----------
    policy : trained in place
    realisation : how it is moved

    Attributes
    ----------
    rate : learning rate from the next `restore` on; None: the optimizer's own
    """

    def __init__(self, policy: Movable, realisation: Realisation) -> None:
        self.policy, self.realisation = policy, realisation
        self.optimizer: Any = realisation.optimizer(policy)
        self.rate: float | None = None

    def move(self, aim: Aim) -> None:
        """Towards a target, from wherever it stands."""
        self.realisation.move(self.policy, self.optimizer, aim)

    @torch.no_grad()
    def log_probs(self) -> Tensor:
        """(C, K) float64, on the processor, normalised."""
        return normalise(self.policy.log_probs().to("cpu", torch.float64))

    def snapshot(self) -> Snapshot:
        """A copy of where it stands."""
        weights = {name: value.detach().clone() for name, value in self.policy.state_dict().items()}
        return {"policy": weights, "optimizer": deepcopy(self.optimizer.state_dict()) if self.optimizer else None}

    def restore(self, snapshot: Snapshot) -> None:
        """Stand there again."""
        self.policy.load_state_dict(snapshot["policy"])
        if self.optimizer:
            self.optimizer.load_state_dict(deepcopy(snapshot["optimizer"]))  # the optimizer would change its tensors in place
            for group in self.optimizer.param_groups if self.rate is not None else []:
                group["lr"] = self.rate

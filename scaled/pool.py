"""Drawn responses as the actions of a small game: what makes a language model a policy that a tableau can be run on.

For each of C prompts n responses y_1, ..., y_n are drawn from a policy mu. On them, a policy s is

    s_i  proportional to  s(y_i) / mu(y_i),

its self-normalised importance weights: mu itself is uniform, and sum_i s_i f(y_i) estimates E_s[f] for any s. A prox stage in these
coordinates is the stage itself on the responses drawn, since anchors sum to 1 and log mu cancels: a target's log-ratio to mu moves
by rate times the win rate of each response, less a constant of the prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from envs.invalid import require
from scaled.network import Network
from scaled.policy import Losses
from scaled.prompts import Prompt, Response


@dataclass(frozen=True, eq=False)
class Pool:
    """Responses to the prompts of one batch.

    Attributes
    ----------
    prompts : C, those of all processes
    own : which of them are this process's
    responses : n drawn responses to each of its own prompts
    log_drawn : (C, n) log mu of all; zeros leave log-probabilities as they are
    """

    prompts: Sequence[Prompt]
    own: slice
    responses: Sequence[Sequence[Response]]
    log_drawn: Tensor

    @property
    def lengths(self) -> Tensor:
        """(own prompts, n) tokens of each response."""
        return torch.tensor([[len(response.tokens) for response in answers] for answers in self.responses], dtype=torch.float64)


class Pooled:
    """A network as a policy over the responses of a pool; see `scaled.policy.Movable`.

    Parameters
    ----------
    network : what gives log-probabilities
    batch : >= 1, prompts whose responses are passed through it at once
    """

    pool: Pool

    def __init__(self, network: Network, batch: int) -> None:
        self.network, self.batch = network, batch

    @torch.no_grad()
    def log_probs(self) -> Tensor:
        """(C, n) log pi - log mu, float64; every process has all of them."""
        parts = [self._own(rows) for rows in self._batches()]
        return self.network.processes.gather(torch.cat(parts)) - self.pool.log_drawn

    def accumulate(self, losses: Losses, scale: float, drawn: Tensor | None = None) -> Tensor:
        """See `Movable`; engines average gradients over processes, hence the factor."""
        require(drawn is None, "responses", "drawn from a pool", "all of the pool")
        batches, found, processes = list(self._batches()), [], self.network.processes
        for rows in batches:
            place = slice(self.pool.own.start + rows.start, self.pool.own.start + rows.stop)
            with self.network.passing(last=rows is batches[-1]):
                logs = self._own(rows)
                each = losses(logs.double() - self.pool.log_drawn[place].to(logs.device), place)
                (scale * processes.count * each.sum()).backward()
            found.append(each.detach())
        return processes.gather(torch.cat(found))

    def _own(self, rows: slice) -> Tensor:
        prompts = self.pool.prompts[self.pool.own][rows]
        return self.network.log_prob(prompts, [[response.tokens for response in answers] for answers in self.pool.responses[rows]])

    def _batches(self) -> Iterable[slice]:
        count = len(self.pool.responses)
        return [slice(start, min(start + self.batch, count)) for start in range(0, count, self.batch)]

    def parameters(self) -> Iterable[nn.Parameter]:
        """The network's."""
        return self.network.parameters()

    def state_dict(self) -> dict[str, Any]:
        """The network's."""
        return self.network.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """The network's."""
        self.network.load_state_dict(state_dict)

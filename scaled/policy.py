"""Policies over the K responses to each of C prompts: what the executor asks of a model, and a softmax table.

A response's log-probability is the sum over its tokens, never their mean: the length is part of the policy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from envs.dials import require_integer
from envs.invalid import require

Losses = Callable[[Tensor, slice], Tensor]
"""(rows, n) log-probabilities of responses to the prompts in a slice -> (rows,) losses of these prompts."""


class Movable(Protocol):
    """What an iteration asks of a model of C prompts, each with K responses."""

    def log_probs(self) -> Tensor:
        """(C, K) log-probabilities of all responses."""
        ...

    def accumulate(self, losses: Losses, scale: float, drawn: Tensor | None = None) -> Tensor:
        """Add the gradient of scale * sum over prompts of their losses to that of the parameters.

        Parameters
        ----------
        losses : of the prompts, from log-probabilities of all responses, or of the (C, n) `drawn`
        scale : of the sum
        drawn : numbers of responses

        Returns
        -------
        (C,) losses; the gradient is of use only where all are finite
        """
        ...

    def parameters(self) -> Iterable[nn.Parameter]:
        """What is trained."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Weights and buffers by name."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """Take over such weights."""
        ...


class Policy(Movable, Protocol):
    """A model whose responses are enumerated, with log-probabilities normalised by construction; see `Enumerated`."""

    @property
    def contexts(self) -> int:
        """C, the number of prompts."""
        ...

    @property
    def actions(self) -> int:
        """K, the number of responses to a prompt."""
        ...

    def log_prob(self, responses: Tensor) -> Tensor:
        """(C, n) log-probabilities, differentiable, of the responses with these (C, n) numbers."""
        ...

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """(C, count) numbers of responses drawn from the policy; the state of `generator` is all that a draw depends on."""
        ...


class Enumerated(nn.Module, ABC):
    """A torch module as a policy: all prompts at once are a batch."""

    @abstractmethod
    def log_probs(self) -> Tensor:
        """(C, K), differentiable."""

    @abstractmethod
    def log_prob(self, responses: Tensor) -> Tensor:
        """(C, n), differentiable."""

    def accumulate(self, losses: Losses, scale: float, drawn: Tensor | None = None) -> Tensor:
        """See `Movable`."""
        each = losses(self.log_probs() if drawn is None else self.log_prob(drawn), slice(None))
        (scale * each.sum()).backward()
        return each.detach()


class Table(Enumerated):
    """Free logits, one for each prompt and response: log pi = log softmax theta.

    Parameters
    ----------
    log_start : (C, K) array of finite logits; log-probabilities of the start policy are such
    """

    def __init__(self, log_start: ArrayLike) -> None:
        super().__init__()
        logits = torch.as_tensor(log_start, dtype=torch.float64).clone()
        require(logits.ndim == 2 and logits.shape[1] >= 2, "log_start", f"array of shape {tuple(logits.shape)}", "of shape (C, K), K >= 2")
        require(bool(logits.isfinite().all()), "log_start", "logits", "finite")
        self.logits = nn.Parameter(logits)

    @property
    def contexts(self) -> int:
        """C."""
        return self.logits.shape[0]

    @property
    def actions(self) -> int:
        """K."""
        return self.logits.shape[1]

    def log_probs(self) -> Tensor:
        """(C, K)."""
        return normalise(self.logits)

    def log_prob(self, responses: Tensor) -> Tensor:
        """(C, n)."""
        return self.log_probs().gather(-1, responses)

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """(C, count)."""
        return draw(self.log_probs(), count, generator)

    @torch.no_grad()
    def assign(self, logits: Tensor) -> None:
        """Become the policy with these (C, K) logits."""
        self.logits.copy_(logits)


def normalise(logits: Tensor) -> Tensor:
    """Log-probabilities of softmax over the last axis; on few numbers much quicker than log_softmax, which wakes torch's threads."""
    return logits - logits.logsumexp(-1, keepdim=True)


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums of one thread, which do not depend on how many there could be; on small models it is quicker, too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@torch.no_grad()
def as_array(policy: Policy) -> NDArray:
    """(C, K) log-probabilities of all responses as float64, normalised to its rounding."""
    return normalise(policy.log_probs().to("cpu", torch.float64)).numpy()


def draw(log_probs: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """(..., count) numbers drawn from (..., K) log-probabilities, by inverse CDF in float64."""
    require_integer("count", count, 1)
    sums = log_probs.detach().to("cpu", torch.float64).exp().cumsum(-1)
    uniform = torch.rand(*sums.shape[:-1], count, dtype=torch.float64, generator=generator) * sums[..., -1:]
    return torch.searchsorted(sums, uniform, right=True).clamp_max(sums.shape[-1] - 1).to(log_probs.device)

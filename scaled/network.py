"""A causal language model under training: log-probabilities of responses to prompts, and the weights that are trained.

A row is a prompt, filled up on its left, and a response, filled up on its right, so that all responses of a batch begin at one
position, and logits are made for their tokens alone. What fills is masked by position: any token will do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scaled.engine import Engine
from scaled.processes import Processes
from scaled.prompts import Prompt
from scaled.sequence import response_log_prob, span, token_log_probs

PRECISIONS = {"bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}
Tokens = tuple[int, ...]


class Network:
    """A transformers model with an engine.

    Parameters
    ----------
    model : loaded whole; the parameters that require gradients are trained
    engine : see `scaled.engine`
    processes : this one among its likes
    precision : what is computed in; in bfloat16 trained weights stay in float32 (autocast)
    allowed : tokens that responses are made of; None: all
    """

    def __init__(
        self, model: nn.Module, engine: Engine, processes: Processes, precision: torch.dtype, allowed: Sequence[int] | None
    ) -> None:
        self.model: Any = model
        self.engine, self.processes, self.precision = engine, processes, precision
        self.forward = engine.wrap(model, processes, precision)
        self.weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self.allowed = None if allowed is None else torch.tensor(allowed, device=processes.device)

    def log_prob(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Tokens]]) -> Tensor:
        """(C, n) log-probabilities of n responses to each of C prompts, sums over tokens, in float32 or better.

        Differentiable where gradients are enabled, and then to be called within `passing`.
        """
        rows = [(prompt.tokens, tokens) for prompt, answers in zip(prompts, responses, strict=True) for tokens in answers]
        tokens, seen, places = laid_out(rows, self.processes.device)
        width = max(len(answer) for _, answer in rows)
        call = self.forward if torch.is_grad_enabled() else self.model
        self.model.train(torch.is_grad_enabled())
        with torch.autocast(self.processes.device.type, self.precision, enabled=self.precision == torch.bfloat16):
            found = call(input_ids=tokens, attention_mask=seen, position_ids=places, use_cache=False, logits_to_keep=width + 1)
        answers = tokens[:, -width:]
        logs = self._of_tokens(found.logits[:, -width - 1 : -1], answers)
        lengths = torch.tensor([len(answer) for _, answer in rows], device=tokens.device)
        return response_log_prob(logs, span(torch.zeros_like(lengths), lengths, width)).view(len(prompts), -1)

    def _of_tokens(self, logits: Tensor, answers: Tensor) -> Tensor:
        if self.allowed is None:
            return token_log_probs(logits, answers)
        number = (answers[..., None] == self.allowed).int().argmax(-1)  # what fills is masked later
        return token_log_probs(logits[..., self.allowed], number)

    def passing(self, last: bool) -> Any:
        """Surrounds a forward and backward pass; `last`: a step follows."""
        return self.engine.synchronising(self.forward, last)

    def parameters(self) -> Iterable[nn.Parameter]:
        """What is trained: with FSDP, this process's shards."""
        return self.weights.values()

    def state_dict(self) -> dict[str, Tensor]:
        """The trained weights by name, this process's shards."""
        return {name: weight.detach() for name, weight in self.weights.items()}

    @torch.no_grad()
    def load_state_dict(self, weights: Mapping[str, Tensor]) -> None:
        """Take over such weights."""
        for name, weight in self.weights.items():
            weight.copy_(weights[name])


def laid_out(rows: Sequence[tuple[Tokens, Tokens]], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """(rows, T) tokens, mask of what is there, and positions, of prompts that end where all responses begin."""
    lengths = torch.tensor([[len(prompt), len(answer)] for prompt, answer in rows])
    before, after = lengths.amax(0).tolist()
    place = torch.arange(-before, after)
    seen = ((place >= -lengths[:, :1]) & (place < lengths[:, 1:])).long()
    tokens = torch.zeros_like(seen)
    tokens[seen.bool()] = torch.tensor([token for prompt, answer in rows for token in (*prompt, *answer)])
    places = (seen.cumsum(-1) - 1).clamp_min(0)
    return tokens.to(device), seen.to(device), places.to(device)

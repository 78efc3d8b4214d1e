"""Responses by the generation of transformers, with random numbers of our own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from envs.dials import require_integer
from scaled.network import Network, laid_out
from scaled.rollouts.rollout import Drawn, Question


@dataclass(frozen=True)
class Generate:
    """`generate` of transformers, token by token at temperature 1, by inverse CDF.

    Parameters
    ----------
    batch : >= 1, responses drawn at once
    """

    batch: int = 64

    def __post_init__(self) -> None:
        require_integer("batch", self.batch, 1)

    def draw(self, network: Network, question: Question) -> list[list[Drawn]]:
        """See `Rollout`."""
        count = question.uniforms.shape[1]
        rows = [(prompt.tokens, ()) for prompt in question.prompts for _ in range(count)]
        uniforms = torch.from_numpy(question.uniforms).flatten(0, 1)
        found: list[Drawn] = []
        for start in range(0, len(rows), self.batch):
            part = slice(start, start + self.batch)
            found += [(tokens, None) for tokens in _generated(network, rows[part], uniforms[part], question.ends)]
        return [found[start : start + count] for start in range(0, len(found), count)]


@torch.no_grad()
def _generated(network: Network, rows: list, uniforms: Tensor, ends: Sequence[int]) -> list[tuple[int, ...]]:
    tokens, seen, _ = laid_out(rows, network.processes.device)
    chosen = Chosen(uniforms.to(tokens.device), tokens.shape[1], network.allowed)
    settings = GenerationConfig(
        max_new_tokens=uniforms.shape[1], do_sample=False, eos_token_id=list(ends) or None, pad_token_id=0, use_cache=True
    )
    model = network.model
    model.eval()
    with torch.autocast(tokens.device.type, network.precision, enabled=network.precision == torch.bfloat16):
        written = model.generate(
            tokens,
            attention_mask=seen,
            generation_config=settings,
            logits_processor=LogitsProcessorList([chosen]),
            synced_gpus=network.engine.sharded and network.processes.count > 1,
        )
    return [_until(answer, ends) for answer in written[:, tokens.shape[1] :].tolist()]


def _until(answer: list[int], ends: Sequence[int]) -> tuple[int, ...]:
    stop = next((place for place, token in enumerate(answer, start=1) if token in ends), len(answer))
    return tuple(answer[:stop])


class Chosen(LogitsProcessor):
    """Leaves one token possible: the one that the row's uniform number of this step falls to.

    With it, a greedy choice is a draw, which depends on that number and on the logits only: neither on what else is in the batch,
    nor on a state that processes would have to share.

    Parameters
    ----------
    uniforms : (rows, length) numbers in [0, 1)
    begin : tokens of a row before the first that is drawn
    allowed : tokens to draw from; None: all
    """

    def __init__(self, uniforms: Tensor, begin: int, allowed: Tensor | None) -> None:
        self.uniforms, self.begin, self.allowed = uniforms, begin, allowed

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(rows, V) scores: 0 for the token, -inf for all others."""
        logits = scores if self.allowed is None else scores[:, self.allowed]
        sums = logits.double().softmax(-1).cumsum(-1)
        aimed = self.uniforms[:, input_ids.shape[1] - self.begin, None] * sums[:, -1:]
        number = torch.searchsorted(sums, aimed, right=True).clamp_max(sums.shape[-1] - 1)
        token = number if self.allowed is None else self.allowed[number]
        return torch.full_like(scores, -torch.inf).scatter_(-1, token, 0.0)

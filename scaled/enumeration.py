"""All responses of exactly L tokens of V allowed ones, and a model's exact distribution over them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from numpy.typing import NDArray

from scaled.network import Network
from scaled.policy import normalise
from scaled.prompts import Prompt


def responses(allowed: Sequence[int], length: int) -> list[tuple[int, ...]]:
    """V^L of them; number k is k written with L digits in base V, the first token the leading digit."""
    return list(product(allowed, repeat=length))


@torch.no_grad()
def log_policy(network: Network, prompts: Sequence[Prompt], every: Sequence[tuple[int, ...]], batch: int) -> NDArray:
    """(C, K) log-probabilities of every response to every prompt, `batch` responses at once, normalised to rounding."""
    found = []
    for prompt in prompts:
        parts = [network.log_prob([prompt], [every[start : start + batch]])[0] for start in range(0, len(every), batch)]
        found.append(torch.cat(parts).to("cpu", torch.float64))
    return normalise(torch.stack(found)).numpy()

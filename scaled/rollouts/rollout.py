"""What a rollout is, and the random numbers it draws with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scaled.network import Network
from scaled.prompts import Prompt

Drawn = tuple[tuple[int, ...], float | None]
"""Tokens, at least one, and their log-probability where what drew them knows it better than the network."""


@dataclass(frozen=True, eq=False)
class Question:
    """What is to be drawn.

    Attributes
    ----------
    prompts : m of them
    uniforms : (m, n, length) numbers in [0, 1): a response depends on its own alone
    ends : tokens that end a response, as its last; none where responses are `length` tokens each
    tokenizer : of the model
    """

    prompts: Sequence[Prompt]
    uniforms: NDArray
    ends: Sequence[int]
    tokenizer: Any


class Rollout(Protocol):
    """A member of conf/scaled/rollout."""

    def draw(self, network: Network, question: Question) -> list[list[Drawn]]:
        """n responses to each prompt, each of at most `length` tokens."""
        ...


def uniforms(seed: int, iteration: int, places: Sequence[int], count: int, length: int) -> NDArray:
    """(len(places), count, length) numbers in [0, 1), by counters: those of a prompt depend on its place in the batch alone."""
    streams = [np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, iteration, place, 11]))) for place in places]
    return np.stack([stream.random((count, length)) for stream in streams])

"""What an oracle gives when it is opened: the probability that one response to a prompt is preferred to another.

    P[i, j] = Pr(response i is preferred to response j | prompt),        P + P' = 1,  diagonal 1/2

Judges of texts are asked about distinct texts: those that are the same tie, and nobody is asked about them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from envs.game import Game
from envs.triangle import complete
from scaled.prompts import Prompt, Response


class Judge(Protocol):
    """An oracle that is open."""

    def preferences(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> Tensor:
        """(C, n, n) float64 on the CPU: P of each prompt's n responses, without label noise; P + P' = 1 and P[i, i] = 1/2 exactly."""
        ...


class PairwiseOracle(Protocol):
    """A member of conf/scaled/oracle."""

    enumerable: ClassVar[bool]
    """Whether it needs games on an enumerated set of responses."""

    def open(self, device: torch.device, games: Sequence[Game] | None) -> Judge:
        """Load what it needs; `games`, one a prompt of the dataset, only where `enumerable`."""
        ...


@dataclass(frozen=True)
class Distinct:
    """The distinct texts among the n responses to a prompt.

    Attributes
    ----------
    prompt : what they answer
    texts : (m,) in the order in which they come
    kinds : (n,) which of the texts each response is
    """

    prompt: Prompt
    texts: tuple[str, ...]
    kinds: tuple[int, ...]

    @classmethod
    def of(cls, prompt: Prompt, responses: Sequence[Response]) -> Distinct:
        """The pool of these responses."""
        texts = tuple(dict.fromkeys(response.text for response in responses))
        number = {text: kind for kind, text in enumerate(texts)}
        return cls(prompt, texts, tuple(number[response.text] for response in responses))

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """i < j of every two texts, row by row of the triangle above the diagonal."""
        return list(combinations(range(len(self.texts)), 2))

    def place(self, *kinds: int) -> str:
        """Prompt and responses, for an error: the numbers, from 0 on, at which these texts first come."""
        numbers = " and ".join(str(self.kinds.index(kind)) for kind in kinds)
        return f"prompt {self.prompt.number}, response{'s' if len(kinds) > 1 else ''} {numbers}"


Ask = Callable[[Sequence[Distinct]], Sequence[NDArray]]
"""Gives for each pool an (m, m) array, of which what lies above the diagonal counts."""


def judged(prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]], ask: Ask) -> Tensor:
    """(C, n, n) what `ask` says of the distinct texts, for all responses."""
    pools = [Distinct.of(prompt, pool) for prompt, pool in zip(prompts, responses, strict=True)]
    matrices = [complete(above)[np.ix_(pool.kinds, pool.kinds)] for pool, above in zip(pools, ask(pools), strict=True)]
    return torch.from_numpy(np.stack(matrices))


def triangles(pools: Sequence[Distinct], chances: NDArray) -> list[NDArray]:
    """(m, m) of each pool, above the diagonal the chances of its pairs: `chances` are those of all pools, one after the other."""
    found, start = [], 0
    for pool in pools:
        above, count = np.zeros((len(pool.texts),) * 2), len(pool.pairs)
        above[np.triu_indices(len(above), 1)] = chances[start : start + count]
        found.append(above)
        start += count
    return found

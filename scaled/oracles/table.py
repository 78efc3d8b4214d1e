"""The oracle that knows the game: the preferences of an enumerated set of responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from envs.game import Game
from envs.invalid import Invalid, require
from envs.triangle import complete
from scaled.prompts import Prompt, Response


@dataclass(frozen=True)
class Table:
    """P of the prompt's own game, at the responses' numbers."""

    enumerable: ClassVar[bool] = True

    def open(self, device: torch.device, games: Sequence[Game] | None) -> Games:
        """Take over the games, one a prompt of the dataset; without any, :class:`Invalid`."""
        del device
        if not games:
            raise Invalid("oracle", "table", "another where responses are not enumerated: this one is asked by their numbers in a game")
        return Games([complete(game.preference) for game in games])


@dataclass(frozen=True, eq=False)
class Games:
    """A judge by numbers.

    Parameters
    ----------
    tables : one (K, K) preference matrix a prompt of the dataset
    """

    tables: Sequence[NDArray]

    def preferences(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> Tensor:
        """See :class:`scaled.oracles.judge.Judge`; responses without a number of the game, or prompts without a game, are refused."""
        return torch.from_numpy(np.stack([self._preference(*pool) for pool in zip(prompts, responses, strict=True)]))

    def _preference(self, prompt: Prompt, responses: Sequence[Response]) -> NDArray:
        count = len(self.tables)
        require(0 <= prompt.number < count, "prompt", prompt.number, f"one of the {count} that have a game, 0 to {count - 1}")
        table = self.tables[prompt.number]
        numbers = [-1 if response.number is None else response.number for response in responses]
        for number, response in zip(numbers, responses, strict=True):
            allowed = f"numbered from 0 to {len(table) - 1}, as in the game of prompt {prompt.number}"
            require(0 <= number < len(table), "response", response.number, allowed)
        return table[np.ix_(numbers, numbers)]

"""The oracle that scores responses one by one: a reward model, and Bradley and Terry's law."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor

from envs.dials import require_positive
from envs.game import Game
from envs.invalid import require
from scaled.oracles.judge import Distinct, judged
from scaled.oracles.loading import load, require_readable
from scaled.oracles.reader import Reader
from scaled.prompts import Prompt, Response


@dataclass(frozen=True)
class RewardModel:
    """P(y over z | x) = sigmoid(scale (r(x, y) - r(x, z))), r the one logit of a sequence classifier (Bradley and Terry, 1952).

    The model reads plain text as prompt and response together; a conversation as its own chat template writes it, the response being
    the assistant's turn.

    Parameters
    ----------
    model : a classifier of one label, a folder or a name on the hub
    scale : > 0, what a unit of reward is worth in log-odds
    batch : >= 1, texts at a time
    dtype : what it computes in, float32 or bfloat16; auto is what it was saved in

    Raises
    ------
    Invalid
        For any other value; when opened, for a model that cannot be read or has other labels.
    """

    model: str | os.PathLike[str]
    scale: float = 1.0
    batch: int = 16
    dtype: str = "auto"

    enumerable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_readable("model", self.model, self.batch, self.dtype)
        require_positive("scale", self.scale)

    def open(self, device: torch.device, games: Sequence[Game] | None) -> Rewards:
        """Load the model."""
        del games
        reader = load("AutoModelForSequenceClassification", "model", self.model, self.batch, self.dtype, device)
        labels = reader.model.config.num_labels
        require(labels == 1, "model", f"{self.model}, of {labels} labels", "a reward model: a classifier of 1 label")
        return Rewards(reader, self.scale)


@dataclass(frozen=True, eq=False)
class Rewards:
    """A judge by scores.

    Parameters
    ----------
    reader : of the model
    scale : as above
    """

    reader: Reader
    scale: float

    def preferences(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> Tensor:
        """See :class:`scaled.oracles.judge.Judge`; texts beyond the context and scores that are not finite are refused."""
        return judged(prompts, responses, self._ask)

    def _ask(self, pools: Sequence[Distinct]) -> list[NDArray]:
        asked = [(pool, kind) for pool in pools for kind in range(len(pool.texts))]
        scores = self.reader.logits([self._tokens(*one) for one in asked])[:, 0]
        for (pool, kind), score in zip(asked, scores, strict=True):
            require(np.isfinite(score), "model", f"{self.reader.path}, {pool.place(kind)}: score {score}", "a model of finite scores")
        parts = np.split(scores, np.cumsum([len(pool.texts) for pool in pools])[:-1])
        return [expit(self.scale * (part[:, None] - part)) for part in parts]

    def _tokens(self, pool: Distinct, kind: int) -> list[int]:
        talk = not isinstance(pool.prompt.content, str)
        needed = f"a model whose tokenizer has a chat template, for the conversation of prompt {pool.prompt.number}"
        require(not talk or self.reader.tokenizer.chat_template, "model", self.reader.path, needed)
        tokens = self.reader.tokens(self.reader.written(pool.prompt, pool.texts[kind]), special=not talk)
        self.reader.require_room(tokens, pool.place(kind))
        return tokens

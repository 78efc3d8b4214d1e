"""The oracle of people who differ: each has an ideal point in the space of an encoder and prefers what lies closer to it.

    a_u = sum_m w_um G_m,        s_u(y) = -|y - a_u|^2 / temperature,        P(y over z | x) = sum_u share_u sigmoid(s_u(y) - s_u(z))

with y the features of a response: the population of `envs.people` without prompt features, with responses that are read instead of drawn.
This is the pluralistic alignment framework of Chen, Chen, Rege and Vinayak (arXiv 2406.08469), model A, in the probabilistic form of
that module; `algorithms.pal` learns such people.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import expit
from torch import Tensor

from envs.dials import require_positive
from envs.game import Game
from envs.invalid import require
from scaled.oracles.crowd import Crowd, read_crowd
from scaled.oracles.judge import Distinct, judged
from scaled.oracles.loading import load, require_readable
from scaled.oracles.reader import Reader
from scaled.prompts import Prompt, Response


@dataclass(frozen=True)
class Population:
    """Users of a file, and the encoder that places responses among them.

    The features of a response are the mean of the encoder's last hidden states over the response's tokens, read after the prompt's
    (tokenized apart, with what the tokenizer puts before a text and without what it puts after it). A conversation is written by the
    encoder's own chat template, or as lines `role: content`; a response without tokens is read at the last token of its prompt.

    Parameters
    ----------
    path : .npz file of the users: see `scaled.oracles.crowd`
    encoder : a model of transformers, a folder or a name on the hub
    temperature : > 0; the higher, the closer every pair is to a tie
    batch : >= 1, texts at a time
    dtype : what the encoder computes in, float32 or bfloat16; auto is what it was saved in

    Raises
    ------
    Invalid
        For any other value; when opened, for a file or an encoder that cannot be read.
    """

    path: str | os.PathLike[str]
    encoder: str | os.PathLike[str]
    temperature: float = 1.0
    batch: int = 32
    dtype: str = "auto"

    enumerable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require(isinstance(self.path, str | os.PathLike) and str(self.path), "path", self.path, "the path of an .npz file")
        require_positive("temperature", self.temperature)
        require_readable("encoder", self.encoder, self.batch, self.dtype)

    def open(self, device: torch.device, games: Sequence[Game] | None) -> Users:
        """Read the file and load the encoder."""
        del games
        crowd = read_crowd(self.path)
        reader = load("AutoModel", "encoder", self.encoder, self.batch, self.dtype, device)
        both = reader.model.config.is_encoder_decoder
        require(not both, "encoder", self.encoder, "an encoder or a decoder: this model is both, and has two kinds of hidden states")
        users = Users(reader, crowd, self.temperature)
        width, key = len(users.hidden([([0], 0)])[0]), "prototypes" if crowd.projection is None else "projection"
        given = f"{self.path}: {key} for features of {crowd.width} numbers"
        require(crowd.width == width, "path", given, f"a file for the encoder's features of {width}")
        return users


@dataclass(frozen=True, eq=False)
class Users:
    """A judge by distances.

    Parameters
    ----------
    reader : of the encoder
    crowd : who they are
    temperature : as above
    """

    reader: Reader
    crowd: Crowd
    temperature: float

    def preferences(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> Tensor:
        """See :class:`scaled.oracles.judge.Judge`; texts beyond the context and features that are not finite are refused."""
        return judged(prompts, responses, self._ask)

    def hidden(self, texts: Sequence[tuple[list[int], int]]) -> NDArray:
        """(texts, H) the mean of the last hidden states of each text's tokens from a place on."""
        found: dict[int, NDArray] = {}
        for places, output in self.reader.outputs([tokens for tokens, _ in texts]):
            for row, place in enumerate(places):
                tokens, start = texts[place]
                mean = output.last_hidden_state[row, start : len(tokens)].float().mean(0)
                found[place] = mean.cpu().double().numpy()
        return np.stack([found[place] for place in range(len(texts))])

    def _ask(self, pools: Sequence[Distinct]) -> list[NDArray]:
        asked = [(pool, kind) for pool in pools for kind in range(len(pool.texts))]
        features = self.hidden([self._tokens(*one) for one in asked])
        for (pool, kind), row in zip(asked, features, strict=True):
            finite = np.isfinite(row).all()
            require(finite, "encoder", f"{self.reader.path}, {pool.place(kind)}: features with nan or inf", "a model of finite features")
        items = features if self.crowd.projection is None else features @ self.crowd.projection
        return [self._preference(part) for part in np.split(items, np.cumsum([len(pool.texts) for pool in pools])[:-1])]

    def _preference(self, items: NDArray) -> NDArray:
        scores = -cdist(items, self.crowd.points, "sqeuclidean") / self.temperature
        return np.stack([expit(score - scores) @ self.crowd.shares for score in scores])

    def _tokens(self, pool: Distinct, kind: int) -> tuple[list[int], int]:
        templated = not isinstance(pool.prompt.content, str) and self.reader.tokenizer.chat_template
        prompt = self.reader.tokens(self.reader.written(pool.prompt, opened=True), special=not templated, closed=False)
        tokens = prompt + self.reader.tokens(pool.texts[kind], special=False)
        self.reader.require_room(tokens, pool.place(kind))
        return tokens, min(len(prompt), len(tokens) - 1)

"""The oracle that reads two responses side by side: a classifier of pairs, asked in both orders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from string import Formatter
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor

from envs.game import Game
from envs.invalid import Invalid, require
from scaled.oracles.judge import Distinct, judged, triangles
from scaled.oracles.loading import load, require_readable
from scaled.oracles.reader import Reader
from scaled.prompts import Prompt, Response

NAMES = {"prompt", "first", "second"}


@dataclass(frozen=True)
class PreferenceModel:
    """logit P(y over z | x) = (f(x, y, z) - f(x, z, y)) / 2, f the log-odds that the first is better.

    The two orders are averaged in logits, which takes out what the model adds to whatever stands first. f is the logit of a
    sequence classifier of one label; of two labels, the logit of label 0 (the first is better) less that of label 1. The prompt is
    written into the template as plain text; a conversation as the model's own chat template writes it, or as lines `role: content`.

    Parameters
    ----------
    model : a classifier of one or two labels, a folder or a name on the hub
    template : what the model reads, with {prompt}, {first} and {second}
    batch : >= 1, texts at a time
    dtype : what it computes in, float32 or bfloat16; auto is what it was saved in

    Raises
    ------
    Invalid
        For any other value; when opened, for a model that cannot be read or has other labels.
    """

    model: str | os.PathLike[str]
    template: str = "{prompt}\n\nA: {first}\n\nB: {second}"
    batch: int = 16
    dtype: str = "auto"

    enumerable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_readable("model", self.model, self.batch, self.dtype)
        _require_template(self.template)

    def open(self, device: torch.device, games: Sequence[Game] | None) -> BothOrders:
        """Load the model."""
        del games
        reader = load("AutoModelForSequenceClassification", "model", self.model, self.batch, self.dtype, device)
        labels = reader.model.config.num_labels
        require(labels in (1, 2), "model", f"{self.model}, of {labels} labels", "a preference model: a classifier of 1 label, or of 2")
        return BothOrders(reader, self.template)


@dataclass(frozen=True, eq=False)
class BothOrders:
    """A judge by pairs.

    Parameters
    ----------
    reader : of the model
    template : as above
    """

    reader: Reader
    template: str

    def preferences(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> Tensor:
        """See :class:`scaled.oracles.judge.Judge`; texts beyond the context and logits that are not finite are refused."""
        return judged(prompts, responses, self._ask)

    def _ask(self, pools: Sequence[Distinct]) -> list[NDArray]:
        pairs = [(pool, i, j) for pool in pools for i, j in pool.pairs]
        asked = pairs + [(pool, j, i) for pool, i, j in pairs]
        logits = self.reader.logits([self._tokens(*one) for one in asked])
        odds = logits[:, 0] if logits.shape[1] == 1 else logits[:, 0] - logits[:, 1]
        for (pool, i, j), one in zip(asked, odds, strict=True):
            require(np.isfinite(one), "model", f"{self.reader.path}, {pool.place(i, j)}: logit {one}", "a model of finite logits")
        return triangles(pools, expit((odds[: len(pairs)] - odds[len(pairs) :]) / 2))

    def _tokens(self, pool: Distinct, i: int, j: int) -> list[int]:
        prompt = self.reader.written(pool.prompt)
        tokens = self.reader.tokens(self.template.format(prompt=prompt, first=pool.texts[i], second=pool.texts[j]))
        self.reader.require_room(tokens, pool.place(i, j))
        return tokens


def _require_template(template: object) -> None:
    allowed = "a text with {prompt}, {first} and {second}, and no other braces but {{ and }}"
    if not isinstance(template, str):
        raise Invalid("template", template, allowed)
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        raise Invalid("template", template, allowed) from None
    plain = not any(form or conversion for _, _, form, conversion in parts)
    require(plain and {name for _, name, _, _ in parts if name is not None} == NAMES, "template", template, allowed)

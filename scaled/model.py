"""Models that `simlab train` can build, each with the way its stages are realised: one class a file of conf/scaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch

from envs.dials import require_integer, require_positive
from envs.invalid import require
from scaled.policy import Policy, Table
from scaled.realisation import Realisation, Regression, Solved
from scaled.transformer import LARGEST_SET, Transformer

DTYPES = {"float32": torch.float32, "float64": torch.float64}


class Model(Protocol):
    """What a member of conf/scaled gives."""

    @property
    def realisation(self) -> Realisation:
        """How stages move it."""
        ...

    def build(self, prompts: int, actions: int, seed: int) -> Policy:
        """A new policy of so many prompts and responses, at its start."""
        ...


@dataclass(frozen=True)
class TransformerModel:
    """A `scaled.transformer.Transformer` whose stages are regressions by Adam.

    Parameters
    ----------
    vocabulary, length : V >= 2 and L >= 1, with V^L the world's number of responses, at most 65536
    width, layers, heads, spread, dtype : as there; dtype by name
    learning_rate, inner : of `scaled.realisation.Regression`

    Raises
    ------
    Invalid
        For any other value.
    """

    vocabulary: int = 4
    length: int = 2
    width: int = 32
    layers: int = 2
    heads: int = 2
    spread: float = 1.0
    dtype: str = "float32"
    learning_rate: float = 3e-3
    inner: int = 20

    def __post_init__(self) -> None:
        require_integer("vocabulary", self.vocabulary, 2)
        for key in ("length", "width", "layers", "heads"):
            require_integer(key, getattr(self, key), 1)
        require(self.width % self.heads == 0, "heads", self.heads, f"a divisor of width={self.width}")
        require_positive("spread", self.spread)
        require(isinstance(self.dtype, str) and self.dtype in DTYPES, "dtype", self.dtype, " or ".join(DTYPES))
        most = f"such that V^L <= {LARGEST_SET} responses, V={self.vocabulary}, to be enumerated; more can only be sampled, from Python"
        require(self.vocabulary ** min(self.length, 64) <= LARGEST_SET, "length", self.length, most)
        self.realisation  # noqa: B018  refuses its own values

    @property
    def realisation(self) -> Regression:
        """A few steps of Adam."""
        return Regression(self.learning_rate, self.inner)

    def build(self, prompts: int, actions: int, seed: int) -> Transformer:
        """Prompts are one token each."""
        most = f"such that V^L = K = {actions}, the world's number of responses (V={self.vocabulary})"
        require(self.vocabulary**self.length == actions, "length", self.length, most)
        return Transformer(
            [[prompt] for prompt in range(prompts)],
            vocabulary=self.vocabulary,
            length=self.length,
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            spread=self.spread,
            seed=seed,
            dtype=DTYPES[self.dtype],
        )


@dataclass(frozen=True)
class TableModel:
    """A `scaled.policy.Table` whose stages are solved.

    Parameters
    ----------
    spread : > 0, standard deviation of its first logits
    """

    spread: float = 1.0

    realisation: ClassVar[Solved] = Solved()

    def __post_init__(self) -> None:
        require_positive("spread", self.spread)

    def build(self, prompts: int, actions: int, seed: int) -> Table:
        """Of normal logits."""
        return Table(self.spread * np.random.default_rng([seed, 0, 0, 6]).standard_normal((prompts, actions)))

"""Causal language models of transformers, with all that a run of `simlab train scaled=lm` needs: a member of conf/scaled."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from envs.dials import require_integer, require_number, require_positive
from envs.invalid import Invalid, require
from scaled.dataset import read
from scaled.encoding import encode_pairs, encode_prompts
from scaled.engine import Engine
from scaled.network import PRECISIONS, Network
from scaled.oracles.judge import PairwiseOracle
from scaled.processes import Processes
from scaled.prompts import Example, Pair, Prompt
from scaled.quiet import quiet
from scaled.realisation import Regression
from scaled.rollouts.rollout import Rollout
from scaled.weights import Weights


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model, what it is trained on, and how.

    Parameters
    ----------
    model : folder or hub name
    dataset : file, folder or hub name, see `scaled.dataset`
    oracle, rollout, weights, engine : members of conf/scaled/oracle, rollout, weights and engine; an oracle is of use in self-play only
    split : of a dataset that has several
    length : >= 1, tokens of a drawn response at most
    vocabulary : texts of one token each that responses are made of, which are then exactly `length` tokens, and are enumerated; None:
        all tokens, up to one that ends a response
    precision : bfloat16, float32 or float64, what is computed in; trained weights are float32 or better
    batch : >= 1, prompts passed through the model at once; gradients of the batches of an iteration add up
    recompute : whether activations are computed again in the backward pass instead of kept
    learning_rate, inner, clip : of `scaled.realisation.Regression`
    warmup : >= 0, iterations in which the learning rate rises linearly
    final : in [0, 1], share of the learning rate that it falls to, linearly, at the last iteration

    Raises
    ------
    Invalid
        For any other value, and for files that cannot be used.
    """

    model: str
    dataset: str
    oracle: PairwiseOracle | None
    rollout: Rollout
    weights: Weights
    engine: Engine
    split: str = "train"
    length: int = 128
    vocabulary: Sequence[str] | None = None
    precision: str = "bfloat16"
    batch: int = 1
    recompute: bool = True
    learning_rate: float = 1e-4
    inner: int = 10
    clip: float | None = None
    warmup: int = 0
    final: float = 1.0

    def __post_init__(self) -> None:
        for key in ("length", "batch"):
            require_integer(key, getattr(self, key), 1)
        for key, what in (("model", "a model: its folder, or its name on the hub"), ("dataset", "a file, a folder, or a name on the hub")):
            value = getattr(self, key)
            require(isinstance(value, str | os.PathLike) and str(value), key, value, what)
        known = isinstance(self.precision, str) and self.precision in PRECISIONS
        require(known, "precision", self.precision, f"one of {', '.join(PRECISIONS)}")
        require(isinstance(self.recompute, bool), "recompute", self.recompute, "true or false")
        require_integer("warmup", self.warmup, 0)
        require_number("final", self.final, 0, 1)
        if self.clip is not None:
            require_positive("clip", self.clip)
        texts = self.vocabulary
        listed = (
            isinstance(texts, Sequence) and not isinstance(texts, str) and len(texts) >= 2 and all(isinstance(text, str) for text in texts)
        )
        require(texts is None or listed, "vocabulary", texts, "null, or a list of at least two texts of one token each")
        self.realisation  # noqa: B018  refuses its own values

    @property
    def realisation(self) -> Regression:
        """A few steps of Adam."""
        return Regression(self.learning_rate, self.inner, clip=self.clip)

    def rate(self, iteration: int, steps: int) -> float:
        """The learning rate of an iteration, from 0 on."""
        rising = min(1.0, (iteration + 1) / (self.warmup + 1))
        return self.learning_rate * rising * (1 + (self.final - 1) * iteration / max(steps - 1, 1))

    @cached_property
    def config(self) -> Any:
        """Of the model, without dropout: a policy is no distribution over policies."""
        from transformers import AutoConfig

        config = _loaded("model", self.model, AutoConfig.from_pretrained)
        for key, value in config.to_dict().items():
            if "drop" in key and isinstance(value, float):
                setattr(config, key, 0.0)
        return config

    @cached_property
    def tokenizer(self) -> Any:
        """Of the model."""
        from transformers import AutoTokenizer

        return _loaded("model", self.model, AutoTokenizer.from_pretrained)

    @cached_property
    def generation(self) -> Any:
        """How the model's makers would generate."""
        from transformers import GenerationConfig

        try:
            with quiet():
                return GenerationConfig.from_pretrained(self.model)
        except OSError:
            return GenerationConfig()

    @cached_property
    def examples(self) -> list[Example]:
        """The dataset."""
        return read(self.dataset, self.split)

    @property
    def context(self) -> int:
        """Tokens that prompt and response may have together."""
        return getattr(self.config, "max_position_embeddings", None) or 2**31

    @cached_property
    def prompts(self) -> list[Prompt]:
        """What responses are drawn for."""
        require(self.length < self.context, "length", self.length, f"below {self.context}, the model's context")
        return encode_prompts(self.examples, self.tokenizer, self.context - self.length)

    @cached_property
    def pairs(self) -> list[Pair]:
        """Labelled pairs."""
        require(self.examples[0].chosen is not None, "dataset", self.dataset, "with columns chosen and rejected for an offline learner")
        return encode_pairs(self.examples, self.tokenizer, self.context)

    @cached_property
    def allowed(self) -> list[int] | None:
        """Tokens of `vocabulary`."""
        if self.vocabulary is None:
            return None
        found = [self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in self.vocabulary]
        for text, tokens in zip(self.vocabulary, found, strict=True):
            require(len(tokens) == 1, "vocabulary", text, f"a text of one token, and not of {len(tokens)}")
        numbers = [token for (token,) in found]
        require(len(set(numbers)) == len(numbers), "vocabulary", list(self.vocabulary), "different tokens")
        return numbers

    @property
    def ends(self) -> list[int]:
        """Tokens that end a response: none where all responses have one length."""
        if self.vocabulary is not None:
            return []
        ends = self.generation.eos_token_id
        more = ends if isinstance(ends, list) else [ends]
        return list(dict.fromkeys(token for token in (self.tokenizer.eos_token_id, *more) if token is not None))

    @property
    def actions(self) -> int | None:
        """Number of responses to a prompt, where they are enumerated."""
        return None if self.vocabulary is None else len(self.vocabulary) ** self.length

    def build(self, seed: int) -> Any:
        """The model of its configuration, with what is trained chosen, and weights that are not its own; on torch's default device."""
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_config(self.config, dtype=self.weights.kept_in(PRECISIONS[self.precision]))
        return self._prepared(model, seed)

    def shape(self) -> Any:
        """The model on the meta device: tensors without data."""
        with torch.device("meta"), quiet():
            return self.build(0)

    def load(self, processes: Processes, seed: int) -> Network:
        """The model with its weights, at its place.

        Parameters
        ----------
        processes : of the run
        seed : of the weights that are new
        """
        from transformers import AutoModelForCausalLM, GenerationConfig

        dtype = self.weights.kept_in(PRECISIONS[self.precision])
        model = _loaded("model", self.model, lambda name: AutoModelForCausalLM.from_pretrained(name, config=self.config, dtype=dtype))
        model = self._prepared(model, seed)
        model.generation_config = GenerationConfig()
        return Network(model, self.engine, processes, PRECISIONS[self.precision], self.allowed)

    def _prepared(self, model: Any, seed: int) -> Any:
        with quiet():
            self.weights.prepare(model, seed)
            if self.recompute:
                model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        return model


def _loaded(key: str, name: str, load: Any) -> Any:
    try:
        with quiet():
            return load(name)
    except (OSError, ValueError, KeyError, json.JSONDecodeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise Invalid(key, name, f"a folder or hub name of a causal language model and its tokenizer ({reason})") from None

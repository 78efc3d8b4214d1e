"""What passes through a model take in memory, seen on tensors that have a shape and a type but no data.

They are the passes of `scaled.network` and `scaled.rollouts.generate`: what is saved for the backward pass, what is computed again
there, copies of weights in the precision of computing, and what lives for a moment only. Kernels are those that torch chooses on a
processor; on another device they may keep a little more or less. Of a model whose layers are alike two and three are looked at, and
each further one takes what the third did.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from scaled.engine import layers
from scaled.rollouts.generate import Chosen
from scaled.sequence import token_log_probs
from scaled.watched import Stretch, Watched


class Rows(NamedTuple):
    """What passes through a model at once.

    Attributes
    ----------
    number : of rows
    prompt, width : >= 1 tokens of a prompt and of a response to it
    """

    number: int
    prompt: int
    width: int


class Seen(NamedTuple):
    """Bytes at most: of a gradient batch, but for the gradients; and of drawing responses, with the cache of whole ones."""

    activations: int
    logits: int
    generation: int
    cache: int


class Look(NamedTuple):
    """The stretches of a gradient batch and of drawing responses, and the cache."""

    gradient: list[Stretch]
    drawing: list[Stretch]
    cache: int

    def deeper(self, shallower: Look, more: int) -> Look:
        """See `Stretch`."""
        stretches = [
            [one.deeper(other, more) for one, other in zip(mine, its, strict=True)]
            for mine, its in zip(self[:2], shallower[:2], strict=True)
        ]
        return Look(stretches[0], stretches[1], self.cache + more * (self.cache - shallower.cache))

    def worst(self) -> Seen:
        """Of all stretches."""
        gradient, drawing = (max(found, key=lambda one: one.bytes, default=Stretch(0, 0, 0)) for found in self[:2])
        return Seen(gradient.others, gradient.logits, drawing.bytes - self.cache, self.cache)


class Dataless:
    """A causal language model without data, to be passed through.

    Parameters
    ----------
    module : of transformers, on the meta device, with what is trained chosen; taken over
    precision : what is computed in
    cast : whether weights are in that precision wherever they are used, as those gathered by `scaled.engine.FSDP` are
    allowed : number of tokens that responses are made of; None: all
    """

    def __init__(self, module: Any, precision: torch.dtype, cast: bool, allowed: int | None) -> None:
        self.module, self.precision, self.mode = module, precision, FakeTensorMode()
        self.more = max(len(layers(module)) - 3, 0) if _alike(module) else 0
        if self.more:
            _cut(module, 3)
        with self.mode:
            self.allowed = None if allowed is None else torch.zeros(allowed, dtype=torch.long)
            _fill(module, precision if cast else None)

    def seen(self, batch: Rows, drawn: Rows | None) -> Seen:
        """What passes of these rows make; `drawn`: None where responses are not drawn here. To be asked once."""
        look = self._look(batch, drawn)
        if self.more:
            _cut(self.module, 2)
            look = look.deeper(self._look(batch, drawn), self.more)
        return look.worst()

    def _look(self, batch: Rows, drawn: Rows | None) -> Look:
        return Look(self._gradient(batch), *(self._generation(drawn) if drawn else ([], 0)))

    def _gradient(self, rows: Rows) -> list[Stretch]:
        """Of the forward pass, of the loss, and of the backward passes of the layers and of what is before them."""
        trained = [weight for weight in self.module.parameters() if weight.requires_grad]
        with self.mode:
            for weight in trained:
                weight.grad = torch.zeros_like(weight)
        self.module.train()
        with self._watched() as seen:
            handle = self.module.get_input_embeddings().register_forward_hook(lambda *call: _when_differentiated(call[-1], seen.turn))
            self._log_prob(rows, seen).var().backward()
            handle.remove()
            seen.turn()
        self.module.zero_grad()
        return seen.stretches

    def _log_prob(self, rows: Rows, seen: Watched) -> Tensor:
        """As `scaled.network.Network.log_prob`, of which a part needs data."""
        tokens, there, places = _laid_out(rows.number, rows.prompt + rows.width)
        kept = rows.width + 1
        with self._autocast():
            found = self.module(input_ids=tokens, attention_mask=there, position_ids=places, use_cache=False, logits_to_keep=kept)
            seen.turn(grown=True)
        seen.begin()  # copies of weights in the precision of computing are gone, but for those that are saved
        _when_differentiated(found.logits, seen.turn)
        answers, logits = tokens[:, -rows.width :], found.logits[:, -kept:-1]
        if self.allowed is not None:
            logits, answers = logits[..., self.allowed], (answers[..., None] == self.allowed).int().argmax(-1)
        return token_log_probs(logits, answers).sum(-1).double()

    def _generation(self, rows: Rows) -> tuple[list[Stretch], int]:
        """Of reading prompts, and of drawing the last tokens of the longest responses; and the cache there."""
        self.module.eval()
        with self._watched() as seen, torch.no_grad(), self._autocast():
            cache, scores = self._draw(rows.number, rows.prompt, None, 0)
            seen.turn(grown=True)
            del cache, scores
            before = max(rows.prompt + rows.width - 2, 1)  # the last token is drawn, and not read
            cache, _scores = self._draw(rows.number, before, None, 0)
            seen.turn()
            cache, _scores = self._draw(rows.number, 1, cache, before)
            seen.turn(grown=True)
            whole = seen.now
            del cache
            rest = seen.now
        return [seen.stretches[0], seen.stretches[2]], whole - rest

    def _draw(self, count: int, new: int, cache: Any, before: int) -> tuple[Any, Tensor]:
        """The cache after a step of `generate` that reads `new` tokens, and the scores, which last until the next."""
        tokens, _, places = _laid_out(count, new)
        there = torch.ones(count, before + new, dtype=torch.long)
        options = {"past_key_values": cache, "use_cache": True, "logits_to_keep": 1}
        found = self.module(input_ids=tokens, attention_mask=there, position_ids=places, **options)
        scores = found.logits[:, -1].to(torch.float32, copy=True)
        chosen = Chosen(torch.zeros(count, 1, dtype=torch.float64), new, self.allowed)
        return found.past_key_values, chosen(tokens, scores)

    def _autocast(self) -> Any:
        return torch.autocast("cpu", self.precision, enabled=self.precision == torch.bfloat16)

    @contextmanager
    def _watched(self) -> Iterator[Watched]:
        """A pass; torch's own word on what it cannot do without data is left out."""
        there = [*self.module.parameters(), *self.module.buffers()]
        there += [weight.grad for weight in there if weight.grad is not None]
        logger = logging.getLogger("torch._subclasses.fake_tensor")
        level = logger.level
        logger.setLevel(logging.CRITICAL + 1)
        try:
            with self.mode, Watched(there, self.module.get_output_embeddings().weight.shape[0]) as seen:
                yield seen
        finally:
            logger.setLevel(level)


def _when_differentiated(tensor: Tensor, act: Callable[[], None]) -> None:
    if tensor.requires_grad:
        tensor.register_hook(lambda _: act())


def _laid_out(count: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    there = torch.ones(count, width, dtype=torch.long)
    return torch.zeros_like(there), there, (there.cumsum(-1) - 1).clamp_min(0)


def _alike(module: Any) -> bool:
    """Whether all layers have the same weights and are of one type."""
    weights = {tuple((name, weight.shape, weight.requires_grad) for name, weight in layer.named_parameters()) for layer in layers(module)}
    return len(weights) == 1 and len(set(getattr(module.config, "layer_types", None) or [0])) == 1


def _cut(module: nn.Module, depth: int) -> None:
    """Leave so many layers."""
    every = {id(layer) for layer in layers(module)}
    for part in list(module.modules()):
        for name, child in list(part.named_children()):
            if isinstance(child, nn.ModuleList) and all(id(layer) in every for layer in child):
                setattr(part, name, child[:depth])


def _fill(module: nn.Module, dtype: torch.dtype | None) -> None:
    """Put tensors of the processor in the place of all parameters and buffers, one in the place of one that is shared."""
    made: dict[int, Any] = {}
    for part in module.modules():
        for name, weight in part.named_parameters(recurse=False, remove_duplicate=False):
            if id(weight) not in made:
                made[id(weight)] = nn.Parameter(_like(weight, dtype), requires_grad=weight.requires_grad), weight
            setattr(part, name, made[id(weight)][0])
        for name, buffer in part.named_buffers(recurse=False):
            setattr(part, name, _like(buffer, None))


def _like(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    return torch.empty(tensor.shape, dtype=dtype if dtype and tensor.is_floating_point() else tensor.dtype)

"""What training a language model takes of each device's memory, counted before anything is loaded.

From the configurations of model and judge alone: tensors have shapes and no data. Weights, gradients, the optimizer's state and
snapshots are exact; passes are looked at as in `scaled.passes`. What a device's libraries keep for themselves (a context, buffers of
collectives, fragments between tensors) is not counted, nor what the judge makes while it reads; room to spare is for these. What FSDP
gathers is as torch's source has it. None of this was compared with what a GPU counts, for want of one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn

from algorithms.tableau import POLICY, REFERENCE
from envs.invalid import Invalid, require
from scaled.engine import DDP, layers
from scaled.estimate import Estimate
from scaled.iteration import carried, slots_that_go_on
from scaled.language_model import LanguageModel
from scaled.network import PRECISIONS
from scaled.pair_training import PairPlan
from scaled.passes import Dataless, Rows, Seen
from scaled.quiet import quiet
from scaled.self_play import Plan
from scaled.snapshots import Held, in_self_play, on_pairs
from scaled.weights import wide


@dataclass(frozen=True)
class Known:
    """What was built and seen already, by what it depends on; of passes None where they cannot be looked at."""

    shapes: dict[str, Any] = field(default_factory=dict)
    judges: dict[str, int] = field(default_factory=dict)
    passes: dict[object, Seen | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Need:
    """A run whose memory is asked for.

    Attributes
    ----------
    model, plan : see there
    processes : over which it is shared out
    judge : folder or hub name of the model that judges, if one does
    """

    model: LanguageModel
    plan: Plan | PairPlan
    processes: int
    judge: str | None

    def __post_init__(self) -> None:
        self.model.engine.check(self.processes)
        wanted = f"a multiple of {self.processes}, the number of processes"
        require(self.plan.prompts % self.processes == 0, "prompts", self.plan.prompts, wanted)

    def estimate(self, known: Known) -> Estimate:
        """With what is seen in passes."""
        counted, seen = self.counted(known), self.seen(known)
        if seen is None:
            return replace(counted, unknown=True)
        drawing, gradient = {"cache": seen.cache, "generation": seen.generation}, {"activations": seen.activations, "logits": seen.logits}
        more = {"drawing": drawing, "gradient": gradient}
        return replace(counted, moments={moment: {**parts, **more.get(moment, {})} for moment, parts in counted.moments.items()})

    def counted(self, known: Known) -> Estimate:
        """Without what passes make."""
        module, plan = self._shape(known), self.plan
        weights = list(module.parameters())
        trained = [weight for weight in weights if weight.requires_grad]
        own, state = self.local(trained), 2 * self.local(trained)  # Adam: two moments
        slots, kept, held = self._snapshots(own, state)
        always = {
            "frozen weights": self.local(weights) - own + size(module.buffers()),
            "trained weights": own,
            "gradients": own,
            "optimizer": state,
            "judge": self._judge(known),
            "buckets": own if isinstance(self.model.engine, DDP) else 0,
        }
        moments = {
            "drawing": {"snapshots": held.drawing, "gathered": self._gathered(module, trained=False)},
            "gradient": {"snapshots": held.moving, "gathered": self._gathered(module, trained=True)},
            "step": {"snapshots": held.moving, "update": own},  # square roots of all second moments at once
            "snapshots": {"snapshots": held.changing},
        }
        if isinstance(plan, PairPlan):
            del moments["drawing"]
        every = {moment: {**always, **parts} for moment, parts in moments.items()}
        return Estimate(_numel(weights), _numel(trained), slots, kept, self._tokens(), every)

    def seen(self, known: Known) -> Seen | None:
        """What passes make; None where this model cannot be passed through without data."""
        cast, batch, drawn = self.model.engine.sharded, self._batch(), self.drawn()
        key = (self._key, self.model.recompute, cast, batch, drawn)
        if key not in known.passes:
            allowed = None if self.model.vocabulary is None else len(self.model.vocabulary)
            try:
                with quiet():
                    model = Dataless(self._built(), PRECISIONS[self.model.precision], cast, allowed)
                    known.passes[key] = model.seen(batch, drawn)
            except Exception:  # what a model does with numbers that are not there is its own affair
                known.passes[key] = None
        return known.passes[key]

    def _built(self) -> Any:
        """The model without data; peft leaves adapters on the meta device in float32, whatever the precision."""
        module, trained_in = self.model.shape(), wide(PRECISIONS[self.model.precision])
        for weight in module.parameters():
            weight.data = weight.data.to(trained_in if weight.requires_grad else weight.dtype)
        return module

    @property
    def _key(self) -> str:
        """What a model's shape depends on."""
        return repr((self.model.model, self.model.weights, self.model.precision))

    def _shape(self, known: Known) -> Any:
        if self._key not in known.shapes:
            known.shapes[self._key] = self._built()
        return known.shapes[self._key]

    def _judge(self, known: Known) -> int:
        if self.judge is None:
            return 0
        if self.judge not in known.judges:
            known.judges[self.judge] = judge_size(self.model.oracle, self.judge)
        return known.judges[self.judge]

    @property
    def share(self) -> float:
        """Of the device's memory, what a rollout takes for itself."""
        return 0.0 if isinstance(self.plan, PairPlan) else getattr(self.model.rollout, "share", 0.0)

    def local(self, weights: Iterable[Tensor]) -> int:
        """Bytes of these weights that a process holds: all, or shards of their first axis, the largest."""
        if not self.model.engine.sharded:
            return size(weights)
        return sum(ceil(len(weight) / self.processes) * (weight.numel() // len(weight)) * weight.itemsize for weight in weights)

    def _gathered(self, module: nn.Module, trained: bool) -> int:
        """Bytes of whole layers, where a process holds shards: the outermost, another, and both again, through which they come.

        With what is trained, gradients of these, and those of the other in the precision in which they are shared out.
        """
        if not self.model.engine.sharded:
            return 0
        each = PRECISIONS[self.model.precision]
        inner = layers(module)
        within = {id(weight) for layer in inner for weight in layer.parameters()}
        outer = [weight for weight in module.parameters() if id(weight) not in within]
        groups = [outer, max(([*layer.parameters()] for layer in inner), key=_numel, default=[])]
        weights = (1 if self.processes == 1 else 2) * sum(map(_numel, groups)) * each.itemsize
        if not trained:
            return weights
        outermost, other = (_numel(weight for weight in group if weight.requires_grad) for group in groups)
        return weights + (outermost + other) * each.itemsize + other * wide(each).itemsize

    def _snapshots(self, weights: int, state: int) -> tuple[tuple[str, ...], tuple[str, ...], Held]:
        plan = self.plan
        if isinstance(plan, PairPlan):
            return (POLICY, REFERENCE), (POLICY, REFERENCE), on_pairs(plan.steps, weights, state)
        kept = slots_that_go_on(plan.tableau.stages, dict.fromkeys([POLICY, REFERENCE, *carried(plan.tableau)]))
        return plan.tableau.slots, tuple(kept), in_self_play(plan.tableau, kept, plan.steps, weights, state)

    def _longest(self) -> tuple[int, int]:
        """Tokens of the longest prompt and the longest response."""
        if isinstance(self.plan, PairPlan):
            answers = [max(len(pair.chosen), len(pair.rejected)) for pair in self.model.pairs]
            return max(len(pair.prompt.tokens) for pair in self.model.pairs), max(answers)
        return max(len(prompt.tokens) for prompt in self.model.prompts), self.model.length

    def _responses(self) -> int:
        return 2 if isinstance(self.plan, PairPlan) else self.plan.responses

    def _batch(self) -> Rows:
        return Rows(min(self.model.batch, self.plan.prompts // self.processes) * self._responses(), *self._longest())

    def drawn(self) -> Rows | None:
        """What is drawn at once, where it is drawn here."""
        at_once = getattr(self.model.rollout, "batch", None)
        if isinstance(self.plan, PairPlan) or at_once is None:
            return None
        return Rows(min(at_once, self.plan.prompts // self.processes * self._responses()), *self._longest())

    def _tokens(self) -> int:
        passed = self.model.inner if isinstance(self.plan, PairPlan) else 1
        return passed * self.plan.prompts * self._responses() * sum(self._longest())


def size(tensors: Iterable[Tensor]) -> int:
    """Bytes of tensors."""
    return sum(tensor.numel() * tensor.itemsize for tensor in tensors)


def judge_size(oracle: Any, name: str) -> int:
    """Bytes of the weights of an oracle's model, in the precision that it would be loaded in.

    Raises
    ------
    Invalid
        With the key `model` or `encoder`, where there is no such model.
    """
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

    encoder = hasattr(oracle, "encoder")
    try:
        with quiet(), torch.device("meta"):
            config = AutoConfig.from_pretrained(name)
            asked = getattr(oracle, "dtype", "auto")
            dtype = PRECISIONS.get(asked) or config.dtype or torch.float32
            judge = (AutoModel if encoder else AutoModelForSequenceClassification).from_config(config, dtype=dtype)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:160]
        raise Invalid("encoder" if encoder else "model", name, f"a folder or hub name of a model of transformers ({reason})") from None
    return size(judge.parameters()) + size(judge.buffers())


def _numel(weights: Iterable[Tensor]) -> int:
    return sum(weight.numel() for weight in weights)

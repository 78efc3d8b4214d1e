"""Which weights of a model are trained: one class a file of conf/scaled/weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

import torch
from torch import nn

from envs.dials import require_integer, require_positive
from envs.invalid import require


class Weights(Protocol):
    """A member of conf/scaled/weights."""

    def kept_in(self, precision: torch.dtype) -> torch.dtype:
        """What the base model is loaded in, to be computed with in `precision`."""
        ...

    def prepare(self, model: Any, seed: int) -> None:
        """Choose what is trained, with `requires_grad`, in float32 or better."""
        ...


@dataclass(frozen=True)
class LoRA:
    """Low-rank adapters (Hu et al., arXiv 2106.09685) by peft: W + alpha/rank B A, B = 0 at the start.

    The reference, and every slot that goes on, is a state of A and B: there is one copy of the base model.

    Parameters
    ----------
    rank : >= 1
    alpha : > 0
    targets : names of the layers that are adapted, or "all-linear": all but the last
    """

    rank: int = 16
    alpha: float = 32.0
    targets: str | Sequence[str] = "all-linear"

    def __post_init__(self) -> None:
        require_integer("rank", self.rank, 1)
        require_positive("alpha", self.alpha)
        named = isinstance(self.targets, str) or all(isinstance(name, str) for name in self.targets)
        require(named and self.targets, "targets", self.targets, "all-linear, or a list of names of layers")
        require(find_spec("peft"), "weights", "lora", "full, or with peft: pip install 'simlab[lm]'")

    def kept_in(self, precision: torch.dtype) -> torch.dtype:
        """That: it is frozen."""
        return precision

    def prepare(self, model: Any, seed: int) -> None:
        """A from `seed`."""
        from peft import LoraConfig

        targets = self.targets if isinstance(self.targets, str) else list(self.targets)
        scale: Any = self.alpha  # need not be whole
        settings = LoraConfig(r=self.rank, lora_alpha=scale, lora_dropout=0.0, target_modules=targets, task_type="CAUSAL_LM")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                model.add_adapter(settings)
            except ValueError as error:
                require(False, "targets", self.targets, f"names of layers of the model ({str(error).splitlines()[0]})")
        for weight in model.parameters():
            if weight.requires_grad:
                weight.data = weight.data.to(wide(weight.dtype))


@dataclass(frozen=True)
class Full:
    """All weights, in float32 or better; the reference is a second copy."""

    def kept_in(self, precision: torch.dtype) -> torch.dtype:
        """Float32 or better: small steps would be lost in the rounding of less."""
        return wide(precision)

    def prepare(self, model: nn.Module, seed: int) -> None:
        """All of them."""
        model.requires_grad_(True)


def wide(dtype: torch.dtype) -> torch.dtype:
    """float32 or better."""
    return torch.promote_types(dtype, torch.float32)

"""Where a model's weights live: whole in one process, whole in each (DDP), or a shard in each (FSDP2); one a file of conf/scaled/engine.

Gradients are means over processes in all three, which each process's part of a loss allows for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.nn.parallel import DistributedDataParallel

from envs.invalid import require
from scaled.processes import Processes


class Forward(Protocol):
    """The model as it is called for gradients."""

    def __call__(self, **inputs: Any) -> Any:
        """What the model returns."""
        ...


class Engine(Protocol):
    """A member of conf/scaled/engine."""

    sharded: ClassVar[bool]
    """Whether a process holds a part of the weights only."""

    def check(self, processes: int) -> None:
        """Refuse a number of processes."""
        ...

    def wrap(self, model: nn.Module, processes: Processes, compute: torch.dtype) -> Forward:
        """Put a model, loaded whole, where it belongs."""
        ...

    def synchronising(self, forward: Any, last: bool) -> AbstractContextManager:
        """What surrounds a forward and backward pass, of which only the `last` before a step need share gradients."""
        ...


@dataclass(frozen=True)
class Single:
    """One process, with all of the model."""

    sharded: ClassVar[bool] = False

    def check(self, processes: int) -> None:
        """One."""
        require(processes == 1, "engine", "single", f"ddp or fsdp with {processes} processes")

    def wrap(self, model: nn.Module, processes: Processes, compute: torch.dtype) -> Forward:
        """On its device."""
        return model.to(processes.device)

    def synchronising(self, forward: Any, last: bool) -> AbstractContextManager:
        """Nothing to share."""
        return nullcontext()


@dataclass(frozen=True)
class DDP:
    """All of the model in each process; gradients are averaged (torch's DistributedDataParallel)."""

    sharded: ClassVar[bool] = False

    def check(self, processes: int) -> None:
        """Several."""
        require(processes > 1, "engine", "ddp", "single or fsdp with one process")

    def wrap(self, model: nn.Module, processes: Processes, compute: torch.dtype) -> Forward:
        """On its device, beside its likes."""
        placed = model.to(processes.device)
        return DistributedDataParallel(placed, device_ids=[processes.device] if processes.device.type == "cuda" else None)

    def synchronising(self, forward: DistributedDataParallel, last: bool) -> AbstractContextManager:
        """Gradients add up here until the last."""
        return nullcontext() if last else forward.no_sync()


@dataclass(frozen=True)
class FSDP:
    """A shard of each layer's weights, gradients and optimizer state in each process (torch's fully_shard, FSDP2)."""

    sharded: ClassVar[bool] = True

    def check(self, processes: int) -> None:
        """Any number."""

    def wrap(self, model: nn.Module, processes: Processes, compute: torch.dtype) -> Forward:
        """Layer by layer; computed in `compute`, gradients added up in float32 or better."""
        with _group_of_one(processes):
            mesh = init_device_mesh(processes.device.type, (processes.count,))
        wide = torch.promote_types(compute, torch.float32)
        policy = MixedPrecisionPolicy(param_dtype=compute, reduce_dtype=wide)
        for layer in layers(model):
            fully_shard(layer, mesh=mesh, mp_policy=policy)
        fully_shard(model, mesh=mesh, mp_policy=policy, reshard_after_forward=True)  # else a whole copy outlives a change of shards
        return model.to(processes.device)

    def synchronising(self, forward: FSDPModule, last: bool) -> AbstractContextManager:
        """Gradients are shared out at every pass: kept whole until the last, they would need the memory that shards save."""
        return nullcontext()


def layers(model: nn.Module) -> list[nn.Module]:
    """The blocks of a transformers model that are not to be split."""
    names = set(getattr(model, "_no_split_modules", None) or ())
    return [module for module in model.modules() if type(module).__name__ in names]


@contextmanager
def _group_of_one(processes: Processes) -> Iterator[None]:
    """A process group for a process that torchrun did not start."""
    if not dist.is_initialized():
        backend = "nccl" if processes.device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    yield

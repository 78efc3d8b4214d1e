"""The processes that torchrun starts for one run: who they are, whose prompts are whose, and what all of them must know.

Only the network is shared out. What is small (log-probabilities of drawn responses, the judge's word) is gathered, so that every
process holds all of it, does the same arithmetic and comes to the same decisions.
"""

from __future__ import annotations

import atexit
import os
import resource
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from envs.invalid import require


@dataclass(frozen=True)
class Processes:
    """This process among `count`.

    Attributes
    ----------
    rank : its number, from 0 on; 0 leads: it alone writes files
    count : how many there are
    device : where it computes
    """

    rank: int
    count: int
    device: torch.device

    @classmethod
    def joined(cls) -> Processes:
        """As torchrun says by environment variables; one process where it did not start this one."""
        rank, count, local = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)))
        device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
        if device.type == "cuda":
            torch.cuda.set_device(device)
        if count > 1 and not dist.is_initialized():
            dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
            atexit.register(dist.destroy_process_group)
        return cls(rank, count, device)

    def use_threads(self, count: int | None) -> None:
        """Compute with so many threads of the processor; None: as torch does."""
        if count is not None:
            torch.set_num_threads(count)

    @property
    def leads(self) -> bool:
        """Whether this one writes files."""
        return self.rank == 0

    def share(self, rows: int) -> slice:
        """Which of so many rows are this process's own.

        Raises
        ------
        Invalid
            With the key `prompts`, where they cannot be shared out evenly.
        """
        require(rows % self.count == 0, "prompts", rows, f"a multiple of {self.count}, the number of processes")
        each = rows // self.count
        return slice(self.rank * each, (self.rank + 1) * each)

    def gather(self, rows: Tensor) -> Tensor:
        """(rows of all, ...) float64 on the processor, from each process's (rows, ...); every process has as many."""
        mine = rows.detach().to("cpu", torch.float64).contiguous()
        if self.count == 1:
            return mine
        parts = [torch.empty_like(mine) for _ in range(self.count)]
        dist.all_gather(parts, mine)
        return torch.cat(parts)

    @property
    def memory(self) -> int:
        """Bytes at most used so far: of the device, or of this process where that is the processor."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            dist.barrier()

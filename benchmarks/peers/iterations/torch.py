"""torch, batched over instances, which stand in the last axis; without gradients."""

from collections.abc import Callable

import torch
from numpy.typing import NDArray

from benchmarks.instances import BETA, SLOW, SMALL, advantages, references, told
from benchmarks.work import Size

LIBRARY = "torch"


def prepare(size: Size) -> Callable[[], NDArray]:
    torch.set_num_threads(1)
    reference, wins = torch.from_numpy(references(size, -1)), _wins(size)

    @torch.no_grad()
    def work() -> NDArray:
        policy, gaps = reference, []
        for _ in range(size["iterations"]):
            mine, gap = _asked(policy, reference, wins)
            gaps.append(gap)
            pull = (1 - SLOW * BETA) * policy + SLOW * BETA * reference
            policy = torch.log_softmax(pull + SLOW * mine, 0)
            if size["queries"] == 2:
                policy = torch.log_softmax(pull + SLOW * wins(policy.exp()), 0)
        return told(torch.stack([*gaps, _asked(policy, reference, wins)[1]], 1).numpy())

    return work


def _wins(size: Size) -> Callable[[torch.Tensor], torch.Tensor]:
    """(P - 1/2) p by what is faster: a sum over instances for small games, a batched product for large ones."""
    if size["actions"] <= SMALL:
        lanes = torch.from_numpy(advantages(size, -1))
        return lambda p: (lanes * p).sum(1)
    rows = torch.from_numpy(advantages(size, 0))
    return lambda p: torch.matmul(rows, p.T[:, :, None])[:, :, 0].T


def _asked(policy: torch.Tensor, reference: torch.Tensor, wins: Callable) -> tuple[torch.Tensor, torch.Tensor]:
    p = policy.exp()
    mine = wins(p)
    return mine, 2 * BETA * (torch.logsumexp(reference + mine / BETA, 0) + (p * (policy - reference)).sum(0))

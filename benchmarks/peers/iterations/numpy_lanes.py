"""numpy with the instances in the last axis, side by side as in simlab's kernel: for small games the fastest that its functions do."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.instances import BETA, SLOW, advantages, references, told
from benchmarks.work import Size

LIBRARY = "numpy"


def prepare(size: Size) -> Callable[[], NDArray]:
    reference, lanes = references(size, -1), advantages(size, -1)

    def wins(p: NDArray) -> NDArray:
        return np.einsum("ijn,jn->in", lanes, p)

    def work() -> NDArray:
        policy, gaps = reference, []
        for _ in range(size["iterations"]):
            mine, gap = _asked(policy, reference, wins)
            gaps.append(gap)
            pull = (1 - SLOW * BETA) * policy + SLOW * BETA * reference
            policy = _normalise(pull + SLOW * mine)
            if size["queries"] == 2:
                policy = _normalise(pull + SLOW * wins(np.exp(policy)))
        return told(np.stack([*gaps, _asked(policy, reference, wins)[1]], axis=1))

    return work


def _asked(policy: NDArray, reference: NDArray, wins: Callable[[NDArray], NDArray]) -> tuple[NDArray, NDArray]:
    p = np.exp(policy)
    mine = wins(p)
    best = reference + mine / BETA
    peak = best.max(axis=0)
    return mine, 2 * BETA * (peak + np.log(np.exp(best - peak).sum(axis=0)) + (p * (policy - reference)).sum(axis=0))


def _normalise(logits: NDArray) -> NDArray:
    shifted = logits - logits.max(axis=0)
    return shifted - np.log(np.exp(shifted).sum(axis=0))

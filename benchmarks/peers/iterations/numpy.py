"""numpy, vectorised over instances as its functions take them: the instance first, a matrix product for each."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.instances import BETA, SLOW, advantages, references, told
from benchmarks.work import Size

LIBRARY = "numpy"


def prepare(size: Size) -> Callable[[], NDArray]:
    reference, advantage = references(size, 0), advantages(size, 0)

    def wins(p: NDArray) -> NDArray:
        return np.matmul(advantage, p[:, :, None])[:, :, 0]

    def asked(policy: NDArray) -> tuple[NDArray, NDArray]:
        """A policy's advantages, and its gap 2 beta (log sum ref exp(w / beta) + KL(p | ref))."""
        p = np.exp(policy)
        mine = wins(p)
        best = _total(reference + mine / BETA)[:, 0]
        return mine, 2 * BETA * (best + (p * (policy - reference)).sum(axis=1))

    def work() -> NDArray:
        policy, gaps = reference, []
        for _ in range(size["iterations"]):
            mine, gap = asked(policy)
            gaps.append(gap)
            pull = (1 - SLOW * BETA) * policy + SLOW * BETA * reference
            policy = _normalise(pull + SLOW * mine)
            if size["queries"] == 2:
                policy = _normalise(pull + SLOW * wins(np.exp(policy)))
        return told(np.stack([*gaps, asked(policy)[1]], axis=1))

    return work


def _normalise(logits: NDArray) -> NDArray:
    return logits - _total(logits)


def _total(logits: NDArray) -> NDArray:
    """log sum exp, (instances, 1)."""
    peak = logits.max(axis=1, keepdims=True)
    return peak + np.log(np.exp(logits - peak).sum(axis=1, keepdims=True))

"""RUN-1: what a run measures is what the definitions say of the policies that it keeps.

Exploitability in the log-sum-exp form of its definition, at the game's beta and at 0, of the iterate and of the average p_0 .. p_(T-1);
and the divergence from the equilibrium as sum p* (log p* - log p). Neither form is the one that is used along a run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from algorithms.online_mirror_descent import OnlineMirrorDescent
from simlab.run import Method
from theory.claim import Claim, Finding, Instance, equilibria, gather, runs

MEASURES = ("exploitability", "original_exploitability")


@dataclass(frozen=True, kw_only=True)
class MeasuredInRuns(Claim):
    """Measures along online mirror descent against their definitions.

    Parameters
    ----------
    method : None -> Method
    error : float, allowed difference as a share of 1 + the terms' size
    """

    id: str = "RUN-1"
    provenance: str = "derived"
    statement: str = "exploitabilities and KL(p*|p) that a run measures, of iterates and averages, are those of their definitions"
    source: str = "definitions, in forms that the kernel does not use"
    kind: ClassVar[str] = "identity"
    sense: str = "tight"
    method: Callable[[None], Method] = OnlineMirrorDescent
    steps: int = 10
    error: float = 1e-12

    def findings(self, instances: Sequence[Instance]) -> Iterable[Finding]:
        names = ("kl_to_equilibrium", *MEASURES, *(f"average_{name}" for name in MEASURES))
        for batch, run in runs(instances, lambda beta: self.method(None), steps=self.steps, measure=names):
            defined = dict(_gaps(batch, run.log_policy)) | {f"average_{name}": gap for name, gap in _gaps(batch, _averages(run.log_policy))}
            best = equilibria(batch)
            defined["kl_to_equilibrium"] = (np.exp(best) * (best - run.log_policy)).sum(axis=-1)
            size = 1 + np.abs(run.log_policy).max(axis=-1)
            for name, values in defined.items():
                error = np.abs(run.measured[name] - values) / (self.error * size)
                yield from gather(batch, error, np.isfinite(error), run, f", {name}")


def _gaps(batch: Sequence[Instance], policies: NDArray) -> Iterator[tuple[str, NDArray]]:
    """Both exploitabilities of (N, R, K) policies."""
    reference = np.stack([instance.game.log_reference for instance in batch])[:, None]
    wins = np.einsum("nij,nrj->nri", np.stack([instance.game.preference for instance in batch]), np.exp(policies))
    beta = batch[0].game.beta
    pull = (np.exp(policies) * (policies - reference)).sum(axis=-1)
    yield MEASURES[0], beta * logsumexp(reference + wins / beta, axis=-1) + beta * pull - 0.5
    yield MEASURES[1], wins.max(axis=-1) - 0.5


def _averages(policies: NDArray) -> NDArray:
    """(N, R, K) log of the mean of p_0 .. p_(t-1), of p_0 alone at t = 0."""
    total = np.cumsum(np.exp(policies[:, :-1]), axis=1) / np.arange(1, policies.shape[1])[:, None]
    return np.log(np.concatenate([np.exp(policies[:, :1]), total], axis=1))

"""What a claim is, what evidence looks like, and how a verdict is reached.

A claim is one theorem (or one member of a tight family): a frozen dataclass with its statement and source, the instances it
speaks of (`conditions`), and `findings`, which measures what the statement bounds. Every finding is one ratio,

    measured / claimed,        scaled so that the statement is met exactly where the ratio is at most 1,

for an upper bound the quantity over its bound, for a lower bound the reverse, for an identity the error over its tolerance.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import erfc, sqrt
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

from envs.equilibrium import nash, regularised_nash
from envs.game import Game
from envs.invalid import require
from simlab.run import Method, Run, simulate

PROVENANCES = ("published", "authors' code", "rate published", "recalled", "derived")
KINDS = (
    "every step", "final", "identity", "fixed point", "threshold", "slope", "constant", "distribution", "existence", "monotone",
)  # fmt: skip
SENSES = ("upper", "lower", "tight", "predicted to fail")

TOLERANCE = 1e-9
"""A ratio up to 1 + TOLERANCE still meets the statement: the rounding of a float64 trajectory."""

KL_FLOOR = 1e-22
"""Divergences below this are rounding: a bound is not checked from there on."""


@dataclass(frozen=True, eq=False)
class Instance:
    """A game and a start.

    Parameters
    ----------
    name : str
    game : Game
    start : (K,) log-probabilities
    """

    name: str
    game: Game
    start: NDArray

    @property
    def at_reference(self) -> bool:
        """Whether it starts at the reference."""
        return np.array_equal(self.start, self.game.log_reference)

    @cached_property
    def equilibrium(self) -> NDArray:
        """(K,) log-probabilities of the regularised equilibrium (beta > 0)."""
        return regularised_nash(self.game)

    @cached_property
    def original_equilibrium(self) -> NDArray:
        """(K,) probabilities of an equilibrium of the original game."""
        return nash(self.game)


@dataclass(frozen=True)
class Finding:
    """One instance's measured / claimed ratio; None when the instance says nothing (a run that starts at its target).

    p : the chance that a true statement has so large a ratio, at most; None where chance has no part
    """

    instance: str
    ratio: float | None
    status: str = "ok"
    p: float | None = None


Conditions = dict[str, Callable[[Any], bool]]
"""Conditions in words, each with its predicate."""


@dataclass(frozen=True)
class Condition:
    """How many instances of a claim's subject, of all there were, meet one of its conditions."""

    words: str
    held: int
    of: int


@dataclass(frozen=True)
class Verdict:
    """What the findings say of a claim.

    Attributes
    ----------
    claim : Claim
    outcome : "holds", "violated", "inconclusive" (every instance vacuous), or "does not apply" (no instance)
    worst : largest ratio (of a claim predicted to fail: the smallest), nan without any
    closest : the instance that attains it
    instances : findings that count
    vacuous : findings that say nothing
    statuses : how many runs were not "ok", by status
    findings : all of them
    conditions : the claim's, with the instances that meet each
    seconds : that judging took
    """

    claim: Claim
    outcome: str
    worst: float
    closest: str
    instances: int
    vacuous: int
    statuses: dict[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    conditions: tuple[Condition, ...] = ()
    seconds: float = field(default=0.0, compare=False)

    @property
    def expected(self) -> bool:
        """Whether the outcome is the predicted one; a claim that could not be put to the test contradicts nothing."""
        return self.outcome not in ("violated", "holds") or (self.outcome == "violated") == self.claim.predicted_to_fail


@dataclass(frozen=True, kw_only=True)
class Claim(ABC):
    """A statement of the literature, or derived here, in checkable form.

    Parameters
    ----------
    id : short name in the catalogue
    provenance : one of PROVENANCES; a constant derived here is never given as the paper's

    Subclasses state, as class attributes or fields: `statement`, `source`, `kind` (of KINDS) and `sense` (of SENSES).
    """

    id: str
    provenance: str
    statement: str
    source: str
    kind: ClassVar[str]
    sense: str = "upper"

    subject: ClassVar[type] = Instance
    """What the statement is about: games with a start, or a testbed of `theory.testbed`."""

    false_alarm: ClassVar[str | None] = None
    """How often chance takes a finding on a true statement above 1, in words that begin with the probability where it is known;
    None where the findings are no matter of chance."""

    def __post_init__(self) -> None:
        require(self.provenance in PROVENANCES, "provenance", self.provenance, f"one of {', '.join(PROVENANCES)}")
        require(self.kind in KINDS, "kind", self.kind, f"one of {', '.join(KINDS)}")
        require(self.sense in SENSES, "sense", self.sense, f"one of {', '.join(SENSES)}")

    @property
    def predicted_to_fail(self) -> bool:
        """Whether theory says that the statement is false on the instances it is put to."""
        return self.sense == "predicted to fail"

    @property
    def conditions(self) -> Conditions:
        """What the statement asks of an instance of its subject, in words, and how it is decided; each on its own.

        A predicate answers for any instance of the subject, also for one that the others rule out.
        """
        return {"beta > 0": lambda instance: instance.game.beta > 0}

    def counted(self, finding: Finding) -> float | None:
        """The ratio that a finding counts with, None if it says nothing; what was not measured (nan) never confirms."""
        if finding.ratio is None:
            return None
        unknown = 0.0 if self.predicted_to_fail else float("inf")
        return unknown if np.isnan(finding.ratio) else float(finding.ratio)

    def applies(self, instance: Any) -> bool:
        """Whether the statement speaks of this instance of its subject: it meets all conditions."""
        return all(holds(instance) for holds in self.conditions.values())

    @abstractmethod
    def findings(self, instances: Sequence[Any]) -> Iterable[Finding]:
        """Measure the statement on instances it applies to."""


def judge(claim: Claim, instances: Iterable[Any]) -> Verdict:
    """Put a claim to the instances it speaks of.

    A claim holds when every ratio is at most 1 + TOLERANCE. One predicted to fail counts as violated only when every ratio
    exceeds that (a single instance that meets it refutes the prediction), unless it is of the kind "existence", which says that
    some instance fails.
    """
    began = time.perf_counter()
    every = [instance for instance in instances if isinstance(instance, claim.subject)]
    subjects = [instance for instance in every if claim.applies(instance)]
    findings = tuple(claim.findings(subjects)) if subjects else ()
    ratios = [(ratio, finding.instance) for finding in findings if (ratio := claim.counted(finding)) is not None]
    if not ratios:
        outcome, worst, closest = ("inconclusive" if subjects else "does not apply"), float("nan"), ""
    else:
        worst, closest = min(ratios) if claim.predicted_to_fail and claim.kind != "existence" else max(ratios)
        outcome = "holds" if worst <= 1 + TOLERANCE else "violated"
    return Verdict(
        claim,
        outcome,
        worst,
        closest,
        instances=len(ratios),
        vacuous=len(findings) - len(ratios),
        statuses=dict(Counter(finding.status for finding in findings if finding.status != "ok")),
        findings=findings,
        conditions=tuple(Condition(words, sum(bool(met(one)) for one in every), len(every)) for words, met in claim.conditions.items()),
        seconds=time.perf_counter() - began,
    )


def runs(
    instances: Sequence[Instance], method: Callable[[float], Method], *, steps: int, record: Any = "every", **options: Any
) -> Iterator[tuple[list[Instance], Run]]:
    """Run method(beta) on instances, one batch for each K and beta.

    Yields
    ------
    (instances, run) with run's axis 0 in the order of the instances
    """
    batches: dict[tuple[int, float], list[Instance]] = {}
    for instance in instances:
        batches.setdefault((instance.game.actions, instance.game.beta), []).append(instance)
    for (_, beta), batch in batches.items():
        start = np.stack([instance.start for instance in batch])
        games = [instance.game for instance in batch]
        yield batch, simulate(games, method(beta), steps=steps, start=start, record=record, **options)


def whatever_start(instances: Iterable[Instance]) -> list[Instance]:
    """One instance for each game and beta, for claims in which the start plays no part."""
    return list({(instance.game.key, instance.game.beta): instance for instance in instances}.values())


def whatever_beta(instances: Iterable[Instance]) -> list[Instance]:
    """One instance for each game and start, for claims on the original game."""
    return list({(instance.game.key, instance.start.tobytes()): instance for instance in instances}.values())


def equilibria(batch: Sequence[Instance]) -> NDArray:
    """(N, 1, K) log-probabilities of the batch's regularised equilibria, to set beside (N, R, K) trajectories."""
    return np.stack([instance.equilibrium for instance in batch])[:, None]


def ratio_of(measured: float, claimed: float) -> float | None:
    """measured / claimed of two non-negative numbers; None where both are rounding."""
    if max(measured, claimed) <= KL_FLOOR:
        return None
    return measured / claimed if claimed > 0 else np.inf


def contraction(distance: NDArray, bound: ArrayLike) -> tuple[NDArray, NDArray]:
    """Each distance over the bound that its predecessor sets, and where the predecessor is above rounding.

    distance : (N, R) array, every iteration; bound : the factor (a number), or (N, R - 1) bounds
    """
    before, after = distance[:, :-1], distance[:, 1:]
    bound = np.asarray(bound, dtype=np.float64)
    with np.errstate(all="ignore"):
        return after / (bound if bound.ndim else bound * before), before > KL_FLOOR


def gather(batch: Sequence[Instance], ratios: NDArray, counts: ArrayLike, run: Run, label: str = "") -> Iterator[Finding]:
    """One finding an instance: its largest ratio where `counts`; None where nothing counts.

    ratios, counts : (N, ...) arrays
    """
    for instance, ratio, count, status in zip(batch, ratios, np.broadcast_to(counts, ratios.shape), run.status, strict=True):
        worst = np.nan if status == "nonfinite" else float(np.max(ratio[count])) if count.any() else None
        yield Finding(f"{instance.name}{label}", worst, str(status))


MEAN_ALARM = erfc(4 / sqrt(2)) / 2
"""Chance that the limit of a mean over seeds passes the true mean, one in 30,000: that of four standard errors of a normal mean."""

OF_A_MEAN = f"{MEAN_ALARM:.0e} a finding at its bound (by Student's law of a mean over seeds)"
"""False alarm of claims that use `mean_below`."""


def mean_below(name: str, values: NDArray, bound: float, run: Run) -> Finding:
    """Whether the mean of `values`, one a seed, can be at most `bound`: its lower confidence limit over the bound.

    The ratio is None, which is inconclusive, where the bound lies between the limits of both sides.
    """
    mean, error, freedom = values.mean(), values.std(ddof=1) / np.sqrt(len(values)), len(values) - 1
    low, high = mean + np.array([-1, 1]) * stdtrit(freedom, 1 - MEAN_ALARM) * error
    status = next((str(status) for status in run.status if status != "ok"), "ok")
    if bound <= KL_FLOOR:
        return Finding(name, None, status)
    p = float(stdtr(freedom, (bound - mean) / error)) if error > 0 else float(mean <= bound)
    return Finding(name, None if low <= bound < high else float(max(low, 0.0) / bound), status, p)


def compare(
    instances: Sequence[Instance], ours: Callable[[float], Method], theirs: Callable[[float], Method], *, steps: int, error: float
) -> Iterator[Finding]:
    """Whether two methods are the same map: their log-probabilities' difference over `error` times their size."""
    for (batch, run), (_, other) in zip(runs(instances, ours, steps=steps), runs(instances, theirs, steps=steps), strict=True):
        difference = np.abs(run.log_policy - other.log_policy).max(axis=-1)
        size = 1 + np.abs(other.log_policy).max(axis=-1)
        moved = np.ptp(other.log_policy - other.log_policy[:, :1], axis=-1) > 1e-9
        yield from gather(batch, difference / (error * size), moved, run)

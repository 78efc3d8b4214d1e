"""How often the tests of claims err: false alarms where statements are true, and what is noticed where they are false.

A trial is a claim's own check on samples that it draws with one seed. It refuses the statement where a ratio exceeds 1, as in
`simlab verify`; and by its p-values where Holm's procedure over them finds one at `LEVEL`. A whole report is refused where that
procedure over the p-values of all claims finds one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simlab.statistics import Interval, holm, proportion
from theory.chance import ByChance
from theory.claim import TOLERANCE

LEVEL = 0.05
"""At which p-values are findings, after Holm's adjustment."""


@dataclass(frozen=True)
class Trial:
    """What a check says on the samples of one seed.

    Attributes
    ----------
    findings : how many there are
    refused : whether a ratio exceeds 1
    p : of the findings that are a matter of chance
    """

    findings: int
    refused: bool
    p: tuple[float, ...]

    @property
    def significant(self) -> bool:
        """Whether one of the p-values is a finding."""
        return refuted(self.p)


@dataclass(frozen=True)
class Share:
    """Of trials, how many came out so.

    Attributes
    ----------
    count, trials : int
    """

    count: int = 0
    trials: int = 0

    @property
    def interval(self) -> Interval:
        """The share with its exact 95% interval."""
        return proportion(self.count, self.trials)

    def add(self, outcome: bool) -> Share:
        """With one more trial."""
        return Share(self.count + outcome, self.trials + 1)

    def __add__(self, other: Share) -> Share:
        return Share(self.count + other.count, self.trials + other.trials)

    def chance(self, nominal: float) -> float:
        """Of so many or more, if each has the chance `nominal`."""
        from scipy.stats import binom

        return float(binom.sf(self.count - 1, self.trials, min(nominal, 1.0)))

    def within(self, nominal: float) -> bool:
        """Whether the chance may be at most `nominal`: that is not below the interval."""
        return self.interval.low <= nominal


def refuted(p_values: Sequence[float]) -> bool:
    """Whether Holm's procedure finds one at `LEVEL`."""
    return bool(len(p_values)) and bool((holm(p_values) <= LEVEL).any())


def trial(claim: ByChance, subjects: Sequence[Any], seed: int, size: float = 0.0) -> Trial:
    """The check on subjects that the claim applies to, its samples drawn with a seed, its statement false by `size`; at 0 it is true."""
    findings = list(replace(claim.planted(size), seed=seed).findings(subjects))
    ratios = [finding.ratio for finding in findings if finding.ratio is not None]
    refused = any(np.isnan(ratio) or ratio > 1 + TOLERANCE for ratio in ratios)
    p = tuple(float(np.nan_to_num(finding.p, nan=0.0)) for finding in findings if finding.p is not None)
    return Trial(len(findings), refused, p)


def together(found: Iterable[Trial]) -> Trial:
    """The trials of several claims on one seed, as one."""
    listed = list(found)
    return Trial(sum(one.findings for one in listed), any(one.refused for one in listed), sum((one.p for one in listed), ()))

"""What `simlab calibrate` has measured, as it grows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from simlab.report.verdicts import rate
from simlab.statistics import holm
from theory.calibration import LEVEL, Share, Trial, together, trial
from theory.chance import ByChance
from theory.coverage import SETTINGS
from theory.power import Power, power


@dataclass(frozen=True)
class Measurement:
    """A claim and what it is put to."""

    claim: ByChance
    subjects: Sequence[Any]

    def null(self, seed: int) -> Trial:
        """The check where the statement is true."""
        return trial(self.claim, self.subjects, seed)

    def power(self, seeds: Sequence[int]) -> Power:
        """What it notices."""
        return power(self.claim, self.subjects, seeds)


@dataclass(frozen=True)
class Alarms:
    """False alarms of a claim's test.

    Attributes
    ----------
    findings : in a check
    nominal : chance of a ratio above 1 in a check, as the claim states it; None where it does not
    refused : checks with a ratio above 1
    significant : checks with a finding at LEVEL by p-values; without trials for a claim that has none
    """

    findings: int
    nominal: float | None
    refused: Share = field(default_factory=Share)
    significant: Share = field(default_factory=Share)

    @property
    def chances(self) -> list[float]:
        """Of so many of either, or more, if these are as frequent as is said."""
        stated = [] if self.nominal is None else [self.refused.chance(self.nominal)]
        return stated + ([self.significant.chance(LEVEL)] if self.significant.trials else [])

    def __add__(self, other: Alarms) -> Alarms:
        return replace(self, refused=self.refused + other.refused, significant=self.significant + other.significant)

    def add(self, found: Trial) -> Alarms:
        """With one more check."""
        significant = self.significant.add(found.significant) if found.p else self.significant
        return replace(self, refused=self.refused.add(found.refused), significant=significant)


@dataclass
class Measured:
    """All of it.

    Attributes
    ----------
    seeds : null seeds on which all claims of `alarms` were checked
    alarms, power : by the claim's ID
    family : seeds on which a report on all claims has a finding at LEVEL by Holm's procedure over all p-values
    p_values : in such a report
    coverage : simulations in which an interval holds the truth, by the name of its setting
    """

    seeds: list[int] = field(default_factory=list)
    alarms: dict[str, Alarms] = field(default_factory=dict)
    family: Share = field(default_factory=Share)
    p_values: int = 0
    power: dict[str, Power] = field(default_factory=dict)
    coverage: dict[str, Share] = field(default_factory=dict)

    def add(self, seed: int, found: Iterable[tuple[ByChance, Trial]]) -> None:
        """Count the checks of all claims on one null seed."""
        listed = list(found)
        self.seeds.append(seed)
        for claim, one in listed:
            stated = rate(claim.false_alarm or "")
            before = self.alarms.get(claim.id, Alarms(one.findings, None if stated is None else stated * one.findings))
            self.alarms[claim.id] = before.add(one)
        report = together(one for _, one in listed)
        self.family, self.p_values = self.family.add(report.significant), len(report.p)

    def after(self, earlier: Measured) -> Measured:
        """This beside what was measured earlier: checks of the same claims on other seeds add up, the rest is replaced."""
        whole = Measured(self.seeds, self.alarms, self.family, self.p_values, earlier.power | self.power, earlier.coverage | self.coverage)
        if not self.seeds:
            return replace(earlier, power=whole.power, coverage=whole.coverage)
        if self.alarms.keys() == earlier.alarms.keys() and not set(self.seeds) & set(earlier.seeds):
            whole.seeds, whole.family = sorted(earlier.seeds + self.seeds), earlier.family + self.family
            whole.alarms = {name: earlier.alarms[name] + each for name, each in self.alarms.items()}
        return whole

    @property
    def too_often(self) -> list[str]:
        """The claims whose tests err more often than they say, by Holm's procedure over all of them at LEVEL."""
        chances = [(id, chance) for id, alarms in self.alarms.items() for chance in alarms.chances]
        adjusted = list(holm([chance for _, chance in chances])) if chances else []
        return list(dict.fromkeys(id for (id, _), chance in zip(chances, adjusted, strict=True) if chance <= LEVEL))

    @property
    def misses(self) -> list[str]:
        """What errs more often than it says."""
        family = [] if not self.family.trials or self.family.within(LEVEL) else ["the whole report"]
        return self.too_often + family + [name for name, share in self.coverage.items() if not SETTINGS[name].kept(share)]

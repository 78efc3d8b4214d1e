"""What claims on offline learning are put to: a world of labelled pairs, or a population of users, with exact truths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from envs.pairs import Pairs
from envs.population_world import PopulationWorld
from theory.claim import Claim, Conditions


@dataclass(frozen=True, eq=False)
class PairTestbed:
    """A world of labelled pairs.

    Parameters
    ----------
    name : str
    world : Pairs
    """

    name: str
    world: Pairs


@dataclass(frozen=True, eq=False)
class PopulationTestbed:
    """A population of users.

    Parameters
    ----------
    name : str
    world : PopulationWorld
    """

    name: str
    world: PopulationWorld


@dataclass(frozen=True, kw_only=True)
class PairClaim(Claim):
    """A statement about what is learnt from labelled pairs."""

    subject: ClassVar[type] = PairTestbed

    @property
    def conditions(self) -> Conditions:
        return {}


@dataclass(frozen=True, kw_only=True)
class PopulationClaim(Claim):
    """A statement about users who differ."""

    subject: ClassVar[type] = PopulationTestbed

    @property
    def conditions(self) -> Conditions:
        return {}

"""What a report says of claims: their verdicts by subject, counted, and method by method."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from simlab.report.card import KINDS, PROVENANCES, Card

SUBJECTS = {"games": "Self-play on games", "labelled pairs": "Learning from labelled pairs", "populations": "Users who differ"}
"""Titles of parts, by what their claims are put to."""


class Row(NamedTuple):
    """A method with its claims."""

    method: str
    cells: list[Card | None]


@dataclass(frozen=True)
class Part:
    """The claims on one kind of subject."""

    title: str
    cards: list[Card]

    @property
    def rows(self) -> list[Row]:
        """A row a method, with a cell for each claim, empty where the claim is not on the method; a last one for claims on none."""
        methods = sorted({method for card in self.cards for method in card.methods})
        rows = [Row(method, [card if method in card.methods else None for card in self.cards]) for method in methods]
        alone = [None if card.methods else card for card in self.cards]
        return rows + [Row("", alone)] * any(alone)


@dataclass(frozen=True)
class Verdicts:
    """All of a file of verdicts.

    Attributes
    ----------
    file : what the file says besides its claims
    cards : in the file's order
    """

    file: dict[str, Any]
    cards: list[Card]

    @property
    def parts(self) -> Iterator[Part]:
        for subject in dict.fromkeys([*SUBJECTS, *(card.subject for card in self.cards)]):
            cards = [card for card in self.cards if card.subject == subject]
            if cards:
                yield Part(SUBJECTS.get(subject, subject), cards)

    @property
    def counts(self) -> dict[str, int]:
        """How many claims have each kind of verdict, in the order of KINDS; the first three always."""
        counts = Counter(card.kind for card in self.cards)
        return {kind: counts[kind] for number, kind in enumerate(KINDS) if number < 3 or counts[kind]}

    @property
    def surprises(self) -> list[Card]:
        return [card for card in self.cards if card.kind == "surprise"]

    @property
    def methods(self) -> list[str]:
        return sorted({method for card in self.cards for method in card.methods})

    @property
    def provenances(self) -> list[tuple[str, str, str, int]]:
        """Name, badge, meaning and number of claims of each provenance that occurs."""
        counts = Counter(card.provenance for card in self.cards)
        known = [name for name in PROVENANCES if counts[name]] + sorted(counts.keys() - PROVENANCES.keys())
        return [(name, *_badge(name), counts[name]) for name in known]


def _badge(name: str) -> tuple[str, str]:
    badge, _, meaning = PROVENANCES.get(name, (name, "", ""))
    return badge, meaning


def verdicts(file: dict[str, Any]) -> Verdicts:
    """The verdicts of a file."""
    return Verdicts(file, [Card(claim) for claim in file["claims"]])


def alarms(cards: Sequence[Card]) -> str:
    """What tests at a stated rate of false alarms come to, over all claims: the sum of the rates bounds the chance of any."""
    tests = [card for card in cards if card.false_alarm]
    if not tests:
        return "No finding is a matter of chance."
    rates = [(chance, card.counted) for card in tests if (chance := rate(card.false_alarm)) is not None]
    number, total = sum(count for _, count in rates), sum(chance * count for chance, count in rates)
    said = f"{number:,} findings are statistical tests, each at the rate of false alarms on its card: together at most {total:.1g}."
    unknown = [card.id for card in tests if rate(card.false_alarm) is None]
    return said + (f" Not known, at least in part, is the rate of {', '.join(unknown)}." if unknown else "")


def rate(words: str) -> float | None:
    """The probability that the words of a claim on its false alarms begin with; None where they call it unknown, if only in part."""
    number = re.match(r"\d[\d.]*(e-?\d+)?", words)
    return float(number[0]) if number and "unknown" not in words else None

"""A claim with its verdict, in the words of its card."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from simlab.report.ratios import picture, ratio_of


class Kind(NamedTuple):
    """A kind of verdict: its sign, which stands beside its colour, and its words for one claim and for many."""

    sign: str
    words: str
    many: str


KINDS = {
    "holds": Kind("✓", "holds", "hold"),
    "predicted": Kind("✗", "fails as predicted", "fail as predicted"),
    "surprise": Kind("!", "against the prediction", "against the prediction"),
    "inconclusive": Kind("?", "inconclusive", "inconclusive"),
    "silent": Kind("–", "does not apply", "do not apply"),
}

PROVENANCES = {
    "published": ("published", "Published", "the statement is the paper's, with its constant"),
    "authors' code": ("authors' code", "In the authors' code", "the statement is taken from the code of the authors"),
    "rate published": ("rate published", "Rate published, constant derived here", "the paper has the rate, its constant is derived here"),
    "recalled": ("recalled", "As recalled", "the statement is given from memory, and was not compared with the paper's text"),
    "derived": ("derived here", "Derived here", "the statement is derived here, and no paper's"),
}
"""The badge of each provenance, the words before the source, and the meaning."""

CLOSE = 5e-5
"""A ratio this close to 1 is shown by its distance from it."""


@dataclass(frozen=True)
class Card:
    """One claim with its verdict, as a file of verdicts has it."""

    claim: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        """An entry of the claim."""
        try:
            return self.claim[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def anchor(self) -> str:
        return "claim-" + re.sub(r"[^\w.-]", "-", self.claim["id"])

    @property
    def kind(self) -> str:
        """One of KINDS."""
        outcome = self.claim["outcome"]
        if not self.claim["expected"]:
            return "surprise"
        return {"holds": "holds", "violated": "predicted", "inconclusive": "inconclusive"}.get(outcome, "silent")

    @property
    def verdict(self) -> str:
        """In words."""
        return f"{self.claim['outcome']}, against the prediction" if self.kind == "surprise" else KINDS[self.kind].words

    @property
    def badge(self) -> str:
        return PROVENANCES.get(self.claim["provenance"], (self.claim["provenance"],))[0]

    @property
    def origin(self) -> str:
        """Words before the source, which say whose statement it is."""
        return PROVENANCES.get(self.claim["provenance"], ("", "Source"))[1]

    @property
    def ratio(self) -> str:
        """The ratio that decides; empty where nothing was measured."""
        ratio = ratio_of(self.claim["worst"])
        if ratio is None or math.isinf(ratio):
            return "" if ratio is None else "∞"
        near = f"1 {'+' if ratio > 1 else '−'} {abs(ratio - 1):.2g}"
        return near if 0 < abs(ratio - 1) < CLOSE else f"{ratio:.4g}"

    @property
    def smallest(self) -> bool:
        """Whether the smallest ratio decides: all must exceed 1 where failure is predicted, unless some failure is claimed."""
        return self.claim["sense"] == "predicted to fail" and self.claim["kind"] != "existence"

    @cached_property
    def picture(self) -> str:
        return picture(self.claim)

    @property
    def counted(self) -> int:
        """Findings that count."""
        return len(self.claim["findings"]) - self.claim["vacuous"]

    @property
    def ended(self) -> str:
        """How many runs did not end well, and how."""
        return ", ".join(f"{count} {status}" for status, count in sorted(self.claim["statuses"].items()))

    @property
    def reached(self) -> bool:
        """Whether some subject meets all conditions."""
        return self.claim["outcome"] != "does not apply"

    @property
    def text(self) -> str:
        """What a search looks through."""
        claim = self.claim
        words = [claim["id"], claim["name"], claim["statement"], claim["source"], claim["closest"], *claim["methods"]]
        return " ".join([*words, *(condition["condition"] for condition in claim["conditions"])]).lower()

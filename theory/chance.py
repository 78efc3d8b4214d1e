"""Claims whose findings are a matter of chance: what they draw from, and what their tests have to notice.

A true statement may be refused by chance, and a false one pass; how often is measured (`theory.calibration`), on many seeds, with the
statement true and with it false by effects of known sizes.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

from theory.claim import Claim


@dataclass(frozen=True, kw_only=True)
class ByChance(Claim):
    """A claim that is tested on drawn samples.

    Parameters
    ----------
    seed : int >= 0, root of all that its check draws
    """

    seed: int = 0

    effect: ClassVar[str]
    """What is planted, in words with s for its size."""

    size: ClassVar[float]
    """A size > 0 near which the brief check begins to notice."""

    @abstractmethod
    def planted(self, size: float) -> Self:
        """The same test where the statement is false by an effect of a size >= 0; at 0 it is true."""

    def brief(self) -> Self:
        """The same test on fewer samples, so that it can be repeated a thousand times."""
        return self

"""One colour, dash and marker a method in every figure, its name in words, and the common look.

The nine self-play methods that are compared most, the offline learners, and PAL with the pooled model beside it are far apart also
to a reader without red or green cones; no two methods share a colour, or both dash and marker. A method that is not listed takes a
style that depends on its name alone.
"""

from __future__ import annotations

import colorsys
import re
import textwrap
import zlib
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from simlab import catalogue

COLUMN, PAGE = 3.4, 7.0
"""Inches: the width of a column and of the text of a page of two."""

FAINT = "0.6"
"""Grey of what is there for orientation: floors, rules, what is missing."""

LOOK = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "figure.titlesize": 8,
    "legend.title_fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "patch.linewidth": 0.6,
    "hatch.linewidth": 0.5,
    "hatch.color": "0.25",
    "figure.constrained_layout.h_pad": 0.06,
}
"""matplotlib's settings while a figure is made."""

Marker = str | tuple[int, int, int]

SOLID: tuple[float, ...] = ()
DASHED, DOTTED, MIXED, LONG, DOUBLE = (4.0, 1.5), (1.0, 1.2), (5.0, 1.5, 1.0, 1.5), (8.0, 2.0), (5.0, 1.5, 1.0, 1.5, 1.0, 1.5)
DASHES = (SOLID, DASHED, DOTTED, MIXED, LONG, DOUBLE)
MARKERS: tuple[Marker, ...] = ("o", "s", "^", "D", "v", "P", "X", "*", "p", "h", "<", ">", "d", "8", (4, 1, 0), (6, 1, 0), (3, 1, 0))


class Style(NamedTuple):
    """How a method is drawn.

    Attributes
    ----------
    color : "#rrggbb"
    dash : lengths of ink and gap in line widths, () is a solid line
    marker : matplotlib's, filled
    """

    color: str
    dash: tuple[float, ...]
    marker: Marker

    @property
    def linestyle(self) -> tuple[int, tuple[float, ...]]:
        """The dash as matplotlib's `linestyle`."""
        return 0, self.dash


STYLES = {
    "egpo": Style("#0072B2", SOLID, "o"),
    "nash_mp": Style("#D55E00", DASHED, "s"),
    "nash_md": Style("#009E73", MIXED, "^"),
    "online_mirror_descent": Style("#E69F00", LONG, "D"),
    "sppo": Style("#CC79A7", DOUBLE, "v"),
    "online_ipo": Style("#56B4E9", DOTTED, "P"),
    "nash_md_pg": Style("#000000", MIXED, "X"),
    "inpo": Style("#0F0F69", DASHED, "*"),
    "comal": Style("#960000", SOLID, "p"),
    "nash_prox": Style("#5A2D2D", LONG, "h"),
    "magnetic": Style("#965A3C", DOUBLE, "<"),
    "optimistic": Style("#F0A5C3", DASHED, ">"),
    "regularised_optimistic": Style("#004B5A", DOTTED, "d"),
    "dno": Style("#00695A", MIXED, "8"),
    "dno_prct": Style("#2D6978", LONG, (4, 1, 0)),
    "nash_mp_softmax": Style("#873C4B", DOTTED, (6, 1, 0)),
    "sppo_sampled": Style("#5A0000", DOUBLE, (3, 1, 0)),
    "dpo": Style("#3C87FF", SOLID, "s"),
    "rdpo": Style("#C32D0F", DASHED, "o"),
    "cdpo": Style("#4BD296", MIXED, "D"),
    "ipo": Style("#4B0F2D", LONG, "^"),
    "robust_ipo": Style("#3C8778", DOUBLE, "P"),
    "pal": Style("#0F3CA5", SOLID, "D"),
    "pooled": Style("#69964B", DASHED, "v"),
}


def style(algorithm: str) -> Style:
    """How a method, named as its file in conf/algorithm/, is drawn wherever it appears; "pooled" is PAL's comparison, one model for all."""
    if algorithm in STYLES:
        return STYLES[algorithm]
    number = zlib.crc32(algorithm.encode())
    red, green, blue = (round(255 * share) for share in colorsys.hls_to_rgb(number % 360 / 360, 0.4, 0.6))
    return Style(f"#{red:02X}{green:02X}{blue:02X}", DASHES[number // 360 % len(DASHES)], MARKERS[number // 3600 % len(MARKERS)])


def label(algorithm: str) -> str:
    """What the field calls a method: its file's opening words up to the colon or a parenthesis, or where there is none its class's name."""
    words, colon, _ = catalogue.purpose(f"algorithm/{algorithm}").partition(":")
    if colon:
        return words.partition(" (")[0]
    path = catalogue.CONF / "algorithm" / f"{algorithm}.yaml"
    target = re.search(r"^_target_: *[\w.]*\.(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE) if path.is_file() else None
    return target[1] if target else algorithm


def abreast(labels: Iterable[str], width: float) -> int:
    """How many entries of a legend stand side by side on so many inches."""
    widest = max(len(label) for label in labels)
    return max(1, int(width / (0.5 + 0.056 * widest)))


def title(algorithm: str) -> str:
    """A method's name over a small panel, on two lines where it is long."""
    return textwrap.fill(label(algorithm), 24)


def look() -> AbstractContextManager[Any]:
    """The common look, for as long as a figure is being made."""
    from matplotlib import rc_context

    return rc_context(LOOK)  # type: ignore[arg-type]

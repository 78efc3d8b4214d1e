"""The findings of a claim as a picture: a dot a ratio of measured to claimed, on a logarithmic axis with the line at 1.

The picture is SVG that stretches to the width it is given: places along the axis are percentages, sizes of dots and letters are not.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

LEFT, WIDTH = 4.0, 92.0
"""Of the plot, in percent of the picture."""

TOP, HEIGHT, BASE = 17, 50, 44
"""Of the plot, in pixels, and the height at which stacks of dots begin."""

COLUMNS, DOT, STACK = 120, 5.0, 38.0
"""Dots in one of so many columns stack, a diameter apart at most, up to a height in pixels."""

NARROWEST, ROOM = 0.1, 0.03
"""Decades that the axis shows on both sides of 1 at least, and the share of it that is left free at its ends."""

SLOT = 0.06
"""Share of the axis that is set aside at an end for ratios of 0, or without limit."""


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis from 10^low to 10^high, with a slot before it for 0 and one behind it for infinity where there are any."""

    low: float
    high: float
    zero: bool
    infinite: bool

    def place(self, ratio: float) -> float:
        """Where a ratio stands, in [0, 1]."""
        left, right = SLOT * self.zero, 1 - SLOT * self.infinite
        if ratio == 0:
            return SLOT / 2
        if math.isinf(ratio):
            return 1 - SLOT / 2
        share = (math.log10(ratio) - self.low) / (self.high - self.low)
        return left + share * (right - left)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Places and labels."""
        ends = [(self.place(0.0), "0")] * self.zero + [(self.place(math.inf), "∞")] * self.infinite
        return [(self.place(value), _label(value)) for value in _values(self.low, self.high)] + ends


def axis(ratios: Sequence[float]) -> Axis:
    """The axis on which ratios are shown, and 1."""
    inside = [math.log10(ratio) for ratio in ratios if 0 < ratio < math.inf]
    low, high = min([*inside, -NARROWEST]), max([*inside, NARROWEST])
    room = ROOM * (high - low)
    return Axis(low - room, high + room, zero=0.0 in ratios, infinite=math.inf in ratios)


def ratio_of(value: Any) -> float | None:
    """A ratio as a file of verdicts has it: a number, "inf", or None where the finding says nothing."""
    return None if value is None else float(value)


def picture(claim: dict[str, Any]) -> str:
    """SVG of a claim's findings, empty where none of them counts. It holds numbers alone, none of the claim's words."""
    found = [(ratio, finding["status"] == "ok") for finding in claim["findings"] if (ratio := ratio_of(finding["ratio"])) is not None]
    if not found:
        return ""
    worst = ratio_of(claim["worst"])
    found.sort(key=lambda pair: (pair[0] != worst, pair))
    along = axis([ratio for ratio, _ in found])
    return "".join(
        [
            f'<svg class="ratios" width="100%" height="86" role="img" aria-label="{_said(found, worst)}">',
            *_frame(along),
            f'<svg x="{LEFT}%" y="{TOP}" width="{WIDTH}%" height="{HEIGHT}" viewBox="0 0 1000 {HEIGHT}" preserveAspectRatio="none">',
            *_dots(found, along),
            "</svg>",
            *_mark(worst, along),
            "</svg>",
        ]
    )


def _said(found: Sequence[tuple[float, bool]], worst: float | None) -> str:
    ratios = [ratio for ratio, _ in found]
    most = "" if worst is None else f"; the one that decides is {worst:.4g}"
    return f"{len(found)} ratios of measured to claimed, from {min(ratios):.3g} to {max(ratios):.3g}{most}"


def _frame(along: Axis) -> Iterator[str]:
    """What lies above 1, the line at 1, and the ticks."""
    one, bottom = _percent(along.place(1.0)), TOP + HEIGHT
    yield f'<rect class="over" x="{one}%" y="{TOP}" width="{LEFT + WIDTH - one:.2f}%" height="{HEIGHT}"/>'
    yield f'<line class="axis" x1="{LEFT}%" x2="{LEFT + WIDTH}%" y1="{bottom}" y2="{bottom}"/>'
    yield f'<line class="one" x1="{one}%" x2="{one}%" y1="{TOP - 3}" y2="{bottom}"/>'
    for place, label in along.ticks:
        x, kind = _percent(place), "tick at-one" if label == "1" else "tick"
        yield f'<line class="axis" x1="{x}%" x2="{x}%" y1="{bottom}" y2="{bottom + 3}"/>'
        yield f'<text class="{kind}" x="{x}%" y="{bottom + 15}">{label}</text>'


def _dots(found: Sequence[tuple[float, bool]], along: Axis) -> Iterator[str]:
    """One path for findings of runs that ended well, one for the others; a point is a line of no length."""
    columns: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for ratio, well in found:
        place = along.place(ratio)
        columns[round(place * COLUMNS)].append((place, well))
    points: dict[bool, list[str]] = {True: [], False: []}
    for column in columns.values():
        apart = min(DOT, STACK / max(len(column) - 1, 1))
        for number, (place, well) in enumerate(column):
            points[well].append(f"M{1000 * place:.1f} {BASE - number * apart:.4g}h.1")
    for well, kind in ((True, "dots"), (False, "dots ill")):
        if points[well]:
            yield f'<path class="{kind}" d="{"".join(points[well])}"/>'


def _mark(worst: float | None, along: Axis) -> Iterator[str]:
    """A ring around the ratio that decides, which stands lowest in its column, and its value."""
    if worst is None:
        return
    place = along.place(worst)
    x, side = _percent(place), "start" if place < 0.12 else "end" if place > 0.88 else "middle"
    yield f'<circle class="worst" cx="{x}%" cy="{TOP + BASE}" r="5.5"/>'
    yield f'<text class="value" x="{x}%" y="11" text-anchor="{side}">{_label(worst)}</text>'


def _percent(place: float) -> float:
    return round(LEFT + WIDTH * place, 2)


def _values(low: float, high: float) -> list[float]:
    """Round values between two powers of ten, few enough to be read on a narrow screen; 1 is always among them."""
    decades = high - low
    if decades >= 2:
        every = math.ceil(decades / 5)
        powers = range(math.ceil(low / every) * every, math.floor(high) + 1, every)
        return [10.0**power for power in powers if abs(power) < sys.float_info.max_10_exp]
    steps = (1.0, 2.0, 5.0) if decades > 0.7 else (1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if decades > 0.35 else (0.8, 0.9, 1.0, 1.1, 1.2, 1.5)
    wanted = sorted({round(step * 10.0**power, 9) for power in (-3, -2, -1, 0, 1, 2) for step in steps})
    return [value for value in wanted if low <= math.log10(value) <= high]


def _label(value: float) -> str:
    """A number in few letters: powers of ten as such."""
    power = math.log10(value) if 0 < value < math.inf else 0.5
    if power == round(power) and abs(power) > 3:
        return f'10<tspan class="power" dy="-4">{"−" if power < 0 else ""}{abs(power):.0f}</tspan>'
    return "∞" if math.isinf(value) else f"{value:.4g}"

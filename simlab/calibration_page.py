"""What `simlab calibrate` says of what it has measured: tables in Markdown, which a terminal reads as well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from simlab.measured import Alarms, Measured
from theory.calibration import Share
from theory.coverage import SETTINGS
from theory.power import Power


def told(measured: Measured) -> Iterator[str]:
    """All tables, those that have rows, and what errs more often than it says."""
    parts = [list(part(measured)) for part in (alarms, family, power, coverage)]
    for part in filter(None, parts):
        yield from (*part, "")
    misses = measured.misses
    if misses:
        yield f"More often wrong than said: {', '.join(misses)}."
    else:
        yield "Nothing of this errs more often than it says." if any(parts) else "Nothing was measured."


def alarms(measured: Measured) -> Iterator[str]:
    """False alarms of each claim."""
    head = ["claim", "findings", "seeds", "refused (ratio above 1)", "said, at most", "refused at 5% by p-values", ""]
    too_often = measured.too_often
    yield from table(head, [_alarms(name, each, name in too_often) for name, each in measured.alarms.items()])


def family(measured: Measured) -> Iterator[str]:
    """Of a whole report."""
    share = measured.family
    if share.trials:
        found = f"a false alarm on {share.count} of {share.trials:,} seeds, {said(share)}"
        yield f"A whole report, {measured.p_values} p-values, Holm at 5%: {found}"


def power(measured: Measured) -> Iterator[str]:
    """Power of each claim's test."""
    head = ["claim", "what is planted", "s: noticed", "seeds", "noticed 4 times in 5 from s =", "refused 4 times in 5 from s ="]
    yield from table(head, [_power(name, each) for name, each in measured.power.items()])


def coverage(measured: Measured) -> Iterator[str]:
    """Of the intervals."""
    rows = [
        [name, f"{share.trials:,}", f"{share.count / share.trials:.2%}", "" if SETTINGS[name].kept(share) else "**outside**"]
        for name, share in measured.coverage.items()
    ]
    yield from table(["interval at 95%", "simulations", "holds the truth", ""], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """In Markdown, with columns aligned; nothing without rows."""
    if not rows:
        return []
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in [head, *rows]]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def said(share: Share) -> str:
    """A share with its exact 95% interval, in percent."""
    estimate, low, high = share.interval
    return f"{estimate:.2%} [{low:.2%}, {high:.2%}]"


def _alarms(name: str, each: Alarms, too_often: bool) -> list[str]:
    nominal = "unknown" if each.nominal is None else f"{each.nominal:.1g}"
    significant = said(each.significant) if each.significant.trials else "no p-values"
    verdict = "**too often**" if too_often else ""
    return [name, str(each.findings), f"{each.refused.trials:,}", said(each.refused), nominal, significant, verdict]


def _power(name: str, each: Power) -> list[str]:
    shares = [(rung.size, rung.significant or rung.refused) for rung in each.rungs]
    noticed = ", ".join(f"{size:.3g}: {share.count / share.trials:.0%}" for size, share in shares)
    found = ["-" if size is None else f"{size:.3g}" for size in (each.significant, each.refused)]
    return [name, each.effect, noticed, str(each.rungs[0].refused.trials), *found]

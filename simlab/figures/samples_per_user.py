"""What a learner of users predicts after few and many comparisons of each: the mean user, and the worst."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from envs.invalid import require
from simlab.figures import cells, palette, squares
from simlab.figures.drawing import Drawing
from simlab.figures.error_curves import columns, percent
from simlab.figures.rows import extents, methods, require_columns
from simlab.statistics import interval

if TYPE_CHECKING:
    from pandas import DataFrame

POOLED = "pooled"
"""Stands for one score for all users, whose number of prototypes is 0."""

LABELS = {POOLED: "pooled"}

WIDTHS = {"accuracy": 0.8, "worst_accuracy": 2.2}
WHOM = {"accuracy": "mean user", "worst_accuracy": "worst user"}

AXIS = {"new": "comparisons of a new user", "seen": "comparisons of each user"}


def draw(frame: DataFrame, *, users: str = "new", by: str | None = None) -> Drawing:
    """The accuracy for the mean user (thin) and the worst (bold) against comparisons a user: medians over seeds with 95% intervals.

    The learner with the number of prototypes it was given or chose stands beside one Bradley-Terry score for all. Dashed is the
    truth, where it is known: an answer is then taken to be what the user likelier says, so that who knows the true ideal points is
    right every time. A seed without a minimiser counts as worse than any other; its share stands at the bottom.

    Parameters
    ----------
    frame : tidy rows of learners of users (algorithm=pal)
    users : "new", newcomers by how many comparisons of theirs were given (env.shots); or "seen", by env.samples
    by : a setting with a panel for each of its values; None: one panel

    Raises
    ------
    Refused, Invalid
        For a column that is missing, or a setting besides these that varies.
    """
    import pandas as pd

    require(users in AXIS, "users", users, "new, or seen")
    rows, truth = _rows(frame, users, by)
    tables = {value: _table(part) for value, part in (rows.groupby(by) if by else [(None, rows)])}
    data = pd.concat([table.assign(**({by: value} if by else {})) for value, table in tables.items()], ignore_index=True)
    with palette.look():
        figure, panels = columns(len(tables))
        for axes, (value, table) in zip(panels, tables.items(), strict=True):
            _scale(axes, data)
            axes.set(xlabel=AXIS[users], title=f"{cells.WORDS.get(by, by)} = {value}" if by else "")
            _panel(axes, table)
            if truth:
                axes.axhline(1.0, color="0.35", linestyle=(0, palette.DASHED), linewidth=1, label="true ideal points", zorder=1)
        _legend(figure, panels[0], rows)
    return Drawing(figure, data)


def _rows(frame: DataFrame, users: str, by: str | None) -> tuple[DataFrame, bool]:
    """A row a seed, kind of user, number of comparisons, and learner or pooled scores; and whether the truth was known."""
    import pandas as pd

    made = ("prototypes", "chosen", "users", "comparisons", "excess_cross_entropy", *WIDTHS)
    require_columns(frame, dict.fromkeys(made, "algorithm=pal env=population") | ({by: f"-m {by}=VALUE,VALUE"} if by else {}))
    kept = frame[(frame["users"] == users) & (frame["chosen"] | (frame["prototypes"] == 0))]
    kept = kept.assign(algorithm=kept["algorithm"].where(kept["prototypes"] > 0, POOLED))
    cell = ("comparisons", by) if by else ("comparisons",)
    parts = [cells.of_seeds(kept, measure, cell).assign(measure=measure) for measure in WIDTHS]
    rows = pd.concat(parts, ignore_index=True)
    return rows.assign(value=rows["value"].replace(np.inf, -np.inf)), bool(kept["excess_cross_entropy"].notna().any())


def _table(rows: DataFrame) -> DataFrame:
    """A row a learner, kind of user and number of comparisons: the median, its interval, how many seeds, how many are lost."""
    import pandas as pd

    found = []
    for (name, measure, size), part in rows.groupby(["algorithm", "measure", "comparisons"]):
        about = {"algorithm": name, "measure": measure, "comparisons": size, "seeds": len(part), "lost": int((part["lost"] != "").sum())}
        found.append(about | interval(part["value"], lost=-np.inf)._asdict())
    return pd.DataFrame(found).rename(columns={"estimate": "value"})


def _scale(axes: Any, data: DataFrame) -> None:
    sizes = sorted(data["comparisons"].unique())
    low, _ = extents(data["low"].fillna(data["value"]).to_numpy())
    axes.set(xscale="log", ylim=(low - 0.08, 1.03))
    axes.set_xticks(sizes, [squares.short(size) for size in sizes])
    axes.minorticks_off()
    axes.grid(True)
    left = axes.get_subplotspec().is_first_col()
    axes.tick_params(labelleft=left)
    axes.set_ylabel("accuracy" if left else "")


def _panel(axes: Any, table: DataFrame) -> None:
    bottom = axes.get_ylim()[0]
    for name in methods(table):
        style = palette.style(name)
        for measure, width in WIDTHS.items():
            line = table[(table["algorithm"] == name) & (table["measure"] == measure)]
            low, high = (line[end].clip(lower=bottom) for end in ("low", "high"))
            axes.fill_between(line["comparisons"], low, high, color=style.color, alpha=0.2, linewidth=0)
            shown = line["value"].where(np.isfinite(line["value"]))
            label = f"{LABELS.get(name) or palette.label(name)}, {WHOM[measure]}"
            axes.plot(line["comparisons"], shown, color=style.color, linewidth=width, marker=style.marker, markeredgewidth=0, label=label)
        for row in line[line["lost"] > 0].itertuples():
            ink = {"color": style.color, "fontsize": 6, "ha": "center"}
            axes.text(row.comparisons, 0.02, f"{row.lost / row.seeds:.0%}", transform=axes.get_xaxis_transform(), **ink)


def _legend(figure: Any, axes: Any, rows: DataFrame) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if failures := cells.failures(rows):
        handles, labels = [*handles, percent()], [*labels, f"of the seeds: {failures}"]
    figure.legend(handles, labels, loc="outside upper center", ncols=2 if figure.get_figwidth() < palette.PAGE / 1.5 else 3)

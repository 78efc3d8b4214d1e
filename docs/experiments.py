"""Runs the experiments of conf/experiment and writes docs/experiments.md: how many updates and queries reach a gap.

`python docs/experiments.py FOLDER` keeps the rows in FOLDER, where finished runs are not repeated.
"""

import sys
from pathlib import Path

import pandas as pd
import yaml

from simlab import store
from simlab.catalogue import CONF
from simlab.cli import main

GAP = 1e-4
"""Duality gap that counts as reached."""

EXPERIMENTS = {
    "egpo_simulation": ["algorithm", "beta"],
    "egpo_simulation_pairs": ["algorithm", "beta"],
    "egpo_simulation_labels": ["algorithm", "beta"],
    "egpo_simulation_nash_md": ["opponent_pull", "beta"],
    "nash_mp_dimension": ["algorithm", "beta", "actions"],
}


def rows(folder: Path) -> pd.DataFrame:
    """All rows of a folder's runs, with the settings that tell them apart."""
    frames = []
    for path in sorted(folder.glob("*.parquet")):
        stored = store.read(path)
        frame = pd.DataFrame({name: stored.column(name) for name in ("seed", "step", "queries", "duality_gap")})
        config = yaml.safe_load(stored.metadata["config"])
        frame["algorithm"], frame["beta"] = path.name.partition("-")[0], config["beta"]
        frame["actions"] = config["env"]["actions"]
        frame["opponent_pull"] = config["algorithm"].get("opponent_pull")
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def reached(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Median gap at the end, and median updates and queries until the gap was first recorded below GAP ("-": by fewer than half)."""
    last = frame[frame["step"] == frame["step"].max()].groupby(by)["duality_gap"].median()
    below = frame[frame["duality_gap"] < GAP].groupby([*by, "seed"])[["step", "queries"]].min()
    share = below.groupby(by).size() / frame.groupby(by)["seed"].nunique()
    medians = below.groupby(by).median()[share.reindex(below.groupby(by).size().index) >= 0.5]
    table = pd.DataFrame({"gap at the end": last}).join(medians.rename(columns={"step": "updates", "queries": "preference queries"}))
    return table.reset_index()


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown, numbers to three digits."""

    def cell(value: object) -> str:
        if not isinstance(value, float):
            return str(value)
        return "-" if pd.isna(value) else f"{value:.3g}" if value < 100 else f"{value:,.0f}"

    lines = [" | ".join(map(str, table.columns)), " | ".join(["---"] * len(table.columns))]
    lines += [" | ".join(map(cell, row)) for row in table.itertuples(index=False)]
    return "\n".join(f"| {line} |" for line in lines)


if __name__ == "__main__":
    parts = [f"# Experiments\n\nMedians over ten games; reached is a gap below {GAP:g}. Written by `python docs/experiments.py FOLDER`."]
    for name, by in EXPERIMENTS.items():
        folder = Path(sys.argv[1]) / name
        if main(["run", f"experiment={name}", f"store={folder}"]) not in (0, 1):
            sys.exit(f"{name}: did not run")
        words = [line.lstrip("# ") for line in (CONF / "experiment" / f"{name}.yaml").read_text().splitlines()[1:] if line.startswith("#")]
        parts.append(f"## {name}\n\n{' '.join(words)}\n\n`simlab run experiment={name}`\n\n{markdown(reached(rows(folder), by))}")
    (Path(__file__).parent / "experiments.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")

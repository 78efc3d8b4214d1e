"""Runs the experiments of conf/experiment and writes docs/experiments.md: what self-play spends to reach a gap, how offline learners err.

`python docs/experiments.py FOLDER` keeps the rows in FOLDER, where finished runs are not repeated.
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from simlab import store
from simlab.catalogue import CONF
from simlab.cli import main

GAP = 1e-4
"""Duality gap that counts as reached."""

Rows = Callable[[pd.DataFrame], pd.DataFrame]


def rows(folder: Path) -> pd.DataFrame:
    """All rows of a folder's runs, with the settings that tell them apart."""
    frames = []
    for path in sorted(folder.glob("*.parquet")):
        stored = store.read(path)
        frame = stored.frame
        config, world = json.loads(stored.metadata["config"]), json.loads(stored.metadata["world"])
        frame["algorithm"], frame["beta"] = path.name.partition("-")[0], config["beta"]
        frame["opponent_pull"], frame["expected_error"] = config["algorithm"].get("opponent_pull"), world.get("expected_error")
        frame["true prototypes"] = config["env"].get("prototypes")
        frame = frame.join(pd.DataFrame({key: [config["env"].get(key)] * len(frame) for key in ("actions", "flip", "n")}))
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


def noise(frame: pd.DataFrame) -> pd.DataFrame:
    """Root mean square errors where there is a minimiser, robust DPO's large-sample value, and how often it has none."""
    by = frame.groupby(["flip", "n", "algorithm"])
    errors = by["estimation_error"].agg(lambda error: np.sqrt((error**2).mean())).unstack("algorithm")
    table = errors[["dpo", "cdpo", "ipo", "rdpo"]].rename(columns=lambda name: f"{name}: rms error")
    robust = frame[frame["algorithm"] == "rdpo"].groupby(["flip", "n"])
    table["rdpo: for large n"] = robust["expected_error"].first()
    table["rdpo: no minimiser"] = robust["status"].agg(lambda status: f"{(status == 'no minimiser').mean():.0%}")
    table["rdpo: mean J gap"], table["dpo: mean J gap"] = (by["regularised_gap"].mean().unstack()[name] for name in ("rdpo", "dpo"))
    return table.reset_index()


def recovery(frame: pd.DataFrame) -> pd.DataFrame:
    """Medians for the users a learner was given, and for newcomers after 10 comparisons of theirs."""
    kept = frame[(frame["users"] == "seen") | (frame["comparisons"] == 10)].copy()
    kept["prototypes"] = kept["prototypes"].replace(0, "pooled scores").astype(str)
    medians = kept.groupby(["true prototypes", "prototypes", "users"])[["accuracy", "excess_cross_entropy"]].median().unstack("users")
    medians.columns = [f"{figure.replace('_', ' ')}, {users}" for figure, users in medians.columns]
    return medians.reset_index()


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown, numbers to three digits."""

    def cell(value: object) -> str:
        if not isinstance(value, float):
            return str(value)
        return "-" if pd.isna(value) else f"{value:.3g}" if value < 100 else f"{value:,.0f}"

    lines = [" | ".join(map(str, table.columns)), " | ".join(["---"] * len(table.columns))]
    lines += [" | ".join(map(cell, row)) for row in table.itertuples(index=False)]
    return "\n".join(f"| {line} |" for line in lines)


EXPERIMENTS: dict[str, Rows] = {
    "egpo_simulation": partial(reached, by=["algorithm", "beta"]),
    "egpo_simulation_pairs": partial(reached, by=["algorithm", "beta"]),
    "egpo_simulation_labels": partial(reached, by=["algorithm", "beta"]),
    "egpo_simulation_nash_md": partial(reached, by=["opponent_pull", "beta"]),
    "nash_mp_dimension": partial(reached, by=["algorithm", "beta", "actions"]),
    "noisy_labels": noise,
    "prototypes": recovery,
}

if __name__ == "__main__":
    words = f"Of self-play, medians over ten games; reached is a gap below {GAP:g}. Written by `python docs/experiments.py FOLDER`."
    parts = [f"# Experiments\n\n{words}"]
    for name, table in EXPERIMENTS.items():
        folder = Path(sys.argv[1]) / name
        if main(["run", f"experiment={name}", f"store={folder}"]) not in (0, 1):
            sys.exit(f"{name}: did not run")
        words = [line.lstrip("# ") for line in (CONF / "experiment" / f"{name}.yaml").read_text().splitlines()[1:] if line.startswith("#")]
        parts.append(f"## {name}\n\n{' '.join(words)}\n\n`simlab run experiment={name}`\n\n{markdown(table(rows(folder)))}")
    (Path(__file__).parent / "experiments.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")

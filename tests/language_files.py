"""Runs of `simlab train scaled=lm` on tiny models: their words, what they leave, and how they are stopped."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from language import PAIRS, folder, lines

from simlab.checked import checked
from simlab.configuration import plan
from simlab.finished import perform, recall
from simlab.language_training import LanguageTraining
from simlab.request import parse
from simlab.store import read

JUDGE = """
def longer(prompts, first, second):
    return [0.5 + 0.4 * (len(one) - len(other)) / (len(one) + len(other) + 1) for one, other in zip(first, second)]
"""
SELF_PLAY = ["scaled/oracle=function", "scaled.oracle.function=judge.py:longer", "responses=3", "scaled.length=6"]
DUELS = ["feedback=duels", "feedback.flip=0.1"]
SMALL = ["prompts=2", "steps=3", "checkpoint=1", "threads=1", "scaled.inner=2", "scaled.learning_rate=0.003", "scaled.precision=float64"]
"""With steps that are large, so that a wrong one is seen."""


def laid(where: Path) -> None:
    """Write the files that runs begin with: some of the model's responses end early."""
    (where / "judge.py").write_text(JUDGE)
    lines(where / "pairs.jsonl", PAIRS)
    shutil.copytree(folder(width=16, layers=1, seed=3), where / "model")


def words(*more: str) -> list[str]:
    """Of a run on these files."""
    given = ["scaled=lm", "scaled.model=model", "scaled.dataset=pairs.jsonl", *SMALL, *more]
    return list({word.partition("=")[0]: word for word in given}.values())


def experiment(*more: str) -> LanguageTraining:
    """That run, checked."""
    (job,) = plan(parse("train", words(*more))).jobs
    found = checked(job.config)
    assert isinstance(found, LanguageTraining)
    return found


def run(what: LanguageTraining, store: str) -> None:
    """As the command does it, with another store."""
    placed = replace(what, config=what.config | {"store": store})
    if not recall(placed):
        perform(placed)


@contextmanager
def stopping(number: int) -> Iterator[None]:
    """A run ends when it has written so many checkpoints, before the one before is taken away."""
    from scaled import saved

    save, left = saved.save, [number]

    def then_stop(*given: Any) -> None:
        save(*given)
        left[0] -= 1
        if not left[0]:
            raise Stopped

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(saved, "save", then_stop)
        try:
            yield
        except Stopped:
            return
    raise AssertionError("it has not written so many")


class Stopped(Exception):
    """What ends a run."""


def the_run(store: str) -> Path:
    """The file of the one run of a store."""
    (path,) = Path(store).glob("*.parquet")
    return path


def same(store: str, other: str, tolerance: float = 0.0) -> None:
    """The runs of two stores have equal rows, bit for bit where no tolerance is given."""
    frames = [read(the_run(name)).frame for name in (store, other)]
    kind: dict[str, Any] = {"rtol": tolerance, "atol": tolerance} if tolerance else {"check_exact": True}
    pd.testing.assert_frame_equal(*frames, **kind)


def told(store: str, seed: int = 0) -> list[int]:
    """The iterations in the metrics of a run that has ended."""
    text = (the_run(store).with_suffix("") / f"seed{seed}" / "metrics.jsonl").read_text()
    return [json.loads(line)["step"] for line in text.splitlines()]


def checkpoints(store: str) -> list[str]:
    """Folders of checkpoints, whole or not, by their names."""
    return sorted(path.name for path in Path(store).rglob("*checkpoint-*") if path.is_dir())

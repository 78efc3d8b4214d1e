"""Training runs go on where they were stopped: the same numbers whatever the moment, and no file left when the rows are there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from command import environ, files, simlab

from simlab.store import read
from simlab.training import Training

torch = pytest.importorskip("torch")

WORDS = {
    "self-play": ["algorithm=egpo", "feedback=duels", "feedback.per_action=8", "responses=8"],
    "a slot that goes on": ["algorithm=optimistic", "feedback=duels", "feedback.per_action=8"],
    "offline": ["algorithm=rdpo", "feedback.flip=0.1"],
}
SMALL = ["env.vocabulary=3", "env.length=2", "prompts=2", "steps=8", "seeds=2", "scaled.inner=3", "checkpoint=2"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(*words: str) -> None:
    """Without the figure, which would take longer than the run."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Training, "keep", lambda self, stored: None)
        done = simlab("train", *words)
    assert done.status == 0, done.err


def the_run(store: str) -> Path:
    (path,) = Path(store).glob("*.parquet")
    return path


def same(store: str, other: str) -> None:
    """The run of one store is that of another, by name and bit for bit."""
    assert the_run(store).name == the_run(other).name
    pd.testing.assert_frame_equal(read(the_run(store)).frame, read(the_run(other)).frame, check_exact=True)


def stop_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Fail when the checkpoint of this number (from 1 on) has been written."""
    from simlab.checkpoint import Checkpoint

    write, left = Checkpoint._write, [number]

    def stopping(self: Checkpoint, trained: object) -> None:
        write(self, trained)
        left[0] -= 1
        if not left[0]:
            raise RuntimeError("stopped")

    monkeypatch.setattr(Checkpoint, "_write", stopping)


@pytest.mark.parametrize(("kind", "stop"), [("self-play", 1), ("self-play", 6), ("a slot that goes on", 4), ("offline", 6)])
def test_a_stopped_run_goes_on_to_the_same_numbers(kind: str, stop: int, here: Path) -> None:
    words = [*WORDS[kind], *SMALL]
    train(*words, "store=whole")
    with pytest.MonkeyPatch.context() as patched:
        stop_at(patched, stop)
        assert simlab("train", *words, "store=kept").status == 1
    left = files(here / "kept")
    assert len(left) == (1 if stop <= 4 else 2) and all(name.endswith(".checkpoint") for name in left)
    train(*words, "store=kept")
    same("kept", "whole")
    assert files(here / "kept") == files(here / "whole")


def test_it_goes_on_and_does_not_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    from scaled.executor import Executor

    with pytest.MonkeyPatch.context() as patched:
        stop_at(patched, 3)
        simlab("train", *SMALL, "seeds=1")
    taken, step = [], Executor.step
    monkeypatch.setattr(Executor, "step", lambda self: taken.append(self.iteration) or step(self))
    train(*SMALL, "seeds=1")
    assert taken == [6, 7]


def test_numbers_do_not_depend_on_checkpoints() -> None:
    for every in ("null", "3", "100"):
        train(*SMALL, "seeds=1", f"checkpoint={every}", f"store=s{every}")
    for every in ("3", "100"):
        same(f"s{every}", "snull")


@pytest.mark.slow
def test_a_killed_run_goes_on(here: Path) -> None:
    words = [*WORDS["self-play"], *SMALL, "steps=12", "seeds=1", "scaled.inner=10"]
    train(*words, "store=whole")
    command = [sys.executable, "-m", "simlab", "train", *words, "store=kept"]
    process = subprocess.Popen(command, cwd=here, env=environ(), stdout=-3, stderr=-3, start_new_session=True)
    before, waited = files(here / "kept"), time.monotonic()
    while process.poll() is None and files(here / "kept") == before and time.monotonic() < waited + 60:
        time.sleep(0.01)
    time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None
    process.wait()
    assert simlab("train", *words, "store=kept").status == 0
    same("kept", "whole")
    assert sorted(path.suffix for path in Path("kept").iterdir()) == [".parquet", ".png"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no checkpoint", "must be a whole checkpoint"),
        (None, "must be a whole checkpoint"),
        ({"identity": "of another run", "state": {}}, "must be a checkpoint of this run, and is one of another"),
        ({"state": {}}, "must be a whole checkpoint"),
        ([1, 2], "must be a whole checkpoint"),
    ],
    ids=["other bytes", "half", "of another run", "of another kind", "of no kind"],
)
def test_a_file_that_is_none_is_named(content: object, said: str, here: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        stop_at(patched, 2)
        simlab("train", *SMALL)
    (path,) = (here / "simlab_store").glob("*.checkpoint")
    if content is None:
        path.write_bytes(path.read_bytes()[:-2000])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    outcome = simlab("train", *SMALL)
    assert outcome.status == 1 and outcome.err.count("\n") == 1
    assert outcome.err.startswith(f"simlab: simlab_store/{path.name}: {said}") and "without the file the run begins anew" in outcome.err


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "often"])
def test_refusals(value: str, here: Path) -> None:
    outcome = simlab("train", f"checkpoint={value}")
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err == f"simlab: checkpoint={value}: must be an integer >= 1, or null: none\n"
    assert files(here) == []

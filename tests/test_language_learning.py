"""What a language model learns on cyclic games, from responses that it draws: measured over all responses, which are enumerated."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import simlab
from language import dataset, folder

from simlab.store import read

pytestmark = pytest.mark.slow

GAMES = ["env.vocabulary=3", "scaled.vocabulary=[a,b,c]", "scaled.length=2", "prompts=2", "responses=100", "beta=0.01"]
TRAINING = ["scaled.learning_rate=0.01", "scaled.inner=8", "scaled.precision=float32", "scaled/weights=full", "steps=60"]
SPEED = ["scaled.batch=2", "scaled.recompute=false", "scaled.rollout.batch=200", "checkpoint=null", "threads=1"]


def tail_over_reference(seed: int, *words: str) -> float:
    """Exploitability of the mean policy over the later half of the iterations, over that of the reference: means over prompts."""
    given = [f"scaled.model={folder('gpt2', 16, 1, seed)}", f"scaled.dataset={dataset('two')}", f"seed={seed}"]
    done = simlab("train", "scaled=lm", *given, *GAMES, *TRAINING, *SPEED, *words)
    assert done.status == 0, done.err
    (path,) = Path("simlab_store").glob("*.parquet")
    frame = read(path).frame
    reference, last = frame[frame.step == 0].exploitability.mean(), frame[frame.step == frame.step.max()].tail_exploitability.mean()
    return last / reference


@pytest.mark.parametrize("seed", range(5))
def test_the_tail_of_an_extragradient_is_below_a_tenth_of_the_reference(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert tail_over_reference(seed) < 0.1


@pytest.mark.parametrize("seed", range(2))
def test_that_of_steps_against_oneself_is_not(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same update without its half point."""
    monkeypatch.chdir(tmp_path)
    assert tail_over_reference(seed, "algorithm=online_mirror_descent", "algorithm.rate=1.98") > 0.2

"""Training of language models goes on where it was stopped or killed, to the same numbers; and checkpoints that cannot be used.

In one process, this one; runs are killed by this very file, which is started as a program that forks them.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from command import files, python, simlab
from language import folder, without_figures
from language_files import DUELS, JUDGE, SELF_PLAY, checkpoints, experiment, laid, run, same, stopping, told, words

from scaled import saved
from simlab import store
from simlab.language_run import LanguageRun
from simlab.language_training import LanguageTraining
from simlab.refusal import Refused, explain
from simlab.stream import Stream

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("checkpoints")]

KINDS = {
    "egpo": ["algorithm=egpo", *SELF_PLAY, *DUELS, "scaled/weights=full", "scaled.warmup=2"],
    "adapters": ["algorithm=egpo", *SELF_PLAY, "scaled.clip=0.5", "scaled.final=0.1"],
    "carried": ["algorithm=optimistic", *SELF_PLAY, *DUELS, "seeds=2"],
    "centre": ["algorithm=magnetic", "algorithm.every=2", *SELF_PLAY, "scaled/weights=full"],
    "pairs": ["algorithm=rdpo", *DUELS, "scaled/weights=full", "scaled.final=0.1"],
}
"""Extragradient, all weights or adapters; a slot that one iteration leaves to the next; a centre that moves now and then; a pair loss."""


def half_saved(save: Any, tensors: Any, *, checkpoint_id: Path, **options: Any) -> None:
    """Weights without what says which they are, and not to their end."""
    save(tensors, checkpoint_id=checkpoint_id, **options)
    (checkpoint_id / ".metadata").unlink()
    for path in checkpoint_id.glob("*.distcp"):
        os.truncate(path, path.stat().st_size // 2)


def half_removed(remove: Any, path: Path) -> None:
    """A folder without one of its files."""
    min(path.iterdir()).unlink()


def half_told(write: Any, stream: Stream, row: dict[str, Any]) -> None:
    """A line that does not end."""
    with stream.path.open("a") as file:
        file.write(json.dumps(row)[:20])


class Moment(NamedTuple):
    """Of a function's calls on what has such a name, the one of this number; what is done instead of it; and what is there then."""

    owner: Any
    function: str
    number: int
    name: str
    instead: Callable[..., Any] | None
    left: list[str]


TWO, THREE = "checkpoint-00000002", "checkpoint-00000003"
HALF = [f".{THREE}.tmp", TWO]
MOMENTS = {
    "before its weights": Moment(saved.dcp, "save", 2, "", None, HALF),
    "amid its weights": Moment(saved.dcp, "save", 2, "", half_saved, HALF),
    "before its name": Moment(Path, "rename", 2, ".checkpoint-", None, HALF),
    "after its name": Moment(Path, "rename", 2, ".checkpoint-", lambda rename, *given: rename(*given), [TWO, THREE]),
    "amid the one before": Moment(shutil, "rmtree", 1, "checkpoint-", half_removed, [TWO, THREE]),
    "amid a line": Moment(Stream, "write", 3, "", half_told, [TWO]),
    "amid the model": Moment(Path, "rename", 1, ".model", None, [THREE]),
    "before the rows": Moment(store, "write", 1, "", None, [THREE]),
    "after the rows": Moment(LanguageTraining, "discard", 1, "", None, [THREE]),
}
"""Of a run of three iterations, with checkpoints after the second and the third."""


def die_at(moment: Moment) -> None:
    """Let this process be killed then."""
    before, left = getattr(moment.owner, moment.function), [moment.number]

    def call(*given: Any, **options: Any) -> Any:
        left[0] -= not moment.name or Path(given[0]).name.startswith(moment.name)
        if left[0]:
            return before(*given, **options)
        if moment.instead:
            moment.instead(before, *given, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(moment.owner, moment.function, call)


def forked(what: LanguageTraining, where: str, moment: Moment | None = None) -> BaseProcess:
    """A run in a process of its own."""

    def live() -> None:
        if moment:
            die_at(moment)
        run(what, where)

    process = get_context("fork").Process(target=live)
    process.start()
    return process


def killed_at_random(what: LanguageTraining, where: str, draw: random.Random) -> dict[str, Any]:
    """Kill a run some time after it has told of so many iterations; how it ended, and how many it has told of."""

    def lines() -> int:
        written = [path for path in Path(where).rglob("metrics.jsonl") if path.stat().st_mtime_ns > began]
        return sum(path.read_text().count("\n") for path in written)

    began, wanted, process = time.time_ns(), draw.randrange(5), forked(what, where)
    while process.is_alive() and lines() < wanted:
        time.sleep(0.002)
    time.sleep(draw.uniform(0, 0.1))
    process.kill()
    process.join()
    return {"exit": process.exitcode, "lines": lines()}


def kill_and_go_on(runs: dict[str, LanguageTraining]) -> dict[str, Any]:
    """Runs that are killed, and are then let live; how they ended, by their stores. What they import has been imported before."""
    draw, found = random.Random(1), {}
    run(runs["adapters"], "first")
    for kind, what in runs.items():
        killed = [killed_at_random(what, f"random/{kind}", draw) for _ in range(2)]
        found[f"random/{kind}"] = [*killed, ended(forked(what, f"random/{kind}"))]
    for name, moment in MOMENTS.items():
        where, what = f"moments/{name}", runs["adapters"]
        died = {"exit": ended(forked(what, where, moment)), "left": checkpoints(where)}
        found[where] = [died, ended(forked(what, where))]
    return found


def ended(process: BaseProcess) -> int | None:
    """How a process ended."""
    process.join()
    return process.exitcode


if __name__ == "__main__":
    with without_figures():
        Path("killed.json").write_text(json.dumps(kill_and_go_on(pickle.loads(Path("runs").read_bytes()))))
    sys.exit()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, LanguageTraining]]:
    """A folder, and runs of all kinds, which have a checkpoint after every second iteration and have been run there."""
    there = tmp_path_factory.mktemp("runs")
    with chdir(there), without_figures():
        laid(there)
        found = {kind: experiment(*given, "checkpoint=2") for kind, given in KINDS.items()}
        for kind, what in found.items():
            run(what, f"whole/{kind}")
    return there, found


@pytest.fixture
def run_of(runs: tuple[Path, dict[str, LanguageTraining]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., LanguageTraining]]:
    """A run of a kind, in that folder, with a checkpoint after every so many iterations."""
    monkeypatch.chdir(runs[0])
    with without_figures():
        yield lambda kind, every: replace(runs[1][kind], config=runs[1][kind].config | {"checkpoint": every})


@pytest.fixture(scope="module")
def killed(runs: tuple[Path, dict[str, LanguageTraining]]) -> dict[str, Any]:
    """What came of runs that were killed."""
    (runs[0] / "runs").write_bytes(pickle.dumps(runs[1]))
    done = python(__file__, cwd=runs[0], OMP_NUM_THREADS="1")
    assert done.status == 0, done.err
    return json.loads((runs[0] / "killed.json").read_text())


def equal(other: str, kind: str) -> None:
    """A store has the run of a kind, all of it and nothing else."""
    same(other, f"whole/{kind}")
    assert files(Path(other)) == files(Path("whole") / kind)
    for seed, path in enumerate(sorted(Path(other).glob("*/seed*"))):
        assert told(other, seed) == [0, 1, 2, 3]
        (written,) = (path / "model").glob("*.safetensors")
        assert written.read_bytes() == (Path("whole") / kind / written.relative_to(other)).read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_is_stopped_at_every_checkpoint_comes_to_the_same(
    kind: str, run_of: Callable[..., LanguageTraining], monkeypatch: pytest.MonkeyPatch
) -> None:
    what, taken, step = run_of(kind, 1), [], LanguageRun._step
    monkeypatch.setattr(
        LanguageRun, "_step", lambda self, learner, network: taken.append(learner.iteration) or step(self, learner, network)
    )
    for _ in range(3 * what.seeds):
        with stopping(1):
            run(what, f"stopped/{kind}")
    run(what, f"stopped/{kind}")
    assert taken == [0, 1, 2] * what.seeds
    equal(f"stopped/{kind}", kind)


def test_numbers_do_not_depend_on_checkpoints(run_of: Callable[..., LanguageTraining]) -> None:
    run(run_of("carried", None), "none")
    equal("none", "carried")


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_is_killed_comes_to_the_same(kind: str, run_of: Callable[..., LanguageTraining], killed: dict[str, Any]) -> None:
    assert killed[f"random/{kind}"][-1] == 0
    equal(f"random/{kind}", kind)


def test_kills_come_at_different_times(killed: dict[str, Any]) -> None:
    kills = [each for kind in KINDS for each in killed[f"random/{kind}"][:-1] if each["exit"] == -signal.SIGKILL]
    assert len(kills) >= len(KINDS) and len({each["lines"] for each in kills}) >= 3, kills


@pytest.mark.parametrize("name", MOMENTS)
def test_a_run_that_is_killed_while_it_writes_comes_to_the_same(
    name: str, run_of: Callable[..., LanguageTraining], killed: dict[str, Any]
) -> None:
    died, went_on = killed[f"moments/{name}"]
    assert died == {"exit": -signal.SIGKILL, "left": MOMENTS[name].left} and went_on == 0
    equal(f"moments/{name}", "adapters")


def shortened(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 100)


SPOILT: dict[str, Callable[[Path], None]] = {
    "weights cut short": lambda path: shortened(path / "__0_0.distcp"),
    "no weights": lambda path: (path / "__0_0.distcp").unlink(),
    "names cut short": lambda path: shortened(path / ".metadata"),
    "no names": lambda path: (path / ".metadata").unlink(),
    "rest cut short": lambda path: shortened(path / saved.REST),
    "no rest": lambda path: (path / saved.REST).unlink(),
    "no run": lambda path: torch.save({"slots": {}, "groups": {}, "rest": {}}, path / saved.REST),
}
OTHERS = {"another seed": ["seed=1"], "other shapes": ["scaled.model=wide"], "more weights": ["scaled.model=deep"]}


@pytest.fixture(scope="module")
def stopped(runs: tuple[Path, dict[str, LanguageTraining]]) -> Path:
    """A store with one checkpoint, of a run that was stopped."""
    with chdir(runs[0]), without_figures():
        return one_checkpoint(runs[1]["adapters"], "stopped-once")


def one_checkpoint(what: LanguageTraining, where: str) -> Path:
    """The store of a run that was stopped after its first."""
    with stopping(1):
        run(what, where)
    return Path(where).absolute()


def copied(store: Path, where: str) -> Path:
    """The checkpoint in a copy of a store."""
    (path,) = Path(shutil.copytree(store, where)).rglob("checkpoint-*")
    return path


def refusal(what: LanguageTraining, where: str) -> str:
    """What is said of its checkpoint."""
    with pytest.raises(Refused) as said:
        run(what, where)
    assert "\n" not in str(said.value) and not list(Path(where).glob("*.parquet"))
    return str(said.value)


@pytest.mark.parametrize("how", SPOILT)
def test_a_checkpoint_that_is_not_whole_is_named(how: str, run_of: Callable[..., LanguageTraining], stopped: Path) -> None:
    what, path = run_of("adapters", 2), copied(stopped, f"spoilt/{how}")
    SPOILT[how](path)
    said = refusal(what, f"spoilt/{how}")
    assert said.startswith(f"{path}: must be a whole checkpoint (") and said.endswith("); without the folder the run begins anew")


def test_without_it_the_run_begins_anew(run_of: Callable[..., LanguageTraining], stopped: Path) -> None:
    shutil.rmtree(copied(stopped, "anew"))
    run(run_of("adapters", 2), "anew")
    equal("anew", "adapters")


@pytest.mark.parametrize("which", OTHERS)
def test_a_checkpoint_of_another_run_is_named(which: str, run_of: Callable[..., LanguageTraining], stopped: Path) -> None:
    for name, shape in {"wide": {"width": 32, "layers": 1}, "deep": {"width": 16, "layers": 2}}.items():
        if not Path(name).exists():
            Path(name).symlink_to(folder(**shape))
    what, path = run_of("adapters", 2), copied(stopped, f"taken/{which}")
    own = (path / saved.REST).read_bytes()
    shutil.rmtree(path)
    (other,) = one_checkpoint(experiment(*KINDS["adapters"], *OTHERS[which]), f"other/{which}").rglob("checkpoint-*")
    shutil.copytree(other, path)
    said = f"{path}: must be a checkpoint of this run, and is one of another; without the folder the run begins anew"
    assert refusal(what, f"taken/{which}") == said
    if which != "another seed":  # weights that do not fit
        (path / saved.REST).write_bytes(own)
        assert refusal(what, f"taken/{which}").startswith(f"{path}: must be a whole checkpoint (")


def test_the_command_says_it_in_a_line(run_of: Callable[..., LanguageTraining], stopped: Path) -> None:
    path = copied(stopped, "line")
    (path / ".metadata").write_bytes(b"nothing")
    done = simlab("train", *words(*KINDS["adapters"], "store=line"))
    assert done.status == 1 and done.err.startswith(f"simlab: {path}: must be a whole checkpoint (") and done.err.count("\n") == 1


def test_a_disk_that_is_full_stops_a_run(run_of: Callable[..., LanguageTraining], monkeypatch: pytest.MonkeyPatch) -> None:
    what, save, most = run_of("egpo", 1), saved.dcp.save, resource.getrlimit(resource.RLIMIT_FSIZE)

    def full(*given: Any, **options: Any) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, most[1]))
        try:
            save(*given, **options)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, most)

    with stopping(1):
        run(what, "full")
    monkeypatch.setattr(saved.dcp, "save", full)
    with pytest.raises(OSError, match="File too large") as said:
        run(what, "full")
    assert "\n" not in explain(said.value) and checkpoints("full") == [".checkpoint-00000002.tmp", "checkpoint-00000001"]
    run(run_of("egpo", None), "full")
    equal("full", "egpo")


def test_another_function_of_a_file_is_another_run(run_of: Callable[..., LanguageTraining]) -> None:
    Path("judges.py").write_text(JUDGE + JUDGE.replace("longer", "other"))
    given = [word for word in KINDS["adapters"] if "judge.py" not in word]
    one, other = (experiment(*given, f"scaled.oracle.function=judges.py:{name}") for name in ("longer", "other"))
    assert one.identity != other.identity

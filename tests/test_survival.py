"""Sweeps go on where they were stopped: killed at any moment, out of room, beside one another, after an edit of the code."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread

import numpy as np
import pyarrow.parquet as pq
import pytest
from command import ROOT, environ, files, python, simlab

from simlab import leftovers, provenance, store
from simlab.checked import checked
from simlab.cli import main
from simlab.configuration import plan
from simlab.finished import recall
from simlab.request import parse
from simlab.self_play import SelfPlay
from simlab.terminal import screen
from simlab.training import SelfPlayTraining

SWEEP = ("algorithm=egpo,sppo", "seed=0,1", "env=blend", "feedback=duels", "steps=50")
FEW = ("algorithm=egpo", "seed=0,1,2,3", *SWEEP[2:])
STORES = ("one", "two", "three")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def started(*words: str, cwd: Path, **environment: str) -> subprocess.Popen[str]:
    """The command in a process group of its own."""
    command = [sys.executable, "-m", "simlab", *words]
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=cwd, env=environ(**environment), start_new_session=True, **quiet)


def kill(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def rows(path: Path) -> bytes:
    """The rows of a file as bytes, without what it says of itself; equal bytes are equal bits."""
    table = pq.read_table(path).replace_schema_metadata(None)
    written = io.BytesIO()
    pq.write_table(table.drop_columns([name for name in table.column_names if name == "seconds"]), written)
    return written.getvalue()


def runs(folder: Path) -> dict[str, bytes]:
    """The rows of every file of a store, by its name; fails for a file that is not whole."""
    return {path.name: rows(path) for path in sorted(folder.glob("*.parquet"))}


def collected(folder: Path) -> bytes:
    """The rows of the table of a store."""
    assert simlab("collect", folder, "--output", "table.parquet").status == 0
    return rows(Path("table.parquet"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a sweep that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole") / "store"
    finish(str(folder))
    return folder


def finish(folder: str, words: tuple[str, ...] = SWEEP) -> None:
    assert simlab("run", "-m", *words, f"store={folder}").status == 0


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> ForkServerContext:
    """Processes of a process that has run a sweep, so that kills meet the work and not imports."""
    folder = tmp_path_factory.mktemp("forks")
    (folder / "has_run.py").write_text(f"from simlab.cli import main\nmain({['run', '-m', *FEW, f'store={folder}/first']})\n")
    context = get_context("forkserver")
    context.set_forkserver_preload(["has_run"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{folder}")
        patch.syspath_prepend(folder)
        ended(context.Process(target=int))
    return context


def ended(process: BaseProcess) -> BaseProcess:
    process.start()
    process.join()
    return process


@pytest.mark.slow
@pytest.mark.xdist_group("forks")
def test_a_sweep_that_is_killed_again_and_again_comes_to_the_same(here: Path, forks: ForkServerContext) -> None:
    def sweep(folder: Path) -> BaseProcess:
        return forks.Process(target=main, args=(["run", "-m", *FEW, f"store={folder}"],))

    def written(folder: Path) -> int:
        return len(list(folder.glob("*.parquet")))

    began = time.monotonic()
    ended(sweep(here / "whole"))
    takes, draw, found = time.monotonic() - began, random.Random(1), set()
    assert written(here / "whole") == 4
    for folder, wanted in zip(STORES, (1, 2, 3), strict=True):
        for least in (wanted, 0, 0):  # just after so many files, and at any moment
            process = sweep(here / folder)
            process.start()
            while process.is_alive() and written(here / folder) < least:
                time.sleep(0.002)
            time.sleep(draw.uniform(0, 0.05 if least else 0.95 * takes))
            process.kill()
            process.join()
            if process.exitcode == -signal.SIGKILL:
                found.add(written(here / folder))
    for folder in STORES[:2]:  # from the first import on, and while kernels are compiled
        command = started("run", "-m", *FEW, f"store={folder}", cwd=here, NUMBA_CACHE_DIR=str(here / "cold"))
        time.sleep(draw.uniform(0.1, 4))
        kill(command)
    assert len(found) > 2, f"kills must come at different moments, and came after {found} files"
    for folder in STORES:
        finish(folder, FEW)
        assert files(here / folder) == files(here / "whole")
        assert runs(here / folder) == runs(here / "whole")
        assert collected(here / folder) == collected(here / "whole")


SUICIDE = """
import os, pathlib, signal
from simlab import store
from simlab.checked import checked
from simlab.cli import main
from simlab.configuration import plan
from simlab.finished import recall
from simlab.request import parse
from simlab.terminal import screen

left = 3
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def third(before, instead):
    def call(*words, **options):
        global left
        left -= 1
        return before(*words, **options) if left else instead(*words, **options)
    return call

def half(table, where, **options):
    write(table, where, **options)
    os.truncate(where, os.path.getsize(where) // 2)
    die()

def after(*words):
    replace(*words)
    die()

write, replace = store.pq.write_table, pathlib.Path.replace
"""
MOMENTS = {
    "before it is written": "store.pq.write_table = third(write, die)",
    "half-way": "store.pq.write_table = third(write, half)",
    "before it has its name": "pathlib.Path.replace = third(replace, die)",
    "after it has its name": "pathlib.Path.replace = third(replace, after)",
}


@pytest.mark.slow
@pytest.mark.xdist_group("forks")
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_within_the_writing_leaves_whole_files_only(moment: str, here: Path, forks: ForkServerContext, whole: Path) -> None:
    code = f"{SUICIDE}\n{MOMENTS[moment]}\nmain({['run', '-m', *SWEEP, 'store=kept']})"
    assert ended(forks.Process(target=exec, args=(code, {}))).exitcode == -signal.SIGKILL
    written = runs(here / "kept")
    assert len(written) == (3 if moment.startswith("after") else 2)
    besides = {".sweep"} if moment.startswith("after") else {".sweep", ".sppo-"}
    assert {name[:6] for name in set(files(here / "kept")) - set(written)} == besides
    simlab("collect", "kept")
    finish("kept")
    assert runs(here / "kept") == runs(whole) and written.items() <= runs(whole).items()
    assert files(here / "kept") == files(whole)


def run(folder: Path) -> store.Stored:
    metadata = {"identity": "0" * 64, "versions": json.dumps({"simlab": "0.0.9"}), "sources": ""}
    return store.made(store.place(folder, "egpo-blend", "0" * 64), {"step": np.arange(3)}, metadata)


class TestLeftovers:
    def test_who_is_alive_is_left_alone(self, here: Path) -> None:
        path = run(here).path
        with leftovers.sweep_folder(here) as folder, store.replacing(path) as temporary:
            leftovers.clear(here)
            assert temporary.exists() and folder.exists()
        assert files(here) == [path.name]

    def test_also_in_another_process(self, here: Path) -> None:
        code = """
import pathlib
from simlab import store
with store.replacing(pathlib.Path("egpo-blend-000000000000.parquet")):
    print(flush=True)
    input()
"""
        command, pipes = [sys.executable, "-c", code], {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, cwd=here, env=environ(), **pipes) as process:
            process.stdout.readline()  # type: ignore[union-attr]
            (temporary,) = files(here)
            leftovers.clear(here)
            assert files(here) == [temporary]
            process.kill()
            process.wait()
        leftovers.clear(here)
        assert files(here) == []

    def test_what_is_not_ours_is_left_alone(self, here: Path) -> None:
        (here / ".sweep-01234567").mkdir()
        for path in (".notes.tmp", ".egpo-blend.abcdefgh.tmp", "egpo-blend-000000000000.abcdefgh.tmp", ".sweep-01234567/log"):
            (here / path).touch()
        before = files(here)
        leftovers.clear(here)
        leftovers.clear(here / "nowhere")
        assert files(here) == before

    def test_what_was_taken_for_dead_before_it_was_locked_is_made_anew(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        lock, taken = fcntl.flock, []

        def late(handle: int, how: int) -> None:
            if not taken:
                taken.extend(here.glob(".*.tmp"))
                taken[0].unlink()
            lock(handle, how)

        monkeypatch.setattr(fcntl, "flock", late)
        with store.replacing(run(here).path) as temporary:
            leftovers.clear(here)
            assert len(taken) == 1 and temporary.exists() and temporary not in taken

    def test_without_locks_nothing_is_cleared(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def none(handle: int, how: int) -> None:
            raise OSError("no locks here")

        (here / ".egpo-blend-000000000000.abcdefgh.tmp").touch()
        monkeypatch.setattr(fcntl, "flock", none)
        store.write(run(here))
        leftovers.clear(here)
        assert len(files(here)) == 2


FULL = """
mkdir disk && mount -t tmpfs -o size=4m tmpfs disk && touch mounted || exit 0
head -c $((4 * 1024 * 1024 - ROOM)) /dev/zero > disk/filler
"$@" > /dev/null 2> full.err; echo $? > full.status
cp -r disk/kept full
head -c 4000000 /dev/zero >> disk/filler
"$@" > /dev/null 2> start.err; echo $? > start.status
rm disk/filler
"$@" > freed.out 2> freed.err; echo $? > freed.status
cp -r disk/kept freed
"""
LARGE = ("run", "-m", "env=blend", "steps=4000", "record=every", "feedback=duels", "seed=0,1,2")


@pytest.mark.slow
def test_a_full_disk_costs_only_what_did_not_fit(here: Path) -> None:
    if not shutil.which("unshare"):
        pytest.skip("a small disk needs unshare")
    assert simlab(*LARGE, "store=whole").status == 0
    size = max(path.stat().st_size for path in (here / "whole").iterdir())
    assert store.ROOM < size < 2**20
    command = [sys.executable, "-m", "simlab", *LARGE, "store=disk/kept"]
    alone = ["unshare", "-rm", "sh", "-c", FULL, "sh"]
    subprocess.run([*alone, *command], cwd=here, env=environ(ROOM=str(3 * size // 2)), capture_output=True)
    if not (here / "mounted").exists():
        pytest.skip("a small disk cannot be mounted here")
    whole, written = runs(here / "whole"), runs(here / "full")
    assert len(written) == 1 and files(here / "full") == sorted(written)
    line = r"simlab: .* seed=\d store=disk/kept: store=disk/kept: must be a folder that can be written \(\S+: No space left on device\)\n"
    assert re.fullmatch(f"({line}){{2}}", (here / "full.err").read_text())
    line = r"simlab: store=disk/kept: must be a folder that can be written \(\S+: No space left on device\)\n"
    assert re.fullmatch(line, (here / "start.err").read_text())
    assert [(here / f"{name}.status").read_text() for name in ("full", "start", "freed")] == ["1\n", "2\n", "0\n"]
    assert (here / "freed.err").read_text() == "" and "1 already there" in (here / "freed.out").read_text()
    assert runs(here / "freed") == whole and files(here / "freed") == files(here / "whole")


@pytest.mark.slow
def test_sweeps_share_a_folder(here: Path, whole: Path) -> None:
    more = (*SWEEP[:-1], "steps=50,60")
    assert simlab("run", "-m", *more, "store=more").status == 0
    together = [started("run", "-m", *words, "store=kept", cwd=here) for words in (more, SWEEP[::-1])]
    for process in together:
        assert process.communicate()[1] == "" and process.returncode == 0
    assert runs(here / "kept") == runs(here / "more") and runs(whole).items() <= runs(here / "more").items()
    assert files(here / "kept") == files(here / "more")


@pytest.mark.parametrize("words", [("feedback=duels", "seed=1,2"), ("seeds=3",)], ids=["labels", "draws"])
def test_a_method_that_is_left_out_changes_no_other(words: tuple[str, ...], here: Path) -> None:
    blend = ("env=blend", "steps=20", *words)
    assert simlab("run", "-m", "algorithm=egpo,sppo,nash_md", *blend, "store=all").status == 0
    assert simlab("run", "-m", "algorithm=nash_md,egpo", *blend, "store=some").status == 0
    every, some = runs(here / "all"), runs(here / "some")
    assert some.items() <= every.items() and 3 * len(some) == 2 * len(every) == 12 - 6 * (len(words) == 1)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


class TestRedo:
    def test_a_run_that_failed_is_run_again(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(experiment: SelfPlay) -> None:
            if experiment.beta == 0.2:
                raise MemoryError("no memory")

        words = ("run", "-m", "beta=0.1,0.2,0.3", "steps=10", "store=kept")
        with monkeypatch.context() as patch:
            before = SelfPlay.run
            patch.setattr(SelfPlay, "run", lambda experiment: fail(experiment) or before(experiment))
            status, out, err = simlab(*words)
        assert (status, err.count("\n")) == (1, 1) and "beta=0.2" in err and "no memory" in err and "1 failed" in out
        assert len(runs(here / "kept")) == len(files(here / "kept")) == 2
        status, out, err = simlab(*words)
        assert (status, err) == (0, "") and "3 runs in kept, 2 already there" in out and len(runs(here / "kept")) == 3

    def test_where_there_are_rows_there_is_the_figure(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        words = ("train", "scaled=table", "steps=2", "store=kept")
        with monkeypatch.context() as patch:
            patch.setattr(SelfPlayTraining, "keep", interrupt)
            assert simlab(*words).status == 130
        assert [Path(name).suffix for name in files(here / "kept")] == [".checkpoint"]
        assert simlab(*words).status == 0
        assert {path.suffix for path in (here / "kept").iterdir()} == {".parquet", ".png"}

    def test_one_that_did_not_stay_finite_is_a_result(self, here: Path) -> None:
        words = ("run", "-m", "algorithm=sppo", "algorithm.rate=1,1e308", "env=blend", "steps=50", "store=kept")
        first = simlab(*words)
        stored = [store.read(path) for path in sorted((here / "kept").iterdir())]
        assert sorted("nonfinite" in each.column("status") for each in stored) == [False, True]
        times = [each.path.stat().st_mtime_ns for each in stored]
        again = simlab(*words)
        assert [first.status, again.status] == [1, 1], "each time the status says it"
        assert "2 runs in kept, 2 already there, 1 failed" in again.out and again.out.count("nonfinite") == first.out.count("nonfinite") > 0
        assert [each.path.stat().st_mtime_ns for each in stored] == times


def tree(here: Path) -> Path:
    """A copy of what the command runs."""
    for package in ("simlab", "envs", "algorithms", "scaled", "conf", "theory"):
        shutil.copytree(ROOT / package, here / "tree" / package, ignore=shutil.ignore_patterns("__pycache__"))
    return here / "tree"


OTHER_STEP = """
_tableau = EGPO.tableau
EGPO.tableau = lambda self, beta, **options: _tableau(EGPO(0.125), beta, **options)
"""


class TestOtherCode:
    @pytest.mark.slow
    def test_an_edit_of_the_sources_runs_anew_and_says_so(self, here: Path) -> None:
        home = tree(here)

        def command() -> tuple[str, str, dict[str, bytes]]:
            words = ("-B", "-m", "simlab", "run", "algorithm=egpo", "steps=5", "store=kept")
            status, out, err = python(*words, cwd=here, PYTHONPATH=str(home), NUMBA_DISABLE_JIT="1")
            assert status == 0, err
            return out, err, runs(here / "kept")

        out, err, first = command()
        assert "already there" not in out and err == ""
        out, err, again = command()
        assert "already there" in out and err == "" and again == first
        with (home / "algorithms" / "egpo.py").open("a") as file:
            file.write(OTHER_STEP)
        out, err, edited = command()
        assert "already there" not in out and "1 of 1 file hold numbers of other code (1 of other sources)" in err and err.count("\n") == 1
        assert len(edited) == 2 and len(set(edited.values())) == 2 and first.items() <= edited.items()
        source = home / "simlab" / "__init__.py"
        source.write_text(source.read_text().replace('__version__ = "', '__version__ = "9.'))
        out, err, newer = command()
        assert "already there" not in out and len(newer) == 3 and edited.items() <= newer.items()
        assert re.search(r"2 of 2 files hold numbers of other code \(2 of simlab \d+\.\d+\.\d+\)", err)

    def test_a_changed_input_file_runs_anew(self, here: Path) -> None:
        words = ("run", "env=recorded", "env.path=counts.csv", "steps=5", "store=kept")
        found = []
        for number in (4, 5):
            (here / "counts.csv").write_text(f"winner,loser,count\na,b,3\nb,c,{number}\n")
            outcome = simlab(*words)
            assert (outcome.status, outcome.err) == (0, "") and "already there" not in outcome.out
            found.append(runs(here / "kept"))
        assert len(found[1]) == 2 and len(set(found[1].values())) == 2 and found[0].items() <= found[1].items()

    def test_all_kinds_of_runs_are_of_this_code(self, here: Path) -> None:
        for words in (["env=cyclic", "steps=5"], ["env=pairs", "algorithm=dpo", "env.n=100"]):
            assert simlab("run", *words, "store=kept")[::2] == (0, "")
        assert simlab("train", "scaled=table", "steps=2", "store=kept")[::2] == (0, "")
        (here / "kept" / "notes.parquet").touch()
        assert provenance.strangers(here / "kept") is None and provenance.strangers(here / "none") is None

    def test_a_large_folder_is_looked_at_here_and_there(self, here: Path) -> None:
        stranger = run(here / "kept")
        store.write(stranger)
        for number in range(1, 4 * provenance.MOST):
            os.link(stranger.path, stranger.path.with_name(f"egpo-blend-{number:012x}.parquet"))
        began = time.monotonic()
        found = provenance.strangers(here / "kept")
        assert time.monotonic() - began < 1
        assert re.fullmatch(r"(1,000) of \1 files looked at \(4,000 are there\) hold numbers of other code \(\1 of simlab 0\.0\.9\)", found)
        err = simlab("run", "steps=5", "store=kept").err
        assert err.count("\n") == 1 and err.startswith("simlab: store=kept: ") and "simlab 0.0.9" in err


def on_a_terminal(*words: str, cwd: Path) -> tuple[str, str]:
    """Standard output, through a pipe, and standard error, on a terminal."""
    ours, theirs = pty.openpty()
    environment = environ(TERM="xterm", COLUMNS="140")
    process = subprocess.Popen([sys.executable, "-m", "simlab", *words], cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # so it ends
        while True:
            shown += os.read(ours, 4096)
    os.close(ours)
    return process.communicate()[0].decode(), shown.decode()


def test_a_terminal_shows_how_many_runs_are_left(here: Path) -> None:
    words = ("run", "-m", "steps=10", "store=kept")
    simlab(*words, "beta=0.1")
    out, shown = on_a_terminal(*words, "beta=0.1,0.2,0.3,0.4", cwd=here)
    assert "0 of 4, 1 already there, 3 left" in shown and "\r" in shown
    assert re.search(r"[123] of 4, 1 already there, [210] left", shown)
    assert len(out.splitlines()) == 6 and "left" not in out and "\x1b" not in out


def test_without_a_terminal_there_is_no_bar_even_in_colours(here: Path) -> None:
    status, out, err = python("-m", "simlab", "run", "-m", "beta=0.1,0.2", "steps=10", cwd=here, FORCE_COLOR="1")
    assert (status, err) == (0, "") and "left" not in out


def test_the_bar_counts_runs_that_end_and_not_those_that_were_there() -> None:
    from rich.console import Console

    from simlab.terminal import Bar

    bar = Bar(4, {0}, Console(file=io.StringIO()), shown=False)
    said = [bar.tasks[0].description]
    for number in (1, 0, 3):
        bar.ended(number)
        said.append(bar.tasks[0].description)
    assert said[0].startswith("0 of 4, 1 already there, 3 left (")
    assert said[1:] == ["1 of 4, 1 already there, 2 left"] * 2 + ["2 of 4, 1 already there, 1 left"]
    assert (bar.tasks[0].completed, bar.tasks[0].total) == (2, 3)


def test_a_run_that_is_told_of_twice_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    """By the process that ran it and by the one that looks for it, at any time."""
    assert simlab("run", "-m", "beta=0.1,0.2", "steps=5").status == 0
    planned = plan(parse("run", ["-m", "beta=0.1,0.2", "steps=5"]))
    found = recall(checked(planned.jobs[0].config))
    with screen(planned, found.experiment.figures, set()) as shown:
        threads = [Thread(target=shown.finished, args=(0, found)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert shown.waiting() == [1]
    assert capsys.readouterr().out.count(found.stored.path.name) == 1

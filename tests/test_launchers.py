"""Launchers: the same rows wherever runs happen, deaths that stop no other run, and nothing left behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from command import ROOT, Outcome, environ, files, python, simlab
from conftest import Score
from hydra import compose, initialize_config_module

from simlab.store import read

WORLD = '''
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from envs.cyclic import Cyclic


@dataclass(frozen=True, kw_only=True)
class Fateful(Cyclic):
    """Rock, scissors, paper with a fate, which it meets in any process but the one that asked."""

    fate: str = "lives"

    def preference(self, rng):
        if str(os.getpid()) != os.environ["ASKED_BY"]:
            getattr(self, self.fate)()
        return super().preference(rng)

    def lives(self):
        pass

    def fails(self):
        raise RuntimeError("as told")

    def dies(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def sleeps(self):
        Path("asleep").touch()
        time.sleep(600)

    def lingers(self):
        note = Path(f"note-{os.getpid()}")
        if not note.exists():
            began = time.time()
            time.sleep(1)
            note.write_text(f"{began} {time.time()}")
'''

COUNTING = """
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore


@dataclass
class Conf:
    _target_: str = "hydra_plugins.counting.CountingLauncher"


ConfigStore.instance().store(group="hydra/launcher", name="counting", node=Conf, provider="test")


class CountingLauncher(BasicLauncher):
    def launch(self, job_overrides, initial_job_idx):
        with Path("counted").open("a") as file:
            file.write(f"{len(job_overrides)} ")
        return super().launch(job_overrides, initial_job_idx)
"""

IMPATIENT = "from submitit.core.core import Job; Job._results_timeout_s = 2\n"
"""The seconds that submitit waits for the result of a job that died, which are 15."""

MAIN = "import os, sys; os.environ['ASKED_BY'] = str(os.getpid()); from simlab.cli import main; sys.exit(main())"


def slurm_runs() -> bool:
    """Whether its controller answers; where there is none, sinfo itself would wait for it longer."""
    try:
        return subprocess.run(["sinfo"], capture_output=True, timeout=3).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False


needs = {
    "joblib": pytest.mark.skipif(not find_spec("joblib"), reason="joblib is not installed"),
    "submitit_local": pytest.mark.skipif(not find_spec("submitit"), reason="submitit is not installed"),
    "slurm": pytest.mark.skipif(not (find_spec("submitit") and slurm_runs()), reason="no SLURM here"),
    "ray": pytest.mark.skipif(not find_spec("ray"), reason="ray is not installed"),
}


def each(*names: str) -> Callable:
    return pytest.mark.parametrize("launcher", [pytest.param(name, marks=needs[name]) for name in names])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory, far from the package, with a world and a launcher of the user's."""
    (tmp_path / "study" / "env").mkdir(parents=True)
    (tmp_path / "study" / "hydra_plugins").mkdir()
    cyclic = (ROOT / "conf/env/cyclic.yaml").read_text().replace("envs.cyclic.Cyclic", "fateful.Fateful")
    (tmp_path / "study/env/fateful.yaml").write_text(f"{cyclic}\n# what becomes of the run\nfate: lives\n")
    (tmp_path / "study/fateful.py").write_text(WORLD)
    (tmp_path / "study/hydra_plugins/counting.py").write_text(COUNTING)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sweep(here: Path, *words: object, first: str = "") -> Outcome:
    """A sweep in a process of its own, which does something first."""
    return python("-P", "-c", first + MAIN, "run", "-cd", "study", "-m", *words, cwd=here, PYTHONPATH=f"{ROOT}:{here / 'study'}")


def stored(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


class TestRows:
    @pytest.mark.slow
    @each("joblib", "submitit_local", "slurm", "ray")
    def test_they_and_their_files_do_not_depend_on_the_launcher(self, launcher: str, here: Path, score: Score) -> None:
        words = ["env=blend", "algorithm=egpo,sppo", "feedback=duels", "steps=20", "seeds=40"]
        assert simlab("run", "-m", *words, "store=basic").status == 0
        status, out, err = sweep(here, f"launcher={launcher}", *words, "store=other")
        assert (status, err) == (0, "")
        assert files(here / "other") == files(here / "basic")
        assert [path.name for path in stored(here / "other")] == [path.name for path in stored(here / "basic")]
        for one, other in zip(stored(here / "basic"), stored(here / "other"), strict=True):
            assert read(one).table.equals(read(other).table)
            assert one.name in out
        assert len(stored(here / "other")) == 2 and "already there" not in out
        score("runs whose rows are the same bits in other processes", 2, 2)

    def test_the_name_of_the_launcher_is_not_in_them(self, here: Path) -> None:
        for name in ("basic", "joblib"):
            assert simlab("run", f"launcher={name}", "steps=5", f"store={name}").status == 0
        (one,), (other,) = stored(here / "basic"), stored(here / "joblib")
        assert one.name == other.name


class TestFailures:
    @pytest.mark.slow
    @each("joblib", "submitit_local", "slurm")
    def test_they_stop_no_other_run(self, launcher: str, here: Path) -> None:
        words = [f"launcher={launcher}", "env=fateful", "env.fate=dies,lives,fails", "steps=5", "store=kept"]
        status, out, err = sweep(here, *words, first=IMPATIENT if launcher == "submitit_local" else "")
        assert status == 1
        assert "3 runs in kept, 2 failed" in out
        assert len(stored(here / "kept")) == 1
        lines = err.splitlines()
        assert sorted(re.search(r"env\.fate=(\w+)", line)[1] for line in lines) == ["dies", "fails"]
        assert all(line.startswith("simlab: ") and ("as told" in line) == ("env.fate=fails" in line) for line in lines)

        log = re.search(r"its log is (\S+)\n", err)
        assert (log is None) == (launcher == "joblib")
        if log:
            assert Path(log[1]).is_relative_to(here / "kept")
            again = sweep(here, f"launcher={launcher}", "env=fateful", "env.fate=lives", "steps=5", "store=kept")
            assert "already there" in again.out and Path(log[1]).is_file()


class TestBatches:
    @pytest.mark.slow
    @each("submitit_local")
    def test_no_more_runs_than_one_holds_are_under_way(self, launcher: str, here: Path) -> None:
        size = "hydra.sweeper.max_batch_size=2"
        status, _, err = sweep(here, f"launcher={launcher}", size, "env=fateful", "env.fate=lingers", "beta=1,2,3", "steps=5")
        assert (status, err) == (0, "")
        assert len(stored(here / "simlab_store")) == 3
        notes = [tuple(map(float, note.read_text().split())) for note in here.glob("note-*")]
        assert len(notes) == 3
        assert all(sum(began <= moment < ended for began, ended in notes) <= 2 for moment, _ in notes)

    @pytest.mark.slow
    def test_their_sizes(self, here: Path) -> None:
        words = ["run", "-cd", "study", "-m", "hydra/launcher=counting", "beta=1,2,3", "steps=5"]
        twice = [[*words, f"hydra.sweeper.max_batch_size={most}", f"store=of-{most}"] for most in (2, "null")]
        code = f"from simlab.cli import main; print([main(words) for words in {twice}])"
        out = python("-P", "-c", code, cwd=here, PYTHONPATH=f"{ROOT}:{here / 'study'}").out
        assert out.splitlines()[-1] == "[0, 0]"
        assert (here / "counted").read_text().split() == ["2", "1", "3"]

    @pytest.mark.slow
    def test_only_what_is_missing_is_launched(self, here: Path) -> None:
        words = ["hydra/launcher=counting", "beta=1,2,3", "steps=5"]
        assert simlab("run", "-m", *words[1:]).status == 0
        gone, damaged, _ = stored(here / "simlab_store")
        gone.unlink()
        damaged.write_bytes(b"half")
        status, out, err = sweep(here, *words)
        assert (status, err) == (0, "")
        assert len(out.splitlines()) == 5
        sweep(here, *words)
        assert (here / "counted").read_text().split() == ["2"]

    @pytest.mark.slow
    def test_a_size_that_is_none_is_refused(self, here: Path) -> None:
        status, _, err = sweep(here, "hydra/launcher=counting", "hydra.sweeper.max_batch_size=0", "beta=1,2")
        assert status == 2
        assert err == "simlab: hydra.sweeper.max_batch_size=0: must be an integer >= 1, or null: all in one\n"

    def test_those_of_slurm_fit_into_an_array(self) -> None:
        pytest.importorskip("submitit")
        with initialize_config_module("conf", version_base="1.3"):
            config = compose("run", ["launcher=slurm", "threads=3"], return_hydra_config=True)
        assert 1 <= config.hydra.sweeper.max_batch_size < 1000
        assert config.hydra.launcher.cpus_per_task == 3


@pytest.mark.slow
@each("joblib", "submitit_local", "slurm")
@pytest.mark.parametrize("kill", [os.kill, os.killpg], ids=["the command alone", "all at the terminal"])
def test_ctrl_c_leaves_no_process(launcher: str, kill: Callable[[int, int], None], here: Path) -> None:
    mark = f"LAUNCHED_IN={here}"
    words = ["run", "-cd", "study", "-m", f"launcher={launcher}", "env=fateful", "env.fate=sleeps", "beta=1,2", "store=kept"]
    environment = environ(PYTHONPATH=f"{ROOT}:{here / 'study'}", LAUNCHED_IN=str(here))
    command = [sys.executable, "-P", "-c", MAIN, *words]
    with subprocess.Popen(command, cwd=here, env=environment, stdout=-1, stderr=-1, text=True, start_new_session=True) as process:
        assert within(120, (here / "asleep").exists)
        kill(process.pid, signal.SIGINT)
        err = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "simlab: interrupted" in err
    assert within(30, lambda: not running(mark)), running(mark)
    assert not stored(here / "kept")


def within(seconds: float, condition: Callable[[], object]) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
    return bool(condition())


def running(mark: str) -> list[str]:
    """Processes that hold a mark in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


class TestRefusals:
    def test_a_package_that_is_missing(self, here: Path) -> None:
        extras = {"joblib": "joblib", "slurm": "slurm", "submitit_local": "slurm", "ray": "ray"}
        without = "import hydra_plugins; hydra_plugins.__path__ = []" if find_spec("hydra_plugins") else ""
        each = [["run", "-m", f"launcher={launcher}", "beta=1,2"] for launcher in extras]
        status, out, err = python("-c", f"{without}\nfrom simlab.cli import main\nprint([main(words) for words in {each}])", cwd=here)
        assert (status, out) == (0, "[2, 2, 2, 2]\n")
        assert err.splitlines() == [
            f"simlab: launcher={launcher}: must be installed: pip install 'simlab[{extra}]'" for launcher, extra in extras.items()
        ]

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ("launcher=basic,joblib", "launcher: must be one for all runs"),
            ("launcher=jblib", "launcher=jblib: must be one of basic, joblib, ray, slurm, submitit_local (did you mean joblib?)"),
            ("launcher=joblib hydra.launcher.jobs=2", "Key 'jobs' not in 'JobLibLauncherConf'"),
        ],
    )
    def test_in_one_line_before_anything_runs(self, words: str, said: str, here: Path) -> None:
        before = files(here)
        status, out, err = simlab("run", "-m", *words.split(), "beta=1,2", "steps=5")
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert said in err
        assert files(here) == before

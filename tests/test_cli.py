"""What a user meets at the command line: help, runs, sweeps, and a directory that stays clean."""

import inspect
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import ROOT, files, python, simlab
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

import simlab as package
from simlab.checked import checked
from simlab.configuration import plan
from simlab.request import parse
from simlab.store import read

MEMBERS = sorted(f"{path.parent.name}/{path.stem}" for path in (ROOT / "conf").glob("*/*.yaml"))
WHOLE = {path.stem for path in (ROOT / "notebooks").glob("*.py")} - {"noise_intransitivity", "stability_map"}
"""Experiments whose every setting is run in `test_notebooks`."""
BUILT = [name for name in MEMBERS if name.partition("/")[0] in ("env", "algorithm", "feedback", "start")]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stored(here: Path, folder: str = "simlab_store") -> list[Path]:
    return sorted((here / folder).glob("*.parquet"))


class TestHelp:
    @pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
    def test_it_names_the_commands(self, words: list[str]) -> None:
        status, out, err = simlab(*words)
        assert (status, err) == (0, "")
        assert "simlab run" in out and "simlab verify" in out

    def test_the_version(self) -> None:
        assert simlab("--version") == (0, f"simlab {package.__version__}\n", "")

    @pytest.mark.parametrize("words", [["--help"], ["--version"], ["run", "--help"], ["nonsense"]])
    def test_it_loads_nothing_heavy(self, words: list[str], here: Path) -> None:
        code = f"import sys; from simlab.cli import main; main({words}); print(sorted(name.partition('.')[0] for name in sys.modules))"
        loaded = python("-c", code, cwd=here).out.splitlines()[-1]
        assert "'simlab'" in loaded
        assert not [name for name in ("numpy", "hydra", "numba", "rich", "omegaconf", "pyarrow") if f"'{name}'" in loaded]

    def test_that_of_run_lists_every_member_and_key(self) -> None:
        out = simlab("run", "--help").out
        for group in ("env", "algorithm", "feedback", "start"):
            (line,) = re.findall(rf"^  {group} .*(?:\n   .*)*", out, re.MULTILINE)
            assert {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")} <= set(re.findall(r"\w+", line))
        for key in OmegaConf.load(ROOT / "conf/run.yaml"):
            assert key in ("defaults", "hydra") or re.search(rf"^  {key}  .*\S", out, re.MULTILINE)

    @pytest.mark.parametrize("name", BUILT)
    def test_a_member_is_explained_by_its_comments(self, name: str) -> None:
        group, _, member = name.partition("/")
        out = simlab("run", f"{group}={member}", "--help").out
        for key in keys(OmegaConf.load(ROOT / "conf" / f"{name}.yaml")):
            assert re.search(rf"^  {group}\.{re.escape(key)}  +\w", out, re.MULTILINE), key


def keys(node: DictConfig) -> list[str]:
    """Keys that hold values, with dots."""
    nested = [key for key in node if not OmegaConf.is_missing(node, key) and OmegaConf.is_dict(node[key])]
    below = [f"{key}.{name}" for key in nested for name in keys(node[key])]
    return [key for key in node if key not in nested and key != "_target_"] + below


class TestConf:
    @pytest.mark.parametrize("name", BUILT)
    def test_a_member_lists_the_fields_of_its_class(self, name: str) -> None:
        waiting = [OmegaConf.load(ROOT / "conf" / f"{name}.yaml")]
        while waiting:
            node = waiting.pop()
            own = set(inspect.signature(get_class(node["_target_"])).parameters)
            assert set(node) - {"_target_"} == own - {"beta"}  # which is the run's
            waiting += [node[key] for key in node if not OmegaConf.is_missing(node, key) and OmegaConf.is_dict(node[key])]


class TestOneRun:
    def test_it_leaves_one_file_and_says_where(self, here: Path) -> None:
        status, out, err = simlab("run", "steps=20", "start=far")
        assert (status, err) == (0, "")
        (path,) = stored(here)
        assert files(here) == ["simlab_store", f"simlab_store/{path.name}"]
        assert path.name.startswith("egpo-cyclic-") and path.name in out

    def test_its_page_holds_what_matters(self) -> None:
        out = simlab("run", "algorithm=nash_mp", "beta=0.25", "steps=30", "start=far", "env.n=5", "env.win=0.9").out
        frame = read(stored(Path())[0]).frame
        assert "policy ∝ policy^(1/(1 + η')) · reference^(η'/(1 + η')) · exp(1/(β + λ) P half)" in out
        assert "1/(β + λ) = 1.333" in out and "default" in out
        assert "K=5" in out and "intransitivity 1," in out and "no Condorcet winner" in out and "cyclic triangles 5" in out
        assert "60 preference queries, 60 gradient evaluations" in out
        assert re.search(rf"kl_to_equilibrium +\S+ +{re.escape(f'{frame.kl_to_equilibrium.iloc[-1]:.3g}')}\n", out)

    @pytest.mark.parametrize(("win", "clipped"), [(1.0, True), (0.9, False)])
    def test_a_clipped_intransitivity_is_said(self, win: float, clipped: bool) -> None:
        assert ("clipped" in simlab("run", "steps=1", f"env.win={win}").out) == clipped

    def test_duels_tell_their_labels(self) -> None:
        out = simlab("run", "algorithm=egpo", "steps=10", "feedback=duels", "feedback.per_action=4", "env.n=5").out
        assert "20 preference queries, 400 labels, 20 gradient evaluations" in out

    def test_sampled_pairs_tell_their_labels(self) -> None:
        out = simlab("run", "algorithm.pairs=6", "steps=10", "feedback=duels").out
        assert "20 preference queries, 240 labels, 20 gradient evaluations" in out

    def test_recorded_comparisons_are_described(self, here: Path) -> None:
        (here / "counts.csv").write_text("winner,loser,count\na,b,3\nb,c,4\n")
        out = simlab("run", "env=recorded", "env.path=counts.csv", "steps=5").out
        assert "3 items, 7 comparisons, 1 pair never compared, taken as ties; smoothing 0.5" in out
        assert "Condorcet winner 0" not in out

    def test_what_starts_at_an_equilibrium_is_said(self) -> None:
        assert "equilibrium already" in simlab("run", "steps=5", "start=reference").out
        assert "equilibrium already" not in simlab("run", "steps=5").out

    def test_a_schedule_is_told_by_its_ends(self) -> None:
        out = simlab("run", "algorithm=nash_md", "steps=10", "beta=0.5").out
        assert "η_t = 2 ... 0.3636" in out and "published schedule" in out

    def test_divergence_is_told_with_its_iteration(self, here: Path) -> None:
        out = simlab("run", "algorithm=sppo", "algorithm.rate=8", "env.win=0.9", "start=far", "start.spread=0.1", "steps=2000").out
        frame = read(stored(here)[0]).frame
        assert set(frame.status) == {"diverged"}
        assert f"diverged (from iteration {frame.status_step.iloc[0]} on)" in out

    def test_a_second_time_it_is_only_read(self, here: Path) -> None:
        first = simlab("run", "steps=20", "start=far", "seeds=3")
        (path,) = stored(here)
        before = path.stat().st_mtime_ns, path.read_bytes()
        second = simlab("run", "steps=20", "start=far", "seeds=3")
        assert (path.stat().st_mtime_ns, path.read_bytes()) == before
        assert "already there" in second.out and "already there" not in first.out
        assert first.out.splitlines()[:-1] == second.out.splitlines()[:-1]

    @pytest.mark.parametrize(
        "words", [["env=cyclic"], ["env=matrix", "env.rows=[[0.5,0.9],[0.1,0.5]]"], ["env=bradley_terry", "env.scores=[0,1]"]]
    )
    def test_where_nothing_is_random_many_seeds_run_once(self, words: list[str], here: Path) -> None:
        out = simlab("run", *words, "start=reference", "steps=20", "seeds=8", "seed=5").out
        assert "8 asked for, but nothing here is random: run once" in out
        assert set(read(stored(here)[0]).frame.seed) == {0}
        assert "already there" in simlab("run", *words, "start=reference", "steps=20").out

    @pytest.mark.parametrize("words", [["env=blend"], ["start=far"], ["feedback=duels"], ["env.reference=random"], ["algorithm.pairs=2"]])
    def test_where_something_is_random_every_seed_runs(self, words: list[str], here: Path) -> None:
        assert "run once" not in simlab("run", *words, "steps=20", "seeds=3").out
        frame = read(stored(here)[0]).frame
        last = frame[frame.step == 20]
        assert list(last.seed) == [0, 1, 2]
        assert last.exploitability.nunique() == 3

    def test_numbers_do_not_depend_on_threads(self, here: Path) -> None:
        words = ["env=blend", "feedback=duels", "seeds=40", "steps=10"]
        for threads in (1, 2):
            simlab("run", *words, f"threads={threads}", f"store=with_{threads}")
        one, two = (read(stored(here, f"with_{threads}")[0]) for threads in (1, 2))
        assert one.path.name == two.path.name
        assert one.table.equals(two.table)

    def test_the_configuration_can_be_seen_without_a_run(self, here: Path) -> None:
        code = "import sys; from simlab.cli import main; sys.exit(main(['run', 'env=blend', 'beta=0.25', '--cfg', 'job']))"
        status, out, err = python("-c", code, cwd=here)
        assert (status, err) == (0, "")
        assert OmegaConf.create(out).beta == 0.25
        assert files(here) == []


class TestMeasures:
    def columns(self, here: Path) -> set[str]:
        return set(read(stored(here)[0]).frame.columns) - {"seed", "context", "step", "queries", "gradients", "status", "status_step"}

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            ([], {"exploitability", "original_exploitability", "kl_to_equilibrium"}),
            (["beta=0"], {"exploitability", "original_exploitability"}),
            (["measure=duality_gap"], {"duality_gap"}),
            (["measure=[average_kl_to_reference,kl_to_reference]"], {"average_kl_to_reference", "kl_to_reference"}),
        ],
    )
    def test_the_ones_that_apply_are_taken(self, words: list[str], expected: set[str], here: Path) -> None:
        assert simlab("run", "steps=5", *words).status == 0
        assert self.columns(here) == expected

    @pytest.mark.parametrize("algorithm", ["sppo", "dno"])
    def test_a_method_that_seeks_the_original_game_is_judged_on_its_average_too(self, algorithm: str, here: Path) -> None:
        simlab("run", f"algorithm={algorithm}", "steps=5", "beta=0")
        assert self.columns(here) == {
            "exploitability",
            "original_exploitability",
            "average_exploitability",
            "average_original_exploitability",
        }

    @pytest.mark.parametrize(("record", "expected"), [("every", [0, 1, 2, 3, 4]), ("[1,4]", [1, 4]), ("[3]", [3])])
    def test_recorded_iterations(self, record: str, expected: list[int], here: Path) -> None:
        assert simlab("run", "steps=4", f"record={record}").status == 0
        assert list(read(stored(here)[0]).frame.step) == expected


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "conf/experiment").glob("*.yaml") if path.stem not in WHOLE))
def test_an_experiment_that_is_shipped_can_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # where examples/ is
    for job in plan(parse("run", [f"experiment={name}"])).jobs:
        assert checked(job.config).figures


class TestSweep:
    def test_one_file_for_each_combination(self, here: Path) -> None:
        words = ["env=blend", "env.intransitivity=0,0.5,1", "algorithm=egpo,nash_mp", "steps=10", "seeds=4"]
        status, out, err = simlab("run", "-m", *words)
        assert (status, err) == (0, "")
        assert len(stored(here)) == 6
        assert files(here) == ["simlab_store", *(f"simlab_store/{path.name}" for path in stored(here))]
        lines = out.splitlines()
        assert len(lines) == 8
        assert lines[0].split()[:2] == ["intransitivity", "algorithm"]
        assert [line.split()[:2] for line in lines[1:-1]] == [[share, name] for share in ("0", "0.5", "1") for name in ("egpo", "nash_mp")]
        assert all(path.name in out for path in stored(here))

    def test_its_lines_agree_with_its_files(self, here: Path) -> None:
        line = simlab("run", "-m", "env=blend", "beta=0.1,0.3", "steps=10", "seeds=5").out.splitlines()[1]
        path = here / "simlab_store" / re.search(r"\S+\.parquet", line)[0]
        last = read(path).frame.query("step == 10")
        assert line.split()[0] == "0.1"
        shown = [f"{last[name].median():.3g}" for name in ("exploitability", "original_exploitability", "kl_to_equilibrium")]
        assert line.split()[1:4] == shown

    def test_keys_of_a_swept_member_may_be_set(self, here: Path) -> None:
        status, _, err = simlab("run", "-m", "env=blend,tournament", "env.actions=4", "steps=5")
        assert (status, err) == (0, "")
        assert {OmegaConf.create(read(path).metadata["config"]).env.actions for path in stored(here)} == {4}

    def test_started_again_it_runs_what_is_missing(self, here: Path) -> None:
        simlab("run", "-m", "beta=0.1,0.2,0.3", "steps=10")
        gone, *kept = stored(here)
        gone.unlink()
        times = [path.stat().st_mtime_ns for path in kept]
        out = simlab("run", "-m", "beta=0.1,0.2,0.3", "steps=10").out
        assert out.count("(already there)") == 2 and "3 runs in simlab_store, 2 already there" in out
        assert stored(here) == [gone, *kept]
        assert [path.stat().st_mtime_ns for path in kept] == times

    def test_a_run_that_fails_stops_no_other(self, here: Path) -> None:
        status, out, err = simlab("run", "-m", "algorithm=sppo", "algorithm.rate=1,1e308,2", "env=blend", "steps=500")
        assert (status, err) == (1, "")
        assert len(stored(here)) == 3
        assert "not finite" in out and "3 runs in simlab_store, 1 failed" in out

    def test_a_run_that_cannot_be_written_stops_no_other(self, here: Path) -> None:
        (here / "simlab_store").mkdir()
        simlab("run", "steps=10", "beta=0.2")
        (path,) = stored(here)
        path.unlink()
        path.mkdir()
        status, out, err = simlab("run", "-m", "steps=10", "beta=0.1,0.2,0.3")
        assert status == 1
        assert err.count("\n") == 1 and err.startswith("simlab: steps=10 beta=0.2: ") and path.name in err
        assert len([path for path in stored(here) if path.is_file()]) == 2
        assert "3 runs in simlab_store, 1 failed" in out
        assert not [name for name in files(here) if ".tmp" in name or ".sweep" in name]

    def test_a_swept_experiment(self, here: Path) -> None:
        folder = here / "study" / "experiment"
        folder.mkdir(parents=True)
        head = "# @package _global_\ndefaults:\n  - override /env: "
        (folder / "one.yaml").write_text(f"{head}blend\nenv:\n  intransitivity: 1.0\nsteps: 5\n")
        (folder / "two.yaml").write_text(f"{head}tournament\nsteps: 6\n")
        status, _, err = simlab("run", "-cd", "study", "-m", "experiment=one,two", "env.actions=4")
        assert (status, err) == (0, "")
        configs = [OmegaConf.create(read(path).metadata["config"]) for path in stored(here)]
        found = sorted((config.steps, config.env.actions, config.env.get("intransitivity")) for config in configs)
        assert found == [(5, 4, 1.0), (6, 4, None)]


LAUNCHER = '''
import os
from dataclasses import dataclass
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus


@dataclass
class Conf:
    _target_: str = "hydra_plugins.elsewhere.ElsewhereLauncher"


ConfigStore.instance().store(group="hydra/launcher", name="elsewhere", node=Conf, provider="test")


class ElsewhereLauncher(BasicLauncher):
    """Each run in a process of its own."""

    def launch(self, job_overrides, initial_job_idx):
        for number, overrides in enumerate(job_overrides):
            child = os.fork()
            if not child:
                os.close(1)
                os.open(os.devnull, os.O_WRONLY)
                super().launch([overrides], initial_job_idx + number)
                os._exit(0)
            os.waitpid(child, 0)
        return [JobReturn(status=JobStatus.COMPLETED) for _ in job_overrides]
'''


def test_runs_in_other_processes_are_shown_when_they_are_back(here: Path) -> None:
    plugins = here / "plugins" / "hydra_plugins"
    plugins.mkdir(parents=True)
    (plugins / "elsewhere.py").write_text(LAUNCHER)
    code = "import sys; from simlab.cli import main; sys.exit(main())"
    words = ["run", "-m", "hydra/launcher=elsewhere", "env=blend", "beta=0.1,0.2", "steps=5", "store=back"]
    status, out, err = python("-c", code, *words, cwd=here, PYTHONPATH=f"{ROOT}:{here / 'plugins'}")
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[1:3]] == ["0.1", "0.2"]
    assert len(stored(here, "back")) == 2 and "already there" not in out


def test_the_store_reads_with_pandas(here: Path) -> None:
    simlab("run", "env=blend", "env.contexts=2", "seeds=3", "steps=10", "feedback=duels")
    frame = pd.read_parquet(here / "simlab_store")
    steps = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert list(frame.columns[:5]) == ["seed", "context", "step", "queries", "gradients"]
    assert list(frame.columns[-2:]) == ["status", "status_step"]
    assert [tuple(row) for row in frame[["seed", "context", "step"]].to_numpy()] == [
        (seed, context, step) for seed in range(3) for context in range(2) for step in steps
    ]
    assert np.array_equal(frame.queries, 2 * frame.step)

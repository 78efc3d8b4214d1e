"""Files of results: named by what decides their numbers, and written whole or not at all."""

import json
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from command import ROOT, files, python, simlab
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from omegaconf import OmegaConf

from envs.invalid import Invalid
from simlab import store
from simlab.checked import checked
from simlab.configuration import plan
from simlab.finished import place
from simlab.request import parse

METADATA = {"identity": "0" * 64, "config": "β: 0.1\n"}
COUNTS = "winner,loser,count\na,b,3\nb,c,4\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a file of comparisons."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counts.csv").write_text(COUNTS)
    return tmp_path


def name(*words: str) -> str:
    """Where the rows of a command line would be kept."""
    (job,) = plan(parse("run", list(words))).jobs
    return place(checked(job.config)).name


class TestRoundTrip:
    @given(values=arrays(np.float64, st.integers(1, 50), elements=st.floats(width=64)), status=st.sampled_from(["ok", "diverged"]))
    def test_every_number_comes_back_as_it_was(self, values: np.ndarray, status: str, tmp_path_factory: pytest.TempPathFactory) -> None:
        path = tmp_path_factory.mktemp("store") / "beta=0.1" / "run.parquet"
        columns = {"step": np.arange(len(values)), "exploitability": values, "status": np.array([status] * len(values))}
        store.write(store.made(path, columns, METADATA))
        stored = store.read(path)
        assert stored.metadata == METADATA
        assert stored.table.column_names == list(columns)
        assert stored.column("exploitability").tobytes() == values.tobytes()
        assert list(stored.frame.status) == [status] * len(values)

    def test_a_run_describes_itself(self, here: Path) -> None:
        simlab("run", "env=blend", "algorithm=nash_md", "beta=0.25", "seeds=3", "steps=5", "store=kept")
        (path,) = (here / "kept").iterdir()
        said = store.read(path).metadata
        config = OmegaConf.create(said["config"])
        assert (config.beta, config.seeds, config.env._target_) == (0.25, 3, "envs.blend.Blend")
        assert set(json.loads(said["versions"])) == {"simlab", "python", "numpy", "numba", "scipy"}
        assert json.loads(said["world"])["games"] == 3
        assert said["method"].startswith("mixture ∝ policy^(1 - η_t β)")
        assert re.fullmatch("[0-9a-f]{64}", said["sources"])
        assert said["identity"].startswith(path.stem.rpartition("-")[2])
        assert float(said["seconds"]) > 0

    def test_a_file_of_others_is_refused(self, here: Path) -> None:
        pq.write_table(pq.ParquetFile(written(here / "one.parquet")).read().replace_schema_metadata({}), "other.parquet")
        for path, allowed in (("other.parquet", "simlab has written"), ("counts.csv", "parquet"), ("none.parquet", "existing file")):
            with pytest.raises(Invalid, match=allowed):
                store.read(path)


def written(path: Path) -> Path:
    store.write(store.made(path, {"step": np.arange(3)}, METADATA))
    return path


def write_half(path: Path, error: type[BaseException]) -> None:
    with store.replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise error


class TestAllOrNothing:
    @pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, SystemExit])
    def test_an_error_leaves_nothing(self, error: type[BaseException], here: Path) -> None:
        with pytest.raises(error):
            write_half(here / "run.parquet", error)
        assert files(here) == ["counts.csv"]

    def test_an_error_leaves_what_was_there(self, here: Path) -> None:
        path = written(here / "run.parquet")
        before = path.read_bytes()
        with pytest.raises(OSError):  # noqa: PT011
            write_half(path, OSError)
        assert path.read_bytes() == before

    def test_a_kill_leaves_no_file_of_the_final_name(self, here: Path) -> None:
        code = """
import os, pathlib, signal
from simlab import store
with store.replacing(pathlib.Path("run.parquet")) as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
        assert python("-c", code, cwd=here).status == -9
        assert not list(here.glob("*.parquet"))
        assert len(files(here)) == 2
        assert store.read(written(here / "run.parquet")).table.num_rows == 3

    def test_a_full_disk_is_one_line_and_no_file(self, here: Path) -> None:
        code = """
import resource, signal, sys
from simlab.cli import main
assert main(["run", "steps=5", "start=far", "store=warm"]) == 0
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
sys.exit(main(["run", "record=every", "steps=20000", "start=far", "store=kept"]))
"""
        status, _, err = python("-c", code, cwd=here)
        assert status == 1
        assert re.fullmatch(r"simlab: store=kept: must be a folder that can be written \(kept/\S+\.parquet: File too large\)\n", err)
        assert list((here / "kept").iterdir()) == []

    def test_a_process_that_dies_while_it_writes_leaves_no_file_of_the_final_name(self, here: Path) -> None:
        code = """
import pathlib, resource, signal
import numpy as np
from simlab import store
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
rows = {"step": np.random.default_rng(0).integers(0, 2**60, 100_000)}
store.write(store.made(pathlib.Path("run.parquet"), rows, {"identity": ""}))
"""
        assert python("-c", code, cwd=here).status == -signal.SIGXFSZ
        assert not (here / "run.parquet").exists()

    def test_files_have_the_usual_rights(self, here: Path) -> None:
        (here / "usual").touch()
        assert written(here / "run.parquet").stat().st_mode == (here / "usual").stat().st_mode


class TestFind:
    @pytest.mark.parametrize(
        "damage", [lambda content: content[: len(content) // 2], lambda content: b"", lambda content: content[:-1] + b"?"]
    )
    def test_a_damaged_file_is_written_anew(self, damage: object, here: Path) -> None:
        simlab("run", "steps=20", "start=far", "store=kept")
        (path,) = (here / "kept").iterdir()
        rows = store.read(path).table
        path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
        status, out, err = simlab("run", "steps=20", "start=far", "store=kept")
        assert (status, err) == (0, "") and "already there" not in out
        assert store.read(path).table.equals(rows)

    def test_a_file_that_only_bears_the_name_is_not_taken(self, here: Path) -> None:
        path = written(here / "run.parquet")
        assert store.find(path, METADATA["identity"]) is not None
        assert store.find(path, "0" * 63 + "1") is None


class TestName:
    def test_it_begins_with_method_and_world(self) -> None:
        assert re.fullmatch(r"nash_md-blend-[0-9a-f]{12}\.parquet", name("env=blend", "algorithm=nash_md"))

    @pytest.mark.parametrize(
        "words",
        [
            ["store=elsewhere"],
            ["threads=1"],
            ["beta=0.1"],
            ["beta=1e-1"],
            ["env.win=1"],
            ["env.win=1.0"],
            ["steps=1000", "record=log", "env=cyclic"],
            ["measure=[exploitability,original_exploitability,kl_to_equilibrium]"],
            ["seeds=7", "seed=3"],
            ["hydra.verbose=true"],
        ],
    )
    def test_what_decides_no_number_does_not_change_it(self, words: list[str]) -> None:
        assert name("start=reference", *words) == name("start=reference")

    def test_what_decides_numbers_changes_it(self) -> None:
        changed = [
            [],
            ["env=tournament"],
            ["env.n=4"],
            ["env.win=0.9"],
            ["env.reference=[0.2,0.3,0.5]"],
            ["algorithm=sppo"],
            ["algorithm.rate=1"],
            ["feedback.flip=0.1"],
            ["feedback=duels"],
            ["feedback=duels", "seed=1"],
            ["feedback=duels", "seeds=2"],
            ["feedback=duels", "feedback.per_action=2"],
            ["start=reference"],
            ["start=far", "start.spread=2"],
            ["beta=0.2"],
            ["beta=0"],
            ["steps=1001"],
            ["record=every"],
            ["measure=exploitability"],
        ]
        assert len({name(*words) for words in changed}) == len(changed)

    def test_it_is_the_same_from_everywhere(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        words = ["env=recorded", "steps=9"]
        from_here = name(*words, "env.path=counts.csv")
        (here / "below").mkdir()
        monkeypatch.chdir(here / "below")
        shutil.copy("../counts.csv", "copy.csv")
        assert {name(*words, f"env.path={path}") for path in ("../counts.csv", "copy.csv", here / "counts.csv")} == {from_here}

    def test_it_follows_the_content_of_a_file(self, here: Path) -> None:
        words = ["env=recorded", "env.path=counts.csv", "steps=5"]
        before = name(*words)
        simlab("run", *words)
        (here / "counts.csv").write_text(COUNTS.replace("4", "5"))
        assert name(*words) != before
        assert "already there" not in simlab("run", *words).out
        (here / "counts.csv").write_text(COUNTS)
        assert name(*words) == before

    def test_it_follows_the_sources_that_compute(self, tmp_path: Path) -> None:
        tree = tmp_path / "tree"
        for package in ("simlab", "envs", "algorithms", "conf"):
            shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))

        def digest() -> str:
            code = "from simlab.identity import sources; print(sources())"
            return python("-B", "-c", code, cwd=tmp_path, PYTHONPATH=str(tree)).out

        def edit(path: str) -> None:
            with (tree / path).open("a") as file:
                file.write("# edited\n")

        before = digest()
        edit("simlab/summary.py")
        edit("conf/run.yaml")
        assert digest() == before
        edit("envs/cyclic.py")
        assert digest() not in ("", before)


class TestWritable:
    def test_checking_leaves_nothing(self, here: Path) -> None:
        store.require_writable("new/folder")
        store.require_writable(str(here))
        assert files(here) == ["counts.csv"]

    @pytest.mark.parametrize("folder", ["counts.csv", "counts.csv/below", "/proc/1/none", "", None, 3])
    def test_what_cannot_hold_files_is_refused(self, folder: object) -> None:
        with pytest.raises(Invalid, match=r"^store="):
            store.require_writable(folder)

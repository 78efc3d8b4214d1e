"""What is shipped, what it imports, and that it works where it is installed."""

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("simlab", "envs", "algorithms", "theory", "scaled", "benchmarks", "conf")
NOT_SHIPPED = ("tests", "notebooks", "docs", "examples")
MEMBERS = {"env": "envs", "algorithm": "algorithms", "claim": "theory"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

slow_together = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]


def shipped_files(package: str) -> Iterator[Path]:
    for path in (ROOT / package).rglob("*"):
        parts = path.relative_to(ROOT).parts
        if path.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in parts):
            yield path


def sources() -> dict[str, set[str]]:
    """The modules of ours, and what each imports anywhere, as dotted names (`from a import b` gives a and a.b)."""
    files = {path: path.relative_to(ROOT).with_suffix("") for name in PACKAGES for path in shipped_files(name) if path.suffix == ".py"}
    return {".".join(name.parts).removesuffix(".__init__"): set(imports(path)) for path, name in files.items()}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


SOURCES = sources()


def top(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def reached(module: str) -> set[str]:
    """The modules of ours that importing `module` may bring in, at any depth."""
    found, waiting = set(), [module]
    while waiting:
        new = (SOURCES.get(waiting.pop(), set()) & SOURCES.keys()) - found
        found |= new
        waiting += new
    return found


def declared(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w-]+", requirement)[0].lower() for requirement in requirements}


DISTRIBUTIONS = {"pyspiel": ["open_spiel"], **packages_distributions()}
"""Of what is imported; OpenSpiel need not be installed."""


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_every_import_is_a_declared_dependency(module: str) -> None:
    core = declared(PROJECT["dependencies"])
    extras = PROJECT["optional-dependencies"]
    scaled = declared([name for extra in ("scaled", "lm", "vllm", "trackers") for name in extras[extra]])
    peers = scaled | declared(extras["bench"])
    allowed = {"envs": {"numpy", "scipy", "numba"}, "scaled": core | scaled, "benchmarks": core | peers}.get(module.partition(".")[0], core)
    for name in top(SOURCES[module]) - set(PACKAGES) - sys.stdlib_module_names:
        assert allowed & {found.lower() for found in DISTRIBUTIONS.get(name, [name])}, f"{module} imports {name}"


ABOVE = {
    "envs": {"algorithms", "simlab", "theory", "scaled", "benchmarks"},
    "algorithms": {"simlab", "theory", "scaled", "benchmarks"},
    "theory": {"scaled", "benchmarks"},
    "scaled": {"theory", "benchmarks"},
}


@pytest.mark.parametrize("module", sorted(name for name in SOURCES if name.partition(".")[0] in ABOVE))
def test_imports_go_downwards(module: str) -> None:
    package = module.partition(".")[0]
    below = reached(module)
    assert not top(below) & ABOVE[package]
    front_door = {name for name in below if name.startswith("simlab.") and top(SOURCES[name]) & {"theory", "scaled"}}
    assert not front_door, f"{module} stands below these"


@pytest.mark.parametrize("module", sorted(name for name in SOURCES if name.partition(".")[0] == "simlab"))
def test_the_front_door_names_no_member(module: str) -> None:
    members = {f"{package}.{path.stem}" for group, package in MEMBERS.items() for path in (ROOT / "conf" / group).glob("*.yaml")}
    assert not SOURCES[module] & members


def test_the_version_is_the_same_everywhere() -> None:
    version = PROJECT["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert version in (ROOT / "CHANGELOG.md").read_text()


def run(*command: object, cwd: Path | None = None, **environment: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")} | environment
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the tree, so that no earlier build can leak into it; made without network."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in (*PACKAGES, *NOT_SHIPPED):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, tree)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment: simlab from the wheel, its dependencies from the environment of the tests."""
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, symlinks=True)
    run(*pip(home), "install", "--quiet", "--no-index", "--no-deps", wheel)
    site = run(home / "bin" / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    Path(site, "dependencies.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))
    return home


def pip(home: Path) -> list[object]:
    return [sys.executable, "-m", "pip", "--python", home / "bin" / "python", "--disable-pip-version-check"]


class TestWheel:
    pytestmark = slow_together

    def test_it_holds_what_lies_in_the_packages_and_nothing_else(self, wheel: Path) -> None:
        held = {name for name in zipfile.ZipFile(wheel).namelist() if not name.startswith("simlab-")}
        assert held == {path.relative_to(ROOT).as_posix() for package in PACKAGES for path in shipped_files(package)}
        assert {f"{package}/py.typed" for package in PACKAGES if package != "conf"} <= held
        assert any(re.fullmatch(r"conf/\w+/\w+\.yaml", name) for name in held)

    def test_modules_come_from_it(self, installed: Path) -> None:
        code = f"import {', '.join(PACKAGES)}\nfor module in ({', '.join(PACKAGES)}): print(module.__file__)"
        files = [Path(line).resolve() for line in run(installed / "bin" / "python", "-c", code, cwd=installed).splitlines()]
        assert len(files) == len(PACKAGES)
        assert all(file.is_relative_to(installed.resolve()) for file in files)

    def test_its_dependencies_are_met(self, installed: Path) -> None:
        done = subprocess.run([str(part) for part in (*pip(installed), "check")], capture_output=True, text=True)
        assert not re.findall(r"^simlab .*", done.stdout, re.MULTILINE), done.stdout

    def test_a_sweep_runs_from_an_empty_directory(self, installed: Path, tmp_path: Path) -> None:
        store, here = tmp_path / "store", tmp_path / "here"
        here.mkdir()
        sweep = ["algorithm=egpo,nash_mp", "env=blend", "env.intransitivity=0,1", "steps=20", "seeds=4"]
        run(installed / "bin" / "simlab", "run", "-m", *sweep, f"store={store}", cwd=here, NUMBA_DISABLE_JIT="1")  # compiling takes longest
        files = list(store.rglob("*.parquet"))
        assert len(files) == 4
        assert all(pq.read_metadata(file).num_rows > 0 for file in files)

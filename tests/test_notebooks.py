"""Notebooks: each turns the rows of the experiment of its name into the figures that it promises, and holds no algorithm."""

import ast
import re
import runpy
from pathlib import Path

import jupytext
import pytest
from command import ROOT, simlab
from matplotlib.image import imread
from nbclient import NotebookClient
from nbformat import NotebookNode

from simlab.catalogue import CONF

FOLDER = ROOT / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
NINE = {
    "dpo_rdpo_crossover",
    "egpo_simulation",
    "nash_mp_queries",
    "noise_intransitivity",
    "pal_samples",
    "rdpo_slopes",
    "rps_simplex",
    "stability_map",
    "sushi",
}
MACHINERY = {"numba", "torch", "simlab.run", "simlab.packing", "algorithms.kernel", "algorithms.tableau", "algorithms.fit"}

OPENED = {"rps_simplex"}
"""Run in a Jupyter kernel; the others as scripts, as `make figures` does."""

SMALLER = {
    "dpo_rdpo_crossover": ["seeds=30"],
    "noise_intransitivity": ["grid={env.intransitivity:[0.0,0.5,1.0],feedback.flip:[0.0,0.2,0.4]}"],
    "pal_samples": ["seeds=10"],
    "stability_map": ["grid={beta:[0.001,0.0032,0.01,0.032,0.1],algorithm.rate:[0.01,0.022,0.046,0.1,0.22,0.46,1.0,2.2,4.6,10.0]}"],
}
"""Parts of experiments on which all that the notebook asserts holds."""

each = pytest.mark.parametrize("name", NAMES)


def source(name: str) -> str:
    return (FOLDER / f"{name}.py").read_text(encoding="utf-8")


def notebook(name: str) -> NotebookNode:
    return jupytext.reads(source(name), fmt="py:percent")


def code_lines(name: str) -> list[str]:
    lines = [line.strip() for cell in notebook(name).cells if cell.cell_type == "code" for line in cell.source.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def imported(tree: ast.AST) -> set[str]:
    """Modules, and what is taken from them, as in simlab.run."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def called(node: ast.AST) -> str:
    """The last name of what is called."""
    function = node.func if isinstance(node, ast.Call) else None
    return getattr(function, "attr", getattr(function, "id", ""))


def test_nine_of_them_each_with_an_experiment_of_its_name() -> None:
    assert set(NAMES) == NINE
    assert set(NAMES) <= {path.stem for path in (CONF / "experiment").glob("*.yaml")}


@each
def test_it_is_a_short_notebook_that_survives_a_round_trip(name: str) -> None:
    text, cells = source(name), notebook(name).cells
    written = jupytext.writes(notebook(name), fmt="py:percent")
    assert text.startswith("# ---\n# jupyter:\n#   jupytext:\n") and "kernelspec" in notebook(name).metadata
    assert re.sub(r"#       jupytext_version: .*\n", "", written) == text
    assert cells[0].cell_type == "markdown" and cells[0].source.startswith("# ")
    assert any("**Seen.**" in cell.source and "**Limits.**" in cell.source for cell in cells if cell.cell_type == "markdown")
    assert 10 < len(code_lines(name)) < 60


@each
def test_it_holds_no_algorithm(name: str) -> None:
    tree = ast.parse(source(name))
    packages = {module.split(".")[0] for module in imported(tree)}
    assert not MACHINERY & (imported(tree) | packages)
    assert not {"simulate", "tableau", "fit"} & {called(node) for node in ast.walk(tree)}
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.For | ast.While)]
    assert not any(isinstance(loop, ast.While) or called(loop.iter) == "range" for loop in loops)


@each
@pytest.mark.slow
def test_the_data_of_its_experiment_become_its_figures(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    done = simlab("run", f"experiment={name}", f"store=results/{name}", *SMALLER.get(name, ()))
    assert done.status == 0, done.err
    promised = re.findall(r"\.save\(\"figures/(\w+)\"\)", source(name))
    assert promised[0] == name
    if name in OPENED:
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        executed = NotebookClient(notebook(name), kernel_name="python3", timeout=600, resources={"metadata": {"path": tmp_path}}).execute()
        outputs = [output for cell in executed.cells if cell.cell_type == "code" for output in cell.outputs]
        assert sum("image/png" in output.get("data", {}) for output in outputs) == len(promised)
        assert not [output.text for output in outputs if output.get("name") == "stderr"]
    else:
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(f"{stem}.{end}" for stem in promised for end in ENDINGS)
    for path in (tmp_path / "figures").iterdir():
        ENDINGS[path.suffix[1:]](path)


@each
def test_it_shows_every_figure_that_it_saves(name: str) -> None:
    """The last expression of a cell that saves a drawing is that drawing."""
    saving = [cell.source for cell in notebook(name).cells if ".save(" in cell.source]
    assert saving
    for code in saving:
        last = ast.parse(code).body[-1]
        assert isinstance(last, ast.Expr) and isinstance(last.value, ast.Name) and f"{last.value.id}.save(" in code


@each
def test_without_data_it_ends_in_the_line_that_says_how_to_make_them(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    assert ended.value.code == f"results/{name}: must be an existing folder; simlab run experiment={name} store=results/{name} makes it"
    assert not (tmp_path / "figures").exists()


def drawn(path: Path) -> None:
    """A picture of some size, of which a part is ink in several colours, and most is not."""
    picture = imread(path)[..., :3]
    ink = picture.min(axis=2) < 0.9
    assert min(picture.shape[:2]) >= 400 and 0.01 < ink.mean() < 0.9
    assert len({tuple(colour) for colour in picture[ink].round(1).tolist()}) > 5


def printable(path: Path) -> None:
    assert path.read_bytes().startswith(b"%PDF") and path.stat().st_size > 5000


def tabled(path: Path) -> None:
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    assert header.count(",") >= 3 and len(rows) >= 5


ENDINGS = {"png": drawn, "pdf": printable, "csv": tabled}

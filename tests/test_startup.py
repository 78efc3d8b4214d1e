"""What a command imports and compiles before it does its work, and when compiled code is made anew."""

import ast
import builtins
import json
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from command import ROOT, python
from conftest import Score

from simlab.columns import to_arrow, to_numpy
from simlab.store import read as read_rows

PACKAGES = ("simlab", "envs", "algorithms", "theory", "scaled", "conf")
SELF_PLAY = "run algorithm=egpo env=cyclic steps=10 seeds=1"
PAIRS = "run algorithm=rdpo env=pairs env.n=300 seeds=1"
PEOPLE = "run algorithm=pal env=population env.users=8 env.unseen=5 env.samples=30 env.shots=[2,5] seeds=1"
CLAIM = "verify claim=dpo_one_pair"

NOT_NEEDED = {"pandas", "matplotlib", "seaborn", "torch", "transformers", "jinja2", "duckdb"}
OF_OTHERS = {
    SELF_PLAY: {"scipy.stats", "scipy.optimize", "algorithms.fit", "simlab.offline", "simlab.pluralistic", "simlab.training"},
    PAIRS: {"scipy.stats", "algorithms.kernel", "simlab.self_play", "simlab.pluralistic", "simlab.training"},
    PEOPLE: {"scipy.stats", "scipy.optimize", "scipy.sparse", "numba", "simlab.self_play", "simlab.offline", "simlab.training"},
    CLAIM: set(),
}
"""What other commands need, or slow libraries that only rare cases of this one do."""


@pytest.mark.parametrize("words", OF_OTHERS)
def test_a_small_command_imports_no_library_that_it_does_not_need(words: str, tmp_path: Path) -> None:
    code = f"import sys; from simlab.cli import main; status = main({words.split()}); print(status, *sys.modules)"
    done = python("-P", "-c", code, cwd=tmp_path)
    status, *loaded = done.out.splitlines()[-1].split()
    assert status == "0" and {"simlab", "numpy"} <= set(loaded), done.err
    assert not (NOT_NEEDED | OF_OTHERS[words]) & set(loaded)


COLUMNS = {
    "integers": np.arange(5),
    "short integers": np.arange(5, dtype=np.int32),
    "numbers": np.array([1.5, np.nan, -0.0, np.inf]),
    "every other number": np.arange(6.0)[::2],
    "truth values": np.arange(11) % 3 == 0,
    "words": np.array(["ok", "diverged", "ok", "é"]),
    "words as objects": np.array(["ok", "diverged"], dtype=object),
    "words and gaps": np.array(["ok", None], dtype=object),
    "no words": np.array([], dtype="U1"),
    "no numbers": np.array([]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_is_what_pyarrow_makes_of_it(name: str) -> None:
    made, wanted = to_arrow(COLUMNS[name]), pa.array(COLUMNS[name])
    assert made.type == wanted.type and made.null_count == wanted.null_count
    for column in (pa.chunked_array([made]), pa.chunked_array([made, made[1:]])):
        found = to_numpy(column)
        whole = pa.chunked_array([wanted] * column.num_chunks).to_numpy()
        expected = np.concatenate([whole[: len(wanted)], whole[: len(wanted)][1:]][: column.num_chunks])
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_rows_of_numbers_are_lists() -> None:
    rows = np.arange(6.0).reshape(3, 2)
    for given in (rows, list(rows), [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]):
        assert to_arrow(given).to_pylist() == rows.tolist()


# What is frozen into compiled code. Numba's disk cache watches one file: the one in which a function is written.

COMPILING = ("numba",)
WATCHED = ("numba", "llvmlite", "numpy", "math", "operator", "typing", "__future__")


def numba_files() -> list[str]:
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return sorted(str(path.relative_to(ROOT)) for path in paths if imported(ast.parse(path.read_text()), COMPILING))


def imported(tree: ast.AST, homes: tuple[str, ...], *, others: bool = False) -> set[str]:
    """Names that imports from these libraries bind, or those from all others."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                home = (node.module if isinstance(node, ast.ImportFrom) else alias.name).partition(".")[0]
                if (home in homes) != others:
                    found.add(alias.asname or alias.name.partition(".")[0])
    return found


def read(node: ast.AST) -> set[str]:
    return {name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Load)}


def written(node: ast.AST) -> set[str]:
    names = {name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)}
    names |= {inner.name for inner in ast.walk(node) if isinstance(inner, ast.FunctionDef)}
    return names | {argument.arg for argument in ast.walk(node) if isinstance(argument, ast.arg)}


def frozen_from_elsewhere(source: str) -> set[str]:
    """Names that compiled functions take, directly or through constants of their file, from where the cache does not look."""
    tree = ast.parse(source)
    foreign, makers = imported(tree, WATCHED, others=True), imported(tree, COMPILING)
    assigned = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.ClassDef)]
    for _ in assigned:
        for node in assigned:
            if read(node) & foreign:
                foreign |= {node.name} if isinstance(node, ast.ClassDef) else written(node)
    here = {name for node in tree.body for name in ([node.name] if hasattr(node, "name") else written(node))}
    known = here | imported(tree, WATCHED) | set(dir(builtins))
    functions = [(outer, node) for outer in tree.body for node in ast.walk(outer) if isinstance(node, ast.FunctionDef)]
    compiled = [(outer, node) for outer, node in functions if any(read(d) & makers for d in node.decorator_list)]
    assert compiled, "imports numba and compiles nothing by a decorator"
    taken = {name for outer, node in compiled for part in node.body for name in read(part) - written(outer)}
    return (taken & foreign) | (taken - known)


@pytest.mark.parametrize("name", numba_files())
def test_compiled_functions_use_names_of_their_own_file(name: str) -> None:
    assert not frozen_from_elsewhere((ROOT / name).read_text())


@pytest.mark.parametrize(
    "line", ["from envs.x import RATE", "from envs.x import A\nRATE = 2 * A", "from envs.x import B\nA = B\nRATE: int = A"]
)
def test_a_constant_from_elsewhere_is_found(line: str) -> None:
    function = "\n@njit\ndef f(x):\n    return RATE * x\n"
    assert frozen_from_elsewhere(f"from numba import njit\n{line}{function}") == {"RATE"}
    assert not frozen_from_elsewhere(f"from numba import njit\nRATE = 2{function}")


# Compiling: once, and again after an edit.

LATER = pytest.mark.xdist_group("compile")

COMMANDS = (
    SELF_PLAY,
    "run algorithm=online_ipo env=random_game feedback=duels steps=10 seeds=3",
    "run algorithm=dno_prct env=random_game env.actions=130 feedback=duels feedback.flip=0.1 feedback.assumed_flip=0.1 steps=3 seeds=2",
    "run algorithm=comal env=cyclic steps=3 seeds=1 start=far",
    "run -m algorithm=rdpo,ipo env=pairs env.n=300 seeds=2",
    PEOPLE,
    CLAIM,
    "verify claim=egpo_identity",
)

COMPILED = """
import json, sys
from numba.core.dispatcher import Dispatcher
from simlab.cli import main
status = [main(words.split()) for words in {commands}]
ours = [module for name, module in sys.modules.items() if name.partition(".")[0] in {packages}]
functions = {{f"{{f.__module__}}.{{f.__name__}}": f for module in ours for f in vars(module).values() if isinstance(f, Dispatcher)}}
total = lambda counter: sum(counter.values())
counts = {{name: [len(f.signatures), total(f.stats.cache_misses), total(f.stats.cache_hits)] for name, f in functions.items()}}
print(json.dumps([status, counts]))
"""

PLAY = """
import numpy as np, simlab
from algorithms.egpo import EGPO
from envs.feedback import Duels
from envs.game import Game
wins = np.array([[0.5, 0.9, 0.2], [0.1, 0.5, 0.7], [0.8, 0.3, 0.5]])
run = simlab.simulate(Game(wins, np.log([0.5, 0.3, 0.2]), 0.1), EGPO(), steps=5, seeds=2, feedback=Duels(3))
print(*run.log_policy.ravel().tolist())
"""

FIT = """
import numpy as np, simlab
from algorithms.fit import fit
from algorithms.rdpo import RobustDPO
from envs.comparisons import Comparisons
features = np.random.default_rng(0).normal(size=(40, 2))
print(*fit(RobustDPO(flip=0.1), Comparisons(features, np.arange(40) % 3 + 1.0, np.arange(40) % 2 + 1.0)).theta.tolist())
"""

KERNEL = "algorithms/kernel.py"
EDITS = {
    KERNEL: (PLAY, "0xD2511F53", "0xD2511F55"),
    "algorithms/pair_kernel.py": (FIT, "larger = (2.0 + e) * share", "larger = (2.1 + e) * share"),
}
"""For each file with compiled functions: a program that prints numbers, and a change of the file that changes them."""


class Edited(NamedTuple):
    """A copy of the packages in which the commands have run after an edit of the kernel; numbers of its program from before that."""

    tree: Path
    before: list[float]


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> Edited:
    """The kernel that is compiled here already is taken along: before the edit it need not be compiled again, which takes long."""
    tree = tmp_path_factory.mktemp("tree")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    there = (tree / KERNEL).parent / "__pycache__"
    there.mkdir()
    for path in (ROOT / KERNEL).parent.glob("__pycache__/kernel.*.nb?"):
        shutil.copy2(path, there)
    before = edit(tree, KERNEL)
    counts = compiled(tree)
    assert {name.rpartition(".")[0] for name, (_, misses, _) in counts.items() if misses} == {dotted(name) for name in EDITS}
    (tree / "simlab_store").rename(tree / "cold")
    return Edited(tree, before)


def dotted(name: str) -> str:
    return name.removesuffix(".py").replace("/", ".")


def edit(tree: Path, name: str) -> list[float]:
    """Change a file of which there is compiled code; numbers of its program from before that."""
    (code, old, new), path = EDITS[name], tree / name
    before, source = numbers(tree, code), path.read_text()
    assert any(path.parent.glob(f"__pycache__/{path.stem}.*.nbc")), "compiled and kept"
    assert old in source, f"EDITS must name words of {name}"
    path.write_text(source.replace(old, new))
    return before


def inside(tree: Path, code: str, **environment: str) -> str:
    """The last line of a program that keeps compiled code in the tree, beside the sources."""
    done = python("-P", "-c", code, cwd=tree, PYTHONPATH=str(tree), NUMBA_CACHE_DIR="", **environment)
    assert done.status == 0, done.err
    return done.out.splitlines()[-1]


def compiled(tree: Path) -> dict[str, list[int]]:
    """Signatures, compilations and loads of each compiled function, in a process that runs the commands in an empty store."""
    shutil.rmtree(tree / "simlab_store", ignore_errors=True)
    status, counts = json.loads(inside(tree, COMPILED.format(commands=COMMANDS, packages=PACKAGES)))
    assert status == [0] * len(COMMANDS)
    return counts


def numbers(tree: Path, code: str, **environment: str) -> list[float]:
    return [float(word) for word in inside(tree, code, **environment).split()]


@pytest.mark.slow
@LATER
def test_a_second_process_compiles_nothing_and_nothing_is_compiled_twice(edited: Edited, score: Score) -> None:
    tree, counts = edited.tree, compiled(edited.tree)
    assert {name: misses for name, (_, misses, _) in counts.items() if misses} == {}
    assert {name: signatures for name, (signatures, _, _) in counts.items() if signatures > 1} == {}
    assert sum(hits for _, _, hits in counts.values()) >= len(EDITS)
    names = sorted(path.name for path in (tree / "cold").glob("*.parquet"))
    assert len(names) >= 6
    for name in names:
        cold, warm = (read_rows(tree / store / name).frame for store in ("cold", "simlab_store"))
        assert cold.equals(warm), "what is loaded from the cache computes what was compiled"
    score("runs that a compiled and a loaded kernel do to the same bits", len(names), len(names))


def test_every_file_with_compiled_functions_is_edited() -> None:
    assert sorted(EDITS) == numba_files()


@pytest.mark.slow
@LATER
@pytest.mark.parametrize("name", EDITS)
def test_an_edited_kernel_is_compiled_anew(name: str, edited: Edited, score: Score) -> None:
    code, tree = EDITS[name][0], edited.tree
    before = edited.before if name == KERNEL else edit(tree, name)
    after = numbers(tree, code)
    np.testing.assert_allclose(after, numbers(tree, code, NUMBA_DISABLE_JIT="1"), rtol=1e-9, err_msg="not what the edited source says")
    assert not np.allclose(after, before, rtol=1e-3), "the edit must change the numbers"
    assert numbers(tree, code) == after
    score("files of compiled functions that are compiled anew after an edit", 1, 1)

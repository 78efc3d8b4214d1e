"""A result is a function of configuration and seed, bit for bit; and what is not a number anywhere in a run is told.

Here whole stores are compared, of every kind of experiment. Elsewhere: blocks, lanes, neighbours and threads of the kernel are in
`test_kernel`, random tableaus in `test_properties`, draws in `test_random_streams`, cells of a grid in `test_grid`, further launchers
in `test_launchers`, edited kernels in `test_startup`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command import simlab
from conftest import Score
from games import Given, bradley_terry, rock_scissors_paper, uniform

import simlab as package
from algorithms.cdpo import ConservativeDPO
from algorithms.dpo import DPO
from algorithms.fit import fit
from algorithms.ipo import IPO
from algorithms.pair_loss import PairLoss
from algorithms.rdpo import RobustDPO
from algorithms.tableau import Tableau, gradient, mix, pairs, projection, prox, responses
from envs.feedback import Duels, Exact
from envs.game import Game
from envs.invalid import Invalid
from envs.pairs import Comparisons
from simlab.store import read

SAME = "runs and seeds whose rows are the same bits: other threads, processes, orders, caches, without a method, world or seed"
TOLD = "values too large or no numbers, planted anywhere, that surface as a status or are refused"

# Cells.

SWEEPS = {
    "self-play": ("algorithm=egpo,online_ipo", "env=cyclic,random_game", "feedback=duels", "steps=30", "seeds=9", "beta=0.05,0.2"),
    "offline": ("algorithm=rdpo,ipo", "env=pairs", "env.n=400", "env.flip=0.1,0.3", "seeds=3"),
    "people": ("algorithm=pal", "env=population", "env.users=8", "env.unseen=5", "env.samples=30", "env.shots=[2,5]", "seeds=2")
    + ("algorithm.prototypes=1,2", "env.d=2,3"),
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


Cells = dict[tuple[str, int], bytes]


def cells(store: Path) -> Cells:
    """The numbers of each run and seed of a store, as bytes; a run is known by all that was set but how many seeds it has."""
    found: Cells = {}
    for path in store.glob("*.parquet"):
        stored = read(path)
        settings = json.dumps(
            {key: value for key, value in stored.config.items() if key not in ("seeds", "store", "threads")}, sort_keys=True
        )
        columns = [np.asarray(values) for values in stored.columns.values() if np.asarray(values).dtype.kind in "ifb"]
        for seed in np.unique(stored.column("seed")):
            rows = stored.column("seed") == seed
            found[settings, int(seed)] = b"".join(column[rows].tobytes() for column in columns)
    return found


def swept(*words: str, store: str) -> Cells:
    status, _, err = simlab("run", "-m", *words, f"store={store}")
    assert (status, err) == (0, "")
    return cells(Path(store))


@pytest.fixture(scope="module", params=SWEEPS)
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[str, ...], Cells]:
    """The words of a sweep, and its cells on one thread."""
    words = SWEEPS[request.param]
    return words, swept(*words, "threads=1", store=str(tmp_path_factory.mktemp(request.param)))


def reversed_values(word: str) -> str:
    key, _, values = word.partition("=")
    return word if "[" in values else f"{key}={','.join(values.split(',')[::-1])}"


def without_first(words: tuple[str, ...], number: int) -> tuple[str, ...]:
    """The words, with the first value of the `number`-th key that has several left out."""
    several = [word for word in words if "," in word and "[" not in word]
    chosen = several[number % len(several)]
    return tuple(f"{word.partition('=')[0]}={word.partition(',')[2]}" if word == chosen else word for word in words)


WAYS: dict[str, Callable[[tuple[str, ...]], tuple[str, ...]]] = {
    "two threads, another order": lambda words: (*(reversed_values(word) for word in words[::-1]), "threads=2"),
    "five threads": lambda words: (*words, "threads=5"),
    "a method less": lambda words: without_first(words, 0),
    "a world less": lambda words: without_first(words, 1),
    "a setting less": lambda words: without_first(words, -1),
    "a seed less": lambda words: tuple(f"seeds={int(word[6:]) - 1}" if word.startswith("seeds=") else word for word in words),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_cell_differs(way: str, kind: tuple[tuple[str, ...], Cells], score: Score) -> None:
    words, expected = kind
    found = swept(*WAYS[way](words), store="other")
    assert found.keys() <= expected.keys() and len(found) >= len(expected) // 2
    assert (len(found) < len(expected)) == ("less" in way)
    assert [key for key in found if found[key] != expected[key]] == []
    score(SAME, len(found), len(found))


def test_cells_that_should_differ_do(kind: tuple[tuple[str, ...], Cells]) -> None:
    assert len(set(kind[1].values())) == len(kind[1])


# Plants: numbers too large, at a place that is drawn.

STEPS = 40
HUGE = [1e200, 1e305, 1.7e308]
SCALED: dict[str, Callable[[np.ndarray], Tableau]] = {
    "rate of a prox stage": lambda by: Tableau(prox("policy", anchor={"policy": 1.0}, opponent="policy", rate=0.3 * by)),
    "anchor of a prox stage": lambda by: Tableau(prox("policy", anchor={"policy": by, "reference": 0.1}, opponent="policy", rate=0.3)),
    "opponent of a prox stage": lambda by: Tableau(prox("policy", anchor={"policy": 1.0}, opponent={"policy": by}, rate=0.3)),
    "rate of a gradient stage": lambda by: Tableau(
        gradient("policy", opponent="policy", anchor={"policy": -0.1, "reference": 0.1}, rate=0.3 * by)
    ),
    "rate of a pairs stage": lambda by: Tableau(
        pairs("policy", base="policy", opponent="policy", anchor={"policy": -0.1, "reference": 0.1}, rate=0.3 * by, samples=2)
    ),
    "rate of a responses stage": lambda by: Tableau(responses("policy", opponent="policy", rate=0.3 * by, samples=4)),
    "rate of a projection": lambda by: Tableau(
        projection("scores", opponent="policy", rate=0.3 * by), prox("policy", anchor={"policy": 1.0, "scores": by})
    ),
    "anchor beside a mixture": lambda by: Tableau(
        prox("policy", anchor={"policy": by}, opponent="policy", rate=0.3), mix("slow", {"slow": 0.9, "policy": 0.1})
    ),
}
"""Tableaus with one coefficient as large as is asked for."""


def planted(size: float, rng: np.random.Generator) -> np.ndarray:
    """(STEPS,) ones, but for two successive iterations, before the last."""
    scale, at = np.ones(STEPS), rng.integers(STEPS - 1)
    scale[at : at + 2] = size
    return scale


def finite(run: package.run.Run, instance: int) -> bool:
    kept = [run.log_policy, run.log_average, *run.log_slots.values(), *run.measured.values()]
    return all(np.isfinite(values[instance]).all() for values in kept)


GAMES = [rock_scissors_paper(0.1), uniform(3, 1, 0.1), bradley_terry(3, 2, 0.1)]


@pytest.mark.parametrize("size", HUGE, ids=str)
@pytest.mark.parametrize("where", SCALED)
def test_a_run_that_is_not_finite_says_so(where: str, size: float, score: Score) -> None:
    """Seven runs of each of 24 plants: with exact labels and sampled ones, and nobody else's status is touched."""
    rng = np.random.default_rng([list(SCALED).index(where), HUGE.index(size)])
    method = Given(SCALED[where](planted(size, rng)))
    lost = 0
    for feedback in (Exact(), Duels(per_action=1)):
        run = package.simulate(GAMES, method, steps=STEPS, seeds=2, feedback=feedback, record="every", measure=["exploitability"])
        for instance in range(len(run.status)):
            assert (run.status[instance] == "nonfinite") == (not finite(run, instance)), (where, size, instance)
            lost += not finite(run, instance)
    assert lost or where not in ("anchor of a prox stage", "rate of a pairs stage", "anchor beside a mixture")
    score(TOLD, lost, lost)


@pytest.mark.parametrize("feedback", [Exact, Duels])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_labels_that_are_no_numbers_are_refused(feedback: type[Exact], value: float, score: Score) -> None:
    """One label of one pair of one game, drawn."""
    for seed in range(5):
        chosen, *place = np.random.default_rng(seed).integers(3, size=3)

        class Planted(feedback):  # type: ignore[misc, valid-type]
            def labels(self, game: Game, chosen: Game = GAMES[chosen], place: tuple[int, ...] = tuple(place)) -> np.ndarray:
                labels = np.array(super().labels(game))
                if game is chosen:
                    labels[place] = value
                return labels

        with pytest.raises(Invalid, match="feedback=Planted: must be one whose labels are finite"):
            package.simulate(GAMES, Given(SCALED["rate of a prox stage"](np.ones(STEPS))), steps=STEPS, feedback=Planted())
        score(TOLD, 1, 1)


@pytest.mark.parametrize("what", ["preference", "log_reference", "beta"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_games_of_what_is_no_number_are_refused(what: str, value: float) -> None:
    game = GAMES[1]
    parts = {"preference": game.preference.copy(), "log_reference": game.log_reference.copy(), "beta": 0.1}
    if what == "beta":
        parts["beta"] = value
    else:
        parts[what].flat[np.random.default_rng(0).integers(parts[what].size)] = value
    with pytest.raises(Invalid, match=what):
        Game(**parts)


LOSSES = [DPO(), RobustDPO(0.2), ConservativeDPO(0.1), IPO(0.5)]


@pytest.mark.parametrize("size", [1e150, 1e155, 1e300, 1.7e308], ids=str)
@pytest.mark.parametrize("where", ["features", "wins", "losses"])
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_a_fit_that_is_not_finite_says_so(loss: PairLoss, where: str, size: float, score: Score) -> None:
    """It is refused, fails, or is said not to exist or not to have converged; what has converged is finite, its own value too."""
    rng = np.random.default_rng([HUGE.index(1e200), LOSSES.index(loss)])
    parts = {
        "features": rng.normal(size=(30, 3)),
        "wins": rng.integers(1, 9, 30).astype(float),
        "losses": rng.integers(1, 9, 30).astype(float),
    }
    parts[where].flat[rng.integers(parts[where].size)] = size
    for ridge in (0.0, 0.1):
        try:
            with np.errstate(all="ignore"):
                found = fit(loss, Comparisons(**parts), ridge)
        except (ArithmeticError, ValueError, np.linalg.LinAlgError):
            continue
        if found.exists and found.converged:
            assert np.isfinite(found.theta).all() and np.isfinite([found.value, found.gradient_norm]).all()
    score(TOLD, 1, 1)


@pytest.mark.parametrize("algorithm", ["sppo", "dno", "optimistic", "online_ipo", "nash_md_pg", "dno_prct", "sppo_sampled"])
def test_the_command_tells_of_it(algorithm: str) -> None:
    """A run whose numbers are lost is stored with its status, and the command fails."""
    status, out, _ = simlab(
        "run", f"algorithm={algorithm}", "algorithm.rate=1e308", "env=random_game", "env.actions=4", "steps=60", "seeds=4"
    )
    (path,) = Path("simlab_store").glob("*.parquet")
    frame = read(path).frame
    numbers = frame.select_dtypes("number").to_numpy(dtype=float)
    lost = ~np.isfinite(numbers).all(axis=1)
    assert not (lost & (frame.status == "ok")).any()
    assert (status == 1) == ("nonfinite" in set(frame.status)) and ("nonfinite" in out) == (status == 1)

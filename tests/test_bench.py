"""`simlab bench`: real races at small sizes; who disagrees, fails or is not there is told. No time is asserted."""

import importlib.util
import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from command import Outcome, files, python, simlab

from benchmarks import agreement, race, work
from benchmarks.peer import Peer
from benchmarks.work import Size

IMPORTED = {"open_spiel": "pyspiel", "scikit_learn": "sklearn", "floor": "numba"} | dict.fromkeys(
    ("numpy_together", "numpy_lanes", "memory"), "numpy"
)
"""What a peer imports, where its name does not say it."""
TINY = {"queries": 1, "actions": 4, "instances": 3, "iterations": 6}
ROUNDS = 2


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def installed(peer: str) -> bool:
    return importlib.util.find_spec(IMPORTED.get(peer, peer)) is not None


def raced(*sizes: tuple[str, Size], name: str = "mirror_descent") -> dict[str, race.Entry]:
    return {entry.peer: entry for entry in race.race(name, work.load(name), sizes, ROUNDS)}


def cases() -> Iterator[tuple[str, str]]:
    for name in work.names():
        yield from ((name, case) for case, stated in work.load(name).cases.items() if stated.quick is not None)


class TestWorks:
    @pytest.mark.slow
    @pytest.mark.parametrize("name", work.names())
    def test_whoever_is_installed_agrees(self, name: str, here: Path) -> None:
        outcome = simlab("bench", name, "--quick", "--repetitions", ROUNDS, "--json")
        assert (outcome.status, outcome.err) == (0, "")
        told = json.loads(outcome.out)
        assert [(each["work"], each["case"]) for each in told["works"]] == [both for both in cases() if both[0] == name]
        for each in told["works"]:
            stated = work.load(name)
            peers = [peer for peer in work.peers(stated, stated.cases[each["case"]]) if installed(peer)]
            assert [peer["peer"] for peer in each["peers"]] == peers
            assert all(peer["agrees"] or peer["peer"] in ("floor", "memory") for peer in each["peers"])
            assert all(len(peer["seconds"]["rounds"]) == ROUNDS and peer["ratio"] > 0 for peer in each["peers"])
        assert not [peer for peer in told["not_installed"] if installed(peer)]
        assert files(here) == []

    @pytest.mark.parametrize("name", work.names())
    def test_targets_are_of_peers(self, name: str) -> None:
        stated = work.load(name)
        for case in stated.cases.values():
            assert set(case.targets) <= set(work.peers(stated, case))
            assert set(case.quick or {}) <= set(case.size) and case.sized(False) == case.size
            assert all(0 < target.least <= target.aim for target in case.targets.values())

    def test_each_has_a_small_size(self) -> None:
        assert {name for name, _ in cases()} == set(work.names())


class TestTable:
    def test_it_shows_every_peer_with_its_answer(self) -> None:
        outcome = simlab("bench", "equilibrium", "--quick", "--repetitions", 1)
        assert (outcome.status, outcome.err) == (0, "")
        lines = [line.split() for line in outcome.out.splitlines()]
        assert lines[0] == ["equilibrium,", "K=10", "(made", "small):", "each", "game"]
        peers = ["simlab", *(peer for peer in ("nashpy", "quantecon") if installed(peer))]
        assert [line[0] for line in lines[2 : 2 + len(peers)]] == peers
        assert f"numpy {np.__version__}" in outcome.out

    def test_a_peer_that_is_not_installed_is_named(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (here / "nashpy.py").write_text("raise ModuleNotFoundError('not here', name='nashpy')\n")
        monkeypatch.syspath_prepend(here)
        outcome = simlab("bench", "equilibrium", "--quick", "--repetitions", 1)
        assert (outcome.status, outcome.err) == (0, "")
        last = outcome.out.splitlines()[-1]
        assert last.startswith("not installed: nashpy") and last.endswith("  (pip install 'simlab[bench]')")


class TestDisagreement:
    def test_another_game_is_another_answer(self) -> None:
        found = raced(("simlab", TINY), ("numpy", TINY | {"seed": 1}))
        assert race.agrees(found["simlab"], work.load("mirror_descent")) is True
        assert race.agrees(found["numpy"], work.load("mirror_descent")) is False
        assert found["numpy"].difference > 1e-3

    @pytest.mark.parametrize("words", [[], ["--json"]])
    def test_it_is_shown_and_the_status_is_1(self, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        outcome = wrong_game("numpy", monkeypatch, *words)
        assert outcome.status == 1
        assert outcome.err.startswith("simlab: shared_game, K=1000 (made small): numpy disagrees with simlab: difference ")
        assert outcome.err.endswith(", allowed 1e-09\n") and outcome.err.count("\n") == 1
        if words:
            (told,) = json.loads(outcome.out)["works"]
            assert {peer["peer"]: peer["agrees"] for peer in told["peers"]} == {"simlab": True, "numpy": False, "numpy_together": True}
        else:
            assert outcome.out.count("disagrees: ") == 1

    @pytest.mark.slow
    def test_other_draws_agree_and_another_game_does_not(self) -> None:
        size = work.load("sampled").cases["mirror descent, K=10"].sized(quick=True)
        for given, same in ((size, True), (size | {"seed": 1}, False)):
            found = raced(("simlab", size), ("numpy", given), name="sampled")
            assert found["numpy"].difference > 0
            assert race.agrees(found["numpy"], work.load("sampled")) is same

    def test_a_later_answer_counts_too(self) -> None:
        stated = work.load("mirror_descent")
        good, bad = np.array([[1.0, 2.0]]), np.array([[1.0, 2.1]])
        entries = [race.Entry("simlab", answers=[good, good]), race.Entry("numpy", answers=[good, bad])]
        race.compare(entries, stated)
        assert [race.agrees(entry, stated) for entry in entries] == [True, False]

    def test_what_is_no_number_agrees_with_nothing(self) -> None:
        stated = work.load("mirror_descent")
        lost = np.array([[np.nan, 2.0]])
        good = np.array([[1.0, 2.0]])
        entries = [race.Entry("simlab", answers=[good]), race.Entry("numpy", answers=[good, lost, good])]
        race.compare(entries, stated)
        assert race.agrees(entries[1], stated) is False


def wrong_game(peer: str, monkeypatch: pytest.MonkeyPatch, *words: str) -> Outcome:
    """A race in which one peer's process is given other games."""

    def swapped(name: str, stated: work.Work, sizes: list[tuple[str, Size]], repetitions: int) -> list[race.Entry]:
        return race.race(name, stated, [(each, size | {"seed": 1} if each == peer else size) for each, size in sizes], repetitions)

    monkeypatch.setattr("benchmarks.command.race", swapped)
    return simlab("bench", "shared_game", "--quick", "--repetitions", 1, *words)


class TestAgreement:
    def test_relative(self) -> None:
        assert agreement.relative(np.array([2.0, 0.0]), np.array([2.0, 0.0])) == 0
        assert agreement.relative(np.array([2.0, 4.0]), np.array([2.0, 5.0])) == 0.25
        assert agreement.relative(np.array([0.0]), np.array([1e-300])) == np.inf

    def test_standard_errors(self) -> None:
        rng = np.random.default_rng(0)
        games = rng.standard_normal((100, 1, 2))
        first, second = (games + 0.01 * rng.standard_normal((100, 4, 2)) for _ in range(2))
        assert agreement.sigmas(first, first) == 0
        assert agreement.sigmas(first, second) < 5
        assert agreement.sigmas(first, second + [0.0, 0.006]) > 5  # a small bias of every game
        assert agreement.sigmas(first, np.concatenate([second[:99], second[99:] + 0.05])) > 5  # one game


class TestProcesses:
    def test_each_is_held_to_one_thread(self) -> None:
        with closing(Peer("mirror_descent", "numpy", TINY)) as peer:
            assert peer.hear()["library"] == "numpy"
            status = Path(f"/proc/{peer.process.pid}/status")
            if status.is_file():
                told = dict(line.split(":", 1) for line in status.read_text().splitlines())
                assert told["Threads"].strip() == "1"
                assert told["Cpus_allowed_list"].strip() == str(max(os.sched_getaffinity(0)))

    def test_one_that_dies_is_told_in_a_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Mortal(Peer):
            def go(self) -> dict[str, object]:
                if self.name == "numpy":
                    self.process.kill()
                    self.process.wait()
                return super().go()

        monkeypatch.setattr("benchmarks.race.Peer", Mortal)
        status, out, err = simlab("bench", "shared_game", "--quick", "--repetitions", 1)
        assert status == 1
        assert err == "simlab: shared_game, K=1000 (made small): numpy: the process ended with status -9\n"
        assert "failed" in out and "numpy_together" in out

    def test_one_that_cannot_begin_says_why(self) -> None:
        found = raced(("simlab", TINY), ("numpy", TINY | {"actions": 1}))
        assert found["numpy"].error == "Invalid: actions=1: must be an integer >= 2"
        assert not found["numpy"].seconds and len(found["simlab"].seconds) == ROUNDS

    def test_none_is_left(self) -> None:
        with closing(Peer("mirror_descent", "numpy", TINY)) as peer:
            peer.hear()
        assert peer.process.returncode is not None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["mirror_descnt"], "mirror_descnt: must be one of egpo, equilibrium, floor, mirror_descent, "),
        (["mirror_descnt"], "(did you mean mirror_descent?)"),
        (["--repetitions", "0"], "--repetitions=0: must be an integer >= 1"),
        (["--repetitions", "many"], "invalid int value: 'many'"),
        (["--what"], "unrecognized arguments: --what"),
    ],
)
def test_refusals(words: list[str], expected: str) -> None:
    status, out, err = simlab("bench", *words)
    assert (status, out) == (2, "")
    assert err.startswith("simlab: ") and err.count("\n") == 1 and expected in err


def test_help_lists_the_works(here: Path) -> None:
    status, out, err = python("-P", "-m", "simlab", "bench", "--help", cwd=here)
    assert (status, err) == (0, "")
    assert all(f"\n  {name} " in out for name in work.names())

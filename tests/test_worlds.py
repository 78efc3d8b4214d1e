"""Every world that conf/env names, and the exact claims of each."""

import dataclasses
import inspect
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import get_class, instantiate
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from scipy.special import logit
from scipy.stats import kstest

from envs.blend import Blend
from envs.bradley_terry import BradleyTerry
from envs.cyclic import Cyclic
from envs.invalid import Invalid
from envs.low_rank import LowRank
from envs.matrix import Matrix
from envs.random_game import RandomGame
from envs.tournament import Tournament
from envs.world import World

ROOT = Path(__file__).resolve().parents[1]
MANDATORY = {
    "matrix": {"rows": [[0.5, 0.9, 0.2], [0.1, 0.5, 0.7], [0.8, 0.3, 0.5]]},
    "recorded": {"path": str(ROOT / "examples" / "sushi_counts.csv")},
}
"""Values for the keys that have no default."""


def config(name: str) -> DictConfig:
    return OmegaConf.load(ROOT / "conf" / "env" / f"{name}.yaml")


def is_world(name: str) -> bool:
    return issubclass(get_class(config(name)["_target_"]), World)


WORLDS = [path.stem for path in sorted((ROOT / "conf" / "env").glob("*.yaml")) if is_world(path.stem)]


def make(name: str, **dials: object) -> World:
    return instantiate(OmegaConf.merge(config(name), MANDATORY.get(name, {}), dials))


def test_the_worlds_are_found() -> None:
    assert {"random_game", "tournament", "bradley_terry", "cyclic", "blend", "low_rank", "matrix", "recorded"} <= set(WORLDS)


@pytest.mark.parametrize("name", WORLDS)
def test_the_file_is_the_class(name: str) -> None:
    keys = config(name)
    world = get_class(keys.pop("_target_"))
    assert world.__module__ == f"envs.{name}"
    defaults = {dial.name: dial.default for dial in dataclasses.fields(world) if dial.init}
    missing = OmegaConf.missing_keys(keys)
    written = {key: dataclasses.MISSING if key in missing else value for key, value in keys.items_ex(resolve=False)}
    assert written == defaults
    assert all(dial.kw_only for dial in dataclasses.fields(world) if dial.init)
    with pytest.raises(dataclasses.FrozenInstanceError):
        make(name).contexts = 2


FILES = [path for group in ("env", "start") for path in sorted((ROOT / "conf" / group).glob("*.yaml"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_key_has_a_comment_above_it(path: Path) -> None:
    lines = path.read_text().splitlines()
    keys = [number for number, line in enumerate(lines) if line[:1].isalpha()]
    assert keys == [number for number in keys if lines[number - 1].startswith("# ")]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", WORLDS)
def test_games_are_valid_complementary_and_a_function_of_the_seed(name: str, seed: int) -> None:
    world = make(name, reference="random")
    (first,) = world.games(0.1, seed=seed, index=4)
    world.games(0.2, seed=seed + 1, index=5)
    (again,) = make(name, reference="random").games(3.0, seed=seed, index=4)
    assert (first.preference + first.preference.T == 1).all() and (first.preference.diagonal() == 0.5).all()
    assert (first.beta, again.beta) == (0.1, 3.0) and first.key == again.key


@pytest.mark.parametrize("name", WORLDS)
def test_random_says_whether_the_matrix_is_drawn(name: str) -> None:
    world = make(name)
    keys = {world.games(0.1, seed=seed, index=index)[0].key for seed in range(2) for index in range(3)}
    assert len(keys) == (6 if world.random else 1)
    assert world.varies == world.random


@pytest.mark.parametrize("name", WORLDS)
def test_contexts_are_different_games_of_one_size(name: str) -> None:
    world = make(name, contexts=3, reference="random")
    games = world.games(0.1, seed=1)
    assert len({game.key for game in games}) == 3 and len({game.actions for game in games}) == 1
    assert len({game.preference.tobytes() for game in games}) == (3 if world.random else 1)
    assert games[0].key == make(name, reference="random").games(0.1, seed=1)[0].key


@pytest.mark.parametrize("name", WORLDS)
def test_contexts_of_a_world_that_draws_nothing_are_refused(name: str) -> None:
    if make(name).random:
        assert len(make(name, contexts=2).games(0.1)) == 2
    else:
        with pytest.raises(Exception, match=r"contexts=2: must be 1 in a world that draws"):
            make(name, contexts=2)


@pytest.mark.parametrize("name", WORLDS)
def test_a_reference_of_the_wrong_length_or_no_distribution_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match=r"reference=.*: must be of length"):
        make(name, reference=[1 / 51] * 51).games(0.1)
    for reference in ("flat", [0.5, 0.6], [1.0, 0.0]):
        with pytest.raises(Exception, match=r"reference=.*: must be "):
            make(name, reference=reference)


def test_a_given_reference_is_used() -> None:
    (game,) = RandomGame(actions=3, reference=[0.2, 0.3, 0.5]).games(0.1)
    np.testing.assert_allclose(np.exp(game.log_reference), [0.2, 0.3, 0.5], rtol=1e-15)


def test_a_drawn_reference_is_uniform_on_the_simplex() -> None:
    world = Cyclic(reference="random")
    shares = np.array([np.exp(world.games(0.1, index=index)[0].log_reference) for index in range(400)])
    for share in shares.T:
        assert kstest(share, "beta", args=(1, 2)).pvalue > 0.001


REFUSED = [
    *[
        (world, {"actions": value}, "actions", "an integer >=")
        for world in (RandomGame, Tournament, BradleyTerry)
        for value in (1, 3.0, True, "3")
    ],
    *[(world, {"actions": value}, "actions", "an integer >=") for world in (Blend, LowRank) for value in (0, 4.5, False, None)],
    (Blend, {"actions": 2}, "actions", "an integer >= 3"),
    *[(Cyclic, {"n": value}, "n", "an integer >= 3") for value in (2, 3.0, "3", None)],
    *[(Cyclic, {"win": value}, "win", "a number in [0, 1]") for value in (-0.1, 1.01, np.nan, True, "1")],
    *[(Blend, {"intransitivity": value}, "intransitivity", "a number in [0, 1]") for value in (-1e-9, 1.5, np.nan, None)],
    *[(world, {"strength": value}, "strength", "a number in [0.001, 10]") for world in (Blend, LowRank) for value in (0, 10.5, np.inf, -1)],
    *[(LowRank, {"rank": value}, "rank", "an integer >= 1") for value in (0, 1.0, True)],
    (LowRank, {"rank": 3, "actions": 5}, "rank", "at most 2"),
    *[(BradleyTerry, {"temperature": value}, "temperature", "a number in [1e-06, 1e+06]") for value in (0, -1, np.inf, None)],
    (BradleyTerry, {"scores": [1.0, 2.0], "actions": 3}, "actions", "2, the number of scores"),
    *[(BradleyTerry, {"scores": value}, "scores", "at least 2 finite numbers") for value in ([], [1.0], [1.0, np.nan], [1.0, np.inf])],
    *[(BradleyTerry, {"scores": value}, "scores", "a list of numbers") for value in (3, "12", ["a", "b"], [None, 1], [[1], [2]])],
    *[(Matrix, {"rows": value}, "rows", "a list of lists of numbers") for value in (3, "12", [0.5, 0.5], [["a"]], None, ["12", "34"])],
    *[(Matrix, {"rows": value}, "rows", "K >= 2 lists of K probabilities") for value in ([], [[0.5]], [[0.5, 0.5]], [[0.5, 0.5], [0.5]])],
    (Matrix, {"rows": [[0.5, 0.9], [0.2, 0.5]]}, "rows[0,1]", "complementary"),
    (Matrix, {"rows": [[0.5, 0.9], [0.1, 0.6]]}, "rows[1,1]", "1/2 on the diagonal"),
    (Matrix, {"rows": [[0.5, 1.9], [0.1, 0.5]]}, "rows[0,1]", "a probability in [0, 1]"),
    (Matrix, {"rows": [[0.5, np.nan], [0.1, 0.5]]}, "rows[0,1]", "a probability in [0, 1]"),
    *[(RandomGame, {"contexts": value}, "contexts", "an integer >= 1") for value in (0, 1.5, "2")],
]


@pytest.mark.parametrize(("world", "dials", "key", "allowed"), REFUSED, ids=lambda part: getattr(part, "__name__", str(part)))
def test_a_bad_dial_is_refused_in_the_constructor(world: type[World], dials: dict, key: str, allowed: str) -> None:
    with pytest.raises(Invalid) as refusal:
        world(**dials)
    assert refusal.value.key == key and allowed in refusal.value.allowed and "\n" not in str(refusal.value)
    if key in dials:
        assert str(dials[key]) in str(refusal.value)


def test_random_games_are_uniform() -> None:
    upper = np.triu_indices(30, 1)
    draws = np.concatenate([RandomGame(actions=30).games(0.1, index=index)[0].preference[upper] for index in range(3)])
    assert kstest(draws, "uniform").pvalue > 0.001


def test_tournaments_are_fair_coins() -> None:
    upper = np.triu_indices(40, 1)
    draws = np.concatenate([Tournament(actions=40).games(0.1, index=index)[0].preference[upper] for index in range(3)])
    assert set(draws) == {0.0, 1.0}
    assert abs(draws.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(draws))


def test_bradley_terry_by_hand() -> None:
    (game,) = BradleyTerry(scores=[0.0, 2 * np.log(3.0), 4 * np.log(3.0)], temperature=2.0).games(0.1)
    np.testing.assert_allclose(game.preference, [[0.5, 0.25, 0.1], [0.75, 0.5, 0.25], [0.9, 0.75, 0.5]], rtol=0, atol=1e-15)


def test_bradley_terry_says_how_many_actions_and_whether_they_are_drawn() -> None:
    worlds = BradleyTerry(), BradleyTerry(actions=4), BradleyTerry(scores=[1, 2, 3]), BradleyTerry(scores=[1, 2, 3], actions=3)
    assert [world.games(0.1)[0].actions for world in worlds] == [10, 4, 3, 3]
    assert BradleyTerry().random and not BradleyTerry(scores=[1, 2]).random
    given, drawn = make("bradley_terry", scores=[1, 2]), make("bradley_terry")
    assert (given.random, drawn.random, given.varies, drawn.varies) == (False, True, False, True)
    assert given == BradleyTerry(scores=(1.0, 2.0)) and hash(given) == hash(BradleyTerry(scores=(1.0, 2.0)))


def test_bradley_terry_scores_are_standard_normal() -> None:
    gaps = [logit(BradleyTerry(actions=2).games(0.1, index=index)[0].preference[0, 1]) for index in range(400)]
    assert kstest(gaps / np.sqrt(2), "norm").pvalue > 0.001


@pytest.mark.parametrize("seed", range(5))
def test_bradley_terry_games_have_no_cycle_at_any_temperature(seed: int) -> None:
    games = [BradleyTerry(actions=6, temperature=temperature).games(0.1, index=seed)[0] for temperature in (1.0, 2.0)]
    for game in games:
        assert game.intransitivity() < 1e-20 and game.cyclic_triangles() == 0
        assert game.condorcet_winner() == game.preference.mean(axis=1).argmax()
    np.testing.assert_allclose(logit(games[0].preference), 2 * logit(games[1].preference), atol=1e-12)


def test_cyclic_by_hand() -> None:
    assert Cyclic().games(0.1)[0].preference.tolist() == [[0.5, 1, 0], [0, 0.5, 1], [1, 0, 0.5]]
    four = [[0.5, 0.75, 0.5, 0.25], [0.25, 0.5, 0.75, 0.5], [0.5, 0.25, 0.5, 0.75], [0.75, 0.5, 0.25, 0.5]]
    assert Cyclic(n=4, win=0.75).games(0.1)[0].preference.tolist() == four
    assert Cyclic(n=5).games(0.1)[0].preference[0].tolist() == [0.5, 1, 1, 0, 0]
    assert Cyclic(n=6).games(0.1)[0].preference[1].tolist() == [0, 0.5, 1, 1, 0.5, 0]
    assert (Cyclic(n=7, win=0.5).games(0.1)[0].preference == 0.5).all()


@pytest.mark.parametrize(("n", "triangles"), [(3, 1), (4, 0), (5, 5), (6, 2), (7, 14), (9, 30)])
@pytest.mark.parametrize("win", [0.2, 0.9, 1.0])
def test_cyclic_games_are_purely_cyclic(n: int, triangles: int, win: float) -> None:
    (game,) = Cyclic(n=n, win=win).games(0.1)
    assert game.cyclic_triangles() == triangles and game.condorcet_winner() is None
    assert game.intransitivity() == pytest.approx(1, abs=1e-14)
    np.testing.assert_allclose(game.preference.mean(axis=1), 0.5, rtol=0, atol=1e-15)


@given(st.floats(0, 1), st.integers(3, 10), st.integers(0, 10**6), st.floats(0.001, 1))
def test_the_dial_of_blend_is_the_measure(share: float, actions: int, seed: int, strength: float) -> None:
    (game,) = Blend(actions=actions, intransitivity=share, strength=strength).games(0.1, seed=seed)
    assert not game.intransitivity_is_clipped
    assert game.intransitivity() == pytest.approx(share, abs=1e-12)
    odds = logit(game.preference)[np.triu_indices(actions, 1)]
    assert np.sqrt((odds**2).mean()) == pytest.approx(strength, rel=1e-10)


@given(st.floats(0, 1), st.integers(3, 30), st.integers(0, 10**6), st.floats(0.5, 10))
def test_the_dial_of_blend_is_the_measure_wherever_no_entry_is_clipped(share: float, actions: int, seed: int, strength: float) -> None:
    (game,) = Blend(actions=actions, intransitivity=share, strength=strength).games(0.1, seed=seed)
    assert game.intransitivity_is_clipped or game.intransitivity() == pytest.approx(share, abs=1e-12)


@given(st.floats(0, 1), st.integers(3, 8), st.integers(0, 10**6))
def test_blends_of_one_seed_share_their_parts(share: float, actions: int, seed: int) -> None:
    def odds(value: float, strength: float = 1.0) -> np.ndarray:
        return logit(Blend(actions=actions, intransitivity=value, strength=strength).games(0.1, seed=seed)[0].preference)

    expected = np.sqrt(1 - share) * odds(0) + np.sqrt(share) * odds(1)
    np.testing.assert_allclose(odds(share), expected, rtol=0, atol=1e-11)
    np.testing.assert_allclose(odds(share, 0.25), expected / 4, rtol=0, atol=1e-11)


def test_the_ends_of_blend() -> None:
    for seed in range(10):
        (straight,), (round_,) = (Blend(intransitivity=share).games(0.1, index=seed) for share in (0.0, 1.0))
        assert straight.cyclic_triangles() == 0 and straight.condorcet_winner() is not None
        np.testing.assert_allclose(logit(round_.preference).sum(axis=1), 0, atol=1e-12)
        assert round_.cyclic_triangles() > 0


@given(st.integers(1, 3), st.integers(0, 4), st.integers(0, 10**6), st.floats(0.01, 1))
def test_low_rank_log_odds_have_the_rank_and_strength_stated(rank: int, more: int, seed: int, strength: float) -> None:
    actions = 2 * rank + more
    (game,) = LowRank(actions=actions, rank=rank, strength=strength).games(0.1, seed=seed)
    odds = logit(game.preference)
    assert np.sqrt((odds[np.triu_indices(actions, 1)] ** 2).mean()) == pytest.approx(strength, rel=1e-10)
    values = np.linalg.svd(odds, compute_uv=False)
    assert (values[2 * rank :] < 1e-11 * values[0]).all() and values[2 * rank - 1] > 1e-9 * values[0]


def test_low_rank_games_of_rank_one_are_a_plane() -> None:
    """In a plane the log-odds are a 2 x 2 determinant, which the three-term Grassmann-Pluecker relation marks."""
    odds = logit(LowRank(actions=6, rank=1).games(0.1)[0].preference)
    for i, j, k, m in combinations(range(6), 4):
        relation = odds[i, j] * odds[k, m] - odds[i, k] * odds[j, m] + odds[i, m] * odds[j, k]
        assert relation == pytest.approx(0, abs=1e-12)


def test_a_given_matrix_is_kept_entry_by_entry() -> None:
    rows = MANDATORY["matrix"]["rows"]
    assert make("matrix").games(0.1)[0].preference.tolist() == rows
    assert Matrix(rows=np.array(rows)) == Matrix(rows=rows) == make("matrix")
    assert isinstance(make("matrix").rows[0], tuple)


@pytest.mark.parametrize("name", WORLDS)
def test_the_public_class_is_documented_with_its_dials(name: str) -> None:
    world = get_class(config(name)["_target_"])
    text = inspect.getdoc(world)
    inherited = {dial.name for base in world.__mro__[1:] if dataclasses.is_dataclass(base) for dial in dataclasses.fields(base)}
    own = [dial.name for dial in dataclasses.fields(world) if dial.name not in inherited]
    assert "Raises\n" in text and all(f"\n{dial} : " in text for dial in own)

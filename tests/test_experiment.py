"""A run's rows are those of the instances they name, whatever runs beside them."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from command import simlab
from hydra.utils import instantiate
from omegaconf import OmegaConf
from pandas import DataFrame

import simlab as package
from algorithms.egpo import EGPO
from algorithms.sppo import SPPO
from envs.equilibrium import regularised_nash
from envs.feedback import Duels
from simlab.catalogue import CONF
from simlab.store import read

CELLS = {
    "world": ["env=blend"],
    "world and duels": ["env=random_game", "env.actions=4", "feedback=duels", "feedback.flip=0.1"],
    "duels": ["feedback=duels", "env.win=0.9"],
    "start": ["start=far", "env.n=4"],
    "start and duels": ["start=far", "feedback=duels", "feedback.per_action=3"],
    "contexts": ["env=blend", "env.contexts=3", "start=far"],
    "references": ["env.reference=random", "env.contexts=2"],
    "pairs": ["algorithm.pairs=2", "env.n=4"],
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def frame(here: Path, *words: str) -> DataFrame:
    before = set(here.rglob("*.parquet"))
    assert simlab("run", "steps=30", *words).status == 0
    (path,) = set(here.rglob("*.parquet")) - before
    return read(path).frame


@pytest.mark.parametrize("words", CELLS.values(), ids=CELLS)
def test_a_seed_is_the_same_however_many_run_beside_it(words: list[str], here: Path) -> None:
    few, many, other = frame(here, *words, "seeds=4"), frame(here, *words, "seeds=8"), frame(here, *words, "seeds=2", "seed=1")
    assert list(many[: len(few)].seed.unique()) == [0, 1, 2, 3]
    assert few.equals(many[: len(few)])
    last = many[many.step == 30]
    assert last.exploitability.nunique() == len(last)
    assert not set(last.exploitability) & set(other[other.step == 30].exploitability), "another root gives other numbers"


def test_rows_of_a_random_world_are_those_of_its_games(here: Path) -> None:
    rows = frame(here, "env=blend", "env.actions=5", "env.contexts=2", "env.reference=random", "seeds=3", "seed=7", "start=far", "beta=0.2")
    world = instantiate(OmegaConf.load(CONF / "env/blend.yaml"), actions=5, contexts=2, reference="random")
    start = instantiate(OmegaConf.load(CONF / "start/far.yaml"))
    for seed, context in product(range(3), range(2)):
        game = world.games(0.2, seed=7, index=seed)[context]
        run = package.simulate(game, EGPO(), steps=30, start=start.log_policy(game, seed=7, index=seed))
        mine = rows[(rows.seed == seed) & (rows.context == context)]
        kl = package.metrics.kl(regularised_nash(game), run.log_policy[0])
        np.testing.assert_allclose(mine.exploitability, package.metrics.exploitability(game, run.log_policy[0]), rtol=1e-9, atol=1e-25)
        np.testing.assert_allclose(mine.original_exploitability, package.metrics.exploitability(game, run.log_policy[0], 0), atol=1e-14)
        np.testing.assert_allclose(mine.kl_to_equilibrium, kl, rtol=1e-6, atol=1e-24)


def test_rows_of_a_fixed_world_are_those_of_its_seeds(here: Path) -> None:
    words = ["env.win=0.8", "start=reference", "feedback=duels", "feedback.per_action=2", "feedback.flip=0.1", "seeds=3", "seed=7"]
    rows = frame(here, *words)
    (game,) = instantiate(OmegaConf.load(CONF / "env/cyclic.yaml"), win=0.8).games(0.1, seed=7, index=0)
    run = package.simulate(game, EGPO(), steps=30, seeds=3, seed=7, feedback=Duels(per_action=2, flip=0.1), measure=["exploitability"])
    for seed in range(3):
        assert np.array_equal(rows[rows.seed == seed].exploitability, run.measured["exploitability"][seed])


def test_seeds_and_contexts_of_one_game_have_noise_of_their_own(here: Path) -> None:
    """A tournament of two actions is one of two games, so that many seeds draw the same."""
    words = ["env=tournament", "env.actions=2", "feedback=duels", "start=far", "start.spread=1e-6", "record=[20]"]
    for seeds, contexts in ((32, 1), (1, 32)):
        rows = frame(here, *words, f"seeds={seeds}", f"env.contexts={contexts}")
        assert rows.exploitability.round(4).nunique() > 4


@pytest.mark.parametrize(
    "words", [["env=population", "seeds=3"], ["env=population_cycle"], ["env=population", "env.contexts=2", "seeds=2"]]
)
def test_what_a_policy_is_worth_to_each_user(words: list[str], here: Path) -> None:
    """How often the user prefers its response to the reference's, by loops; the worst and the mean user besides."""
    measures = ["exploitability", "user_utility", "worst_user_utility", "mean_user_utility", "average_user_utility"]
    rows = frame(here, *words, "algorithm=sppo", "env.reference=random", f"measure=[{','.join(measures)}]", "record=[0,30]", "seed=5")
    name = words[0].removeprefix("env=")
    contexts = max(rows.context) + 1
    world = instantiate(OmegaConf.load(CONF / f"env/{name}.yaml"), contexts=contexts, reference="random")
    start = instantiate(OmegaConf.load(CONF / "start/far.yaml"))
    for index in rows.seed.unique():
        people, games = world.people(seed=5, index=index), world.games(0.1, seed=5, index=index)
        runs = [package.simulate(g, SPPO(), steps=30, record=[0, 30], start=start.log_policy(g, seed=5, index=index)) for g in games]
        for column, kept in (("user_utility", "log_policy"), ("average_user_utility", "log_average")):
            for record, step in enumerate((0, 30)):
                expected = np.zeros(people.users)
                for context, (game, run) in enumerate(zip(games, runs, strict=True)):
                    policy, reference = np.exp(getattr(run, kept)[0, record]), np.exp(game.log_reference)
                    expected += [policy @ people.preferences(context)[user] @ reference / contexts for user in range(people.users)]
                for row in rows[(rows.seed == index) & (rows.step == step)].itertuples():
                    np.testing.assert_allclose(getattr(row, column), expected, rtol=1e-9)
                    if column == "user_utility":
                        assert row.worst_user_utility == pytest.approx(min(expected), rel=1e-9)
                        assert row.mean_user_utility == pytest.approx(np.mean(expected), rel=1e-9)
    assert len(rows) == 2 * contexts * rows.seed.nunique()


def test_the_policy_itself_can_be_kept(here: Path) -> None:
    """With the average, in rows of several contexts and seeds, beside a measure of the kernel's."""
    words = ["env=blend", "env.actions=4", "env.contexts=2", "algorithm=sppo", "seeds=2", "steps=7", "record=[0,7]", "seed=5"]
    rows = frame(here, *words, "measure=[policy,exploitability,average_policy]")
    world = instantiate(OmegaConf.load(CONF / "env/blend.yaml"), actions=4, contexts=2)
    start = instantiate(OmegaConf.load(CONF / "start/far.yaml"))
    for index in range(2):
        for context, game in enumerate(world.games(0.1, seed=5, index=index)):
            run = package.simulate(game, SPPO(), steps=7, record=[0, 7], start=start.log_policy(game, seed=5, index=index))
            kept = rows[(rows.seed == index) & (rows.context == context)]
            np.testing.assert_allclose(np.stack(kept.policy), np.exp(run.log_policy[0]), rtol=1e-12)
            np.testing.assert_allclose(np.stack(kept.average_policy), np.exp(run.log_average[0]), rtol=1e-12)
    assert "policy" not in simlab("run", *words, "measure=[policy]").out.split("spent")[1].split("kept")[0]


def test_users_are_measured_where_there_are_some(here: Path) -> None:
    assert {"worst_user_utility", "mean_user_utility"} <= set(frame(here, "env=population").columns)
    assert "worst_user_utility" not in frame(here, "env=cyclic").columns
    refused = simlab("run", "env=cyclic", "measure=[worst_user_utility]")
    assert refused.status == 2 and "measure=worst_user_utility: must be null, or among exploitability" in refused.err

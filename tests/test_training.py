"""`simlab train`: a model beside a table on the same games, by the same tableau or pair loss; its rows, figure and refusals."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import MISSING, fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command import ROOT, Outcome, environ, simlab
from hydra.utils import get_class, get_object
from omegaconf import OmegaConf
from pandas import DataFrame

import simlab as package
from algorithms.egpo import EGPO
from algorithms.rdpo import RobustDPO
from envs.equilibrium import regularised_nash
from envs.sequence import Sequence
from scaled.model import TableModel, TransformerModel
from simlab.catalogue import CONF
from simlab.checked import checked
from simlab.configuration import plan
from simlab.request import parse
from simlab.store import read
from simlab.training import Training

SMALL = ["steps=3", "prompts=2", "env.vocabulary=3"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(*words: str) -> tuple[Outcome, DataFrame]:
    """Without the figure, which would take longer than the run."""
    before = set(Path().rglob("*.parquet"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Training, "keep", lambda self, stored: None)
        outcome = simlab("train", *words)
    assert outcome.status == 0, outcome.err
    (path,) = set(Path().rglob("*.parquet")) - before
    return outcome, read(path).frame


@pytest.mark.parametrize("words", ["scaled=table", "algorithm=nash_md", "algorithm=rdpo", "responses=4 feedback=duels"])
def test_a_run_leaves_its_rows_and_their_figure(words: str, here: Path) -> None:
    outcome = simlab("train", *words.split(), *SMALL)
    assert (outcome.status, outcome.err) == (0, "")
    rows, figure = sorted(Path("simlab_store").iterdir())
    assert rows.suffix == ".parquet" and figure == rows.with_suffix(".png") and figure.stat().st_size > 10_000


@pytest.mark.parametrize("name", ["table", "tiny"])
def test_the_file_is_the_class(name: str) -> None:
    config = OmegaConf.load(CONF / "scaled" / f"{name}.yaml")
    config["env"] = {"vocabulary": 4, "length": 2}
    made = get_class(config.pop("_target_"))
    env = config.pop("env")
    assert made in (TransformerModel, TableModel)
    values = {key: env.get(key, value) for key, value in config.items_ex(resolve=False)}
    assert made(**values) == made()


@pytest.mark.parametrize("path", sorted((CONF / "scaled").glob("*/*.yaml")) + [CONF / "scaled" / "lm.yaml"], ids=lambda path: path.stem)
def test_files_of_language_models_hold_the_defaults_of_their_classes(path: Path) -> None:
    config = OmegaConf.to_container(OmegaConf.load(path))
    config.pop("defaults", None)
    made = get_object(config.pop("_target_"))
    defaults = {field.name: field.default for field in fields(made)}
    assert set(config) == set(defaults) - {"oracle", "rollout", "weights", "engine"}
    for key, value in config.items():
        given = MISSING if value == "???" else value
        assert given == defaults[key] and type(given) is type(defaults[key]), key


def able(what: str) -> list[str]:
    """Methods with an ability."""
    paths = sorted((CONF / "algorithm").glob("*.yaml"))
    return [path.stem for path in paths if hasattr(get_class(OmegaConf.load(path)["_target_"]), what)]


SELF_PLAY, LOSSES = able("tableau"), able("slope")


@pytest.mark.parametrize("name", [name for name in SELF_PLAY if name not in ("online_ipo", "sppo_sampled")])
def test_every_tableau_on_a_table_is_the_kernel(name: str) -> None:
    _, frame = train(f"algorithm={name}", "scaled=table", *SMALL, "beta=0.1")
    np.testing.assert_allclose(frame.exploitability, frame.table_exploitability, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(frame.kl_to_equilibrium, frame.table_kl_to_equilibrium, rtol=1e-8, atol=1e-12)
    assert frame.kl_to_equilibrium.groupby(frame.context).nunique().min() > 1


@pytest.mark.parametrize("name", [*SELF_PLAY, *LOSSES])
def test_every_method_trains_a_transformer(name: str) -> None:
    coarse = {"comal": ["algorithm.tolerance=0.3"], "nash_prox": ["algorithm.tolerance=0.3"], "nash_mp_softmax": ["algorithm.inner=3"]}
    outcome, frame = train(f"algorithm={name}", *SMALL, "beta=0.1", "scaled.inner=3", *coarse.get(name, ()))
    assert len(frame) == 2 * 4 and np.isfinite(frame.exploitability).all() and "transformer" in outcome.out.lower()
    assert (frame[frame.step == 3].exploitability.to_numpy() != frame[frame.step == 0].exploitability.to_numpy()).all()


def test_rows_are_those_of_the_games_at_the_models_start() -> None:
    _, frame = train("scaled=table", "scaled.spread=0.7", "env.vocabulary=3", "prompts=2", "steps=4", "beta=0.1", "seed=3", "seeds=2")
    for index in range(2):
        games = Sequence(vocabulary=3, length=2, contexts=2).games(0.1, seed=3, index=index)
        root = int(np.random.SeedSequence([3, index, 0, 7]).generate_state(1)[0])
        logits = TableModel(0.7).build(2, 9, root).logits.detach().numpy()
        for context, (game, theta) in enumerate(zip(games, logits, strict=True)):
            log_start = theta - np.logaddexp.reduce(theta)
            game = replace(game, log_reference=log_start)
            run = package.simulate(game, EGPO(), steps=4, record="every")
            mine = frame[(frame.seed == index) & (frame.context == context)]
            np.testing.assert_allclose(mine.exploitability, package.metrics.exploitability(game, run.log_policy[0]), rtol=1e-7, atol=1e-14)
            kl = package.metrics.kl(regularised_nash(game), run.log_policy[0])
            np.testing.assert_allclose(mine.table_kl_to_equilibrium, kl, rtol=1e-7)


def test_a_transformer_follows_its_table() -> None:
    _, frame = train("steps=15", "prompts=2", "env.vocabulary=3", "beta=0.05")
    last, first = frame[frame.step == 15], frame[frame.step == 0]
    assert (last.exploitability.to_numpy() < 0.5 * first.exploitability.to_numpy()).all()
    assert np.nanmedian(frame.residual) < 0.1


@pytest.mark.parametrize("name", ["rdpo", "robust_ipo"])
def test_an_offline_learner_comes_to_the_minimiser_of_its_loss(name: str) -> None:
    words = ["feedback.flip=0.2", "beta=2.0", "prompts=2", "env.vocabulary=3", "steps=45", "scaled.learning_rate=0.01"]
    outcome, frame = train(f"algorithm={name}", *words)
    last, first = frame[frame.step == 45], frame[frame.step == 0]
    assert {"rdpo": "- 0.3333 u", "robust_ipo": "- 1.333 h"}[name] in outcome.out
    assert first.residual.iloc[0] > 20 * abs(last.residual.iloc[0])
    assert frame.residual.min() > -1e-9, "the table is the least there is"
    np.testing.assert_allclose(last.kl_to_equilibrium, last.table_kl_to_equilibrium, rtol=0.1)
    assert frame.table_kl_to_equilibrium.groupby(frame.context).nunique().max() == 1


def test_the_table_of_an_offline_learner_is_the_population_minimiser() -> None:
    """One pair at a time: debiased labels of expected counts give the clean margins of a Bradley-Terry world."""
    words = ["algorithm=rdpo", "env=bradley_terry", "env.actions=9", "feedback.flip=0.2", "beta=0.5", *SMALL[:2], *MODEL]
    experiment = checked(plan(parse("train", words)).jobs[0].config)
    assert isinstance(experiment.method, RobustDPO) and experiment.method.flip == pytest.approx(0.2)
    games, _ = experiment.start(0)
    log_table, _ = experiment._table(games, experiment._counts(games, 0))
    for game, found in zip(games, log_table, strict=True):
        margin = 0.5 * (found - game.log_reference)
        odds = np.log(game.preference) - np.log1p(-game.preference)
        np.testing.assert_allclose(margin[:, None] - margin, odds, atol=1e-7)


MODEL = ["scaled.vocabulary=3", "scaled.length=2"]


def test_sampled_responses_and_labels() -> None:
    words = ["feedback=duels", "feedback.per_action=2", "responses=8", *SMALL]
    outcome, frame = train(*words)
    assert "8 responses drawn for each stage and prompt" in outcome.out
    again = train(*words, "store=other")[1]
    assert frame.exploitability.equals(again.exploitability)
    assert not frame.exploitability.equals(train(*words, "seed=1")[1].exploitability)


def test_comparisons_of_an_offline_learner_can_be_drawn() -> None:
    words = ["algorithm=dpo", "feedback=duels", "feedback.per_action=500", "beta=0.5", *SMALL]
    outcome, frame = train(*words)
    assert "4500 comparisons for each prompt" in outcome.out and frame.table_exploitability.nunique() == 2
    assert not set(frame.table_exploitability) & set(train(*words, "seed=1")[1].table_exploitability)


def test_numbers_do_not_depend_on_threads() -> None:
    before = torch.get_num_threads()
    frames = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        frames.append(train("steps=4", f"threads={threads}", f"store=at{threads}")[1])
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert frames[0].equals(frames[1])


def test_a_finished_run_is_not_repeated_and_a_sweep_has_a_line_each() -> None:
    outcome = simlab("train", "-m", "algorithm=egpo,nash_md", "scaled=table", *SMALL)
    assert outcome.status == 0 and len(outcome.out.splitlines()) == 4
    again = simlab("train", "-m", "algorithm=egpo,nash_md", "scaled=table", *SMALL)
    assert again.out.count("already there") == 3


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["algorithm=pal"], "algorithm=pal: must be a method that can be trained"),
        (["env=cyclic"], "scaled.vocabulary=${env.vocabulary}: must be a reference that resolves"),
        (["env=cyclic", *MODEL], "scaled.length=2: must be such that V^L = K = 3"),
        (["env.length=9"], "env.length=9: must be such that 3 <= V^L <= 4096"),
        (["scaled.length=9"], "scaled.length=9: must be such that V^L <= 65536 responses, V=4, to be enumerated"),
        (["env.reference=random"], "env.reference=random: must be left out: the model at its start is the reference"),
        (["env.contexts=2"], "env.contexts=2: must be 1: prompts is the number of games"),
        (["beta=0"], "beta=0: must be a finite number > 0"),
        (["steps=0"], "steps=0: must be an integer >= 1"),
        (["prompts=0"], "prompts=0: must be an integer >= 1"),
        (["responses=1"], "responses=1: must be an integer >= 2, or null: all"),
        (["scaled=table", "responses=4"], "responses=4: must be left out: Solved takes the targets of all"),
        (["algorithm=comal"], "algorithm.tolerance=1e-12: must be at least 0.001 with a model that an optimizer moves"),
        (["scaled.heads=3"], "scaled.heads=3: must be a divisor of width=32"),
        (["scaled.dtype=int8"], "scaled.dtype=int8: must be float32 or float64"),
        (["scaled.learning_rate=0"], "scaled.learning_rate=0: must be a finite number > 0"),
        (["feedback.flip=0.6"], "feedback.flip=0.6: must be a rate in [0, 1/2]"),
        (["algorithm=rdpo", "responses=4"], "responses=4: must be left out: the comparisons are given"),
        (["algorithm=rdpo", "scaled=table"], "scaled=TableModel: must be a model that an optimizer moves"),
        (["algorithm=rdpo", "feedback.assumed_flip=0.1"], "feedback.assumed_flip=0.1: must be left out"),
        (["record=log"], "record=log: must be a key of simlab train"),
    ],
)
def test_refusals(words: list[str], expected: str, here: Path) -> None:
    outcome = simlab("train", *words)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith(f"simlab: {expected}") and outcome.err.count("\n") == 1
    assert not list(here.iterdir())


def test_the_examples_of_the_manual_are_accepted() -> None:
    words = ["env=blend", "env.actions=16", "scaled.vocabulary=4", "scaled.length=2"]
    assert checked(plan(parse("train", words)).jobs[0].config).facts()["prompts"] == 4
    manual = simlab("train", "--help").out
    assert " ".join(words) in " ".join(manual.split()) and "-m, --multirun" in manual and "keys of scaled=tiny" in manual


def test_without_torch_one_line_says_how_to_install_it(here: Path) -> None:
    (here / "torch.py").write_text("raise ImportError('none')\n")
    code = "import sys; sys.path.insert(0, '.'); from simlab.cli import main; sys.exit(main(['train']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=here, env=environ(), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "simlab: simlab train: must have torch: pip install 'simlab[scaled]'\n"
    assert ROOT.is_dir()

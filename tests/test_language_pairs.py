"""Pair losses on a language model: loss, gradient and measures beside the papers' formulas on single rows, and beside TRL; runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import simlab
from hydra.utils import get_class
from language import PAIRS, WORDS, dataset, folder, language_model, lines, metrics, network, plainly, train, train_and_draw, trained
from omegaconf import OmegaConf
from torch import Tensor
from torch.nn.functional import logsigmoid

from algorithms.cdpo import ConservativeDPO
from algorithms.dpo import DPO
from algorithms.ipo import IPO
from algorithms.pair_loss import PairLoss
from algorithms.rdpo import RobustDPO
from algorithms.robust_ipo import RobustIPO
from algorithms.tableau import POLICY, REFERENCE
from envs.invalid import Invalid
from scaled.pair_training import PairPlan, PairTraining
from scaled.prompts import Pair
from scaled.realisation import NonFinite
from scaled.weights import Full, LoRA, Weights
from simlab.catalogue import CONF
from simlab.store import read

BETA, FLIP, TAU = 0.7, 0.2, 0.6
LORA = LoRA(rank=4, alpha=8.0)
Formula = Callable[[Tensor], Tensor]


def h_or_beta_h(loss: PairLoss) -> float:
    return 1.0 if loss.log_ratio else BETA


LOSSES: dict[str, tuple[PairLoss, Formula]] = {
    "dpo": (DPO(), lambda u: -logsigmoid(u)),
    "cdpo": (ConservativeDPO(FLIP), lambda u: -(1 - FLIP) * logsigmoid(u) - FLIP * logsigmoid(-u)),
    "rdpo": (RobustDPO(FLIP), lambda u: (-(1 - FLIP) * logsigmoid(u) + FLIP * logsigmoid(-u)) / (1 - 2 * FLIP)),
    "ipo": (IPO(TAU), lambda h: (h - 0.5 / TAU) ** 2),
    "robust_ipo": (
        RobustIPO(TAU, FLIP),
        lambda h: ((1 - FLIP) * (h - 0.5 / TAU) ** 2 - FLIP * (h + 0.5 / TAU) ** 2) / (1 - 2 * FLIP),
    ),
}
"""Ours, and the papers' of the labelled winner's margin."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The numbers are few, and threads wake slowly."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_all_losses_are_here() -> None:
    members = {path.stem: get_class(OmegaConf.load(path)["_target_"]) for path in (CONF / "algorithm").glob("*.yaml")}
    assert {name for name, made in members.items() if hasattr(made, "slope")} == set(LOSSES)


def begin(loss: PairLoss, *, flip: float = 0.0, drawn: bool = False, prompts: int = 4, seed: int = 0, **settings: Any) -> PairTraining:
    """Large steps, so that policy and reference differ."""
    model = language_model(**({"dataset": dataset("pairs"), "learning_rate": 0.03, "inner": 1} | settings))
    return PairTraining(model, network(model), PairPlan(loss, BETA, flip, drawn, prompts, 5, seed))


def log_ratios(model: Any, pairs: list[Pair], reference: Tensor | float = 0.0) -> Tensor:
    """(pairs, 2) of chosen and rejected, by plain passes of one row each."""
    rows = [torch.stack([plainly(model, pair.prompt, answer) for answer in (pair.chosen, pair.rejected)]) for pair in pairs]
    return torch.stack(rows) - reference


# The loss and its gradient.


@pytest.mark.parametrize("weights", [Full(), LORA], ids=["full", "lora"])
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("name", LOSSES)
def test_loss_gradient_margin_and_accuracy_are_the_formulas(name: str, batch: int, weights: Weights) -> None:
    loss, formula = LOSSES[name]
    learner = begin(loss, weights=weights, batch=batch, learning_rate=0.01, inner=2)
    model, pairs = learner.network.model, learner.model.pairs
    with torch.no_grad():
        reference = log_ratios(model, pairs)
    found: list[tuple[float, float, float]] = []

    def compare(*_: Any) -> None:
        rows = learner.batches[len(found)]
        ratios = log_ratios(model, [pairs[row] for row in rows], reference[rows])
        margin = h_or_beta_h(loss) * (ratios[:, 0] - ratios[:, 1])
        value = formula(margin).mean()
        expected = torch.cat([part.flatten() for part in torch.autograd.grad(value, list(learner.network.parameters()))])
        gradient = torch.cat([weight.grad.flatten() for weight in learner.network.parameters()])
        torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-10 * float(expected.norm()))
        found.append((value.item(), margin.mean().item(), (margin > 0).double().mean().item()))

    learner.trained.optimizer.register_step_pre_hook(compare)
    for number in range(3):
        seen = learner.step()
        means = np.mean(found[2 * number :], axis=0)
        np.testing.assert_allclose([seen["loss"], seen["margin"], seen["accuracy"]], means, atol=1e-12)
        answers = [len(tokens) for at in (2 * number, 2 * number + 1) for row in learner.batches[at] for tokens in answers_of(pairs[row])]
        assert seen["length"] == np.mean(answers) and seen["tokens"] == sum(answers)
    assert len(found) == 6 and found[0][1] == 0 and abs(found[-1][1]) > 0.1, "the policy has left the reference"
    assert (seen["queries"], seen["gradients"]) == (0, 6)


def answers_of(pair: Pair) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return pair.chosen, pair.rejected


def test_answers_are_learnt_with_their_end() -> None:
    learner = begin(DPO())
    (pair,) = learner.model.pairs[:1]
    words = [[WORDS[token] for token in tokens] for tokens in (pair.prompt.tokens, pair.chosen, pair.rejected)]
    assert words == [["p0", "p1"], ["a", "b", "c", "</s>"], ["d", "</s>"]]


def margin_of(learner: PairTraining, reference: Tensor) -> Tensor:
    """(pairs,) of the whole dataset, plainly."""
    with torch.no_grad():
        ratios = log_ratios(learner.network.model, learner.model.pairs, reference)
    return BETA * (ratios[:, 0] - ratios[:, 1])


@pytest.mark.parametrize("drawn", [False, True], ids=["expected", "drawn"])
def test_wrong_labels_are_mixed_in_or_drawn_once_and_for_all(drawn: bool) -> None:
    learner = begin(DPO(), flip=0.3, drawn=drawn, prompts=6, seed=2)
    with torch.no_grad():
        reference = log_ratios(learner.network.model, learner.model.pairs)
    wrong = torch.tensor(learner.share_wrong)
    assert set(learner.share_wrong) == ({0.0, 1.0} if drawn else {0.3})
    for _ in range(3):
        margin = margin_of(learner, reference)
        seen = learner.step()
        assert seen["loss"] == pytest.approx(float(((1 - wrong) * -logsigmoid(margin) + wrong * -logsigmoid(-margin)).mean()), rel=1e-12)
        assert seen["margin"] == pytest.approx(float(margin.mean()), abs=1e-12), "of the response that the dataset prefers"


def test_drawn_flips_come_at_their_rate_from_the_seed(tmp_path: Path) -> None:
    """Within five standard deviations of a count."""
    data = lines(tmp_path / "many.jsonl", [{"prompt": "p0", "chosen": "a", "rejected": "b"}] * 4000)
    flips = [begin(DPO(), flip=0.3, drawn=True, seed=seed, dataset=data).share_wrong for seed in (0, 0, 1)]
    assert abs(flips[0].sum() - 1200) < 5 * (4000 * 0.21) ** 0.5
    np.testing.assert_array_equal(flips[0], flips[1])
    assert 0.3 < np.mean(flips[0] != flips[2]) < 0.55, "of independent labels 42% differ"


@pytest.mark.slow  # for the import
@pytest.mark.xdist_group("trl")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(("name", "kind"), [("dpo", "sigmoid"), ("rdpo", "robust")])
def test_trl_takes_the_same_step(name: str, kind: str, tmp_path: Path) -> None:
    """Its own tokens, masks and float32, on all pairs at once."""
    pytest.importorskip("trl")
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    learner = begin(LOSSES[name][0], prompts=6)
    learner.step()
    policy, start = (AutoModelForCausalLM.from_pretrained(folder(), dtype=torch.float32) for _ in range(2))
    policy.load_state_dict({name: weight.float() for name, weight in learner.network.model.state_dict().items()})
    for model in (policy, start):
        model.config.resid_pdrop = model.config.embd_pdrop = model.config.attn_pdrop = 0.0
    settings: dict[str, Any] = {"output_dir": str(tmp_path), "loss_type": [kind], "beta": BETA}
    settings |= {"label_smoothing": FLIP if kind == "robust" else 0.0}
    settings |= {"per_device_train_batch_size": 6, "use_cpu": True, "bf16": False, "report_to": "none", "disable_dropout": True}
    tokenizer = AutoTokenizer.from_pretrained(folder(), pad_token="a")
    data = Dataset.from_list([{key: f"{text} " if key == "prompt" else text for key, text in pair.items()} for pair in PAIRS])
    trainer = DPOTrainer(policy, start, args=DPOConfig(**settings), train_dataset=data, processing_class=tokenizer)
    theirs = trainer.compute_loss(trainer.model, next(iter(trainer.get_train_dataloader())))
    gradient = dict(zip(*named_gradient(theirs, trainer.model), strict=True))
    ours: dict[str, Tensor] = {}

    def note(*_: Any) -> None:
        ours.update({name: weight.grad.clone() for name, weight in learner.network.weights.items()})

    learner.trained.optimizer.register_step_pre_hook(note)
    assert learner.step()["loss"] == pytest.approx(theirs.item(), rel=1e-5)
    assert gradient.keys() == ours.keys()
    total = sum(float(part.square().sum()) for part in ours.values()) ** 0.5
    assert all((ours[name].float() - gradient[name]).norm() < 1e-4 * total for name in ours)


def named_gradient(loss: Tensor, model: Any) -> tuple[list[str], tuple[Tensor, ...]]:
    names, weights = zip(*model.named_parameters(), strict=True)
    return list(names), torch.autograd.grad(loss, weights)


# What goes on.


@pytest.mark.parametrize("weights", [Full(), LORA], ids=["full", "lora"])
def test_the_reference_is_the_start(weights: Weights) -> None:
    learner = begin(DPO(), weights=weights, inner=3)
    start = {name: weight.clone() for name, weight in learner.network.state_dict().items()}
    for number in range(2):
        learner.step()
        assert all(torch.equal(learner.weights[REFERENCE]["policy"][name], start[name]) for name in start)
        assert not any(torch.equal(learner.weights[POLICY]["policy"][name], start[name]) for name in start if "lora_A" not in name)
        steps = {int(state["step"]) for state in learner.weights[POLICY]["optimizer"]["state"].values()}
        assert steps == {3 * (number + 1)}, "the optimizer's state goes on"
        standing = learner.network.state_dict()
        assert all(torch.equal(learner.weights[POLICY]["policy"][name], standing[name]) for name in start), "there the model stands"


def test_a_few_steps_learn_the_labels() -> None:
    learner = begin(DPO(), prompts=6, learning_rate=3e-3, inner=10)
    seen = [learner.step() for _ in range(3)]
    assert seen[-1]["accuracy"] == 1 and seen[-1]["loss"] < 0.2 * np.log(2) and seen[-1]["margin"] > seen[0]["margin"]


def test_learning_rates_are_those_of_the_optimizer() -> None:
    learner = begin(DPO(), warmup=2, final=0.5, inner=2)
    rates: list[float] = []
    learner.trained.optimizer.register_step_pre_hook(lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]))
    for _ in range(4):
        learner.step()
    expected = [0.03 * min(1, (number + 1) / 3) * (1 - 0.5 * number / 4) for number in range(4)]
    np.testing.assert_allclose(rates, np.repeat(expected, 2), rtol=1e-12)


def test_gradients_are_scaled_down_to_a_norm() -> None:
    norms = []
    for clip in (None, 1e-3):
        learner = begin(DPO(), clip=clip)
        found: list[float] = []

        def note(optimizer: Any, *_: Any, found: list[float] = found) -> None:
            found.append(float(torch.cat([weight.grad.flatten() for weight in optimizer.param_groups[0]["params"]]).norm()))

        learner.trained.optimizer.register_step_pre_hook(note)
        learner.step()
        norms.append(found[0])
    assert norms[0] > 0.1 and norms[1] == pytest.approx(1e-3, rel=1e-3)


# Numbers that are not finite, and refusals.


def test_a_loss_that_is_not_finite_stops_the_iteration_with_the_line(tmp_path: Path) -> None:
    path = Path(lines(tmp_path / "pairs.jsonl", PAIRS))
    path.write_text(path.read_text().replace("\n", "\n\n", 1))  # row 2 is in line 4
    learner = begin(DPO(), dataset=str(path), inner=3, prompts=2, seed=1)
    learner.step()
    before, taken = deepcopy(learner.weights[POLICY]), []
    learner.trained.optimizer.register_step_pre_hook(lambda *_: taken.append(1))
    place = [learner.batches[number].tolist() for number in range(3, 6)]
    handle = learner.network.model.transformer.wte.register_forward_hook(poisoned)
    with pytest.raises(NonFinite, match=rf"iteration 1, prompt \d of the batch \({path}, line 4\): the loss is not finite"):
        learner.step()
    handle.remove()
    assert len(taken) == next(number for number, rows in enumerate(place) if 2 in rows) > 0, "steps before it were taken, and are undone"
    assert learner.iteration == 1 and learner.gradients == 3
    standing, state = learner.network.state_dict(), learner.trained.optimizer.state_dict()["state"]
    assert all(torch.equal(standing[name], weight) for name, weight in before["policy"].items())
    assert all(torch.equal(state[at][key], value) for at, kept in before["optimizer"]["state"].items() for key, value in kept.items())
    seen = learner.step()
    other = begin(DPO(), dataset=str(path), inner=3, prompts=2, seed=1)
    other.step()
    assert other.step() == seen


def poisoned(module: Any, inputs: tuple[Tensor], embedded: Tensor) -> Tensor:
    """A hook by which a word of the third prompt alone is no number where gradients are taken."""
    there = (inputs[0] == WORDS.index("p6")) & torch.is_grad_enabled()
    return embedded.masked_fill(there[..., None], torch.nan)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"prompts": 0}, "prompts=0: must be an integer >= 1"),
        ({"prompts": 7}, "prompts=7: must be at most 6, the rows of the dataset"),
        ({"seed": -1}, "seed=-1: must be an integer >= 0"),
        ({"dataset": dataset()}, "must be with columns chosen and rejected"),
    ],
)
def test_plans_that_are_refused(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(Invalid, match=expected):
        begin(DPO(), **changes)


# Runs of the command.


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


SIZES = {"prompts": 3, "steps": 3, "beta": BETA, "scaled.inner": 2, "scaled.learning_rate": 0.01, "scaled.precision": "float64"}
WORDS_OF_A_RUN = [f"scaled.dataset={dataset('pairs')}", *(f"{key}={value}" for key, value in SIZES.items())]


@pytest.mark.parametrize("weights", ["lora", "full"])
def test_a_run_leaves_its_rows_its_metrics_and_a_model_that_transformers_loads(weights: str, here: Path) -> None:
    path = train_and_draw("algorithm=dpo", *WORDS_OF_A_RUN, f"scaled/weights={weights}", "scaled.inner=20", "tracker=tensorboard")
    frame, told = read(path).frame, metrics(path)
    assert set(frame) == {"seed", "step", "queries", "gradients", "status", "loss", "margin", "accuracy", "length"}
    assert frame.gradients.tolist() == [0, 20, 40, 60] and (frame["queries"] == 0).all() and len(told) == 4
    for name in ("loss", "margin", "accuracy", "length"):
        np.testing.assert_array_equal(frame[name], [row.get(name, np.nan) for row in told])
    assert path.with_suffix(".png").exists() and list(path.with_suffix("").rglob("events.out.tfevents.*"))
    known = language_model(model=folder(width=16, layers=1), dataset=dataset("pairs"))
    with torch.no_grad():
        ratios = log_ratios(trained(path), known.pairs, log_ratios(network(known).model, known.pairs))
    assert (ratios[:, 0] > ratios[:, 1]).all(), "all labels are learnt, by the model that was left"
    assert frame.accuracy.iloc[-1] == 1 and frame.loss.iloc[-1] < 0.3 * np.log(2)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_runs_with_what_the_feedback_says(name: str, here: Path) -> None:
    """A null is filled in by the run: the feedback's rate of wrong labels, tau = beta/4."""
    path = train(f"algorithm={name}", *WORDS_OF_A_RUN, "feedback.flip=0.2", "steps=1", "scaled.inner=1")
    robust = {"cdpo": ConservativeDPO(0.2), "rdpo": RobustDPO(0.2), "robust_ipo": RobustIPO(BETA / 4, 0.2)}
    loss = ({"dpo": DPO(), "ipo": IPO(BETA / 4)} | robust)[name]
    stored = read(path)
    assert stored.metadata["method"] == str(loss)
    assert stored.frame.loss.iloc[-1] == pytest.approx(float(loss.value(0.0)), rel=1e-9), "the policy is the reference at first"


def test_labels_that_are_drawn_depend_on_the_seed(here: Path) -> None:
    words = [*WORDS_OF_A_RUN, "algorithm=dpo", "feedback=duels", "feedback.flip=0.4", "prompts=6", "scaled.inner=3", "steps=1"]
    frames = [read(train(*words, f"seed={seed}", f"store=at{number}")).frame for number, seed in enumerate((0, 0, 1))]
    assert frames[0].equals(frames[1]) and not frames[0].equals(frames[2])


def test_a_finished_run_is_not_repeated(here: Path) -> None:
    path = train(*WORDS_OF_A_RUN, "algorithm=ipo")
    words = [f"scaled.model={folder(width=16, layers=1)}", *WORDS_OF_A_RUN, "algorithm=ipo"]
    outcome = simlab("train", "scaled=lm", *words)
    assert outcome.status == 0 and "already there" in outcome.out and not outcome.err
    assert list(here.rglob("*.parquet")) == [here / path]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["responses=4"], "responses=4: must be left out: the pairs are given"),
        (["scaled/oracle=function", "scaled.oracle.function=a:b"], "scaled/oracle=Function: must be left out: the pairs are given"),
        (["env=cyclic"], "env=Cyclic: must be left out: the pairs are given"),
        (["prompts=7"], "prompts=7: must be at most 6, the rows of the dataset"),
        (["scaled.vocabulary=[a,b]"], "scaled.vocabulary=[a,b]: must be null: the pairs are given"),
        (["feedback.assumed_flip=0.1"], "feedback.assumed_flip=0.1: must be left out: an offline learner is told by its own keys"),
        (["feedback=duels_margin"], "feedback.flip=MarginFlip: must be one rate for all pairs"),
        (["feedback=duels_targeted", "feedback.flip.pairs=[[0,1]]"], "feedback.flip=TargetedFlip: must be one rate"),
        (["feedback=duels", "feedback.per_action=2"], "feedback.per_action=2: must be 1"),
        (["scaled.dataset=QUESTIONS"], "scaled.dataset=QUESTIONS: must be with columns chosen and rejected"),
        (["processes=2", "scaled/engine=fsdp"], "prompts=3: must be a multiple of 2, the number of processes"),
        (["tracker=none"], "tracker=none: must be one of tensorboard, wandb, mlflow, or null"),
        (["algorithm.flip=0.7"], "algorithm.flip=0.7: must be a rate in [0, 1/2)"),
    ],
)
def test_refusals(words: list[str], expected: str, here: Path) -> None:
    given = [f"scaled.model={folder(width=16, layers=1)}", "algorithm=rdpo", *WORDS_OF_A_RUN]
    words, expected = [word.replace("QUESTIONS", dataset()) for word in words], expected.replace("QUESTIONS", dataset())
    outcome = simlab("train", "scaled=lm", *given, *words)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith(f"simlab: {expected}") and outcome.err.count("\n") == 1, outcome.err
    assert not list(here.iterdir())


def test_an_answer_beyond_the_context_is_refused_with_its_line(here: Path) -> None:
    data = lines(here / "long.jsonl", [*PAIRS, {"prompt": "p0", "chosen": "a " * 63, "rejected": "b"}])
    words = [f"scaled.model={folder(width=16, layers=1)}", *WORDS_OF_A_RUN, f"scaled.dataset={data}"]
    outcome = simlab("train", "scaled=lm", "algorithm=dpo", *words)
    expected = "line 7, chosen: 65 tokens: must be at most 64 tokens, prompt and answer together"
    assert outcome.status == 2 and expected in outcome.err and outcome.err.count("\n") == 1

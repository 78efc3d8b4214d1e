"""Language models in two processes, on processors (gloo): gradients, draws and rows are those of one process, and runs go on.

torchrun starts this very file: what is `measured` in two processes is compared with the same in the one that tests.
"""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, chdir, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.distributed as dist
from command import Outcome, environ, simlab
from language import PAIRS, WORDS, language_model, lines, plainly, without_figures
from language_files import DUELS, SELF_PLAY, checkpoints, experiment, laid, run, same, stopping, told, words

from algorithms.egpo import EGPO
from algorithms.rdpo import RobustDPO
from envs.feedback import Duels
from scaled.engine import DDP, FSDP, Engine, Single
from scaled.oracles.function import Function
from scaled.pair_training import PairPlan, PairTraining
from scaled.processes import Processes
from scaled.prompts import Prompt
from scaled.quiet import quiet
from scaled.rollouts.generate import Generate
from scaled.saved import export
from scaled.self_play import Plan, SelfPlay
from scaled.weights import Full, LoRA
from simlab import store
from simlab.stream import Stream

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("two processes")]

PATIENCE = 400
"""Seconds that two processes are given: where one waits for the other for ever, a test fails."""


@dataclass(frozen=True)
class Eager(DDP):
    """Gradients are averaged in every pass, not in the last alone: as right, and slower."""

    def synchronising(self, forward: Any, last: bool) -> AbstractContextManager:
        return nullcontext()


class Case(NamedTuple):
    """One iteration on six prompts, `batch` of a process's own at once."""

    what: str
    weights: str
    engine: str = "single"
    batch: int = 6


ENGINES: dict[str, Engine] = {"single": Single(), "ddp": DDP(), "eager": Eager(), "fsdp": FSDP()}
WEIGHTS = {"full": Full(), "lora": LoRA(rank=4)}
ALONE = [Case(what, weights) for what in ("self-play", "pairs") for weights in WEIGHTS]
ONE_BY_ONE = [case._replace(engine=engine, batch=1) for case in ALONE for engine in ("ddp", "fsdp")]
SHARED = [*ONE_BY_ONE, *(case._replace(batch=2) for case in ONE_BY_ONE if case.weights == "full"), Case("pairs", "full", "eager", 1)]


def learner(case: Case) -> SelfPlay | PairTraining:
    """With two steps of Adam a stage, or an iteration."""
    settings: dict[str, Any] = {"model": "model", "dataset": "pairs.jsonl", "engine": ENGINES[case.engine], "batch": case.batch}
    settings |= {"weights": WEIGHTS[case.weights], "rollout": Generate(case.batch), "recompute": case.batch == 2}
    model = language_model(inner=2, length=8, learning_rate=0.01, **settings)
    network = model.load(Processes.joined(), seed=3)
    if case.what == "pairs":
        return PairTraining(model, network, PairPlan(RobustDPO(0.1), beta=0.5, flip=0.3, drawn=True, prompts=6, steps=3, seed=5))
    judge = Function("judge.py:longer").open(torch.device("cpu"), None)
    plan = Plan(EGPO().tableau(0.1, steps=3, actions=3), 0.1, Duels(per_action=4, flip=0.1), prompts=6, responses=3, steps=3, seed=5)
    return SelfPlay(model, network, judge, plan)


def measured(case: Case) -> dict[str, Any]:
    """An iteration: own responses, the gradient of its last step, and log-probabilities of the policy, the reference, and the policy."""
    trained = learner(case)
    seen = trained.step()
    pool, logs = trained.policy.pool, []
    gradients = {name: whole(weight.grad) for name, weight in trained.network.weights.items()}
    for slot in ("policy", "reference", "policy"):
        trained.trained.restore(trained.weights[slot])
        logs.append(trained.policy.log_probs())
    if case in ONE_BY_ONE:
        export(exported(case), trained.network, trained.model.tokenizer, trained.model.generation)
    prompts = [prompt.tokens for prompt in pool.prompts[pool.own]]
    own = [(prompt, [answer.tokens for answer in answers]) for prompt, answers in zip(prompts, pool.responses, strict=True)]
    return {"seen": seen, "own": own, "gradients": gradients, "logs": logs}


def whole(tensor: Any) -> Any:
    """All of a tensor of which processes hold shards."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def exported(case: Case) -> Path:
    """Where the model of a case is written."""
    return Path("exported") / "-".join(case[:3])


RUNS = {
    "fsdp": ["algorithm=egpo", *SELF_PLAY, *DUELS, "scaled.clip=0.5", "scaled/weights=full", "scaled/engine=fsdp"],
    "ddp": ["algorithm=rdpo", *DUELS, "scaled.clip=0.5", "scaled/engine=ddp"],
}
TWO = "processes=2"
REFUSED = {"prompts=3": "must be a multiple of 2, the number of processes", "processes=1": "must be 2, as many as were started (torchrun)"}
POISONED = words("algorithm=ipo", "scaled/weights=full", "prompts=4", "scaled.model=poisoned")
COMMAND = words(*POISONED, "scaled/engine=fsdp", TWO, "scaled.dataset=pairs.jsonl,poisoned.jsonl,more.jsonl", "store=command")


def forbidden(*_: Any) -> None:
    """What the second process must not do."""
    raise AssertionError("only the first process writes")


def in_two_processes() -> None:
    """What each of two processes does; it ends as the command."""
    if not Processes.joined().leads:
        store.write = Stream.begin = Stream.write = forbidden  # type: ignore[method-assign, assignment]
    found: dict[Any, Any] = {tuple(case): measured(case) for case in SHARED}
    with without_figures():
        for name, given in RUNS.items():
            shared = experiment(*given, TWO)
            run(shared, f"two/{name}")
            with stopping(2):
                run(shared, f"again/{name}")
            run(shared, f"again/{name}")
        shards = experiment(*RUNS["fsdp"], TWO)
        with stopping(2):
            run(shards, "fewer")
        run(shards, "more")
    found |= {more: tuple(simlab("train", *words(*RUNS["fsdp"], TWO, more))) for more in REFUSED}
    torch.save(found, f"found{Processes.joined().rank}")
    sys.argv = ["simlab", "train", "-m", *COMMAND]
    runpy.run_module("simlab", run_name="__main__")


if __name__ == "__main__":
    in_two_processes()


class Two(NamedTuple):
    """What two processes have done.

    Attributes
    ----------
    folder : where
    status, out, err : of torchrun
    found : by each
    """

    folder: Path
    status: int
    out: str
    err: str
    found: list[dict[Any, Any]]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Two:
    """Two processes that have ended, after a run in this one that was stopped."""
    folder = tmp_path_factory.mktemp("two")
    with chdir(folder), without_figures():
        laid(folder)
        poison()
        with stopping(2):
            run(experiment(*RUNS["fsdp"]), "more")
    status, out, err = in_torchrun(folder)
    assert (folder / "found1").exists(), err
    return Two(folder, status, out, err, [torch.load(folder / name, weights_only=False) for name in ("found0", "found1")])


def in_torchrun(folder: Path) -> Outcome:
    """This file in two processes; torchrun ends them when it is asked to."""
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "--no-python", sys.executable, __file__]
    settings: dict[str, Any] = {"env": environ(OMP_NUM_THREADS="1"), "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, *command], cwd=folder, **settings)
    try:
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.terminate()
        process.wait()
    return Outcome(process.returncode, out, err)


def poison() -> None:
    """A model, and a dataset with one prompt of which it makes numbers that are not finite; and one without."""
    from safetensors.torch import load_file, save_file

    shutil.copytree("model", "poisoned")
    weights = load_file("poisoned/model.safetensors")
    weights["transformer.wte.weight"][WORDS.index("p19")] = torch.nan
    save_file(weights, "poisoned/model.safetensors", {"format": "pt"})
    lines(Path("poisoned.jsonl"), [*PAIRS[:3], PAIRS[3] | {"prompt": "p3 p19"}])
    lines(Path("more.jsonl"), PAIRS[:5])


@pytest.fixture(autouse=True)
def here(two: Two, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Their folder; a group of processes that a run in this one has made ends with the test."""
    monkeypatch.chdir(two.folder)
    with without_figures():
        yield
    if dist.is_initialized():
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def alone(two: Two) -> dict[Case, dict[str, Any]]:
    """What is measured in this process."""
    with chdir(two.folder):
        return {case: measured(case) for case in ALONE}


def of_one(case: Case) -> Case:
    """The same in one process."""
    return Case(case.what, case.weights)


@pytest.mark.parametrize("case", SHARED, ids=lambda case: "-".join(map(str, case)))
def test_an_iteration_is_that_of_one_process(case: Case, two: Two, alone: dict[Case, dict[str, Any]]) -> None:
    wanted, found = alone[of_one(case)], [each[tuple(case)] for each in two.found]
    assert [*found[0]["own"], *found[1]["own"]] == wanted["own"]
    for each in found:
        assert each["gradients"].keys() == wanted["gradients"].keys()
        for name, gradient in wanted["gradients"].items():
            assert gradient.abs().max() > 1e-4, name
            torch.testing.assert_close(each["gradients"][name], gradient, rtol=1e-9, atol=1e-9)
        assert each["seen"] == pytest.approx(wanted["seen"], rel=1e-9, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("case", SHARED, ids=lambda case: "-".join(map(str, case)))
def test_weights_that_are_put_back_are_used(case: Case, two: Two, alone: dict[Case, dict[str, Any]]) -> None:
    for found in two.found:
        policy, reference, again = found[tuple(case)]["logs"]
        assert torch.equal(policy, again) and (policy - reference).abs().max() > 0.1
        for one, other in zip((policy, reference), alone[of_one(case)]["logs"], strict=False):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


def test_responses_end_at_different_steps_in_the_processes(two: Two) -> None:
    drawn = [each["self-play", "full", "fsdp", 1]["own"] for each in two.found]
    first, second = ([len(tokens) for _, answers in own for tokens in answers] for own in drawn)
    assert sum(one != other for one, other in zip(first, second, strict=True)) >= 3, "each is a generation beside the other's"


@pytest.mark.parametrize("case", ONE_BY_ONE, ids=lambda case: "-".join(case[:3]))
def test_the_model_that_is_written_is_the_one_at_the_end(case: Case, two: Two) -> None:
    written, start = (loaded(name) for name in (exported(case), "model"))
    own = [each for found in two.found for each in found[tuple(case)]["own"]]
    policy, reference, _ = two.found[0][tuple(case)]["logs"]
    for (prompt, answers), wanted in zip(own, policy - reference, strict=True):
        for tokens, ratio in zip(answers, wanted, strict=True):
            one, other = (plainly(model, Prompt(0, "", prompt), tokens) for model in (written, start))
            assert float(one - other) == pytest.approx(float(ratio), abs=1e-9)


def loaded(folder: Any) -> Any:
    """A model as others would load it."""
    from transformers import AutoModelForCausalLM

    with quiet():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).requires_grad_(False)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_has_the_rows_of_one_process(name: str) -> None:
    run(experiment(*RUNS[name], "scaled/engine=single"), f"one/{name}")
    same(f"one/{name}", f"two/{name}", 1e-9)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_was_stopped_goes_on_to_the_same_rows(name: str) -> None:
    same(f"again/{name}", f"two/{name}")
    assert told(f"again/{name}") == [0, 1, 2, 3] and not checkpoints(f"again/{name}")


def test_it_goes_on_in_fewer_processes_or_more() -> None:
    assert checkpoints("fewer") == ["checkpoint-00000001", "checkpoint-00000002"]
    run(experiment(*RUNS["fsdp"]), "fewer")
    for each in ("fewer", "more"):
        same(each, "two/fsdp", 1e-9)
        assert told(each) == [0, 1, 2, 3] and not checkpoints(each)


@pytest.mark.parametrize("word", REFUSED)
def test_what_two_processes_cannot_do_is_refused(word: str, two: Two) -> None:
    for found in two.found:
        assert found[word] == (2, "", f"simlab: {word}: {REFUSED[word]}\n")


def test_one_process_writes_and_prints(two: Two) -> None:
    assert [line.split()[0] for line in two.out.splitlines()] == ["dataset", "pairs.jsonl"]
    run(experiment(*POISONED), "alone")
    same("alone", "command", 1e-9)
    assert told("command") == [0, 1, 2, 3] and not checkpoints("command")


def test_a_loss_that_is_not_finite_in_one_process_ends_both(two: Two) -> None:
    said = "NonFinite: iteration 0, prompt 2 of the batch (poisoned.jsonl, line 4): the loss is not finite"
    assert two.status == 1 and said in two.err
    assert len(list(Path("command").glob("*/seed0"))) == 2, "no other run is begun"

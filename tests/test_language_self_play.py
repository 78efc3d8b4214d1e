"""A tableau on what a language model draws: the compiled kernel's numbers where nothing is drawn, what goes on, what starts where."""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from command import simlab
from games import Given
from hydra.utils import get_class, instantiate
from language import (
    LETTERS,
    dataset,
    every,
    folder,
    judge,
    language_model,
    lines,
    metrics,
    network,
    plainly,
    rings,
    train,
    train_and_draw,
    trained,
)
from numpy.typing import NDArray
from omegaconf import OmegaConf
from torch import Tensor

import simlab as package
from algorithms.egpo import EGPO
from algorithms.magnetic import MagneticPO
from algorithms.online_mirror_descent import OnlineMirrorDescent
from algorithms.optimistic import OptimisticMirrorDescent, RegularisedOptimistic
from algorithms.tableau import POLICY, REFERENCE, SAMPLED, Stage, Tableau, copy, gradient, pairs, prox
from envs.feedback import Duels, Exact
from envs.invalid import Invalid
from envs.sequence import Sequence as Ring
from scaled.batches import Batches
from scaled.enumeration import log_policy
from scaled.language_model import LanguageModel
from scaled.network import Network
from scaled.policy import normalise
from scaled.pool import Pooled
from scaled.realisation import Aim, NonFinite, Regression
from scaled.rollouts.generate import Generate
from scaled.rollouts.rollout import Drawn, Question
from scaled.self_play import Plan, SelfPlay
from scaled.trained import Snapshot
from scaled.weights import Full, LoRA
from simlab.catalogue import CONF
from simlab.metrics import exploitability
from simlab.run import Method
from simlab.store import read
from theory.mutants import Mutant, each_stage, facing

LORA = LoRA(rank=4, alpha=8.0)
SMALL = {"model": folder(width=16, layers=1), "vocabulary": ["b", "a"]}
"""Four responses to each of four prompts."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The numbers are few, and threads wake slowly."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def members() -> dict[str, Any]:
    """Configurations of self-play methods."""
    paths = sorted((CONF / "algorithm").glob("*.yaml"))
    found = {path.stem: OmegaConf.load(path) for path in paths}
    return {name: config for name, config in found.items() if hasattr(get_class(config["_target_"]), "tableau")}


COARSE = {"comal": {"tolerance": 0.3}, "nash_prox": {"tolerance": 0.3}, "nash_mp_softmax": {"inner": 3}, "magnetic": {"every": 2}}
METHODS: dict[str, Method] = {name: instantiate(OmegaConf.merge(config, COARSE.get(name, {}))) for name, config in members().items()}


def stages(name: str) -> Sequence[Stage]:
    return METHODS[name].tableau(0.1, steps=3, actions=4).stages


def plan(method: Method, *, beta: float = 0.1, responses: int = 4, steps: int = 3, prompts: int = 4, **others: Any) -> Plan:
    tableau = method.tableau(beta, steps=steps, actions=responses)
    settings = {"feedback": Exact(), "seed": 0} | others
    return Plan(tableau, beta, prompts=prompts, responses=responses, steps=steps, **settings)


def begin(model: LanguageModel, planned: Plan, net: Network | None = None) -> SelfPlay:
    """On a cyclic game for each prompt."""
    net = network(model) if net is None else net
    return SelfPlay(model, net, judge(rings(model, net, planned.beta)), planned)


def exact(model: LanguageModel, net: Network) -> NDArray:
    """(C, K) log-probabilities of all responses."""
    return log_policy(net, model.prompts, every(model), 64)


# Nothing drawn, nothing left over: the compiled kernel.


@dataclass(frozen=True)
class Everything:
    """In a rollout's place: response k in r_k copies, drawn by mu = r / n.

    Then sums over the pool are sums over all responses; without copies mu may as well be 1.
    """

    responses: Sequence[tuple[int, ...]]
    copies: Sequence[int]

    def draw(self, network: Network, question: Question) -> list[list[Drawn]]:
        total = sum(self.copies) if max(self.copies) > 1 else 1
        drawn = zip(self.responses, self.copies, strict=True)
        pool = [(tokens, float(np.log(count / total))) for tokens, count in drawn for _ in range(count)]
        return [pool for _ in question.prompts]


@dataclass(frozen=True)
class Fitted:
    """Gauss-Newton steps until log-probabilities on the pool are the target to rounding."""

    sampled: ClassVar[bool] = True

    def optimizer(self, policy: Pooled) -> None:
        return None

    def move(self, policy: Pooled, optimizer: None, aim: Aim) -> None:
        weights = list(policy.parameters())
        for _ in range(60):
            errors = self._errors(policy, aim)
            if errors.abs().max() < 1e-11:
                return
            each = torch.eye(len(errors), dtype=errors.dtype)
            jacobian = torch.cat([part.flatten(1) for part in torch.autograd.grad(errors, weights, each, is_grads_batched=True)], -1)
            step = jacobian.T @ (torch.linalg.pinv(jacobian @ jacobian.T, hermitian=True, rtol=1e-10) @ errors.detach())
            self._descend(policy, aim, step, errors.norm())

    @torch.no_grad()
    def _descend(self, policy: Pooled, aim: Aim, step: Tensor, worst: Tensor) -> None:
        """Along a step, half of it, a quarter, ..., as soon as that is better."""
        weights = list(policy.parameters())
        parts, before = step.split([weight.numel() for weight in weights]), [weight.clone() for weight in weights]
        for halvings in range(20):
            for weight, old, part in zip(weights, before, parts, strict=True):
                weight.copy_(old - part.view_as(weight) / 2**halvings)
            if self._errors(policy, aim).norm() < worst:
                return

    def _errors(self, policy: Pooled, aim: Aim) -> Tensor:
        answers = [[response.tokens for response in each] for each in policy.pool.responses]
        logs = policy.network.log_prob(policy.pool.prompts, answers) - policy.pool.log_drawn
        return (normalise(logs) - aim.target).flatten()


class Solving(LanguageModel):
    """A language model whose stages leave no residual."""

    @property
    def realisation(self) -> Any:
        return Fitted()


def solving(copies: Sequence[int], **changes: Any) -> Solving:
    model = language_model(**(SMALL | changes))
    made = Solving(**{key.name: getattr(model, key.name) for key in fields(LanguageModel)})
    return replace(made, rollout=Everything(every(model), copies))


DETERMINISTIC = [name for name in METHODS if not any(stage.kind in SAMPLED for stage in stages(name))]
ALL_ONCE, IN_COPIES = (1, 1, 1, 1), (1, 3, 1, 1)
POOLS = {"each once": DETERMINISTIC, "in copies": [name for name in DETERMINISTIC if not any(s.kind == "gradient" for s in stages(name))]}
"""A gradient stage depends on what else is in the pool: p in p (adv - <p, adv>) is spread over the copies."""


@pytest.mark.parametrize(("pool", "name"), [(pool, name) for pool, names in POOLS.items() for name in names])
def test_on_all_responses_a_tableau_is_the_kernel(pool: str, name: str) -> None:
    require_the_kernel(METHODS[name], IN_COPIES if pool == "in copies" else ALL_ONCE)


def test_so_is_one_that_meets_a_slot_after_it_is_now_and_then_written() -> None:
    moving = prox(POLICY, anchor={POLICY: 0.7, "centre": 0.3}, opponent=POLICY, rate=0.5)
    require_the_kernel(Given(Tableau(copy("centre", POLICY, every=2), moving)), ALL_ONCE)


def require_the_kernel(method: Method, copies: Sequence[int]) -> None:
    model, feedback = solving(copies), Exact(flip=0.2, assumed_flip=0.1)
    net = network(model)
    games = rings(model, net, 0.1)
    run = package.simulate(games, method, steps=3, record="every", feedback=feedback)
    tableau = method.tableau(0.1, steps=3, actions=4)
    planned = plan(method, feedback=feedback, responses=sum(copies))
    learner = SelfPlay(model, net, judge(games), planned._replace(tableau=tableau))
    for step in range(2 if copies == IN_COPIES else 3):
        learner.step()
        assert sorted(learner.batches[step]) == [0, 1, 2, 3]
        np.testing.assert_allclose(exact(model, net), run.log_policy[:, step + 1], atol=1e-8)
    assert np.ptp(run.log_policy, axis=1).max() > 0.05


def test_so_it_is_with_adapters() -> None:
    model, method = solving(IN_COPIES, weights=LORA), EGPO(rate=0.5)
    net = network(model)
    games = rings(model, net, 0.1)
    learner = SelfPlay(model, net, judge(games), plan(method, responses=sum(IN_COPIES)))
    for _ in range(2):
        learner.step()
    run = package.simulate(games, method, steps=2, record="every")
    np.testing.assert_allclose(exact(model, net), run.log_policy[:, 2], atol=1e-8)


# Drawn by another policy.


@dataclass(frozen=True)
class Elsewhere:
    """In a rollout's place: every response as likely as every other."""

    responses: Sequence[tuple[int, ...]]

    def draw(self, network: Network, question: Question) -> list[list[Drawn]]:
        count = len(self.responses)
        numbers = (question.uniforms[..., 0] * count).astype(int)
        return [[(self.responses[number], -float(np.log(count))) for number in row] for row in numbers]


@dataclass(frozen=True)
class Watched(Regression):
    """What it was given at each stage, and where the model stood before and after."""

    seen: list[dict[str, Any]] = field(default_factory=list)

    def move(self, policy: Any, optimizer: Any, aim: Aim) -> None:
        before = standing(policy, optimizer)
        super().move(policy, optimizer, aim)
        rate = optimizer.param_groups[0]["lr"]
        self.seen.append({"aim": aim, "before": before, "after": standing(policy, optimizer), "rate": rate, "pool": policy.pool})


def standing(policy: Any, optimizer: Any) -> Snapshot:
    weights = {name: weight.clone() for name, weight in policy.state_dict().items()}
    return {"policy": weights, "optimizer": deepcopy(optimizer.state_dict())}


def watch(learner: SelfPlay) -> list[dict[str, Any]]:
    """What its stages will be given."""
    watched = Watched(**{key.name: getattr(learner.model.realisation, key.name) for key in fields(Regression)})
    learner.trained.realisation = watched
    return watched.seen


def error_of_win_rates(responses: int, seed: int) -> float:
    """Root mean square over a prompt's responses, in the first stage of online mirror descent."""
    model = language_model(**(SMALL | {"vocabulary": LETTERS[:3], "inner": 1}))
    model = replace(model, rollout=Elsewhere(every(model)))
    net, rate = network(model), 2.0
    games, logs = rings(model, net), exact(model, net)
    learner = SelfPlay(model, net, judge(games), plan(OnlineMirrorDescent(rate), beta=0.01, prompts=1, responses=responses, seed=seed))
    seen = watch(learner)
    learner.step()
    ((pool, aim),) = [(each["pool"], each["aim"]) for each in seen]
    errors = []
    for place, prompt in enumerate(pool.prompts):
        numbers = [response.number for response in pool.responses[place]]
        before = logs[prompt.number, numbers] - pool.log_drawn[place].numpy()
        moved = aim.target[place].numpy() - before
        wins = rate * (games[prompt.number].preference @ np.exp(logs[prompt.number]))[numbers]
        errors.append((moved - moved.mean()) - (wins - wins.mean()))
    return float(np.sqrt(np.mean(np.square(errors)))) / rate


def test_win_rates_from_another_policys_responses_come_to_the_exact_ones() -> None:
    """At the rate of a mean: a hundredfold of responses, a tenth of the error."""
    few, many = ([error_of_win_rates(count, seed) for seed in range(8)] for count in (10, 1000))
    assert np.mean(many) < 0.02
    assert 5 < np.mean(few) / np.mean(many) < 20


# Where stages start, and what goes on.


def same(one: Snapshot, other: Snapshot) -> bool:
    """Weights and the optimizer's state, bitwise."""
    weights = all(torch.equal(one["policy"][name], other["policy"][name]) for name in one["policy"] | other["policy"])
    first, second = one["optimizer"]["state"], other["optimizer"]["state"]
    moments = first.keys() == second.keys() and all(torch.equal(first[at][key], second[at][key]) for at in first for key in first[at])
    return weights and moments


TRAINED = {"vocabulary": LETTERS[:3], "weights": LORA, "learning_rate": 3e-3, "inner": 4}


def test_both_steps_of_an_extragradient_start_from_the_iterations_own_weights_and_optimizer() -> None:
    learner = begin(language_model(**TRAINED), plan(EGPO()))
    seen = watch(learner)
    for number in range(3):
        before = learner.weights[POLICY]
        learner.step()
        half, policy = seen[-2:]
        assert same(half["before"], before) and same(policy["before"], before)
        assert not same(half["after"], before) and not same(half["after"], policy["after"])
        assert same(learner.weights[POLICY], policy["after"])
        assert same(standing(learner.policy, learner.trained.optimizer), policy["after"]), "there the model stands"
        steps = {int(state["step"]) for state in learner.weights[POLICY]["optimizer"]["state"].values()}
        assert steps == {4 * (number + 1)}, "the half point's steps are forgotten"
    assert set(learner.weights) == {POLICY, REFERENCE}
    assert not learner.weights[REFERENCE]["optimizer"]["state"] and len(seen) == 6


TWICE = Given(Tableau(*(prox(POLICY, anchor={POLICY: 0.9, REFERENCE: 0.1}, opponent=POLICY, rate=rate) for rate in (1.0, 0.5))))


def test_a_policy_that_is_written_twice_starts_twice_from_the_iterations_own_weights() -> None:
    learner = begin(language_model(**TRAINED), plan(TWICE))
    seen = watch(learner)
    learner.step()
    before = learner.weights[POLICY]
    learner.step()
    assert same(seen[2]["before"], before) and same(seen[3]["before"], before) and not same(seen[2]["after"], before)
    assert same(learner.weights[POLICY], seen[3]["after"])


def test_the_last_policy_goes_on() -> None:
    learner = begin(language_model(**TRAINED), plan(OptimisticMirrorDescent()))
    for _ in range(3):
        before = learner.weights[POLICY]
        learner.step()
        assert learner.weights["previous"] is before is not learner.weights[POLICY]
        assert learner.weights[POLICY] is learner.weights["next"]
    assert learner.begins_with == [POLICY, REFERENCE, "previous"]


def test_a_centre_goes_on_until_it_moves() -> None:
    learner = begin(language_model(**TRAINED), plan(MagneticPO(every=2), steps=5))
    for number in range(5):
        before = learner.weights["centre"]
        learner.step()
        assert (learner.weights["centre"] is learner.weights[POLICY]) == (number % 2 == 1)
        assert number % 2 == 1 or learner.weights["centre"] is before
    assert learner.weights["centre"] is not learner.weights[REFERENCE]


def test_a_half_point_goes_on_where_the_next_iteration_meets_it() -> None:
    learner = begin(language_model(**TRAINED), plan(RegularisedOptimistic()))
    seen = watch(learner)
    for _ in range(2):
        learner.step()
        assert same(learner.weights["half"], seen[-2]["after"]) and same(learner.weights[POLICY], seen[-1]["after"])


def test_adapters_stand_beside_one_base_model() -> None:
    """No second copy of a layer's weights is alive, neither as the reference nor as the half point."""
    settings = TRAINED | {"model": folder(width=24)}
    learner = begin(language_model(**settings), plan(EGPO()))
    layer = learner.network.model.transformer.h[0].mlp.c_fc.base_layer.weight
    untouched = layer.clone()
    assert learner.weights[POLICY] is learner.weights[REFERENCE], "at the start there is one state"
    learner.step()
    learner.step()
    alive = [one for one in gc.get_objects() if type(one) in (Tensor, torch.nn.Parameter) and one.shape == layer.shape]
    copies = [one for one in alive if one is not untouched]
    assert len(copies) == learner.network.model.config.n_layer
    assert torch.equal(layer, untouched)
    adapters = sum(weight.numel() for weight in learner.network.parameters())
    for snapshot in learner.weights.values():
        assert all("lora_" in name for name in snapshot["policy"])
        assert sum(weight.numel() for weight in snapshot["policy"].values()) == adapters
    moments = [value for state in learner.weights[POLICY]["optimizer"]["state"].values() for value in state.values()]
    assert sum(value.numel() for value in moments if value.ndim) == 2 * adapters


# All methods; learning rates; batches.


@pytest.mark.parametrize("name", METHODS)
def test_every_method_runs_on_drawn_responses(name: str) -> None:
    learner = begin(language_model(**(TRAINED | {"inner": 2})), plan(METHODS[name], feedback=Duels(per_action=2, flip=0.1), steps=2))
    start = deepcopy(learner.weights[REFERENCE])
    for number in range(2):
        seen = learner.step()
        assert np.isfinite([value for name, value in seen.items() if name != "residual"]).all()
        assert seen["length"] == 2 and seen["tokens"] == 4 * 4 * 2 and seen["queries"] > number
    assert not same(learner.weights[POLICY], start) and same(learner.weights[REFERENCE], start)
    assert seen["residual"] > 0


def test_a_run_is_known_from_its_seed() -> None:
    model = language_model(**TRAINED)
    runs = []
    for seed in (0, 0, 1):
        learner = begin(model, plan(EGPO(), feedback=Duels(per_action=1, flip=0.2), seed=seed))
        runs.append(([learner.step() for _ in range(2)], learner.weights[POLICY]))
    assert runs[0][0] == runs[1][0] and same(runs[0][1], runs[1][1])
    assert runs[0][0] != runs[2][0]


def test_responses_are_drawn_from_the_policy_as_it_is() -> None:
    """The pool weighs them by the policy's own probabilities: in its coordinates the policy is uniform."""
    learner = begin(language_model(**TRAINED), plan(EGPO(), responses=6))
    for _ in range(2):
        pool, ratios = learner._draw([learner.model.prompts[row] for row in learner.batches[learner.iteration]])
        assert ratios[POLICY].abs().max() == 0
        found = exact(learner.model, learner.network)
        for place, prompt in enumerate(pool.prompts):
            numbers = [response.number for response in pool.responses[place]]
            np.testing.assert_allclose(pool.log_drawn[place], found[prompt.number, numbers], atol=1e-12)
        learner.step()
    assert (ratios[REFERENCE].abs() > 1e-6).any()


def test_measures_are_of_the_policy_before_the_iteration() -> None:
    """Beside sums over the responses drawn, with exact log-probabilities."""
    learner = begin(language_model(**TRAINED), plan(EGPO(), responses=7))
    start = exact(learner.model, learner.network)
    learner.step()
    before = exact(learner.model, learner.network)
    seen, pool = learner.step(), learner.policy.pool
    ratios, wins = [], []
    for prompt, answers in zip(pool.prompts, pool.responses, strict=True):
        numbers = [response.number for response in answers]
        ratio = (before - start)[prompt.number, numbers]
        weights = np.exp(-ratio) / np.exp(-ratio).sum()
        ratios.append(ratio.mean())
        wins.append((learner.judge.tables[prompt.number][np.ix_(numbers, numbers)] @ weights).mean())
    assert seen["kl_to_reference"] == pytest.approx(np.mean(ratios), abs=1e-12) and abs(np.mean(ratios)) > 1e-4
    assert seen["win_over_reference"] == pytest.approx(np.mean(wins), abs=1e-12)


def test_each_iteration_draws_anew(tmp_path: Path) -> None:
    """Of a prompt, from a policy that stands still."""
    model = language_model(**(TRAINED | {"dataset": lines(tmp_path / "one.jsonl", ["p0 p1"]), "learning_rate": 1e-12}))
    learner, drawn = begin(model, plan(EGPO(), prompts=1, responses=12)), []
    for _ in range(3):
        learner.step()
        drawn.append([response.number for response in learner.policy.pool.responses[0]])
    assert drawn[0] != drawn[1] != drawn[2] != drawn[0]


def test_numbers_of_enumerated_responses() -> None:
    model = language_model(vocabulary=["c", "a", "b"], length=3)
    learner = begin(model, plan(EGPO()))
    for number, tokens in enumerate(every(model)):
        response = learner._response(tokens)
        assert (response.number, response.tokens) == (number, tokens)
        digits = np.base_repr(number, 3).zfill(3)
        assert response.text == " ".join("cab"[int(digit)] for digit in digits)


def test_learning_rates_rise_and_fall_and_are_those_of_the_optimizer() -> None:
    model = language_model(**(TRAINED | {"warmup": 3, "final": 0.25, "inner": 1, "weights": Full()}))
    rates = [model.rate(iteration, 9) for iteration in range(9)]
    falling = 3e-3 * (1 - 0.75 * np.arange(9) / 8)
    np.testing.assert_allclose(rates, falling * np.array([0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1]), rtol=1e-12)
    assert model.rate(0, 1) == pytest.approx(3e-3 / 4)
    learner = begin(model, plan(EGPO(), steps=9))
    seen = watch(learner)
    for _ in range(6):
        learner.step()
    np.testing.assert_array_equal([each["rate"] for each in seen], np.repeat(rates[:6], 2))
    first = seen[0]
    step = max((first["after"]["policy"][name] - weight).abs().max() for name, weight in first["before"]["policy"].items())
    assert float(step) == pytest.approx(rates[0], rel=1e-3), "Adam's first step"


def noted(learner: SelfPlay) -> list[Tensor]:
    """The gradients with which its optimizer will step."""
    found: list[Tensor] = []

    def note(optimizer: Any, *_: Any) -> None:
        found.append(torch.cat([weight.grad.flatten() for weight in optimizer.param_groups[0]["params"]]))

    learner.trained.optimizer.register_step_pre_hook(note)
    return found


@pytest.mark.parametrize("batch", [1, 4])
def test_a_stages_loss_is_the_mean_over_prompts_of_twice_the_variance(batch: int) -> None:
    """Gradients beside passes of single rows, in the first stage and in the second."""
    learner = begin(language_model(**(TRAINED | {"weights": Full(), "inner": 1, "batch": batch})), plan(EGPO()))
    seen, gradients, net = watch(learner), noted(learner), learner.network
    learner.step()
    for stage, found in zip(seen, gradients, strict=True):
        net.load_state_dict(stage["before"]["policy"])
        pool, allowed = stage["pool"], learner.model.allowed
        answers = zip(pool.prompts, pool.responses, strict=True)
        logs = [torch.stack([plainly(net.model, prompt, answer.tokens, allowed) for answer in each]) for prompt, each in answers]
        loss = (2 * (torch.stack(logs) - pool.log_drawn - stage["aim"].target).var(-1, correction=0)).mean()
        expected = torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(net.parameters()))])
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10 * float(expected.norm()))


@pytest.mark.parametrize("clip", [None, 1e-3])
def test_gradients_are_scaled_down_to_a_norm(clip: float | None) -> None:
    learner = begin(language_model(**(TRAINED | {"clip": clip})), plan(EGPO()))
    gradients = noted(learner)
    learner.step()
    norms = [float(gradient.norm()) for gradient in gradients]
    assert len(norms) == 2 * 4
    assert min(norms) > 0.05 if clip is None else max(norms) < 1e-3 * (1 + 1e-9)


@pytest.mark.parametrize(("rows", "size"), [(7, 3), (5, 5), (6, 2), (4, 1)])
def test_each_time_around_is_a_permutation(rows: int, size: int) -> None:
    batches = Batches(rows, size, seed=3)
    sequence = np.concatenate([batches[number] for number in range(4 * rows)])
    rounds = sequence.reshape(4 * size, rows)
    assert (np.sort(rounds) == np.arange(rows)).all()
    assert len({tuple(each) for each in rounds}) > 1
    anew = Batches(rows, size, seed=3)
    for number in (4 * rows - 1, 0, 2, rows):
        np.testing.assert_array_equal(anew[number], batches[number])
    other = Batches(rows, size, seed=4)
    assert any((other[number] != batches[number]).any() for number in range(4 * rows))


def test_a_batch_is_of_the_datasets_rows(tmp_path: Path) -> None:
    data = lines(tmp_path / "many.jsonl", [f"p{number}" for number in range(7)])
    learner = begin(language_model(**(TRAINED | {"dataset": data})), plan(EGPO(), prompts=3))
    met: list[int] = []
    for number in range(7):
        learner.step()
        pool = learner.policy.pool
        assert [prompt.number for prompt in pool.prompts] == learner.batches[number].tolist()
        met += [prompt.number for prompt in pool.prompts]
    assert np.bincount(met).tolist() == [3] * 7
    with pytest.raises(Invalid, match="prompts=8: must be at most 7, the rows of the dataset"):
        Batches(7, 8, 0)


# Refusals, and numbers that are not finite.


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"responses": 1}, "responses=1: must be an integer >= 2"),
        ({"steps": 0}, "steps=0: must be an integer >= 1"),
        ({"seed": -1}, "seed=-1: must be an integer >= 0"),
        ({"feedback": "exact"}, "feedback=exact: must be"),
    ],
)
def test_plans_that_are_refused(changes: Mapping[str, Any], expected: str) -> None:
    model = language_model(**TRAINED)
    with pytest.raises(Invalid, match=expected):
        begin(model, plan(EGPO())._replace(**changes))


@pytest.mark.parametrize(
    ("kind", "wanted", "anchor"),
    [
        (prox, 1, {"policy": 1.0, "reference": 0.1}),
        (prox, 1, {"policy": 0.5}),
        (prox, 1, {"policy": np.array([1.0, 0.9])}),
        (gradient, 0, {"policy": -0.1}),
        (partial(pairs, samples=2), 0, {"reference": 0.1}),
    ],
)
def test_anchors_that_leave_some_of_mu_are_refused(kind: Any, wanted: int, anchor: Mapping[str, Any]) -> None:
    tableau = Tableau(kind("policy", anchor=anchor, opponent="policy", rate=0.5))
    with pytest.raises(Invalid, match=f"of anchors that sum to {wanted}, where responses are drawn"):
        begin(language_model(**TRAINED), plan(Given(tableau)))


class Astray:
    """A judge that loses its mind about a prompt."""

    def __init__(self, judge: Any, number: int):
        self.judge, self.number = judge, number

    def preferences(self, prompts: Any, responses: Any) -> Tensor:
        found = self.judge.preferences(prompts, responses)
        found[[prompt.number for prompt in prompts].index(self.number)][0, 1] = torch.nan
        return found


def started(tmp_path: Path, **settings: Any) -> tuple[SelfPlay, Snapshot]:
    """After an iteration; the third row of the dataset is in line 4."""
    path = Path(lines(tmp_path / "rows.jsonl", ["p0", "p1 p2", "p3", "p4"]))
    path.write_text(path.read_text().replace("\n", "\n\n", 1))
    learner = begin(language_model(**(TRAINED | {"dataset": str(path)} | settings)), plan(EGPO()))
    learner.step()
    return learner, standing(learner.policy, learner.trained.optimizer)


def require_unmoved(learner: SelfPlay, before: Snapshot) -> None:
    assert same(standing(learner.policy, learner.trained.optimizer), before) and same(learner.weights[POLICY], before)
    assert (learner.iteration, learner.queries) == (1, 2)


def test_a_judge_without_an_answer_stops_the_iteration(tmp_path: Path) -> None:
    learner, before = started(tmp_path)
    calm = learner.judge
    learner.judge = Astray(calm, number=2)
    place = learner.batches[1].tolist().index(2)
    message = rf"iteration 1, prompt {place} of the batch \(.*rows.jsonl, line 4\): the judge's word is not finite"
    with pytest.raises(NonFinite, match=message):
        learner.step()
    require_unmoved(learner, before)
    learner.judge = calm
    seen = learner.step()
    other, _ = started(tmp_path)
    assert other.step() == seen and same(other.weights[POLICY], learner.weights[POLICY])


def test_a_weight_that_is_no_number_stops_the_iteration(tmp_path: Path) -> None:
    learner, _ = started(tmp_path)
    poisoned = deepcopy(learner.weights[POLICY])
    next(iter(poisoned["policy"].values()))[0] = torch.nan
    learner.weights[POLICY] = poisoned
    with pytest.raises(NonFinite, match=r"iteration 1, prompt 0 of the batch \(.*, line \d\): .* under policy is not finite"):
        learner.step()
    assert learner.weights[POLICY] is poisoned and learner.iteration == 1


@pytest.mark.parametrize("inner", [1, 3])
def test_a_stage_that_explodes_stops_the_iteration_before_any_of_it_is_kept(tmp_path: Path, inner: int) -> None:
    learner, before = started(tmp_path, inner=inner)
    object.__setattr__(learner.model, "learning_rate", 1e200)
    message = r"iteration 1, stage 1 \(half .*\), prompt \d of the batch \(.*, line \d\): the (loss|policy) is not finite; no step"
    with pytest.raises(NonFinite, match=message):
        learner.step()
    require_unmoved(learner, before)


@dataclass(frozen=True)
class Stumbling(Watched):
    """The second stage finds weights that are no numbers."""

    def move(self, policy: Any, optimizer: Any, aim: Aim) -> None:
        if len(self.seen) == 1:
            with torch.no_grad():
                next(iter(policy.parameters())).fill_(torch.nan)
        super().move(policy, optimizer, aim)


def test_what_an_iteration_has_written_before_it_stops_is_undone() -> None:
    learner = begin(language_model(**TRAINED), plan(TWICE))
    before = standing(learner.policy, learner.trained.optimizer)
    learner.trained.realisation = Stumbling(learning_rate=3e-3, inner=4)
    with pytest.raises(NonFinite, match=r"iteration 0, stage 2 \(policy"):
        learner.step()
    assert same(standing(learner.policy, learner.trained.optimizer), before) and same(learner.weights[POLICY], before)


# What it is for.


def share_left(method: Method, seed: int) -> float:
    """Exploitability of the mean policy over the later half of thirty iterations, as a share of the reference's; means over prompts.

    Two cyclic games of nine responses, a hundred drawn for each an iteration.
    """
    settings = {"precision": "float32", "learning_rate": 0.01, "inner": 10, "rollout": Generate(256)}
    model = language_model(model=folder(width=16, layers=1, seed=seed), dataset=dataset("two"), vocabulary=LETTERS[:3], **settings)
    net = network(model, seed)
    games = rings(model, net, 0.01, index=seed)
    learner = SelfPlay(model, net, judge(games), plan(method, beta=0.01, prompts=2, responses=100, steps=30, seed=seed))
    tail = []
    for number in range(30):
        learner.step()
        if number >= 15:
            tail.append(np.exp(exact(model, net)))
    mean = np.log(np.mean(tail, axis=0))
    reference = np.stack([game.log_reference for game in games])
    return float(exploitability(games, mean).mean() / exploitability(games, reference).mean())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_an_extragradient_settles_on_cyclic_games(seed: int) -> None:
    assert share_left(EGPO(), seed) < 0.3


WRONG = {"its half point is the policy": Mutant(EGPO(), each_stage(facing("policy"))), "mirror descent": OnlineMirrorDescent(rate=1.98)}


@pytest.mark.slow
@pytest.mark.parametrize("name", WRONG)
def test_others_circle_at_the_same_rate(name: str) -> None:
    assert share_left(WRONG[name], 0) > 0.4


# Runs of the command.


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


RING = ["scaled.vocabulary=[b,a,c]", "env.vocabulary=3", "scaled.length=2", "responses=6"]
"""A world of nine responses."""
QUICK = [f"scaled.dataset={dataset()}", "scaled.precision=float64", "scaled.inner=2", "scaled.learning_rate=0.01", "steps=3", "beta=0.1"]
DRAWN = {"kl_to_reference", "win_over_reference", "residual", "length"}


def enumerated(model: Any) -> NDArray:
    """(C, 9) log-probabilities of all responses, by a model as its users have it."""
    known = language_model(model=folder(width=16, layers=1), vocabulary=["b", "a", "c"])
    with torch.no_grad():
        found = [[plainly(model, prompt, answer, known.allowed) for answer in every(known)] for prompt in known.prompts]
    return np.array(found)


@pytest.mark.parametrize(("kind", "weights"), [("gpt2", "lora"), ("gpt2", "full"), ("tied", "full")])
def test_a_run_leaves_its_rows_its_metrics_and_a_model_that_transformers_loads(kind: str, weights: str, here: Path) -> None:
    start = folder(kind, width=16, layers=1)
    path = train_and_draw(*QUICK, *RING, f"scaled.model={start}", f"scaled/weights={weights}", "tracker=tensorboard")
    frame, told = read(path).frame, metrics(path)
    exact = {"exploitability", "tail_exploitability", "kl_to_equilibrium"}
    assert set(frame) == {"seed", "context", "step", "queries", "gradients", "status"} | exact | DRAWN
    assert len(frame) == 4 * 4 and (frame.status == "ok").all() and path.with_suffix(".png").exists()
    assert [row["step"] for row in told] == [0, 1, 2, 3] and [row["queries"] for row in told] == [0, 2, 4, 6]
    for name in DRAWN:
        np.testing.assert_array_equal(frame[frame.context == 2][name], [row.get(name, np.nan) for row in told])
    assert {"tokens", "seconds", "tokens_per_second", "gib"} <= set(told[1])
    ended, began = enumerated(trained(path)), enumerated(load(start))
    games = Ring(vocabulary=3, length=2, contexts=4).games(0.1, seed=0, index=0)
    games = [replace(game, log_reference=log_q) for game, log_q in zip(games, began, strict=True)]
    for step, logs in ((0, began), (3, ended)):
        np.testing.assert_allclose(frame[frame.step == step].exploitability, exploitability(games, logs), rtol=1e-6)
    assert np.abs(ended - began).max() > 0.01
    (events,) = path.with_suffix("").rglob("events.out.tfevents.*")
    assert events.stat().st_size > 500
    assert sorted(entry.name for entry in (path.with_suffix("") / "seed0").iterdir()) == ["metrics.jsonl", "model", "tensorboard"]


def test_the_tail_is_the_mean_policy_over_the_later_half(here: Path) -> None:
    """Of a course known from the learner itself."""
    frame = read(train(*QUICK, *RING, "scaled/weights=full", "seed=2")).frame
    model = language_model(model=folder(width=16, layers=1), vocabulary=["b", "a", "c"], inner=2, learning_rate=0.01, batch=1)
    net = network(model)
    games = Ring(vocabulary=3, length=2, contexts=4).games(0.1, seed=2, index=0)
    logs = [exact(model, net)]
    games = [replace(game, log_reference=log_q) for game, log_q in zip(games, logs[0], strict=True)]
    root = int(np.random.SeedSequence([2, 0, 0, 8]).generate_state(1)[0])
    learner = SelfPlay(model, net, judge(games), plan(EGPO(), responses=6, seed=root))
    for _ in range(3):
        learner.step()
        logs.append(exact(model, net))
    for step, records in enumerate(([0], [1], [1, 2], [2, 3])):
        found = frame[frame.step == step]
        np.testing.assert_allclose(found.exploitability, exploitability(games, logs[step]), rtol=1e-8)
        mean = np.log(np.mean([np.exp(logs[record]) for record in records], axis=0))
        np.testing.assert_allclose(found.tail_exploitability, exploitability(games, mean), rtol=1e-8)


def load(name: str) -> Any:
    """As transformers does, in float64."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(name, dtype=torch.float64).eval()


def test_a_finished_run_is_not_repeated(here: Path) -> None:
    path = train(*QUICK, *RING)
    written = path.stat().st_mtime_ns
    words = ["train", "scaled=lm", f"scaled.model={folder(width=16, layers=1)}", *QUICK, *RING]
    outcome = simlab(*words, "threads=2", "tracker=tensorboard")
    assert outcome.status == 0 and "already there" in outcome.out and not outcome.err
    assert path.stat().st_mtime_ns == written


def test_a_llama_is_trained_with_all_that_is_set_by_default(here: Path) -> None:
    """In bfloat16, by adapters, with activations computed again."""
    path = train(
        f"scaled.dataset={dataset()}", *RING, f"scaled.model={folder('llama')}", "steps=2", "scaled.inner=2", "scaled.learning_rate=0.01"
    )
    frame = read(path).frame
    assert np.isfinite(frame.exploitability).all() and frame.exploitability.nunique() == 3 * 4
    assert frame[frame.step == 0].exploitability.nunique() == 4


SHORTER = """
def shorter(prompts, first, second):
    return [1 / (1 + 2.0 ** (len(one.split()) - len(other.split()))) for one, other in zip(first, second)]
"""


@pytest.mark.slow
def test_a_judge_of_texts_is_listened_to(here: Path) -> None:
    """All tokens, up to an end: who likes shorter answers gets them."""
    (here / "judge.py").write_text(SHORTER)
    words = ["scaled/oracle=function", "scaled.oracle.function=judge.py:shorter", "scaled.length=6", "responses=16", "beta=0.01"]
    more = ["scaled/weights=full", "scaled.inner=10", "steps=10", "scaled.batch=4", "scaled.recompute=false"]
    path = train(*QUICK, *words, *more)
    frame, told = read(path).frame, metrics(path)
    assert set(frame) == {"seed", "step", "queries", "gradients", "status"} | DRAWN and len(frame) == len(told) == 11
    lengths = frame.length.to_numpy()
    assert lengths[1] > 5 and lengths[-2:].mean() < 0.7 * lengths[1]
    assert frame.win_over_reference.iloc[-1] > 0.6 and frame.kl_to_reference.iloc[-1] > 0.5
    assert "function" in path.name


def test_a_model_whose_makers_generate_in_their_own_way_is_trained_and_left_as_they_would(here: Path) -> None:
    shutil.copytree(folder(width=16, layers=1), here / "model")
    file = here / "model" / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"temperature": 0.3, "top_k": 5, "repetition_penalty": 1.2}))
    path = train(*QUICK, *RING, "scaled.model=model", "steps=1", "scaled/weights=full")
    left = json.loads((path.with_suffix("") / "seed0" / "model" / "generation_config.json").read_text())
    assert (left["temperature"], left["top_k"], left["repetition_penalty"]) == (0.3, 5, 1.2)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["scaled.model=/no/where"], "scaled.model=/no/where: must be a folder or hub name of a causal language model"),
        (["scaled.dataset=none.jsonl"], "scaled.dataset=none.jsonl: must be an existing file"),
        (["scaled.vocabulary=[a,b c]"], "scaled.vocabulary=b c: must be a text of one token, and not of 2"),
        (["scaled.vocabulary=[a,a]"], "scaled.vocabulary=[a,a]: must be different tokens"),
        (["scaled.vocabulary=[a]"], "scaled.vocabulary=[a]: must be null, or a list of at least two texts"),
        (["env.vocabulary=4"], "scaled.length=2: must be such that V^L = K = 16, the world's number of responses (V=3)"),
        (["scaled.vocabulary=null"], "scaled.vocabulary=null: must be a list of texts, with an oracle that judges by games"),
        (["responses=null"], "responses=null: must be an integer >= 2"),
        (["responses=1"], "responses=1: must be an integer >= 2"),
        (["scaled.length=64"], "scaled.length=64: must be below 64, the model's context"),
        (["prompts=5"], "prompts=5: must be at most 4, the rows of the dataset"),
        (["processes=2"], "scaled.engine=single: must be ddp or fsdp with 2 processes"),
        (["processes=2", "scaled/engine=ddp"], "processes=2: must be 1, as many as were started (torchrun)"),
        (["processes=3", "scaled/engine=ddp"], "prompts=4: must be a multiple of 3, the number of processes"),
        (["scaled/engine=ddp"], "scaled.engine=ddp: must be single or fsdp with one process"),
        (["tracker=paper"], "tracker=paper: must be one of tensorboard, wandb, mlflow, or null"),
        (["feedback=duels_targeted", "feedback.flip.pairs=[[0,1]]"], "feedback.flip.pairs=[[0,1]]: must be left out"),
        (["algorithm=comal"], "algorithm.tolerance=1e-12: must be at least 0.001"),
        (["algorithm=pal"], "algorithm=pal: must be a method that can be trained"),
        (["beta=0"], "beta=0: must be a finite number > 0"),
        (["checkpoint=0"], "checkpoint=0: must be an integer >= 1, or null: none"),
        (["scaled.batch=0"], "scaled.batch=0: must be an integer >= 1"),
        (["scaled.precision=float16"], "scaled.precision=float16: must be one of bfloat16, float32, float64"),
        (["scaled.final=2"], "scaled.final=2: must be"),
        (["scaled.warmup=-1"], "scaled.warmup=-1: must be an integer >= 0"),
        (["scaled.clip=0"], "scaled.clip=0: must be a finite number > 0"),
        (["scaled.recompute=1"], "scaled.recompute=1: must be true or false"),
        (["scaled.learning_rate=0"], "scaled.learning_rate=0: must be a finite number > 0"),
        (["scaled.weights.rank=0"], "scaled.weights.rank=0: must be an integer >= 1"),
        (["scaled.weights.targets=[nothing]"], "scaled.weights.targets=[nothing]: must be names of layers of the model"),
        (["scaled.rollout.batch=0"], "scaled.rollout.batch=0: must be an integer >= 1"),
        (["scaled/oracle=function", "scaled.oracle.function=judge.py"], "scaled.oracle.function=judge.py: must be written"),
        (["scaled/oracle=function", "scaled.oracle.function=a:b"], "env=Sequence: must be left out: the oracle knows no games"),
        (["dry_run=1"], "dry_run=1: must be true or false"),
    ],
)
def test_refusals(words: list[str], expected: str, here: Path) -> None:
    given = [f"scaled.model={folder(width=16, layers=1)}", *QUICK, *RING]
    outcome = simlab("train", "scaled=lm", *given, *words)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith(f"simlab: {expected}") and outcome.err.count("\n") == 1, outcome.err
    assert not list(here.iterdir())


@pytest.mark.parametrize("word", ["scaled/oracle=table", "scaled/weights=full", "scaled/engine=ddp", "scaled/rollout=generate"])
def test_what_an_enumerated_model_has_not_is_refused(word: str, here: Path) -> None:
    outcome = simlab("train", "scaled=tiny", word)
    assert (outcome.status, outcome.out) == (2, "") and outcome.err.startswith("simlab: scaled/") and outcome.err.count("\n") == 1

"""The torch executor: equal to the compiled kernel on a table and through a network; sampled stages in expectation; resume; refusals."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from games import EVERY_KIND, Given, bradley_terry, random_policy, tournament, uniform
from hydra.utils import get_class, instantiate
from numpy.typing import NDArray
from omegaconf import OmegaConf
from torch import nn

import conf
import simlab
from algorithms.egpo import EGPO
from algorithms.nash_md import NashMD
from algorithms.nash_mp import NashMP
from algorithms.online_mirror_descent import OnlineMirrorDescent
from algorithms.optimistic import OptimisticMirrorDescent
from algorithms.sppo import SPPO
from algorithms.tableau import SAMPLED, Loop, Tableau, copy, gradient, mix, pairs, prox, responses
from envs.feedback import Duels, Exact, TargetedFlip
from envs.game import Game
from envs.invalid import Invalid
from scaled.executor import Executor
from scaled.iteration import slots_that_go_on
from scaled.oracle import Oracle
from scaled.policy import Table
from scaled.realisation import LevenbergMarquardt, NonFinite, OneStep, Realisation, Regression, Solved
from scaled.transformer import Transformer
from simlab.run import Method
from theory.mutants import Mutant, Operator, each_stage, facing, negated, one_stage, overpulled, scaled, unpulled

FILES = {path.stem: path for path in sorted((Path(conf.__path__[0]) / "algorithm").glob("*.yaml"))}


def load(name: str) -> Method:
    return instantiate(OmegaConf.load(FILES[name]))


def deterministic(name: str) -> bool:
    if not hasattr(get_class(OmegaConf.load(FILES[name])["_target_"]), "tableau"):
        return False
    return not any(stage.kind in SAMPLED for stage in load(name).tableau(0.1, steps=5, actions=4).stages)


MEMBERS = [name for name in FILES if deterministic(name)]
"""Self-play methods without random numbers of their own."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The numbers are few, and threads wake slowly."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def crowd(actions: int = 4) -> tuple[list[Game], NDArray]:
    """Three games of two betas, and starts off the references."""
    games = [uniform(actions, 0, 0.1), tournament(actions, 1, 0.1), bradley_terry(actions, 2, 0.3)]
    return games, np.stack([random_policy(np.random.default_rng([7, number]), actions) for number in range(3)])


def difference(games: list[Game], method: Method, start: NDArray, executor: Executor, steps: int) -> float:
    """Largest difference of log-probabilities between the two executors over all iterations."""
    feedback = executor.slots.oracle.feedback
    kernel = simlab.simulate(games, method, steps=steps, start=start, record="every", feedback=feedback)
    course = executor.run()
    assert np.ptp(kernel.log_policy, axis=1).max() > 0.1
    return float(np.abs(course.log_policy - kernel.log_policy).max())


# A table, exactly.


def test_the_six_are_found() -> None:
    assert set(MEMBERS) >= {"egpo", "nash_mp", "nash_md", "online_mirror_descent", "sppo", "dno", "dno_prct", "comal", "nash_mp_softmax"}


@pytest.mark.parametrize("name", MEMBERS)
def test_a_table_is_the_kernel(name: str) -> None:
    (games, start), method = crowd(), load(name)
    steps = 2 if name in ("comal", "dno_prct") else 20  # thousands of inner steps
    executor = Executor(games, method, Table(start), Solved(), steps=steps, feedback=Exact(flip=0.2, assumed_flip=0.1))
    assert difference(games, method, start, executor, steps) < 1e-10
    assert np.nanmax(executor.course().residuals, initial=0) < 1e-12


@pytest.mark.parametrize("name", MEMBERS)
def test_it_spends_what_the_kernel_spends(name: str) -> None:
    (games, start), method = crowd(), load(name)
    steps = 2 if name in ("comal", "dno_prct") else 7
    course = Executor(games[1:2], method, Table(start[1:2]), Solved(), steps=steps).run()
    kernel = simlab.simulate(games[1], method, steps=steps, start=start[1], record="every")
    np.testing.assert_array_equal(course.queries, kernel.queries[0])
    np.testing.assert_array_equal(course.gradients, kernel.gradients[0])


EXACT_KINDS = Given(Tableau(*(loop for loop in EVERY_KIND.stages.loops if loop.stages[0].kind not in SAMPLED)))
INTERLACED = Given(
    Tableau(
        gradient("next", base="policy", opponent="half", anchor={"half": -0.1, "reference": 0.1}, rate=0.4),
        mix("half", {"half": 0.5, "next": 0.5}, every=2),
        Loop(
            (prox("half", anchor={"half": 0.9, "reference": 0.1}, opponent={"next": 1.0, "policy": 0.5}, rate=0.3), copy("last", "half")),
            3,
            0.05,
        ),
        copy("policy", "next"),
    )
)
"""Weights that go on by a copy, a slot left alone every other iteration, a loop that ends early at different passes."""


FIXED_OPPONENT = Given(Tableau(prox("policy", anchor={"policy": 0.9, "reference": 0.1}, opponent="reference", rate=0.5)))
"""Asked about anew in every iteration, since nothing writes it."""


@pytest.mark.parametrize("method", [EXACT_KINDS, INTERLACED, FIXED_OPPONENT], ids=["all kinds", "interlaced", "fixed opponent"])
def test_any_tableau_spends_what_the_kernel_spends(method: Method) -> None:
    games, start = crowd()
    course = Executor(games[:1], method, Table(start[:1]), Solved(), steps=9).run()
    kernel = simlab.simulate(games[0], method, steps=9, start=start[0], record="every")
    np.testing.assert_array_equal(course.queries, kernel.queries[0])
    np.testing.assert_array_equal(course.gradients, kernel.gradients[0])


@pytest.mark.parametrize("method", [EXACT_KINDS, INTERLACED], ids=["all kinds", "interlaced"])
def test_any_tableau_is_the_kernel(method: Method) -> None:
    games, start = crowd()
    executor = Executor(games, method, Table(start), Solved(), steps=9)
    assert difference(games, method, start, executor, 9) < 1e-12
    torch.testing.assert_close(executor.policy.log_probs().detach(), executor.slots.logs["policy"], rtol=1e-12, atol=1e-12)


def test_all_else_that_is_measured() -> None:
    games, start = crowd()
    games = [*games[:2], games[2].with_beta(0.0)]
    course = Executor(games, SPPO(0.5), Table(start), Solved(), steps=10, record=[0, 4, 10]).run()
    kernel = simlab.simulate(games, SPPO(0.5), steps=10, start=start, record=[0, 4, 10], measure=["exploitability"])
    np.testing.assert_allclose(course.exploitability(), kernel.measured["exploitability"], rtol=1e-10)
    pulled = simlab.simulate(games[:2], SPPO(0.5), steps=10, start=start[:2], record=[0, 4, 10], measure=["kl_to_equilibrium"])
    np.testing.assert_allclose(course.kl_to_equilibrium()[:2], pulled.measured["kl_to_equilibrium"], rtol=1e-9)
    assert np.isnan(course.kl_to_equilibrium()[2]).all()
    expected = [simlab.metrics.exploitability(game, game.log_reference) for game in games]
    np.testing.assert_allclose(course.reference_exploitability(), expected, rtol=1e-12)
    mean = np.exp(course.log_policy[:, 1:]).mean(axis=1)
    np.testing.assert_allclose(np.exp(course.tail_average(4)), mean, rtol=1e-12)


@pytest.mark.parametrize("contexts", [1, 3])
def test_one_step_is_mirror_descent(contexts: int) -> None:
    """At rate 4 learning_rate / (beta K), whatever the tableau's own: the identity of the first online IPO loss."""
    (games, start), learning_rate = crowd(), 0.02
    games, start = [game.with_beta(0.1) for game in games[:contexts]], start[:contexts]
    rate = 4 * learning_rate / (0.1 * 4)
    for method in (OnlineMirrorDescent, EGPO):
        executor = Executor(games, method(0.7), Table(start), OneStep(learning_rate), steps=20)
        assert difference(games, method(rate), start, executor, 20) < 1e-10
        wrong = Executor(games, method(0.7), Table(start), OneStep(learning_rate), steps=20)
        assert difference(games, method(0.7), start, wrong, 20) > 1e-2


# Through a network.


def network(dtype: torch.dtype = torch.float64, seed: int = 0) -> Transformer:
    sizes = {"vocabulary": 3, "length": 2, "width": 32, "layers": 1, "heads": 2}
    return Transformer([[0, 1], [1, 0]], **sizes, dtype=dtype, seed=seed)


NINE = [uniform(9, 0, 0.1), tournament(9, 1, 0.1)]


def through_the_network(run: Method, method: Method, steps: int = 25) -> float:
    """How far `run` through a network is from `method` on a table."""
    policy = network()
    start = policy.log_probs().detach().numpy()
    return difference(NINE, method, start, Executor(NINE, run, policy, LevenbergMarquardt(), steps=steps), steps)


@pytest.mark.parametrize("method", [EGPO(1.0), OnlineMirrorDescent(0.5), NashMD(0.5), SPPO(0.5)], ids=lambda method: type(method).__name__)
def test_a_network_is_the_kernel(method: Method) -> None:
    assert through_the_network(method, method) < 1e-8


def test_a_network_whose_weights_go_on_by_a_copy_is_the_kernel() -> None:
    assert through_the_network(OptimisticMirrorDescent(0.5), OptimisticMirrorDescent(0.5), steps=8) < 1e-8


MUTANTS: dict[str, tuple[Method, Operator]] = {
    "sign of the first stage": (EGPO(1.0), one_stage(0, negated)),
    "sign of the second stage": (EGPO(1.0), one_stage(1, negated)),
    "no extrapolation": (EGPO(1.0), one_stage(1, facing("policy"))),
    "beta doubled": (EGPO(1.0), each_stage(overpulled(2.0))),
    "no pull": (OnlineMirrorDescent(0.5), each_stage(unpulled)),
    "rate off by 1%": (OnlineMirrorDescent(0.5), each_stage(scaled(1.01))),
    "opponent without the mixture": (NashMD(0.5), one_stage(1, facing("policy"))),
    "sign": (SPPO(0.5), each_stage(negated)),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_method_through_the_network_is_not(name: str) -> None:
    method, operator = MUTANTS[name]
    assert through_the_network(Mutant(method, operator), method, steps=3) > 1e-4


class Momentary(LevenbergMarquardt):
    """Remembers the weights that each stage starts from."""

    def move(self, policy: nn.Module, optimizer: None, aim: object) -> None:
        seen.append(nn.utils.parameters_to_vector(policy.parameters()).detach().clone())
        super().move(policy, optimizer, aim)


seen: list[torch.Tensor] = []


def test_every_stage_starts_at_the_weights_of_its_iteration() -> None:
    seen.clear()
    policy = network()
    Executor(NINE, EGPO(1.0), policy, Momentary(), steps=3).run()
    assert len(seen) == 6
    for first, second, following in zip(seen[::2], seen[1::2], [*seen[2::2], None], strict=True):
        assert torch.equal(first, second)
        assert following is None or not torch.equal(first, following)
    assert not torch.equal(seen[-1], nn.utils.parameters_to_vector(policy.parameters()).detach())


def test_optimizer_state_goes_on_from_the_second_stage_alone() -> None:
    """By hand: the steps of Adam over two iterations of EGPO, with a fresh start of each stage from the iteration's weights and state."""
    policy, inner = network(), 3
    executor = Executor(NINE, EGPO(1.0), policy, Regression(1e-3, inner), steps=2)
    by_hand, references = network(), torch.stack([torch.from_numpy(game.log_reference.copy()) for game in NINE])
    advantage = torch.stack([torch.from_numpy(game.preference - 0.5) for game in NINE])
    adam = torch.optim.Adam(by_hand.parameters(), lr=1e-3)
    for _ in range(2):
        log_policy = by_hand.log_probs().detach()
        weights, state = (
            {k: v.clone() for k, v in by_hand.state_dict().items()},
            {k: {n: t.clone() for n, t in s.items()} for k, s in adam.state.items()},
        )
        opponent = log_policy
        for _ in ("half", "policy"):
            by_hand.load_state_dict(weights)
            adam.state.clear()
            adam.state.update({k: {n: t.clone() for n, t in s.items()} for k, s in state.items()})
            target = 0.9 * log_policy + 0.1 * references + (advantage @ opponent.exp()[..., None])[..., 0]
            for _ in range(inner):
                adam.zero_grad()
                gap = by_hand.log_probs() - target
                between = gap[:, :, None] - gap[:, None, :]
                (between**2).mean((1, 2)).mean().backward()
                adam.step()
            opponent = by_hand.log_probs().detach()
        executor.step()
        torch.testing.assert_close(policy.log_probs(), by_hand.log_probs(), rtol=1e-9, atol=1e-9)
    residual = (opponent - target).var(-1, correction=0).mean().sqrt()
    assert executor.residuals[1, 1] == pytest.approx(float(residual), rel=1e-6) and residual > 1e-3


def test_weights_are_kept_of_slots_that_lead_to_the_policy() -> None:
    assert slots_that_go_on(EGPO().tableau(0.1, steps=1, actions=3).stages) == ["policy"]
    assert slots_that_go_on(NashMP(inner=2).tableau(0.1, steps=1, actions=3).stages) == ["policy", "next"]
    executor = Executor(NINE, NashMP(0.5, inner=2), network(), Regression(inner=2), steps=1)
    executor.run()
    assert set(executor.weights) == {"policy", "next"} and set(executor.slots.logs) == {"reference", "policy", "half", "next"}
    torch.testing.assert_close(executor.policy.log_probs().detach(), executor.slots.logs["next"], rtol=1e-12, atol=1e-12)


# Sampled: right on average.


def mean_of_draws(feedback: Exact, draws: int = 1000) -> tuple[NDArray, NDArray, list[Game], NDArray]:
    games, start = crowd()
    oracle = Oracle(games, feedback, torch.Generator().manual_seed(3))
    drawn = torch.stack([oracle.win_rates(torch.from_numpy(start)) for _ in range(draws)]).numpy()
    return drawn.mean(0), drawn.std(0) / draws**0.5, games, start


@pytest.mark.parametrize(
    "feedback",
    [
        Duels(per_action=3),
        Duels(per_action=2, flip=0.2),
        Duels(per_action=2, flip=0.2, assumed_flip=0.2),
        Duels(flip=TargetedFlip(0.3, [[0, 1]]), assumed_flip=0.1),
    ],
    ids=str,
)
def test_sampled_labels_are_those_of_the_exact_judge_on_average(feedback: Duels) -> None:
    mean, error, games, start = mean_of_draws(feedback)
    exact = Oracle(games, Exact(flip=feedback.flip, assumed_flip=feedback.assumed_flip), torch.Generator())
    expected = exact.win_rates(torch.from_numpy(start)).numpy()
    assert (np.abs(mean - expected) < 5.5 * error).all() and (error > 0).all()
    labels = np.stack([feedback.debiased(feedback.labels(game)) for game in games])
    np.testing.assert_allclose(expected, np.einsum("cij,cj->ci", labels - 0.5, np.exp(start)), atol=1e-14)
    clean = np.stack([(game.preference - 0.5) @ np.exp(policy) for game, policy in zip(games, start, strict=True)])
    restored = isinstance(feedback.flip, type(Duels(flip=0.0).flip)) and feedback.flip.flip == feedback.assumed_flip
    assert restored == bool((np.abs(mean - clean) < 5.5 * error).all())


PULL = {"policy": -0.3, "reference": 0.3}
SAMPLED_AND_EXACT = {
    "uniform pairs": (
        pairs("policy", opponent="policy", anchor=PULL, rate=0.5, samples=4),
        prox("policy", anchor={"policy": 0.85, "reference": 0.15}, opponent="policy", rate=0.5),
    ),
    "pairs of the policy": (
        pairs("policy", source="policy", opponent="reference", anchor=PULL, rate=0.5, samples=4),
        gradient("policy", opponent="reference", anchor=PULL, rate=0.5),
    ),
}


def one_iteration(stage: object, games: list[Game], start: NDArray, feedback: Exact, seed: int, count: int) -> NDArray:
    """(count, C, K) logits, centred, after one iteration from the start, over and over."""
    executor = Executor(games, Given(Tableau(stage)), Table(start), Solved(), steps=1, feedback=feedback, seed=seed)
    before, found = executor.state_dict(), []
    for _ in range(count):
        generator = executor.generator.get_state()
        executor.load_state_dict(before | {"generator": generator})
        executor.step()
        found.append(executor.slots.logs["policy"].numpy() - start)
    return np.stack(found)


def pairwise(change: NDArray) -> NDArray:
    """Differences between responses: what normalisation leaves alone."""
    return change[..., :, None] - change[..., None, :]


@pytest.mark.parametrize("feedback", [Exact(), Duels(flip=0.1, assumed_flip=0.1)], ids=["exact", "duels"])
@pytest.mark.parametrize("kind", SAMPLED_AND_EXACT)
def test_sampled_pairs_are_the_exact_stage_on_average(kind: str, feedback: Exact) -> None:
    (games, start), (sampled, exact) = crowd(), SAMPLED_AND_EXACT[kind]
    drawn = pairwise(one_iteration(sampled, games, start, feedback, 11, 600))
    expected = pairwise(simlab.simulate(games, Given(Tableau(exact)), steps=1, start=start, record=[1]).log_policy[:, 0] - start)
    error = drawn.std(0) / len(drawn) ** 0.5
    assert (np.abs(drawn.mean(0) - expected) <= 5.5 * error + 1e-12).all()
    assert (np.abs(drawn.mean(0) - 2 * expected) > 5.5 * error).any()


@pytest.mark.parametrize("feedback", [Exact(), Duels(flip=0.1)], ids=["exact", "duels"])
@pytest.mark.parametrize("samples", [1, 3])
def test_sampled_responses_are_those_of_the_kernel_on_average(samples: int, feedback: Exact) -> None:
    (games, start), stage = crowd(), responses("policy", opponent="policy", rate=0.5, samples=samples)
    ours = pairwise(one_iteration(stage, games, start, feedback, 12, 600))
    kernel = simlab.simulate(games, Given(Tableau(stage)), steps=1, start=start, record=[1], feedback=feedback, seeds=6000)
    theirs = pairwise(kernel.log_policy[:, 0].reshape(3, 6000, -1) - start[:, None]).swapaxes(0, 1)
    error = np.sqrt(ours.var(0) / len(ours) + theirs.var(0) / len(theirs))
    assert (np.abs(ours.mean(0) - theirs.mean(0)) <= 5.5 * error + 1e-12).all()
    np.testing.assert_allclose(ours.std(0), theirs.std(0), rtol=0.4, atol=1e-12)
    assert samples == 1 or (np.abs(theirs.mean(0)) > 5.5 * error).any()


def test_a_loss_on_drawn_responses_is_the_loss_on_all_when_each_is_drawn_alike() -> None:
    """A uniform start, ten thousand draws: the gradient step is that on all responses but for sampling error."""
    games, start = crowd()[0], np.full((3, 4), -np.log(4))
    options = {"steps": 1, "seed": 5}
    drawn = Executor(games, EGPO(1.0), Table(start), OneStep(0.02), responses=10_000, **options).run()
    exact = Executor(games, EGPO(1.0), Table(start), OneStep(0.02), **options).run()
    change = np.abs(exact.log_policy[:, 1] - start).max()
    assert 1e-5 * change < np.abs(drawn.log_policy - exact.log_policy).max() < 0.1 * change


# Saving, stopping, refusing.


@pytest.mark.parametrize(
    ("realisation", "options"),
    [
        (Regression(inner=3), {"feedback": Duels(per_action=2, flip=0.1), "responses": 6}),
        (Regression(inner=2, make=torch.optim.AdamW), {}),
        (OneStep(1e-4), {"feedback": Duels()}),
    ],
)
@pytest.mark.parametrize(
    "method", [EGPO(1.0), NashMP(0.5, inner=2), OptimisticMirrorDescent(0.3)], ids=lambda method: type(method).__name__
)
def test_a_resumed_run_is_the_same(method: Method, realisation: Realisation, options: dict) -> None:
    def executor(seed: int) -> Executor:
        return Executor(NINE, method, network(torch.float32, seed=seed), realisation, steps=6, seed=seed, **options)

    whole, first, second = executor(0), executor(0), executor(1)
    whole.run()
    first.run(until=3)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    first.run()  # going on must not change what was saved
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert second.iteration == 3
    resumed, expected = second.run(), whole.course()
    for name in ("steps", "log_policy", "residuals", "queries", "gradients"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(expected, name))
    for ours, theirs in zip(second.policy.state_dict().values(), whole.policy.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    np.testing.assert_array_equal(first.course().log_policy, expected.log_policy)


def test_states_of_another_run_are_refused() -> None:
    state = Executor(NINE, EGPO(1.0), network(), steps=3).state_dict()
    for method, steps in ((NashMD(0.5), 3), (EGPO(1.0), 4)):
        with pytest.raises(Invalid, match="state=of slots reference, policy, half and 3 steps"):
            Executor(NINE, method, network(), steps=steps).load_state_dict(state)


class Broken(Transformer):
    """Turns to nan at the second prompt once `calls` runs out."""

    calls = 10**9

    def log_probs(self) -> torch.Tensor:
        self.calls -= 1
        logs = super().log_probs()
        return logs if self.calls > 0 else logs + torch.tensor([[0.0], [torch.nan]])


def test_a_loss_that_is_not_finite_stops_before_its_step() -> None:
    policy = Broken([[0, 1], [1, 0]], vocabulary=3, length=2, width=8, layers=1, heads=2)
    executor = Executor(NINE, EGPO(1.0), policy, Regression(inner=3), steps=5)
    executor.run(until=2)
    weights = {name: value.clone() for name, value in policy.state_dict().items()}
    logs, state = executor.slots.logs["policy"].clone(), executor.state_dict()
    policy.calls = 8  # in the second stage
    with pytest.raises(
        NonFinite, match=r"^iteration 2, stage 2 \(policy ∝ .*\), prompt 1: the loss is not finite; no step of this iteration is kept$"
    ) as caught:
        executor.run()
    assert caught.value.prompt == 1
    assert executor.iteration == 2 and torch.equal(executor.slots.logs["policy"], logs) and len(executor.records) == 3
    assert all(torch.equal(value, weights[name]) for name, value in policy.state_dict().items())
    assert torch.equal(executor.state_dict()["generator"], state["generator"])
    policy.calls = 10**9
    whole = Executor(
        NINE, EGPO(1.0), Broken([[0, 1], [1, 0]], vocabulary=3, length=2, width=8, layers=1, heads=2), Regression(inner=3), steps=5
    )
    np.testing.assert_array_equal(executor.run().log_policy, whole.run().log_policy)


def test_what_does_not_fit_is_refused() -> None:
    games, start = crowd()
    with pytest.raises(Invalid, match=r"games=2 games of K=4: must be one for each of 3 prompts, of K=4"):
        Executor(games[:2], EGPO(1.0), Table(start), Solved(), steps=1)
    with pytest.raises(Invalid, match=r"games=2 games of K=9: must be one for each of 2 prompts, of K=4"):
        Executor(NINE, EGPO(1.0), Table(start[:2]), Solved(), steps=1)
    with pytest.raises(Invalid, match="games=betas: must be such that the method has the same stages at each"):
        Executor(games, ByBeta(), Table(start), Solved(), steps=1)
    with pytest.raises(Invalid, match="responses=5: must be left out: Solved takes the targets of all"):
        Executor(games, EGPO(1.0), Table(start), Solved(), steps=1, responses=5)
    with pytest.raises(Invalid, match=r"realisation=Solved\(\): must be .* for a Transformer"):
        Executor(NINE, EGPO(1.0), network(), Solved(), steps=1)
    with pytest.raises(Invalid, match=r"realisation=LevenbergMarquardt: must be used in float64, not in torch\.float32"):
        Executor(NINE, EGPO(1.0), network(torch.float32), LevenbergMarquardt(), steps=1)
    with pytest.raises(Invalid, match="realisation=OneStep: must be another at beta=0"):
        Executor([game.with_beta(0.0) for game in games], SPPO(1.0), Table(start), OneStep(0.1), steps=1).run()
    with pytest.raises(Invalid, match="steps=0: must be an integer >= 1"):
        Executor(games, EGPO(1.0), Table(start), Solved(), steps=0)
    with pytest.raises(Invalid, match=r"preference\[0,3\].*complementary"):
        replace(games[0], preference=games[0].preference + 0.01 * np.eye(4)[::-1])
    with pytest.raises(Invalid, match=r"flip=0.6: must be a rate in \[0, 1/2\]"):
        Executor(games, EGPO(1.0), Table(start), Solved(), steps=1, feedback=Duels(flip=0.6))
    with pytest.raises(Invalid, match="learning_rate=0"):
        Regression(0)
    with pytest.raises(Invalid, match="learning_rate=-1"):
        OneStep(-1)
    with pytest.raises(Invalid, match="inner=0"):
        Regression(inner=0)
    with pytest.raises(Invalid, match="tolerance=0"):
        LevenbergMarquardt(0)


class ByBeta:
    """More stages at a small beta."""

    target = "regularised"

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        return (EGPO(0.5) if beta < 0.2 else OnlineMirrorDescent(0.5)).tableau(beta, steps=steps, actions=actions)

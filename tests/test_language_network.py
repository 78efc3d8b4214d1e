"""A language model's log-probabilities and gradients, beside one row at a time; what it draws, beside a plain loop."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from language import END, LETTERS, WORDS, A, every, folder, language_model, network, plainly, shaken
from numpy.typing import NDArray
from scipy.stats import chisquare
from torch import Tensor

from envs.invalid import Invalid
from scaled.language_model import LanguageModel
from scaled.network import Network
from scaled.pool import Pool, Pooled
from scaled.prompts import Prompt, Response
from scaled.rollouts.generate import Chosen, Generate
from scaled.rollouts.rollout import Question, uniforms
from scaled.weights import Full, LoRA, Weights

WEIGHTS: dict[str, Weights] = {"full": Full(), "lora": LoRA(rank=4, alpha=8.0)}
FEW = ["c", "a", "d", "b"]
"""In an order that is not the tokens'."""
ANSWERS = [
    [(A, A + 1, A + 2), (A + 3,), (A + 1, A + 1)],
    [(A + 2,), (A,), (A + 3, A, A + 1, A + 2)],
    [(A, A), (A + 3, A + 2), (A + 1,)],
    [(A + 1, A + 2, A + 3), (A, A + 2), (A + 2, A, A)],
]
"""Of different lengths, to each of four prompts."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The numbers are few, and threads wake slowly."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def gradient(net: Network, value: Tensor) -> Tensor:
    """Of a number in all weights that are trained."""
    found = torch.autograd.grad(value, list(net.parameters()))
    return torch.cat([part.flatten() for part in found])


def rows(net: Network, model: LanguageModel, answers: Any = ANSWERS) -> Tensor:
    """(C, n) by plain passes of one row each."""
    asked = zip(model.prompts, answers, strict=True)
    found = [torch.stack([plainly(net.model, prompt, answer, model.allowed) for answer in each]) for prompt, each in asked]
    return torch.stack(found)


# Log-probabilities.


@pytest.mark.parametrize("recompute", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("vocabulary", [None, FEW], ids=["all", "few"])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_log_probabilities_and_gradients_are_those_of_single_rows(weights: str, vocabulary: list[str] | None, recompute: bool) -> None:
    model = language_model(weights=WEIGHTS[weights], vocabulary=vocabulary, recompute=recompute)
    net = shaken(network(model))
    with net.passing(last=True):
        found = net.log_prob(model.prompts, ANSWERS)
    plain = rows(net, model)
    torch.testing.assert_close(found, plain, rtol=0, atol=1e-12)
    assert found.dtype == torch.float64 and found.std() > 0.5
    of_each = torch.randn(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = gradient(net, (of_each * plain).sum())
    torch.testing.assert_close(gradient(net, (of_each * found).sum()), expected, rtol=0, atol=1e-10 * float(expected.norm()))
    assert expected.norm() > 1


@pytest.mark.parametrize("weights", WEIGHTS)
def test_what_else_is_in_the_batch_plays_no_part(weights: str) -> None:
    model = language_model(weights=WEIGHTS[weights])
    net = shaken(network(model))
    with torch.no_grad():
        whole = net.log_prob(model.prompts, ANSWERS)
        for place, (prompt, answers) in enumerate(zip(model.prompts, ANSWERS, strict=True)):
            for number, answer in enumerate(answers):
                torch.testing.assert_close(net.log_prob([prompt], [[answer]])[0, 0], whole[place, number], rtol=0, atol=1e-12)


def test_adapters_begin_as_the_model_itself() -> None:
    lora, full = (language_model(weights=WEIGHTS[name]) for name in ("lora", "full"))
    with torch.no_grad():
        torch.testing.assert_close(network(lora).log_prob(lora.prompts, ANSWERS), network(full).log_prob(full.prompts, ANSWERS))


def test_a_llama_with_positions_that_turn() -> None:
    """It computes partly in float32, whatever it is given."""
    model = language_model(model=folder("llama"))
    net = network(model)
    with torch.no_grad():
        torch.testing.assert_close(net.log_prob(model.prompts, ANSWERS), rows(net, model), rtol=0, atol=1e-5)


def test_all_responses_of_a_vocabulary_have_probability_one() -> None:
    model = language_model(vocabulary=FEW)
    net = network(model)
    with torch.no_grad():
        total = net.log_prob(model.prompts, [every(model)] * 4).exp().sum(-1)
    torch.testing.assert_close(total, torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-13)


def up_to_an_end() -> list[tuple[int, ...]]:
    """Every response of at most two tokens."""
    return [(END,), *((first, second) for first in range(len(WORDS)) if first != END for second in range(len(WORDS)))]


def test_responses_that_end_have_probability_one_with_their_end() -> None:
    model = language_model()
    net = network(model)
    with torch.no_grad():
        total = net.log_prob(model.prompts, [up_to_an_end()] * 4).exp().sum(-1)
    torch.testing.assert_close(total, torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-13)


def test_a_response_without_tokens_is_refused() -> None:
    model = language_model()
    with pytest.raises(Invalid, match="at least one token"):
        network(model).log_prob(model.prompts[:1], [[(A,), ()]])


@pytest.mark.parametrize("vocabulary", [None, FEW], ids=["all", "few"])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_bfloat16_is_for_the_layers_alone(weights: str, vocabulary: list[str] | None) -> None:
    """Log-softmax in bfloat16 would leave the sum of all probabilities 1% off; trained weights and their gradients are wide."""
    model = language_model(weights=WEIGHTS[weights], precision="bfloat16", vocabulary=vocabulary)
    net, possible = network(model), [(token,) for token in model.allowed or range(len(WORDS))]
    with net.passing(last=True):
        found = net.log_prob(model.prompts, [possible] * 4)
    found.var(-1).sum().backward()
    assert found.dtype == torch.float32
    assert (found.exp().sum(-1) - 1).abs().max() < 2e-6
    assert {weight.dtype for weight in net.parameters()} == {torch.float32}
    assert all(weight.grad is not None and weight.grad.dtype == torch.float32 for weight in net.parameters())
    frozen = {weight.dtype for weight in net.model.parameters() if not weight.requires_grad}
    assert frozen == (set() if weights == "full" else {torch.bfloat16})
    exact = language_model(vocabulary=vocabulary)
    with torch.no_grad():
        error = (network(exact).log_prob(exact.prompts, [possible] * 4) - found).abs().max()
    assert 1e-4 < error < 0.1, "the layers are computed in bfloat16"


# Gradients of a pool.


def pooled(model: LanguageModel, net: Network, batch: int, log_drawn: Tensor) -> Pooled:
    policy = Pooled(net, batch)
    answers = [[Response(tokens, "") for tokens in each] for each in ANSWERS]
    policy.pool = Pool(model.prompts, slice(0, 4), answers, log_drawn)
    return policy


@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_pools_gradient_is_that_of_all_its_losses_whatever_passes_at_once(weights: str) -> None:
    model = language_model(weights=WEIGHTS[weights])
    net = shaken(network(model))
    log_drawn, target = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def losses(logs: Tensor, place: slice) -> Tensor:
        return 2 * (logs - target[place]).var(-1, correction=0)

    expected_losses = losses(rows(net, model) - log_drawn, slice(None))
    expected = gradient(net, 0.3 * expected_losses.sum())
    for batch in (1, 3, 4, 9):
        policy = pooled(model, net, batch, log_drawn)
        torch.testing.assert_close(policy.log_probs(), rows(net, model).detach() - log_drawn, rtol=0, atol=1e-12)
        net.model.zero_grad()
        torch.testing.assert_close(policy.accumulate(losses, 0.3), expected_losses.detach(), rtol=0, atol=1e-11)
        found = torch.cat([weight.grad.flatten() for weight in net.parameters()])  # type: ignore[union-attr]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10 * float(expected.norm()))


# Draws.


def ask(model: LanguageModel, count: int, prompts: list[Prompt] | None = None, seed: int = 5) -> Question:
    prompts = model.prompts if prompts is None else prompts
    numbers = uniforms(seed, 0, [prompt.number for prompt in prompts], count, model.length)
    return Question(prompts, numbers, model.ends, model.tokenizer)


def tokens(net: Network, question: Question, batch: int = 64) -> list[list[tuple[int, ...]]]:
    drawn = Generate(batch).draw(net, question)
    assert all(log is None for answers in drawn for _, log in answers)
    return [[answer for answer, _ in answers] for answers in drawn]


@torch.no_grad()
def by_hand(net: Network, prompt: Prompt, numbers: NDArray, ends: list[int], allowed: list[int]) -> tuple[int, ...]:
    """The token at which the sum of probabilities first exceeds the number, until one that ends."""
    found: list[int] = []
    for number in numbers:
        logits = net.model(input_ids=torch.tensor([[*prompt.tokens, *found]])).logits[0, -1]
        sums = logits[allowed].double().softmax(-1).cumsum(-1)
        found.append(allowed[int((sums <= number * sums[-1]).sum())])
        if found[-1] in ends:
            break
    return tuple(found)


@pytest.mark.parametrize("vocabulary", [None, FEW, ["b", "</s>", "a"]], ids=["all", "few", "with the end"])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_draw_is_where_its_numbers_fall(weights: str, vocabulary: list[str] | None) -> None:
    model = language_model(weights=WEIGHTS[weights], vocabulary=vocabulary, length=5, recompute=True)
    net = shaken(network(model))
    net.model.eval()
    question = ask(model, 10)
    allowed = list(range(len(WORDS))) if model.allowed is None else model.allowed
    expected = [
        [by_hand(net, prompt, row, model.ends, allowed) for row in numbers]
        for prompt, numbers in zip(model.prompts, question.uniforms, strict=True)
    ]
    assert tokens(net, question) == expected
    lengths = {len(answer) for answers in expected for answer in answers}
    assert lengths == {5} if vocabulary else len(lengths) > 1
    assert len({answer for answers in expected for answer in answers}) > 15


def test_a_number_never_falls_to_what_cannot_be() -> None:
    chances = torch.tensor([0.0, 0.5, 0.0, 0.25, 0.25, 0.0]).expand(6, -1)
    numbers = torch.tensor([0.0, 0.4, 0.6, 0.74, 0.76, 1 - 2**-53], dtype=torch.float64)[:, None]
    for allowed, expected in ((None, [1, 1, 3, 3, 4, 4]), (torch.tensor([3, 1]), [3, 1, 1, 1, 1, 1])):
        scores = Chosen(numbers, 2, allowed)(torch.zeros(6, 2, dtype=torch.long), chances.log())
        assert scores.argmax(-1).tolist() == expected
        assert (scores > -torch.inf).sum(-1).tolist() == [1] * 6


def test_a_response_ends_at_its_first_end_which_is_part_of_it() -> None:
    model = language_model(length=12)
    net = shaken(network(model))
    ended = [answer for answers in tokens(net, ask(model, 64)) for answer in answers if END in answer]
    assert ended and all(answer.index(END) == len(answer) - 1 for answer in ended)
    assert {len(answer) for answer in ended} > {1, 2, 3}


def test_a_draw_depends_on_its_own_numbers_alone() -> None:
    model = language_model(length=6)
    net = shaken(network(model))
    whole = tokens(net, ask(model, 7))
    for batch in (1, 3, 5):
        assert tokens(net, ask(model, 7), batch) == whole
    for place in range(4):
        assert tokens(net, ask(model, 7, [model.prompts[place]])) == [whole[place]]
    assert tokens(net, ask(model, 7, model.prompts[::-1])) == whole[::-1]
    assert tokens(net, ask(model, 7, seed=6)) != whole


def test_numbers_of_a_place_are_its_own() -> None:
    whole = uniforms(3, 2, range(4), 5, 6)
    np.testing.assert_array_equal(uniforms(3, 2, [2], 5, 6)[0], whole[2])
    others = [uniforms(*at, [2], 5, 6)[0] for at in ((3, 1), (2, 2))] + [whole[1]]
    assert not any(np.isin(each, whole[2]).any() for each in others)
    assert whole.min() >= 0 and whole.max() < 1


def test_frequencies_are_probabilities() -> None:
    """A chance of 1e-6 at most that a right one fails, were the seed drawn anew."""
    for vocabulary, responses in ((FEW, None), (None, up_to_an_end())):
        model = language_model(vocabulary=vocabulary)
        net = network(model)
        possible = responses or every(model)
        with torch.no_grad():
            chances = net.log_prob(model.prompts[:2], [possible] * 2).exp().numpy()
        found = tokens(net, ask(model, 3000, model.prompts[:2]), batch=1000)
        counts = np.array([[answers.count(response) for response in possible] for answers in found])
        assert (counts.sum(1) == 3000).all()
        values = [chisquare(*merged(of, share)).pvalue for of, share in zip(counts, chances, strict=True)]
        assert min(values) > 1e-6 / len(values)
        assert chisquare(*merged(counts[0], chances[1])).pvalue < 1e-9, "of the other prompt"


def merged(counts: NDArray, chances: NDArray) -> tuple[NDArray, NDArray]:
    """Observed and expected, the rare ones together."""
    expected = counts.sum() * chances / chances.sum()
    often = expected >= 5
    rest = [(~often).any() * counts[~often].sum(), expected[~often].sum()]
    pairs = np.array([counts[often], expected[often]])
    return tuple(pairs if rest[1] < 5 else np.column_stack([pairs, rest]))  # type: ignore[return-value]


def altered(path: Path, **files: dict[str, Any]) -> str:
    """A copy of the model's folder with changed JSON files."""
    shutil.copytree(folder(), path)
    for name, changes in files.items():
        file = path / f"{name}.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return str(path)


def test_how_its_makers_would_generate_plays_no_part_but_for_the_ends(tmp_path: Path) -> None:
    settings = {"do_sample": True, "temperature": 0.3, "top_k": 2, "top_p": 0.5, "repetition_penalty": 5.0, "no_repeat_ngram_size": 1}
    more = {"max_length": 3, "suppress_tokens": [A], "forced_eos_token_id": END, "num_return_sequences": 2}
    model = language_model(length=5)
    other = replace(model, model=altered(tmp_path / "model", generation_config=settings | more | {"eos_token_id": [END, A]}))
    assert other.generation.temperature == 0.3 and other.ends == [END, A]
    question = ask(model, 40)
    expected = tokens(network(model), question)
    assert tokens(network(other), question) == expected
    stopped = tokens(network(other), replace(question, ends=other.ends))
    cut = [[answer[: answer.index(A) + 1] if A in answer else answer for answer in answers] for answers in expected]
    assert stopped == cut != expected


def test_what_fills_may_be_any_token_or_none(tmp_path: Path) -> None:
    model = language_model(length=5)
    padded = replace(model, model=altered(tmp_path / "model", tokenizer_config={"pad_token": "a"}, config={"pad_token_id": A}))
    assert model.tokenizer.pad_token_id is None and padded.tokenizer.pad_token_id == A
    assert tokens(network(padded), ask(padded, 10)) == tokens(network(model), ask(model, 10))
    with torch.no_grad():
        logs = [network(each).log_prob(each.prompts, ANSWERS) for each in (model, padded)]
    torch.testing.assert_close(*logs, rtol=0, atol=0)


def test_drawing_leaves_the_model_as_it_was() -> None:
    model = language_model(vocabulary=LETTERS[:3], recompute=True)
    net = network(model)
    before = {name: value.clone() for name, value in net.model.state_dict().items()}
    state = torch.get_rng_state()
    tokens(net, ask(model, 5))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in net.model.state_dict().items())

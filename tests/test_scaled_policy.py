"""Policies for the torch executor: normalised, enumerated in the stated order, sampled from what they say."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from envs.invalid import Invalid
from scaled.policy import Table, draw
from scaled.transformer import LARGEST_SET, Transformer

SMALL = {"vocabulary": 3, "length": 2, "width": 8, "layers": 1, "heads": 2}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def transformer(**options: object) -> Transformer:
    return Transformer([[0, 1], [1, 0], [2, 2]], **SMALL | {"dtype": torch.float64} | options)


def table(contexts: int = 3, actions: int = 9) -> Table:
    return Table(np.random.default_rng([contexts, actions]).normal(size=(contexts, actions)))


@pytest.mark.parametrize("policy", [table(), transformer(), transformer(length=4), transformer(length=1), transformer(vocabulary=2)])
def test_probabilities_sum_to_one_and_prompts_differ(policy: Table | Transformer) -> None:
    logs = policy.log_probs()
    assert logs.shape == (policy.contexts, policy.actions) and logs.dtype == torch.float64
    np.testing.assert_allclose(logs.exp().sum(-1).detach(), 1, rtol=1e-13)
    assert (logs[0] - logs[1]).abs().max() > 1e-3
    loss = (logs * torch.linspace(0, 1, policy.actions)).sum()
    assert all(part is not None and part.isfinite().all() for part in torch.autograd.grad(loss, list(policy.parameters())))


@pytest.mark.parametrize("policy", [table(), transformer(length=3)])
def test_some_responses_are_those_of_all(policy: Table | Transformer) -> None:
    numbers = torch.arange(policy.actions).flip(0).expand(policy.contexts, -1)
    torch.testing.assert_close(policy.log_prob(numbers), policy.log_probs().flip(-1), rtol=1e-12, atol=1e-12)


def by_hand(policy: Transformer, prompt: list[int], response: tuple[int, ...]) -> float:
    """One response, one token at a time: the network of the published layout in plain torch functions, with torch's own attention."""
    total = 0.0
    for position, token in enumerate(response):
        stream = torch.cat([policy.prompt_embedding.weight[prompt], policy.embedding.weight[list(response[:position])]])
        stream = stream + policy.positions.weight[: len(stream)]
        for block in policy.blocks:
            split = block.attention(block.before_attention(stream)).chunk(3, -1)
            query, key, value = (part.view(len(stream), block.heads, -1).transpose(0, 1) for part in split)
            seen = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
            stream = stream + block.joined(seen.transpose(0, 1).flatten(1))
            stream = stream + block.mlp(block.before_mlp(stream))
        total += float(policy.output(policy.last_norm(stream[-1])).log_softmax(-1)[token])
    return total


@torch.no_grad()
@pytest.mark.parametrize("layers", [1, 2])
def test_the_order_is_that_of_digits_and_no_token_sees_a_later_one(layers: int) -> None:
    policy = transformer(length=3, layers=layers)
    for weights in policy.blocks.parameters():
        weights.mul_(5)  # first weights are small: make attention matter
    logs = policy.log_probs()
    for context, prompt in enumerate(policy.prompts.tolist()):
        found = [by_hand(policy, prompt, response) for response in itertools.product(range(3), repeat=3)]
        np.testing.assert_allclose(logs[context], found, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(policy.tokens(torch.tensor([0, 5, 26]), 3), [[0, 0, 0], [0, 1, 2], [2, 2, 2]])


def chi_squared(counts: torch.Tensor, probs: torch.Tensor) -> torch.Tensor:
    """(C,) standardised: about standard normal plus a skew, beyond 8 in less than 1 in 10^6 for 8 degrees and more."""
    expected = probs * counts.sum(-1, keepdim=True)
    degrees = probs.shape[-1] - 1
    return (((counts - expected) ** 2 / expected).sum(-1) - degrees) / (2 * degrees) ** 0.5


@pytest.mark.parametrize("policy", [table(), transformer(), transformer(dtype=torch.float32)])
def test_samples_follow_the_log_probabilities(policy: Table | Transformer) -> None:
    drawn = policy.sample(40_000, torch.Generator().manual_seed(1))
    assert drawn.shape == (3, 40_000) and drawn.dtype == torch.long
    counts = torch.stack([torch.bincount(row, minlength=9) for row in drawn]).double()
    probs = policy.log_probs().detach().double().exp()
    assert chi_squared(counts, probs).max() < 8
    assert chi_squared(counts, probs.roll(1, 0)).max() > 8
    again = policy.sample(40_000, torch.Generator().manual_seed(1))
    assert torch.equal(drawn, again) and not torch.equal(drawn, policy.sample(40_000, torch.Generator().manual_seed(2)))


def test_draws_never_name_what_is_impossible() -> None:
    certain = torch.tensor([[-torch.inf, 0.0, -torch.inf], [0.0, -torch.inf, -torch.inf]])
    drawn = draw(certain, 1000, torch.Generator().manual_seed(0))
    assert (drawn[0] == 1).all() and (drawn[1] == 0).all()


def test_too_many_responses_are_not_enumerated_but_sampled() -> None:
    policy = transformer(vocabulary=4, length=20)
    with pytest.raises(Invalid, match=rf"length=20: must be such that V\^L <= {LARGEST_SET} .* sampling .* remains"):
        policy.log_probs()
    drawn = policy.sample(50, torch.Generator().manual_seed(0))
    assert drawn.max() > LARGEST_SET and drawn.max() < 4**20
    logs = policy.log_prob(drawn)
    assert logs.shape == (3, 50) and logs.isfinite().all() and (logs < -10).all()
    tokens = policy.tokens(drawn, 20)
    places = 4 ** np.arange(19, -1, -1)
    np.testing.assert_array_equal((tokens.numpy() * places).sum(-1), drawn)


def test_first_weights_are_a_function_of_the_seed_alone() -> None:
    state = torch.get_rng_state()
    first, second, other = transformer(seed=1), transformer(seed=1), transformer(seed=2)
    assert torch.equal(first.log_probs(), second.log_probs()) and not torch.equal(first.log_probs(), other.log_probs())
    assert torch.equal(state, torch.get_rng_state())
    wide = transformer(spread=3.0, width=64).log_probs().std()
    assert wide > 2 * transformer(spread=1.0, width=64).log_probs().std() > 0.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocabulary": 1}, "vocabulary=1: must be an integer >= 2"),
        ({"length": 0}, "length=0: must be an integer >= 1"),
        ({"heads": 3}, "heads=3: must be a divisor of width=8"),
        ({"spread": 0}, "spread=0: must be a finite number > 0"),
        ({"dtype": torch.float16}, "dtype=torch.float16: must be torch.float32 or torch.float64"),
        ({"length": 64}, r"length=64: must be such that V\^L < 2\^63"),
        ({"seed": -1}, "seed=-1: must be an integer >= 0"),
    ],
)
def test_values_are_refused(options: dict, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        transformer(**options)


@pytest.mark.parametrize("prompts", [[], [[]], [[0], [0, 1]], [[-1]], [[0.5]]])
def test_prompts_are_refused(prompts: list) -> None:
    with pytest.raises(Invalid, match="prompts="):
        Transformer(prompts, **SMALL)


@pytest.mark.parametrize("start", [np.zeros(3), np.zeros((2, 1)), np.array([[0.0, np.inf]])])
def test_tables_are_refused(start: np.ndarray) -> None:
    with pytest.raises(Invalid, match="log_start="):
        Table(start)

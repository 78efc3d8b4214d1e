"""Objectives of language models against their definitions, on a model small enough to enumerate; and what wrong forms get wrong.

The model: two prompts, three tokens, responses of two tokens or, where token 2 ends a response, of one or two, filled up with token
0, which responses use too. Definitions are written in numpy on all responses and differentiated by the complex step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from algorithms.cdpo import ConservativeDPO
from algorithms.dpo import DPO
from algorithms.fit import fit
from algorithms.ipo import IPO
from algorithms.pair_loss import PairLoss
from algorithms.rdpo import RobustDPO
from algorithms.robust_ipo import RobustIPO
from envs.game import Game
from envs.invalid import Invalid
from envs.pairs import Comparisons
from scaled.objectives import (
    PairObjective,
    exponential_weights_square,
    log_normaliser,
    online_ipo,
    pair_losses,
    sppo_square,
    twice_variance,
)
from scaled.sequence import divergence, expected_value, leave_one_out, response_log_prob, span, token_log_probs
from tests.games import complemented
from theory.online_ipo_gradients import gradient_1, gradient_2

LOSSES = [DPO(), RobustDPO(0.2), ConservativeDPO(0.2), IPO(0.3), RobustIPO(0.5, 0.3)]
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
PROMPTS, TOKENS, WIDTH, BETA, RATE = 2, 3, 4, 0.4, 1.0
SIZES = {"prompt": (PROMPTS, WIDTH), "token": (TOKENS, WIDTH), "mixed": (WIDTH, WIDTH), "out": (WIDTH, TOKENS)}
STEP = 1e-30

each_loss = pytest.mark.parametrize("loss", LOSSES, ids=str)


def parts(theta):
    """The arrays of SIZES, of a flat vector of numpy or torch."""
    ends = np.cumsum([0, *(np.prod(size) for size in SIZES.values())])
    return [theta[a:b].reshape(size) for a, b, size in zip(ends, ends[1:], SIZES.values(), strict=False)]


def all_logits(theta, tanh):
    """(prompts, tokens) logits of the first token, (prompts, tokens, tokens) of the second after each first one."""
    prompt, token, mixed, out = parts(theta)
    return tanh(prompt @ mixed) @ out, tanh((prompt[:, None] + token) @ mixed) @ out


def parameters(seed: int) -> NDArray:
    return np.random.default_rng([seed, 20, 0, 0]).normal(size=sum(int(np.prod(size)) for size in SIZES.values()))


@dataclass(frozen=True)
class Language:
    """All responses: tokens (K, 2), of which the first `lengths` (K,) are theirs."""

    tokens: NDArray
    lengths: NDArray

    def log_probs(self, theta: NDArray) -> NDArray:
        """(prompts, K) in numpy; theta may be complex."""
        first, second = all_logits(theta, np.tanh)
        first, second = (x - np.log(np.exp(x).sum(-1, keepdims=True)) for x in (first, second))
        a, b = self.tokens.T
        return first[:, a] + np.where(self.lengths == 2, second[:, a, b], 0.0)

    def token_log_probs(self, theta: Tensor) -> Tensor:
        """(prompts, K, 2) in torch, with a number at every position."""
        first, second = all_logits(theta, torch.tanh)
        a = torch.tensor(self.tokens[:, 0])
        logits = torch.stack([first[:, None].expand(-1, len(a), -1), second[:, a]], dim=-2)
        return token_log_probs(logits, self.ids)

    @property
    def ids(self) -> Tensor:
        return torch.tensor(self.tokens).expand(PROMPTS, -1, -1)

    @property
    def mask(self) -> Tensor:
        lengths = torch.tensor(self.lengths).expand(PROMPTS, -1)
        return span(torch.zeros_like(lengths), lengths, 2)


TWO = Language(np.array(list(product(range(3), range(3)))), np.full(9, 2))
ENDED = Language(np.array([(2, 0), *product(range(2), range(3))]), np.array([1, 2, 2, 2, 2, 2, 2]))
each_language = pytest.mark.parametrize("language", [TWO, ENDED], ids=["two tokens", "token 2 ends"])

THETA, START = parameters(0), parameters(1)  # of the policy; of the reference, or of the policy before


def derivative(definition: Callable[[NDArray], complex]) -> NDArray:
    return np.array([definition(THETA + 1j * STEP * unit).imag for unit in np.eye(len(THETA))]) / STEP


def gradient(objective: Callable[[Tensor], Tensor]) -> NDArray:
    theta = torch.tensor(THETA, requires_grad=True)
    objective(theta).backward()
    return theta.grad.numpy()


def error(objective: Callable[[Tensor], Tensor], definition: Callable[[NDArray], complex]) -> float:
    """Relative to the size of the definition's gradient."""
    exact = derivative(definition)
    return float(np.linalg.norm(gradient(objective) - exact) / np.linalg.norm(exact))


EXACT, WRONG = 1e-12, 0.03


# Three ways to a response's log-probability of which one is right.
def summed(language: Language, theta: Tensor) -> Tensor:
    return response_log_prob(language.token_log_probs(theta), language.mask)


def averaged(language: Language, theta: Tensor) -> Tensor:
    return summed(language, theta) / language.mask.sum(-1)


def masked_by_token(language: Language, theta: Tensor) -> Tensor:
    return (language.token_log_probs(theta) * (language.ids != 0)).sum(-1)


WRONG_SUMS = {"mean over tokens": averaged, "padding masked by token id": masked_by_token}


def numbers(language: Language, *shape: int) -> NDArray:
    """Fixed numbers in (0, 1)."""
    return np.random.default_rng([len(language.tokens), 21, 0, 0]).random((PROMPTS, *shape))


def preference(language: Language) -> NDArray:
    """(prompts, K, K)"""
    actions = len(language.tokens)
    return np.array([complemented(upper) for upper in numbers(language, actions, actions)])


def frozen(language: Language, theta: NDArray) -> Tensor:
    return torch.tensor(language.log_probs(theta))


class TestSequences:
    @each_language
    def test_all_responses_of_a_prompt_sum_to_one(self, language: Language) -> None:
        log_probs = summed(language, torch.tensor(THETA))
        np.testing.assert_allclose(log_probs, language.log_probs(THETA), rtol=1e-14)
        np.testing.assert_allclose(log_probs.exp().sum(-1), 1, rtol=1e-14)

    def test_what_lies_outside_the_mask_has_no_effect(self) -> None:
        tokens = torch.tensor([[-1.0, np.nan, -np.inf], [-2.0, -3.0, np.nan]], requires_grad=True)
        found = response_log_prob(tokens, span(torch.tensor([0, 0]), torch.tensor([1, 2]), 3))
        assert found.tolist() == [-1.0, -5.0]
        found.sum().backward()
        assert tokens.grad.tolist() == [[1, 0, 0], [1, 1, 0]]

    def test_span(self) -> None:
        assert span(torch.tensor([0, 1, 2]), torch.tensor([1, 3, 2]), 3).tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]

    def test_a_response_without_tokens_is_refused(self) -> None:
        with pytest.raises(Invalid, match=r"mask=response \(1,\): must be true of at least one token"):
            response_log_prob(torch.zeros(2, 3), span(torch.tensor([0, 1]), torch.tensor([3, 1]), 3))

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
    def test_float32_or_better(self, dtype: torch.dtype) -> None:
        rng = np.random.default_rng([3, 22, 0, 0])
        logits = torch.tensor(rng.normal(size=(1, 300, 50)), dtype=dtype)
        ids = torch.tensor(rng.integers(0, 50, (1, 300)))
        found = response_log_prob(token_log_probs(logits, ids), torch.ones(1, 300, dtype=torch.bool))
        exact = logits.double().log_softmax(-1).gather(-1, ids[..., None]).sum()
        assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert abs(found.item() - exact.item()) < (1e-9 if dtype == torch.float64 else 2e-3)
        kept = logits.log_softmax(-1).gather(-1, ids[..., None]).sum(dtype=torch.float64)
        assert dtype != torch.bfloat16 or abs(kept - exact) > 0.05  # what the width is for

    def test_wrong_masks_are_refused(self) -> None:
        for mask, message in [(torch.ones(2, 3), "of dtype bool"), (torch.ones(2, 2, dtype=torch.bool), "of shape")]:
            with pytest.raises(Invalid, match=message):
                response_log_prob(torch.zeros(2, 3), mask)


class TestPairLosses:
    MARGINS: ClassVar = np.concatenate([np.linspace(-40, 40, 81), [1e-9, -300.0, 300.0, 1e4, -1e4]])

    @each_loss
    @pytest.mark.parametrize("device", DEVICES)
    def test_values_slopes_and_curvatures_are_the_losses_own(self, loss: PairLoss, device: str) -> None:
        margins = torch.tensor(self.MARGINS, device=device, requires_grad=True)
        values = pair_losses(loss, margins)
        (slopes,) = torch.autograd.grad(values.sum(), margins, create_graph=True)
        (curvatures,) = torch.autograd.grad(slopes.sum(), margins)
        for found, function in [(values, loss.value), (slopes, loss.slope), (curvatures, loss.curvature)]:
            np.testing.assert_array_equal(found.detach().cpu(), function(self.MARGINS))

    @each_loss
    def test_chains_of_derivatives(self, loss: PairLoss) -> None:
        margins = torch.linspace(-3, 3, 7, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda u: pair_losses(loss, u**2), margins)
        assert torch.autograd.gradgradcheck(lambda u: pair_losses(loss, u**2), margins)

    def test_a_third_derivative_is_refused(self) -> None:
        u = torch.tensor(0.3, requires_grad=True)
        (slope,) = torch.autograd.grad(pair_losses(DPO(), u), u, create_graph=True)
        (curvature,) = torch.autograd.grad(slope, u, create_graph=True)
        with pytest.raises(Invalid, match="derivative=the third"):
            torch.autograd.grad(curvature, u)

    @each_loss
    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
    @pytest.mark.parametrize("shape", [(), (5,), (2, 3)])
    def test_dtype_device_and_shape_pass_through(self, loss: PairLoss, dtype: torch.dtype, device: str, shape: tuple) -> None:
        margins = torch.full(shape, 0.7, dtype=dtype, device=device, requires_grad=True)
        values = pair_losses(loss, margins)
        (slopes,) = torch.autograd.grad(values.sum(), margins)
        for found, function in [(values, loss.value), (slopes, loss.slope)]:
            assert (found.dtype, found.device, found.shape) == (margins.dtype, margins.device, margins.shape)
            exact = function(margins.detach().cpu().double().numpy())
            np.testing.assert_allclose(found.detach().cpu().double(), exact, rtol=torch.finfo(dtype).eps)

    def test_other_transforms(self) -> None:
        slope = torch.func.grad(lambda u: pair_losses(DPO(), u).sum())
        np.testing.assert_array_equal(slope(torch.tensor(self.MARGINS)), DPO().slope(self.MARGINS))

    @each_loss
    def test_the_gradient_vanishes_where_the_fit_ends(self, loss: PairLoss) -> None:
        """Four responses, a table of logits: the compiled fit's minimiser is this objective's."""
        first, second = np.triu_indices(4, 1)
        wins = np.array([7, 12, 3, 9, 11, 8])
        losses = 20 - wins
        scale = 1.0 if loss.log_ratio else BETA
        found = fit(loss, Comparisons(scale * (np.eye(4)[first] - np.eye(4)[second]), wins, losses))
        assert found.converged
        reference = torch.log_softmax(torch.tensor([0.1, -0.5, 0.7, 0.0], dtype=torch.float64), -1)
        theta = torch.tensor(found.theta, requires_grad=True)
        rows = np.concatenate([np.repeat([[i, j], [j, i]], [w, n], axis=0) for i, j, w, n in zip(first, second, wins, losses, strict=True)])
        log_probs = torch.log_softmax(reference + theta, -1)
        objective = PairObjective(loss, None if loss.log_ratio else BETA)
        value = objective(log_probs[rows], reference[rows])
        value.backward()
        assert theta.grad.abs().max() < 1e-9
        assert value.item() == pytest.approx(found.value, rel=1e-12)


PAIRS = np.array([(0, 1, 2), (0, 3, 0), (0, 4, 6), (1, 5, 1), (1, 0, 5), (1, 2, 4), (0, 0, 5)])  # prompt, winner, loser


def of_pairs(log_probs):
    """(pairs, 2) of (prompts, K)."""
    return log_probs[PAIRS[:, :1], PAIRS[:, 1:]]


class TestPairObjective:
    def definition(self, language: Language, loss: PairLoss) -> NDArray:
        """The mean of slope(u) du, by numpy alone."""
        scale = 1.0 if loss.log_ratio else BETA
        reference = of_pairs(language.log_probs(START))

        def margins(theta: NDArray) -> NDArray:
            return scale * (of_pairs(language.log_probs(theta)) - reference) @ [1, -1]

        jacobian = np.array([margins(THETA + 1j * STEP * unit).imag for unit in np.eye(len(THETA))]) / STEP
        return loss.value(margins(THETA)).mean(), jacobian @ loss.slope(margins(THETA)) / len(PAIRS)

    def error(self, language: Language, loss: PairLoss, objective: Callable[[Tensor], Tensor]) -> float:
        exact = self.definition(language, loss)[1]
        return float(np.linalg.norm(gradient(objective) - exact) / np.linalg.norm(exact))

    def objective(self, loss: PairLoss) -> PairObjective:
        return PairObjective(loss, None if loss.log_ratio else BETA)

    @each_language
    @each_loss
    def test_value_and_gradient(self, language: Language, loss: PairLoss) -> None:
        reference = of_pairs(frozen(language, START))

        def objective(theta: Tensor) -> Tensor:
            return self.objective(loss)(of_pairs(summed(language, theta)), reference)

        assert objective(torch.tensor(THETA)).item() == pytest.approx(self.definition(language, loss)[0], rel=EXACT)
        assert self.error(language, loss, objective) < EXACT

    @each_language
    @each_loss
    @pytest.mark.parametrize("name", WRONG_SUMS)
    def test_wrong_log_probabilities_fail(self, language: Language, loss: PairLoss, name: str) -> None:
        def objective(theta: Tensor) -> Tensor:
            reference = WRONG_SUMS[name](language, torch.tensor(START))
            return self.objective(loss)(of_pairs(WRONG_SUMS[name](language, theta)), of_pairs(reference))

        assert self.error(language, loss, objective) > WRONG

    @each_language
    @each_loss
    @pytest.mark.parametrize("name", ["reference dropped", "beta applied twice", "loser for winner"])
    def test_wrong_margins_fail(self, language: Language, loss: PairLoss, name: str) -> None:
        reference = of_pairs(frozen(language, START))

        def objective(theta: Tensor) -> Tensor:
            log_probs, base = of_pairs(summed(language, theta)), reference
            if name == "reference dropped":
                base = torch.zeros_like(base)
            elif name == "beta applied twice":
                log_probs, base = BETA * log_probs, BETA * base
            else:
                log_probs, base = log_probs.flip(-1), base.flip(-1)
            return self.objective(loss)(log_probs, base)

        assert self.error(language, loss, objective) > WRONG

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_margins_that_are_not_finite_stop_with_the_batch(self, bad: float) -> None:
        log_probs = torch.zeros(4, 2, requires_grad=True)
        reference = torch.tensor([[0, 0], [0, 0], [0, bad], [0, 0]])
        with pytest.raises(Invalid, match=r"margin=.*: must be finite \(batch 17, entry \(2,\)\)"):
            PairObjective(DPO(), BETA)(log_probs, reference, batch=17)
        assert log_probs.grad is None

    @pytest.mark.parametrize("beta", [None, 0, -1.0, np.nan, np.inf, "1", True])
    def test_wrong_betas_are_refused(self, beta: object) -> None:
        with pytest.raises(Invalid, match=r"beta=.*: must be a finite number > 0"):
            PairObjective(DPO(), beta)

    def test_a_beta_without_effect_is_refused(self) -> None:
        with pytest.raises(Invalid, match=r"beta=0.1: must be left out: IPO"):
            PairObjective(IPO(0.1), 0.1)

    @pytest.mark.parametrize(("shape", "other"), [((3, 2), (3, 1)), ((3, 2), (2,)), ((3,), (3,)), ((0, 2), (0, 2)), ((4, 3), (4, 3))])
    def test_wrong_shapes_are_refused(self, shape: tuple, other: tuple) -> None:
        with pytest.raises(Invalid):
            PairObjective(DPO(), BETA)(torch.zeros(shape), torch.zeros(other))


class TestExpectedValue:
    def definition(self, language: Language) -> Callable[[NDArray], complex]:
        values = numbers(language, len(language.tokens))
        return lambda theta: (np.exp(language.log_probs(theta)) * values).sum(-1).mean()

    def objective(self, language: Language, log_prob: Callable[[Language, Tensor], Tensor], baseline: float) -> Callable[[Tensor], Tensor]:
        values = torch.tensor(numbers(language, len(language.tokens)))
        chances = frozen(language, THETA).exp()
        return lambda theta: expected_value(log_prob(language, theta), values, chances, baseline)

    @each_language
    @pytest.mark.parametrize("baseline", [0.0, 0.7])
    def test_over_all_responses(self, language: Language, baseline: float) -> None:
        objective = self.objective(language, summed, baseline)
        assert error(objective, self.definition(language)) < EXACT
        assert objective(torch.tensor(THETA)).item() == pytest.approx(self.definition(language)(THETA), rel=EXACT)

    @each_language
    @pytest.mark.parametrize("name", WRONG_SUMS)
    def test_wrong_forms_fail(self, language: Language, name: str) -> None:
        assert error(self.objective(language, WRONG_SUMS[name], 0.0), self.definition(language)) > WRONG

    def over_samples_of_two(self, baseline: Callable[[Tensor], Tensor | float]) -> Callable[[Tensor], Tensor]:
        """The mean over every sample of two responses to each prompt, by its probability, of the estimate from that sample."""
        values, chances = torch.tensor(numbers(TWO, 9)), frozen(TWO, THETA).exp()
        drawn = torch.tensor(list(product(range(9), range(9))))

        def objective(theta: Tensor) -> Tensor:
            log_probs, total = summed(TWO, theta), torch.zeros((), dtype=torch.float64)
            for i, pair in product(range(PROMPTS), drawn):
                chance = chances[i, pair].prod()
                total = total + chance * expected_value(log_probs[i, pair], values[i, pair], None, baseline(values[i, pair]))
            return total / PROMPTS

        return objective

    def test_samples_are_unbiased(self) -> None:
        for baseline in (lambda _: 0.0, leave_one_out):
            assert error(self.over_samples_of_two(baseline), self.definition(TWO)) < EXACT

    def test_a_baseline_that_counts_the_response_itself_is_biased(self) -> None:
        biased = self.over_samples_of_two(lambda values: values.mean(-1, keepdim=True))
        assert error(biased, self.definition(TWO)) == pytest.approx(0.5, rel=1e-9)  # the gradient shrinks by 1 - 1/n

    def test_one_response_has_no_others(self) -> None:
        with pytest.raises(Invalid, match="responses=1: must be at least 2"):
            leave_one_out(torch.zeros(3, 1))


def by_token(policy: Tensor, log_ratio: Tensor) -> Tensor:
    return policy * log_ratio


def up_to_token(policy: Tensor, log_ratio: Tensor) -> Tensor:
    return policy * log_ratio.cumsum(-1)


def estimate_differentiated(policy: Tensor, log_ratio: Tensor) -> Tensor:
    return policy


class TestDivergence:
    def definition(self, language: Language) -> Callable[[NDArray], complex]:
        reference = language.log_probs(START)

        def value(theta: NDArray) -> complex:
            log_probs = language.log_probs(theta)
            return (np.exp(log_probs) * (log_probs - reference)).sum(-1).mean()

        return value

    def weighted(self, language: Language, form: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """A surrogate of the policy's tokens and the stopped log-ratios, 0 outside the response, summed with probabilities."""
        chances = frozen(language, THETA).exp()
        reference = language.token_log_probs(torch.tensor(START))

        def objective(theta: Tensor) -> Tensor:
            tokens = language.token_log_probs(theta)
            terms = form(tokens * language.mask, ((tokens - reference) * language.mask).detach())
            return (chances * terms.sum(-1)).sum(-1).mean()

        return objective

    def objective(self, language: Language, mask: Tensor, against: NDArray | None = START) -> Callable[[Tensor], Tensor]:
        chances = frozen(language, THETA).exp()
        reference = language.token_log_probs(torch.tensor(START))
        reference = torch.zeros_like(reference) if against is None else reference
        return lambda theta: divergence(language.token_log_probs(theta), reference, mask, chances)

    @each_language
    def test_over_all_responses(self, language: Language) -> None:
        objective = self.objective(language, language.mask)
        assert error(objective, self.definition(language)) < EXACT
        assert objective(torch.tensor(THETA)).item() == pytest.approx(self.definition(language)(THETA), rel=EXACT)

    @each_language
    @pytest.mark.parametrize("form", [by_token, up_to_token, estimate_differentiated])
    def test_wrong_surrogates_fail(self, language: Language, form: Callable[[Tensor, Tensor], Tensor]) -> None:
        assert error(self.weighted(language, form), self.definition(language)) > 0.1

    @each_language
    def test_the_check_of_wrong_surrogates_passes_the_right_one(self, language: Language) -> None:
        def to_come(policy: Tensor, log_ratio: Tensor) -> Tensor:
            return policy * log_ratio.flip(-1).cumsum(-1).flip(-1)

        assert error(self.weighted(language, to_come), self.definition(language)) < EXACT

    @each_language
    def test_the_reference_counts(self, language: Language) -> None:
        assert error(self.objective(language, language.mask, None), self.definition(language)) > WRONG

    def test_the_mask_is_by_position(self) -> None:
        everything = torch.ones_like(ENDED.mask)
        assert error(self.objective(ENDED, everything), self.definition(ENDED)) > WRONG
        with pytest.raises(Invalid, match="at least one token"):  # the response 0 0 is no padding
            self.objective(ENDED, ENDED.ids != 0)(torch.tensor(THETA))

    @each_language
    def test_sampled(self, language: Language) -> None:
        """20,000 draws a prompt: no coordinate of the gradient further than 7 standard errors from the exact one (1e-10)."""
        n, log_probs = 20_000, frozen(language, THETA)
        drawn = torch.multinomial(log_probs.exp(), n, replacement=True, generator=torch.Generator().manual_seed(5))
        rows = torch.arange(PROMPTS)[:, None]
        reference, mask = language.token_log_probs(torch.tensor(START)), language.mask

        def objective(theta: Tensor) -> Tensor:
            return divergence(language.token_log_probs(theta)[rows, drawn], reference[rows, drawn], mask[rows, drawn])

        def each(index: tuple[int, int]) -> NDArray:
            def one(theta: Tensor) -> Tensor:
                return divergence(language.token_log_probs(theta)[index][None], reference[index][None], mask[index][None])

            return gradient(one)

        scores = np.array([[each((i, k)) for k in range(log_probs.shape[1])] for i in range(PROMPTS)])
        chances = np.exp(language.log_probs(THETA))[..., None]
        spread = (chances * scores**2).sum(1) - (chances * scores).sum(1) ** 2
        error = gradient(objective) - derivative(self.definition(language))
        assert (np.abs(error) <= 7 * np.sqrt(spread.sum(0) / PROMPTS**2 / n) + 1e-12).all()

    def test_numbers_that_are_not_finite_stop(self) -> None:
        tokens, mask = torch.zeros(2, 3, requires_grad=True), torch.ones(2, 3, dtype=torch.bool)
        with pytest.raises(Invalid, match=r"must be finite \(batch b, entry \(0,\)\)"):
            divergence(tokens, torch.tensor([[0, -np.inf, 0], [0, 0, 0]]), mask, batch="b")


def all_pairs(values: Tensor) -> Tensor:
    """(..., K * K, 2) of (..., K)."""
    actions = values.shape[-1]
    return torch.stack([values.repeat_interleave(actions, -1), values.repeat(*[1] * (values.ndim - 1), actions)], -1)


class TestOnlineIPO:
    def definition(self, language: Language) -> Callable[[NDArray], complex]:
        policy, reference = np.exp(language.log_probs(THETA)), language.log_probs(START)
        target = (preference(language) - 0.5) / BETA

        def value(theta: NDArray) -> complex:
            h = language.log_probs(theta) - reference
            square = (h[:, :, None] - h[:, None, :] - target) ** 2
            return np.einsum("ci,cj,cij->c", policy, policy, square).mean()

        return value

    def inputs(self, language: Language) -> tuple[Tensor, Tensor, Tensor]:
        """Reference, win rates and chances of all pairs of the policy's responses."""
        chances = all_pairs(frozen(language, THETA)).sum(-1).exp()
        return all_pairs(frozen(language, START)), torch.tensor(preference(language)).flatten(1), chances

    @each_language
    def test_over_all_pairs(self, language: Language) -> None:
        reference, wins, chances = self.inputs(language)

        def objective(theta: Tensor) -> Tensor:
            return online_ipo(all_pairs(summed(language, theta)), reference, wins, BETA, chances)

        assert error(objective, self.definition(language)) < EXACT
        assert objective(torch.tensor(THETA)).item() == pytest.approx(self.definition(language)(THETA), rel=EXACT)

    @each_language
    def test_labels_are_unbiased_for_the_gradient_and_not_for_the_value(self, language: Language) -> None:
        reference, wins, chances = self.inputs(language)
        both = torch.cat([torch.ones_like(wins), torch.zeros_like(wins)], -1)
        weights = torch.cat([chances * wins, chances * (1 - wins)], -1)

        def objective(theta: Tensor) -> Tensor:
            log_probs = all_pairs(summed(language, theta))
            return online_ipo(torch.cat([log_probs] * 2, -2), torch.cat([reference] * 2, -2), both, BETA, weights)

        assert error(objective, self.definition(language)) < EXACT
        assert objective(torch.tensor(THETA)).item() > self.definition(language)(THETA).real + 0.1

    WRONG: ClassVar = ["reference dropped", "beta applied twice", "sampling differentiated", "wins of the second", *WRONG_SUMS]

    @each_language
    @pytest.mark.parametrize("name", WRONG)
    def test_wrong_forms_fail(self, language: Language, name: str) -> None:
        reference, wins, chances = self.inputs(language)
        reference = torch.zeros_like(reference) if name == "reference dropped" else reference
        wins = 1 - wins if name == "wins of the second" else wins
        beta = BETA**2 if name == "beta applied twice" else BETA

        def objective(theta: Tensor) -> Tensor:
            log_probs = all_pairs(WRONG_SUMS.get(name, summed)(language, theta))
            if name == "sampling differentiated":
                h = (log_probs - reference) @ torch.tensor([1.0, -1.0], dtype=torch.float64)
                return (log_probs.sum(-1).exp() * (h - (wins - 0.5) / BETA) ** 2).sum(-1).mean()
            return online_ipo(log_probs, reference, wins, beta, chances)

        assert error(objective, self.definition(language)) > WRONG

    def test_on_a_table_it_is_the_policy_gradient_of_self_play(self) -> None:
        game = Game(preference(TWO)[0], TWO.log_probs(START)[0], BETA)
        logits = torch.tensor(TWO.log_probs(THETA)[0], requires_grad=True)
        log_probs = torch.log_softmax(logits, -1)
        chances = all_pairs(log_probs.detach()).sum(-1).exp()
        online_ipo(
            all_pairs(log_probs), all_pairs(torch.tensor(game.log_reference)), torch.tensor(game.preference).flatten(), BETA, chances
        ).backward()
        np.testing.assert_allclose(logits.grad, gradient_2(game, logits.detach().numpy(), None), atol=1e-12)


class TestTwiceVariance:
    def target(self, language: Language) -> NDArray:
        wins = np.einsum("cij,cj->ci", preference(language), np.exp(language.log_probs(THETA)))
        return language.log_probs(START) + wins / BETA

    def definition(self, language: Language, chances: NDArray) -> Callable[[NDArray], complex]:
        """The mean over all pairs of squared differences."""
        target = self.target(language)

        def value(theta: NDArray) -> complex:
            d = language.log_probs(theta) - target
            return np.einsum("ci,cj,cij->c", chances, chances, (d[:, :, None] - d[:, None, :]) ** 2).mean()

        return value

    @each_language
    @pytest.mark.parametrize("weighted", [False, True])
    def test_over_all_responses(self, language: Language, weighted: bool) -> None:
        actions = len(language.tokens)
        chances = np.exp(language.log_probs(START)) if weighted else np.full((PROMPTS, actions), 1 / actions)
        constants = np.array([[3.0], [-2.0]])

        def objective(theta: Tensor) -> Tensor:
            target = torch.tensor(self.target(language) + constants)
            return twice_variance(summed(language, theta), target, torch.tensor(chances) if weighted else None)

        assert error(objective, self.definition(language, chances)) < EXACT
        assert objective(torch.tensor(THETA)).item() == pytest.approx(self.definition(language, chances)(THETA).real, rel=EXACT)

    @each_language
    @pytest.mark.parametrize("name", ["one variance", "reference dropped", *WRONG_SUMS])
    def test_wrong_forms_fail(self, language: Language, name: str) -> None:
        actions = len(language.tokens)
        target = torch.tensor(self.target(language) - (language.log_probs(START) if name == "reference dropped" else 0.0))

        def objective(theta: Tensor) -> Tensor:
            value = twice_variance(WRONG_SUMS.get(name, summed)(language, theta), target)
            return value / 2 if name == "one variance" else value

        assert error(objective, self.definition(language, np.full((PROMPTS, actions), 1 / actions))) > WRONG

    def test_on_a_table_it_is_the_first_version_of_online_ipo(self) -> None:
        game = Game(preference(TWO)[0], TWO.log_probs(START)[0], BETA)
        logits = torch.tensor(TWO.log_probs(THETA)[0], requires_grad=True)
        twice_variance(torch.log_softmax(logits, -1), torch.tensor(self.target(TWO)[0])).backward()
        np.testing.assert_allclose(logits.grad, gradient_1(game, logits.detach().numpy(), np.full(9, 1 / 9)), atol=1e-12)

    def test_samples_shrink_it_by_one_in_n(self) -> None:
        """The mean over every sample of two responses is half the loss over their distribution."""
        log_probs, target = frozen(TWO, THETA)[0], torch.tensor(self.target(TWO)[0])
        chances = frozen(TWO, START)[0].exp()
        samples = [torch.tensor(pair) for pair in product(range(9), range(9))]
        mean = sum(chances[pair].prod() * twice_variance(log_probs[pair], target[pair]) for pair in samples)
        assert mean.item() == pytest.approx(twice_variance(log_probs, target, chances).item() / 2, rel=1e-12)


class TestSPPO:
    def setting(self, language: Language) -> tuple[NDArray, NDArray]:
        """log pi_t and the win rates against it."""
        previous = language.log_probs(START)
        return previous, np.einsum("cij,cj->ci", preference(language), np.exp(previous))

    def definition(self, language: Language, baseline: NDArray | float) -> Callable[[NDArray], complex]:
        previous, wins = self.setting(language)
        chances = np.exp(previous)

        def value(theta: NDArray) -> complex:
            return (chances * (language.log_probs(theta) - previous - RATE * (wins - baseline)) ** 2).sum(-1).mean()

        return value

    def shares(self, language: Language) -> NDArray:
        """log Z / eta, as a column."""
        previous, wins = self.setting(language)
        return np.log((np.exp(previous) * np.exp(RATE * wins)).sum(-1, keepdims=True)) / RATE

    def exact(self, language: Language, log_prob: Callable[[Language, Tensor], Tensor] = summed) -> Callable[[Tensor], Tensor]:
        previous, wins = map(torch.tensor, self.setting(language))
        normaliser = log_normaliser(previous, wins, RATE)
        return lambda theta: exponential_weights_square(log_prob(language, theta), previous, wins, RATE, normaliser, previous.exp())

    def half(self, language: Language, log_prob: Callable[[Language, Tensor], Tensor] = summed) -> Callable[[Tensor], Tensor]:
        previous, wins = map(torch.tensor, self.setting(language))
        return lambda theta: sppo_square(log_prob(language, theta), previous, wins, RATE, previous.exp())

    @each_language
    def test_gradients(self, language: Language) -> None:
        assert error(self.exact(language), self.definition(language, self.shares(language))) < EXACT
        assert error(self.half(language), self.definition(language, 0.5)) < EXACT

    @each_language
    @pytest.mark.parametrize("name", WRONG_SUMS)
    def test_wrong_forms_fail(self, language: Language, name: str) -> None:
        assert error(self.exact(language, WRONG_SUMS[name]), self.definition(language, self.shares(language))) > WRONG
        assert error(self.half(language, WRONG_SUMS[name]), self.definition(language, 0.5)) > WRONG

    @each_language
    def test_neither_is_the_other(self, language: Language) -> None:
        assert error(self.half(language), self.definition(language, self.shares(language))) > 1e-4
        assert error(self.exact(language), self.definition(language, 0.5)) > 1e-4

    def step(self, rate: float) -> NDArray:
        """The exponential-weights step from pi_t, by hand."""
        previous, wins = self.setting(TWO)
        logits = previous[0] + rate * wins[0]
        return logits - np.log(np.exp(logits).sum())

    def minimiser(self, rate: float, exact: bool) -> NDArray:
        """Log-probabilities of the best policy of all, from the first prompt's pi_t."""
        previous, wins = (torch.tensor(each[0]) for each in self.setting(TWO))
        normaliser = log_normaliser(previous, wins, rate)

        def value(logits: NDArray) -> tuple[float, NDArray]:
            at = torch.tensor(logits, requires_grad=True)
            arguments = (torch.log_softmax(at, -1), previous, wins, rate)
            loss = exponential_weights_square(*arguments, normaliser, previous.exp()) if exact else sppo_square(*arguments, previous.exp())
            loss.backward()
            return loss.item(), at.grad.numpy()

        found = minimize(value, previous.numpy(), jac=True, method="BFGS", options={"gtol": 1e-11, "maxiter": 2000}).x
        return found - np.log(np.exp(found).sum())

    @pytest.mark.parametrize("rate", [0.3, 1.0, 3.0])
    def test_the_normalised_square_ends_at_the_exponential_weights_step(self, rate: float) -> None:
        np.testing.assert_allclose(self.minimiser(rate, exact=True), self.step(rate), atol=1e-8)

    def test_the_baseline_of_one_half_ends_elsewhere(self) -> None:
        gaps = [np.abs(self.minimiser(rate, exact=False) - self.step(rate)).max() for rate in (0.3, 1.0, 3.0)]
        assert gaps == pytest.approx([5.12e-5, 1.893e-3, 4.493e-2], rel=1e-2)  # it grows like the cube of the rate

    def test_where_log_z_is_half_the_rate_they_are_one(self) -> None:
        previous = torch.log(torch.full((1, 4), 0.25, dtype=torch.float64))
        tied = torch.full((1, 4), 0.5, dtype=torch.float64)
        log_probs = torch.log_softmax(torch.tensor([[0.3, -1.0, 0.2, 0.0]], dtype=torch.float64), -1)
        exact = exponential_weights_square(log_probs, previous, tied, 2.0, log_normaliser(previous, tied, 2.0))
        assert exact.item() == pytest.approx(sppo_square(log_probs, previous, tied, 2.0).item(), rel=1e-14)

    def test_log_z_needs_all_responses(self) -> None:
        with pytest.raises(Invalid, match=r"previous=a part: must be log-probabilities of all responses"):
            log_normaliser(torch.log(torch.tensor([0.5, 0.3])), torch.tensor([0.5, 0.4]), 1.0)


def test_only_the_policy_is_differentiated() -> None:
    """Targets, references, win rates, baselines and weights are numbers, also where they come from a model."""
    mask = torch.ones(2, 3, 4, dtype=torch.bool)
    pairs, triples, tokens, prompts = (2, 3, 2), (2, 3), (2, 3, 4), (2,)
    cases: list[tuple[Callable[..., Tensor], list[tuple[int, ...]]]] = [
        (PairObjective(DPO(), BETA), [pairs, pairs]),
        (twice_variance, [triples, triples, triples]),
        (
            lambda log_probs, reference, wins, weights: online_ipo(log_probs, reference, wins, BETA, weights),
            [pairs, pairs, triples, triples],
        ),
        (lambda log_probs, previous, wins, weights: sppo_square(log_probs, previous, wins, RATE, weights), [triples] * 4),
        (
            lambda log_probs, previous, wins, normaliser, weights: exponential_weights_square(
                log_probs, previous, wins, RATE, normaliser, weights
            ),
            [triples, triples, triples, prompts, triples],
        ),
        (lambda log_probs, values, weights, baseline: expected_value(log_probs, values, weights, baseline), [triples] * 4),
        (lambda log_probs, reference, weights: divergence(log_probs, reference, mask, weights), [tokens, tokens, triples]),
    ]
    for objective, shapes in cases:
        policy, *stopped = [torch.full(shape, 1 / 3, requires_grad=True) for shape in shapes]
        objective(policy, *stopped).backward()
        assert policy.grad is not None and all(number.grad is None for number in stopped)


class TestRefusals:
    ZEROS: ClassVar = torch.zeros(2, 3)

    @pytest.mark.parametrize(
        "weights", [torch.full((2, 3), 1.0), torch.full((3,), 1 / 3), torch.full((2, 1), 1.0), torch.full((2, 3), np.nan)]
    )
    def test_weights_are_probabilities_of_these_responses(self, weights: Tensor) -> None:
        for objective in (twice_variance, expected_value):
            with pytest.raises(Invalid, match="weights="):
                objective(self.ZEROS, self.ZEROS, weights)
        with pytest.raises(Invalid, match="weights="):
            sppo_square(self.ZEROS, self.ZEROS, self.ZEROS, 1.0, weights)

    def test_shapes(self) -> None:
        short = torch.zeros(3)
        for call in (
            lambda: twice_variance(self.ZEROS, short),
            lambda: expected_value(self.ZEROS, short),
            lambda: sppo_square(self.ZEROS, short, self.ZEROS, 1.0),
            lambda: sppo_square(self.ZEROS, self.ZEROS, short, 1.0),
            lambda: exponential_weights_square(self.ZEROS, self.ZEROS, self.ZEROS, 1.0, torch.zeros(2, 1)),
            lambda: online_ipo(torch.zeros(4, 2), torch.zeros(4, 2), torch.zeros(4, 1), 1.0),
            lambda: online_ipo(torch.zeros(4, 2), torch.zeros(2), torch.zeros(4), 1.0),
            lambda: divergence(self.ZEROS, short, torch.ones(2, 3, dtype=torch.bool)),
        ):
            with pytest.raises(Invalid, match="must be of shape"):
                call()

    @pytest.mark.parametrize("value", [0, -1.0, np.nan, np.inf, None, True])
    def test_rates_and_betas(self, value: object) -> None:
        with pytest.raises(Invalid, match=r"rate=.*: must be a finite number > 0"):
            sppo_square(self.ZEROS, self.ZEROS, self.ZEROS, value)
        with pytest.raises(Invalid, match=r"beta=.*: must be a finite number > 0"):
            online_ipo(torch.zeros(4, 2), torch.zeros(4, 2), torch.zeros(4), value)

    def test_numbers_that_are_not_finite_name_the_batch(self) -> None:
        bad = torch.tensor([[0.0, 0.0, 0.0], [0.0, np.nan, 0.0]])
        for call in (
            lambda: twice_variance(bad, self.ZEROS, batch="step 3"),
            lambda: expected_value(bad, self.ZEROS + 1, batch="step 3"),
            lambda: sppo_square(self.ZEROS, bad, self.ZEROS, 1.0, batch="step 3"),
        ):
            with pytest.raises(Invalid, match=r"=nan: must be finite \(batch step 3, entry \(1, 1\)\)"):
                call()

"""Objectives on log-probabilities of whole responses (`scaled/sequence.py`), to be minimised by gradient steps.

    PairObjective               mean over labelled pairs of L(u): any pair loss of `algorithms/`
    twice_variance              2 Var over responses of (log pi - target): a stage whose target is known up to a constant
    online_ipo                  mean over pairs from the policy of (h(y) - h(y') - (P(y, y') - 1/2)/beta)^2
    exponential_weights_square  mean over responses of (log pi/pi_t - (eta P(y > pi_t) - log Z))^2
    sppo_square                 mean over responses of (log pi/pi_t - eta (P(y > pi_t) - 1/2))^2

A pair loss is not written again here: its own `value`, `slope` and `curvature`, in float64 on the margins, are the forward pass
and the first and second backward passes. One definition serves the fit of `algorithms/fit.py` and a language model.

The last two are different methods. exponential_weights_square is 0 at the policy pi_t exp(eta P(y > pi_t)) / Z, whatever the weights
of the responses. No policy makes sppo_square 0 unless log Z = eta/2 (in general eta/2 <= log Z <= eta/2 + eta^2/8, derived here), and
the best policy is another one: at eta = 1 its log-probabilities are off by 1.9e-3 in the model of nine responses in the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.pair_loss import PairLoss
from envs.dials import require_positive
from envs.invalid import require
from scaled.sequence import expectation, require_finite, require_shape

Entrywise = Callable[[NDArray], NDArray]


@dataclass(frozen=True)
class PairObjective:
    """The mean of a pair loss over labelled pairs; an object of two settings, called on batches.

        mean L(u),    h = log pi/ref(winner) - log pi/ref(loser),    u = beta h, or h itself where `loss.log_ratio` says so

    Parameters
    ----------
    loss : PairLoss of `algorithms/`
    beta : float > 0, the KL coefficient in u = beta h; left out for losses of h, which hold their own

    Raises
    ------
    Invalid
        For a beta that is missing, not positive, or without effect.
    """

    loss: PairLoss
    beta: float | None = None

    def __post_init__(self) -> None:
        if self.loss.log_ratio:
            require(self.beta is None, "beta", self.beta, f"left out: {type(self.loss).__name__} is a loss of h, which holds no beta")
        else:
            require_positive("beta", self.beta)

    def margins(self, log_probs: Tensor, reference: Tensor) -> Tensor:
        """(...) margins u of pairs; arguments as of a call."""
        require_shape("log_probs", log_probs, (*log_probs.shape[:-1], 2))
        require_shape("reference", reference, log_probs.shape)
        winner, loser = (log_probs - reference.detach()).unbind(-1)
        return winner - loser if self.beta is None else self.beta * (winner - loser)

    def __call__(self, log_probs: Tensor, reference: Tensor, batch: object = "") -> Tensor:
        """The mean loss.

        Parameters
        ----------
        log_probs : (..., 2) the policy's log-probabilities of winner and loser
        reference : (..., 2) the reference's, cached; not differentiated
        batch : the batch's name, for the error

        Raises
        ------
        Invalid
            For shapes that differ, no pair at all, and margins that are not finite.
        """
        margins = require_finite("margin", self.margins(log_probs, reference), batch)
        return expectation(pair_losses(self.loss, margins), None)


def pair_losses(loss: PairLoss, margins: Tensor) -> Tensor:
    """L(u) entry by entry, of the margins' shape, dtype and device; twice differentiable."""
    return _Numpy.apply(margins, loss.value, loss.slope, loss.curvature)


class _Numpy(torch.autograd.Function):
    """A function of numpy arrays, entry by entry in float64, with as many derivatives as are given."""

    @staticmethod
    def forward(margins: Tensor, function: Entrywise, *derivatives: Entrywise) -> Tensor:
        values = function(margins.detach().cpu().double().numpy())
        return torch.as_tensor(values).to(margins)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        margins, _, *ctx.derivatives = inputs
        ctx.save_for_backward(margins)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple:  # type: ignore[override]
        require(ctx.derivatives, "derivative", "the third", "of first or second order")
        slopes = _Numpy.apply(ctx.saved_tensors[0], *ctx.derivatives)
        return gradient * slopes, None, *[None for _ in ctx.derivatives]


def twice_variance(log_probs: Tensor, target: Tensor, weights: Tensor | None = None, batch: object = "") -> Tensor:
    """2 Var over the responses to a prompt of (log pi - target), mean over prompts: the mean of (d - d')^2 over all pairs.

    With target log ref + P q / beta it is the loss of online IPO's first version. Over n responses drawn independently its
    expectation is 1 - 1/n times that over their distribution; minimiser and direction are the same.

    Parameters
    ----------
    log_probs : (..., n)
    target : (..., n), each prompt's up to a constant; not differentiated
    weights : (..., n) probabilities of the responses, not differentiated; None: 1/n each
    batch : the batch's name, for the error

    Raises
    ------
    Invalid
        For shapes that differ, weights that do not sum to 1, and numbers that are not finite.
    """
    require_shape("target", target, log_probs.shape)
    error = require_finite("log-probability - target", log_probs - target.detach(), batch)
    shares = torch.full_like(error, 1 / error.shape[-1]) if weights is None else weights.detach()
    centred = error - (shares * error).sum(-1, keepdim=True)
    return 2 * expectation(centred**2, weights)


def online_ipo(
    log_probs: Tensor, reference: Tensor, wins: Tensor, beta: float, weights: Tensor | None = None, batch: object = ""
) -> Tensor:
    """mean (h(y) - h(y') - (P(y, y') - 1/2)/beta)^2 over pairs, h = log pi/ref: online IPO, version 2 (arXiv 2403.08635).

    With pairs drawn from the policy its gradient is -4/beta times the policy gradient of regularised self-play; that they were
    drawn is not differentiated.

    Parameters
    ----------
    log_probs : (..., n, 2) the policy's log-probabilities of both responses of n pairs
    reference : (..., n, 2) the reference's; not differentiated
    wins : (..., n) chances that the first beats the second, or labels of 0 and 1, of which the gradient (not the value) is an unbiased
        estimate
    beta : float > 0 (the paper's tau)
    weights : (..., n) probabilities of the pairs, not differentiated; None where they were drawn: 1/n each
    batch : the batch's name, for the error

    Raises
    ------
    Invalid
        For another beta, shapes that differ, weights that do not sum to 1, and numbers that are not finite.
    """
    require_positive("beta", beta)
    require_shape("log_probs", log_probs, (*log_probs.shape[:-1], 2))
    require_shape("reference", reference, log_probs.shape)
    require_shape("wins", wins, log_probs.shape[:-1])
    first, second = (log_probs - reference.detach()).unbind(-1)
    error = require_finite("difference of log-ratios - target", first - second - (wins.detach() - 0.5) / beta, batch)
    return expectation(error**2, weights)


def log_normaliser(previous: Tensor, wins: Tensor, rate: float) -> Tensor:
    """(...) log Z = log sum_y pi_t(y) exp(eta P(y > pi_t)), from (..., K) log-probabilities and win rates of ALL responses."""
    require_positive("rate", rate)
    require_shape("wins", wins, previous.shape)
    require(bool((previous.logsumexp(-1).abs() < 1e-3).all()), "previous", "a part", "log-probabilities of all responses, which sum to 1")
    return (previous + rate * wins).logsumexp(-1)


def exponential_weights_square(
    log_probs: Tensor,
    previous: Tensor,
    wins: Tensor,
    rate: float,
    normaliser: Tensor,
    weights: Tensor | None = None,
    batch: object = "",
) -> Tensor:
    """mean (log pi/pi_t - eta (P(y > pi_t) - log Z / eta))^2: SPPO's equation squared (arXiv 2405.00675), with its exact log Z.

    Parameters
    ----------
    log_probs : (..., n) the policy's log-probabilities of responses
    previous : (..., n) those of pi_t, cached; not differentiated
    wins : (..., n) their win rates against pi_t
    rate : float > 0, eta
    normaliser : (...) log Z of each prompt, from `log_normaliser`
    weights : (..., n) probabilities of the responses, not differentiated; None: 1/n each
    batch : the batch's name, for the error

    Raises
    ------
    Invalid
        For another rate, shapes that differ, weights that do not sum to 1, and numbers that are not finite.
    """
    require_shape("normaliser", normaliser, log_probs.shape[:-1])
    return _square(log_probs, previous, wins, rate, normaliser[..., None] / rate, weights, batch)


def sppo_square(
    log_probs: Tensor, previous: Tensor, wins: Tensor, rate: float, weights: Tensor | None = None, batch: object = ""
) -> Tensor:
    """mean (log pi/pi_t - eta (P(y > pi_t) - 1/2))^2: SPPO as it is run, with 1/2 in place of log Z / eta.

    Arguments and errors as of `exponential_weights_square`; responses drawn from pi_t have no weights. For a winner and a loser,
    wins 1 and 0, it is half of what TRL calls `sppo_hard` at beta = 1/eta: that sums over the two responses, this is their mean.
    """
    return _square(log_probs, previous, wins, rate, 0.5, weights, batch)


def _square(
    log_probs: Tensor, previous: Tensor, wins: Tensor, rate: float, baseline: Tensor | float, weights: Tensor | None, batch: object
) -> Tensor:
    require_positive("rate", rate)
    require_shape("previous", previous, log_probs.shape)
    require_shape("wins", wins, log_probs.shape)
    target = (previous + rate * (wins - baseline)).detach()
    return expectation(require_finite("log-probability - target", log_probs - target, batch) ** 2, weights)

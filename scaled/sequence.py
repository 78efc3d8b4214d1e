"""From tokens to responses, and the gradients of expectations over responses that a policy draws.

A response's log-probability is the SUM over its tokens; a mean over them is another objective. Which positions belong to the
response is a matter of position, never of the token there: the filler may be a token that responses use too.

What a policy draws cannot be differentiated, so its expectations are, with R the stopped number of each response,

    d/dtheta E_pi[f]        =  E_pi[ R d log pi(y) ],                   R = f(y) - b, b independent of y
    d/dtheta KL(pi | ref)   =  E_pi[ sum_t R_t d log pi(y_t | y_<t) ],  R_t = sum_{s >= t} log pi/ref (y_s | y_<s)

(the score has mean zero, so neither b nor the log-ratios before t matter). In the second, token t carries what FOLLOWS from it too:
R_t = its own log-ratio leaves out how y_t changes the divergence of later tokens, and is another vector. The objectives below have the
expectation's estimate as their value and these as their gradients. Over drawn responses, all of weight 1/n, they are unbiased;
over all responses, weighted by their probabilities, they are exact.
"""

from __future__ import annotations

import torch
from torch import Tensor

from envs.invalid import require


def token_log_probs(logits: Tensor, tokens: Tensor) -> Tensor:
    """(..., T) log-probabilities of `tokens` under (..., T, V) logits, in float32 or better.

    In bfloat16 the rounding of log-softmax, summed over a response of hundreds of tokens, is as large as what is to be learnt.
    """
    return _wide(logits).log_softmax(-1).gather(-1, tokens[..., None])[..., 0]


def span(start: Tensor, stop: Tensor, width: int) -> Tensor:
    """(..., width) mask of the positions start, ..., stop - 1, from (...) whole numbers."""
    position = torch.arange(width, device=start.device)
    return (start[..., None] <= position) & (position < stop[..., None])


def response_log_prob(tokens: Tensor, mask: Tensor) -> Tensor:
    """(...) log-probabilities of responses, the sum over their tokens, in float32 or better.

    Parameters
    ----------
    tokens : (..., T) log-probabilities of tokens; what stands outside the mask has no effect, nan included
    mask : (..., T) bool, the positions of each response

    Raises
    ------
    Invalid
        Where a response has no token at all: its log-probability would be 0, that of a certain response.
    """
    return _masked(tokens, mask).sum(-1)


def expected_value(
    log_probs: Tensor, values: Tensor, weights: Tensor | None = None, baseline: Tensor | float = 0.0, batch: object = ""
) -> Tensor:
    """The estimate of E_pi[f], whose gradient is that of the expectation.

    Parameters
    ----------
    log_probs : (..., n) log-probabilities of responses drawn from the policy, or of all
    values : (..., n) f at each; not differentiated
    weights : (..., n) probabilities of the responses, not differentiated; None where they were drawn: 1/n each
    baseline : what f is compared with in the gradient, independent of the response itself: a number, one a prompt (..., 1), or
        `leave_one_out(values)`
    batch : the batch's name, for the error

    Returns
    -------
    Tensor
        A scalar, the mean over prompts.

    Raises
    ------
    Invalid
        For shapes that differ, weights that do not sum to 1, and numbers that are not finite.
    """
    require_shape("values", values, log_probs.shape)
    score = require_finite("log-probability times value", log_probs * (values - baseline).detach(), batch)
    return _with_gradient_of(expectation(values.detach(), weights), expectation(score, weights))


def leave_one_out(values: Tensor) -> Tensor:
    """(..., n) mean of the other responses' values, for n >= 2 drawn independently; a mean that counts the response itself is biased."""
    n = values.shape[-1]
    require(n >= 2, "responses", n, "at least 2 to compare one with the others")
    return (values.sum(-1, keepdim=True) - values) / (n - 1)


def divergence(tokens: Tensor, reference: Tensor, mask: Tensor, weights: Tensor | None = None, batch: object = "") -> Tensor:
    """The estimate of KL(pi | reference), the mean log-ratio, whose gradient is that of the divergence.

    Parameters
    ----------
    tokens : (..., n, T) the policy's log-probabilities of the tokens of responses drawn from it, or of all
    reference : (..., n, T) the reference's; not differentiated
    mask : (..., n, T) bool, the positions of each response
    weights, batch : as in `expected_value`

    Returns
    -------
    Tensor
        A scalar, the mean over prompts.

    Raises
    ------
    Invalid
        As `expected_value` does, and for a response without tokens.
    """
    require_shape("reference", reference, tokens.shape)
    policy = _masked(tokens, mask)
    log_ratio = (policy - _masked(reference, mask)).detach()
    to_come = log_ratio.flip(-1).cumsum(-1).flip(-1)
    score = require_finite("log-probability times log-ratio", (policy * to_come).sum(-1), batch)
    return _with_gradient_of(expectation(log_ratio.sum(-1), weights), expectation(score, weights))


def expectation(values: Tensor, weights: Tensor | None) -> Tensor:
    """The mean over the last axis (weighted by probabilities, which are not differentiated), then over all others."""
    require(values.numel() > 0, "responses", 0, "at least 1")
    if weights is None:
        return values.mean()
    require_shape("weights", weights, values.shape)
    total = weights.sum(-1)
    require(bool(((total - 1).abs() < 1e-3).all()), "weights", total.tolist(), "probabilities that sum to 1 for every prompt")
    return (weights.detach() * values).sum(-1).mean()


def require_finite(key: str, values: Tensor, batch: object) -> Tensor:
    """`values`, or :class:`Invalid` with the batch and the first entry that is not finite."""
    if not bool(torch.isfinite(values).all()):
        first = tuple(torch.nonzero(~torch.isfinite(values))[0].tolist())
        where = f" (batch {batch}, entry {first})" if batch != "" else f" (entry {first})"
        require(False, key, values[first].item(), f"finite{where}")
    return values


def require_shape(key: str, values: Tensor, shape: tuple[int, ...]) -> None:
    """Raise :class:`Invalid` unless `values` has this shape; broadcasting would pair the wrong responses."""
    require(tuple(values.shape) == tuple(shape), key, tuple(values.shape), f"of shape {tuple(shape)}")


def _masked(tokens: Tensor, mask: Tensor) -> Tensor:
    require(mask.dtype == torch.bool, "mask", mask.dtype, "of dtype bool")
    require_shape("mask", mask, tokens.shape)
    empty = torch.nonzero(~mask.any(-1)).tolist()
    require(not empty, "mask", f"response {tuple(*empty[:1])}", "true of at least one token")
    wide = _wide(tokens)
    return torch.where(mask, wide, torch.zeros_like(wide))


def _wide(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _with_gradient_of(value: Tensor, surrogate: Tensor) -> Tensor:
    return value + (surrogate - surrogate.detach())

"""Policies in log space: normalisation, and the Kullback-Leibler divergence without cancellation."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

SERIES_BELOW = 1e-3
EXPONENTIALS_ABOVE = 30.0


def log_normalise(logits: ArrayLike) -> NDArray:
    """Log-probabilities of softmax(logits) over the last axis.

    log p = z - log sum exp z, with z shifted by its maximum, so that no entry overflows and none is clipped.
    An entry of -inf has probability 0.

    Parameters
    ----------
    logits : (..., K) array
    """
    logits = np.asarray(logits, dtype=np.float64, order="C")
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def kl(log_p: ArrayLike, log_q: ArrayLike) -> NDArray:
    """KL(p | q) over the last axis, never negative and accurate to rounding however close or far p and q are.

    The sum of p (e^d - 1 - d), d = log q - log p, equals that of p (log p - log q) for normalised policies, and every
    term is non-negative. A term is a series where |d| < 1e-3 (a divergence of 1e-30 is resolved) and q - p - p d where
    d > 30 (d > 709 does not overflow).

    Parameters
    ----------
    log_p, log_q : (..., K) arrays
        Normalised log-probabilities; leading axes broadcast. Where log_p = -inf the term is q; where log_q = -inf and
        log_p is not, the divergence is inf.

    Returns
    -------
    (...) array
    """
    log_p, log_q = (np.asarray(log, dtype=np.float64, order="C") for log in (log_p, log_q))
    p, q = np.exp(log_p), np.exp(log_q)
    with np.errstate(over="ignore", invalid="ignore"):
        d = log_q - log_p
        terms = np.where(d > EXPONENTIALS_ABOVE, q - p - p * d, p * _excess(d))
    terms = np.where((log_q == -np.inf) & (log_p > -np.inf), np.inf, terms)
    return np.where(log_p == -np.inf, q, terms).sum(axis=-1)


def _excess(d: NDArray) -> NDArray:
    """e^d - 1 - d, for d up to EXPONENTIALS_ABOVE."""
    series = 0.5 * d * d * (1 + d / 3 * (1 + d / 4 * (1 + d / 5)))
    return np.where(np.abs(d) < SERIES_BELOW, series, np.expm1(np.minimum(d, EXPONENTIALS_ABOVE)) - d)

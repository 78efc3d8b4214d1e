"""A preference game: K responses, the probability that each beats each, and a pull towards a reference policy.

Two players choose policies p and q over K actions. The value to the first is

    J(p, q) = p' P q - beta KL(p | ref) + beta KL(q | ref),        P[i, j] = Pr(action i is preferred to action j),

so P + P' = 1 and J(p, p) = 1/2. A prompt is one game; several prompts ("contexts") are several games of one K.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit

from envs.dials import HEAVIEST, read_only
from envs.invalid import Invalid, require

INTRANSITIVITY_CLIP = 1e-3
"""Probabilities are moved this far from 0 and 1 before their log-odds enter `Game.intransitivity`."""


def flip_preference(preference: NDArray, flip: ArrayLike) -> NDArray:
    """Probability that a label names i over j when it is wrong with probability `flip`: P + flip (1 - 2 P).

    Parameters
    ----------
    preference : (K, K) array
    flip : float or symmetric (K, K) array of rates in [0, 1/2)
    """
    return preference + np.asarray(flip) * (1.0 - 2.0 * preference) if np.count_nonzero(flip) else preference


@dataclass(frozen=True, eq=False)
class Game:
    """A symmetric two-player preference game with KL regularisation.

    Parameters
    ----------
    preference : (K, K) array
        P[i, j] in [0, 1], the probability that i beats j; P + P' = 1 to 1e-12, diagonal 1/2.
    log_reference : (K,) array
        Log-probabilities of the reference policy (finite, normalised to 1e-9).
    beta : float
        KL coefficient, at least 0 (papers: tau, alpha, beta). 0 is the original, unregularised game.

    Raises
    ------
    Invalid
        With the argument, the offending value, and what is allowed.
    """

    preference: NDArray
    log_reference: NDArray
    beta: float

    def __post_init__(self) -> None:
        preference = read_only("preference", self.preference)
        log_reference = read_only("log_reference", self.log_reference)
        shape = preference.shape
        require(len(shape) == 2 and shape[0] == shape[1] >= 2, "preference", f"array of shape {shape}", "a square matrix, K >= 2")
        _require_preference(preference)
        require(
            log_reference.shape == shape[:1],
            "log_reference",
            f"array of shape {log_reference.shape}",
            f"of shape ({shape[0]},), one entry for each action of the game",
        )
        require(np.isfinite(log_reference).all(), "log_reference", log_reference, "finite: every action needs a positive probability")
        with np.errstate(over="ignore"):
            total = np.exp(log_reference).sum()
        require(abs(total - 1) <= 1e-9, "log_reference", f"probabilities summing to {total:.12g}", "normalised (sum to 1)")
        beta = float(self.beta)
        require(np.isfinite(beta) and beta >= 0, "beta", self.beta, "a finite number >= 0")
        require(beta <= HEAVIEST, "beta", self.beta, f"a number in [0, {HEAVIEST:g}]")
        object.__setattr__(self, "preference", preference)
        object.__setattr__(self, "log_reference", log_reference)
        object.__setattr__(self, "beta", beta)

    @property
    def actions(self) -> int:
        """K, the number of actions."""
        return len(self.log_reference)

    @cached_property
    def key(self) -> int:
        """64-bit hash of P and the reference, naming the game's random streams.

        beta is left out: games that differ in beta alone share their draws (common random numbers).
        """
        content = self.preference.tobytes() + self.log_reference.tobytes()
        return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")

    def with_beta(self, beta: float) -> Game:
        """The same game at another KL coefficient."""
        return replace(self, beta=beta)

    def flipped(self, flip: ArrayLike) -> Game:
        """The game that labels wrong with probability `flip` describe, P -> P + flip (1 - 2 P)."""
        return replace(self, preference=flip_preference(self.preference, flip))

    def intransitivity(self) -> float:
        """Share of the squared log-odds that no score explains, in [0, 1].

        With A = logit P and scores r = row means of A (the least-squares fit of r_i - r_j to A),
        |A - (r_i - r_j)|^2 / |A|^2; 0 when every pair ties. Entries are first clipped to
        [INTRANSITIVITY_CLIP, 1 - INTRANSITIVITY_CLIP], on which the figure depends when P holds zeros and ones.
        """
        odds = logit(np.clip(self.preference, INTRANSITIVITY_CLIP, 1 - INTRANSITIVITY_CLIP))
        score = odds.mean(axis=1)
        cyclic = odds - (score[:, None] - score[None, :])
        total = float((odds**2).sum())
        return float((cyclic**2).sum()) / total if total > 0 else 0.0

    @property
    def intransitivity_is_clipped(self) -> bool:
        """Whether an entry of P lies outside the clip, so that `intransitivity` depends on it."""
        return bool((self.preference < INTRANSITIVITY_CLIP).any())

    def condorcet_winner(self) -> int | None:
        """The action that beats every other with probability above 1/2, or None."""
        wins = (self.preference > 0.5).sum(axis=1)
        best = int(wins.argmax())
        return best if wins[best] == self.actions - 1 else None

    def cyclic_triangles(self) -> int:
        """Number of triples i > j > k > i in the majority relation (ties count as no edge)."""
        beats = (self.preference > 0.5).astype(float)
        return round(float(np.einsum("ij,jk,ki->", beats, beats, beats, optimize=True)) / 3)


def _require_preference(preference: NDArray) -> None:
    outside = ~((preference >= 0) & (preference <= 1))  # catches nan too
    if outside.any():
        i, j = np.argwhere(outside)[0]
        raise Invalid(f"preference[{i},{j}]", preference[i, j], "a probability in [0, 1]")
    error = np.abs(preference + preference.T - 1)
    if error.max() > 1e-12:
        i, j = np.unravel_index(int(error.argmax()), error.shape)
        if i == j:
            raise Invalid(f"preference[{i},{i}]", preference[i, i], "1/2 on the diagonal")
        value = f"{preference[i, j]:.12g} with preference[{j},{i}]={preference[j, i]:.12g}"
        raise Invalid(f"preference[{i},{j}]", value, "complementary: P + P' = 1 to 1e-12")

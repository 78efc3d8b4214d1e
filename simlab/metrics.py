"""How far a policy is from equilibrium, computed without cancellation from the game's own (clean) preferences.

Every function takes one `Game` and log-probabilities (..., K), or a list of G games and (G, ..., K): games pair with
axis 0. A policy's figure does not depend on what stands beside it in the array, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs.divergence import kl, log_normalise
from envs.game import Game
from envs.invalid import Invalid, require

__all__ = ["best_response", "duality_gap", "exploitability", "kl"]

NORMALISED = 1e-4
"""How far from 1 a policy's probabilities may sum; float32 log-probabilities pass."""


def exploitability(game: Game | Sequence[Game], log_policy: ArrayLike, beta: ArrayLike | None = None) -> NDArray:
    """What the best opponent gains against a policy: e(p) = max_u J(u, p) - 1/2, zero at equilibrium only.

    For beta > 0 it is beta KL(p | b), b the best response (an identity: J(u, p) - J(p, p) is largest at u = b); for
    beta = 0 it is max_i (P p)_i - 1/2. The duality gap of the symmetric profile is twice this.

    Parameters
    ----------
    game : Game or list of G Games of one K
    log_policy : (..., K) or (G, ..., K) array
        Log-probabilities; -inf is allowed.
    beta : float, or one per game, at least 0
        In place of the games' own; 0 for the original, unregularised game.

    Returns
    -------
    (...) or (G, ...) array, >= 0
        nan where the policy holds nan.

    Raises
    ------
    Invalid
        For a shape that does not fit the games, probabilities that do not sum to 1, or a negative beta.
    """
    return _each(_exploitability, game, log_policy, beta)


def duality_gap(game: Game | Sequence[Game], log_policy: ArrayLike, beta: ArrayLike | None = None) -> NDArray:
    """max_u J(u, p) - min_u J(p, u) of the profile (p, p): twice the `exploitability`, with the same arguments."""
    return 2 * exploitability(game, log_policy, beta)


def best_response(game: Game | Sequence[Game], log_policy: ArrayLike, beta: ArrayLike | None = None) -> NDArray:
    """Log-probabilities of the best response to a policy: the maximiser of J(., p), ref exp(P p / beta) normalised.

    At beta = 0 its limit: the reference restricted to the actions of the highest win rate (-inf elsewhere). The arguments
    are those of `exploitability`; the result has the shape of `log_policy`.
    """
    return _each(_best_response, game, log_policy, beta)


def _exploitability(game: Game, log_policy: NDArray, beta: float) -> NDArray:
    if beta == 0:
        return np.maximum(_advantage(game, log_policy).max(axis=-1), 0.0)
    return beta * kl(log_policy, _best_response(game, log_policy, beta))


def _best_response(game: Game, log_policy: NDArray, beta: float) -> NDArray:
    advantage = _advantage(game, log_policy)
    if beta == 0:
        best = advantage == advantage.max(axis=-1, keepdims=True)
        return log_normalise(np.where(best, game.log_reference, -np.inf))
    return log_normalise(game.log_reference + advantage / beta)


def _advantage(game: Game, log_policy: NDArray) -> NDArray:
    """Win rates less 1/2, one matrix-vector product a policy, so that its rounding is its own."""
    return ((game.preference - 0.5) @ np.exp(log_policy)[..., None])[..., 0]


def _each(
    measure: Callable[[Game, NDArray, float], NDArray],
    game: Game | Sequence[Game],
    log_policy: ArrayLike,
    beta: ArrayLike | None,
) -> NDArray:
    one = isinstance(game, Game)
    games = [game] if isinstance(game, Game) else list(game)
    policies = _policies(games, _numbers("log_policy", log_policy), one)
    betas = [game.beta for game in games] if beta is None else _betas(len(games), _numbers("beta", beta), one)
    measured = [measure(*arguments) for arguments in zip(games, policies, betas, strict=True)]
    return measured[0] if one else np.stack(measured)


def _policies(games: list[Game], log_policy: NDArray, one: bool) -> NDArray:
    require(games, "game", "[]", "a game or a list of games")
    actions = games[0].actions
    require(all(game.actions == actions for game in games), "game", f"games of {sorted({g.actions for g in games})} actions", "of one K")
    shape = log_policy.shape
    fits = shape[-1:] == (actions,) and (one or (len(shape) >= 2 and len(log_policy) == len(games)))
    wanted = f"(..., {actions})" if one else f"({len(games)}, ..., {actions})"
    require(fits, "log_policy", f"array of shape {shape}", f"of shape {wanted}, K = {actions} actions in the last axis")
    _require_normalised(log_policy)
    return log_policy[None] if one else log_policy


def _require_normalised(log_policy: NDArray) -> None:
    with np.errstate(over="ignore"):
        total = np.exp(log_policy).sum(axis=-1)
    wrong = total[np.abs(total - 1) > NORMALISED]
    require(wrong.size == 0, "log_policy", f"probabilities summing to {wrong.max(initial=0):.6g}", "log-probabilities, normalised")


def _betas(games: int, beta: NDArray, one: bool) -> list[float]:
    allowed = "a number" if one else f"a number, or one for each of {games} games"
    require(beta.ndim == 0 or (beta.shape == (games,) and not one), "beta", f"array of shape {beta.shape}", allowed)
    require((np.isfinite(beta) & (beta >= 0)).all(), "beta", beta, "finite and >= 0")
    return np.broadcast_to(beta, games).tolist()


def _numbers(key: str, values: ArrayLike) -> NDArray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise Invalid(key, values, "an array of numbers") from None

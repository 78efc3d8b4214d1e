"""Runs a method's tableau on games: checks, cuts the instances into blocks, runs these on threads, gathers the records."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from algorithms.kernel import EIGHT, INTERLEAVED, Records
from algorithms.tableau import POLICY, Tableau
from envs.dials import require_integer
from envs.divergence import log_normalise
from envs.equilibrium import regularised_nash
from envs.feedback import Exact
from envs.game import Game
from envs.invalid import Invalid, require
from simlab.packing import AVERAGE, MEASURES, Plan, run_block
from simlab.sharing import once

STATUS = np.array(["ok", "nonfinite", "diverged"])
PAIRED = 1e-9
"""What labels of both orders of a pair may add up to beside 1: products take one of the two only."""
LANES = 64
"""Instances in a block, at most, of small games."""


class Method(Protocol):
    """A self-play method: its coefficients at one beta, and which game's equilibrium it seeks."""

    @property
    def target(self) -> str:
        """ "regularised" or "original": whose equilibrium the method seeks."""
        ...

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        """The method's stages on a game of `actions` responses, tabulated for `steps` iterations."""
        ...


@dataclass(frozen=True, eq=False)
class Run:
    """Records of N = games x seeds instances at R iterations; instance n = game number x seeds + seed number.

    Attributes
    ----------
    steps : (R,) iterations; record t holds the policy after t iterations
    log_policy : (N, R, K) log-probabilities of the returned slot
    log_average : (N, R, K) log of the mean of p_0 .. p_{t-1} in probability space (p_0 at t = 0)
    log_slots : further slots by name, each (N, R, K): what stands in the slot after t iterations
    measured : measures by name, each (N, R)
    queries, gradients : (N, R) preference queries (a policy's vector of win rates, or one pairs stage) and gradient
        evaluations spent by then
    status : (N,) "ok", "nonfinite" or "diverged" (KL to the equilibrium where it is measured, otherwise exploitability, above
        twice its start plus 0.1 for 100 iterations), and status_step the iteration at which that began, -1 when ok
    game_index, seed_index : (N,)
    """

    steps: NDArray
    log_policy: NDArray
    log_average: NDArray
    log_slots: dict[str, NDArray]
    measured: dict[str, NDArray]
    queries: NDArray
    gradients: NDArray
    status: NDArray
    status_step: NDArray
    game_index: NDArray
    seed_index: NDArray


def simulate(
    game: Game | Sequence[Game],
    method: Method,
    *,
    steps: int,
    seeds: int = 1,
    seed: int = 0,
    first_seed: int | Sequence[int] = 0,
    start: ArrayLike | None = None,
    feedback: Exact = Exact(),  # noqa: B008  (immutable)
    record: str | Iterable[int] = "log",
    slots: Sequence[str] = (POLICY,),
    measure: Sequence[str] = (),
    threads: int | None = None,
) -> Run:
    """Run a method on one or more games.

    Parameters
    ----------
    game : a Game, or a sequence of Games of one K (betas may differ)
    method : a method of `algorithms`, anything with `tableau(beta, steps=, actions=)` and `target`
    steps : iterations, >= 1
    seeds : instances of each game, keyed by seed number; they differ by feedback (and start, where one per seed is given)
    seed : root of all random streams
    first_seed : number of the first seed of every game, or one number a game (so that equal games need not share their draws)
    start : log-probabilities (K,) for all, (G, K) one a game, or (G, seeds, K); the game's reference when None
    feedback : `Exact()` or `Duels(...)`, or what has labels as they do: those for (i, j) and (j, i) add up to 1
    record : "every" (0, 1, ..., steps), "log" (about 20 a decade, 0 and steps included), or iterations
    slots : policies to keep; with "policy" come `log_policy` and `log_average`. Measures need none.
    measure : names from `MEASURES`, also prefixed `average_`; computed in the kernel
    threads : how many; as many as there are processors when None. The result does not depend on it.

    Returns
    -------
    Run

    Raises
    ------
    Invalid
        Before any work: with the argument, its value, and what is allowed.
    """
    games = [game] if isinstance(game, Game) else list(game) if isinstance(game, Iterable) else []
    _check(games, steps, seeds, seed, measure)
    streams = _streams(games, seeds, seed, first_seed)
    _check_others(games, feedback, slots, threads)
    starts, at = _starts(start, games, seeds), record_steps(record, steps)
    tableaus = {beta: tableau_of(method, beta, steps, games[0].actions) for beta in {game.beta for game in games}}
    known = next(iter(tableaus.values())).slots
    for slot in slots:
        require(slot in known, "slots", slot, f"a slot of {type(method).__name__}: {', '.join(known)}")
    wanted = any("kl_to_equilibrium" in name for name in measure)
    equilibria = {id(game): regularised_nash(game) for game in games} if wanted else {}
    plan = Plan(method.target, feedback, at, tuple(slots), tuple(measure), tableaus, equilibria)
    threads, one_lane = threads or _processors(), any(tableau.residual_controlled for tableau in tableaus.values())
    blocks = list(_blocks(games, seeds, one_lane=one_lane, threads=threads))
    finished = _each(blocks, lambda block: run_block(plan, games, seeds, streams, starts, block), threads)
    return _gather(plan, len(games), seeds, blocks, finished)


def tableau_of(method: Method, beta: float, steps: int, actions: int) -> Tableau:
    """The method's tableau, made once for all cells of a grid that have it."""
    return once("tableaus", (beta, steps, actions), lambda: method.tableau(beta, steps=steps, actions=actions), of=method)


def _each(blocks: list[NDArray], work: Callable[[NDArray], Records], threads: int) -> list[Records]:
    """The work on every block, on threads where there are several of both."""
    if min(threads, len(blocks)) == 1:
        return [work(block) for block in blocks]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, blocks))


def _processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def record_steps(record: str | Iterable[int], steps: int) -> NDArray:
    """(R,) the iterations that `record` names, increasing."""
    if isinstance(record, str):
        require(record in ("every", "log"), "record", record, "every, log, or a list of iterations")
        if record == "every":
            return np.arange(steps + 1)
        wanted = np.geomspace(1, steps, 2 + int(20 * np.log10(steps))).round().astype(np.int64)
        return np.unique(np.concatenate([[0], wanted, [steps]]))
    require(isinstance(record, Iterable), "record", record, f"every, log, or a list of iterations from 0 to steps={steps}")
    chosen = list(record)
    whole = all(isinstance(step, (int, np.integer)) and 0 <= step <= steps for step in chosen)
    require(chosen and whole, "record", chosen, f"every, log, or a list of iterations from 0 to steps={steps}")
    require(len(set(chosen)) == len(chosen) and sorted(chosen) == chosen, "record", chosen, "increasing")
    return np.array(chosen, dtype=np.int64)


def _check(games: list[Game], steps: int, seeds: int, seed: int, measure: Sequence[str]) -> None:
    require(games and all(isinstance(game, Game) for game in games), "game", games, "a Game, or a list of at least one")
    sizes = sorted({game.actions for game in games})
    require(len(sizes) == 1, "game", f"games of K={sizes}", "games of one K")
    counts: list[tuple[str, Any, int]] = [("steps", steps, 1), ("seeds", seeds, 1), ("seed", seed, 0)]
    for key, value, least in counts:
        require_integer(key, int(value) if isinstance(value, np.integer) else value, least)
    require(not isinstance(measure, str), "measure", measure, "a list of names")
    for name in measure:
        known = list(MEASURES) + [AVERAGE + name for name in MEASURES]
        require(name in known, "measure", name, f"one of {', '.join(MEASURES)}, with or without the prefix {AVERAGE}")
        if "kl_to_equilibrium" in name:
            require(all(game.beta > 0 for game in games), "measure", name, "left out at beta=0, where the equilibrium may not be unique")


def _check_others(games: list[Game], feedback: Exact, slots: Sequence[str], threads: int | None) -> None:
    require(isinstance(feedback, Exact), "feedback", feedback, "Exact(...) or Duels(...)")
    for game in games:
        labels = feedback.labels(game)  # refuses flips that do not fit the game
        if labels is not game.preference:
            require(np.isfinite(labels).all(), "feedback", type(feedback).__name__, "one whose labels are finite")
            paired = np.abs(labels + labels.T - 1.0).max() <= PAIRED
            require(paired, "feedback", type(feedback).__name__, "one whose labels for (i, j) and (j, i) add up to 1")
    require(not isinstance(slots, str), "slots", slots, "a list of names")
    require(threads is None or (isinstance(threads, int) and threads >= 1), "threads", threads, "an integer >= 1, or None")


def _starts(start: ArrayLike | None, games: list[Game], seeds: int) -> NDArray:
    """(G, seeds, K) log-probabilities."""
    actions = games[0].actions
    shape = (len(games), seeds, actions)
    if start is None:
        given = np.stack([game.log_reference for game in games])[:, None]
    else:
        given = _numbers(start)
        allowed = [(actions,), (len(games), actions), shape]
        wanted = f"of shape (K,), (games, K) or (games, seeds, K), K={actions}"
        require(given.shape in allowed, "start", f"array of shape {given.shape}", wanted)
        finite = np.isfinite(given).all() and np.allclose(np.exp(given).sum(axis=-1), 1.0, atol=1e-9)
        require(finite, "start", "log-probabilities", "finite and normalised")
        given = given[:, None] if given.ndim == 2 else given
    return np.broadcast_to(log_normalise(given), shape)


def _numbers(start: ArrayLike) -> NDArray:
    try:
        return np.asarray(start, dtype=np.float64)
    except (TypeError, ValueError):
        raise Invalid("start", start, "an array of numbers") from None


def _blocks(games: list[Game], seeds: int, *, one_lane: bool, threads: int = 1) -> Iterable[NDArray]:
    """Instance numbers, cut into blocks of one beta, for large games of one game. How many lanes a block has changes no result."""
    betas = np.repeat([game.beta for game in games], seeds)
    if games[0].actions > INTERLEAVED:
        whole = 0 if one_lane else seeds - seeds % EIGHT
        for game in range(len(games)):
            yield from (np.arange(EIGHT) + seeds * game + at for at in range(0, whole, EIGHT))
            yield from (np.array([seeds * game + at]) for at in range(whole, seeds))
        return
    lanes = 1 if one_lane else min(LANES, EIGHT * -(-len(betas) // (EIGHT * threads)))
    for beta in np.unique(betas):
        members = np.flatnonzero(betas == beta)
        yield from (members[at : at + lanes] for at in range(0, len(members), lanes))


def _streams(games: list[Game], seeds: int, seed: int, first_seed: int | Sequence[int]) -> NDArray:
    """(G * seeds,) the 64-bit key of each instance's random numbers: a hash of root seed, game and seed number."""
    firsts = list(first_seed) if isinstance(first_seed, Iterable) else [first_seed] * len(games)
    whole = all(isinstance(first, int | np.integer) and not isinstance(first, bool) and first >= 0 for first in firsts)
    require(whole and len(firsts) == len(games), "first_seed", first_seed, "an integer >= 0, or one for each game")
    texts = [f"{seed}/{game.key}/{first + number}" for game, first in zip(games, firsts, strict=True) for number in range(seeds)]
    hashes = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts]
    return np.frombuffer(b"".join(hashes), dtype="<u8").astype(np.uint64)


def _gather(plan: Plan, games: int, seeds: int, blocks: list[NDArray], finished: list[Records]) -> Run:
    instances = games * seeds

    def join(arrays: list[NDArray]) -> NDArray:
        """Blocks with their lanes last -> instances first, in order."""
        joined = np.empty((instances, *arrays[0].shape[:-1]), arrays[0].dtype)
        for block, array in zip(blocks, arrays, strict=True):
            joined[block] = np.moveaxis(array, -1, 0)
        return joined

    def spent(which: int) -> NDArray:
        """Often the same for all, and then only one row of memory."""
        first = finished[0].spent[:, which]
        if all(np.array_equal(done.spent[:, which], first) for done in finished):
            return np.broadcast_to(first, (instances, len(first)))
        return join([np.broadcast_to(done.spent[:, which, None], (len(first), len(done.status))) for done in finished])

    def measured(m: int, factor: float) -> NDArray:
        found = join([done.measured[m] for done in finished])
        found *= factor
        return found

    kept = [join([done.logs[q] for done in finished]) for q in range(len(finished[0].logs))]
    nothing = np.zeros((instances, 0, 0))
    number = np.arange(instances)
    return Run(
        steps=plan.steps,
        log_policy=kept[plan.slots.index(POLICY)] if POLICY in plan.slots else nothing,
        log_average=kept[-1] if POLICY in plan.slots else nothing,
        log_slots={slot: kept[q] for q, slot in enumerate(plan.slots) if slot != POLICY},
        measured={name: measured(m, MEASURES[name.removeprefix(AVERAGE)][1]) for m, name in enumerate(plan.measure)},
        queries=spent(0),
        gradients=spent(1),
        status=STATUS[join([done.status for done in finished])],
        status_step=join([done.status_step for done in finished]),
        game_index=number // seeds,
        seed_index=number % seeds,
    )

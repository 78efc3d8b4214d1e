"""Time of one iteration and instance: the kernel against the same update in vectorised numpy, in one run on one thread.

`python benchmarks/kernel.py` prints medians of interleaved repetitions in nanoseconds, and their ratio. Both compute the
duality gap at every iteration, and end at the same gap to 1e-9 relative, which is checked.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import simlab
from algorithms.egpo import EGPO
from algorithms.online_mirror_descent import OnlineMirrorDescent
from envs.divergence import kl, log_normalise
from envs.game import Game
from envs.random_game import RandomGame
from simlab.run import Method

RATE, BETA, REPETITIONS = 0.1, 0.1, 5
SIZES = ((3, 320, 500), (10, 320, 500), (30, 96, 300), (100, 16, 200), (300, 4, 100), (1000, 1, 30))
"""(actions, instances, iterations)"""


def in_numpy(games: list[Game], stages: int, steps: int) -> NDArray:
    """Duality gap after each iteration, (instances, steps + 1), of `stages` = 1 (mirror descent) or 2 (extragradient) per iteration."""
    preference = np.stack([game.preference for game in games]) - 0.5
    reference = np.stack([game.log_reference for game in games])
    policy, gaps = reference, []

    def wins(log_policy: NDArray) -> NDArray:
        return (preference @ np.exp(log_policy)[:, :, None])[:, :, 0]

    for step in range(steps + 1):
        mine = wins(policy)
        gaps.append(2 * BETA * kl(policy, log_normalise(reference + mine / BETA)))
        if step < steps:
            pull = (1 - RATE * BETA) * policy + RATE * BETA * reference
            policy = log_normalise(pull + RATE * mine)
            if stages == 2:
                policy = log_normalise(pull + RATE * wins(policy))
    return np.stack(gaps, axis=1)


def in_kernel(games: list[Game], method: Method, steps: int) -> NDArray:
    """The same from `simlab.simulate`."""
    run = simlab.simulate(games, method, steps=steps, record="every", measure=("duality_gap",), slots=(), threads=1)
    return run.measured["duality_gap"]


def seconds(work: Callable[[], NDArray]) -> tuple[float, NDArray]:
    """How long, and what came out."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


if __name__ == "__main__":
    print(f"{'method':<6}{'K':>6}{'instances':>11}{'kernel ns':>12}{'numpy ns':>12}{'ratio':>8}")
    for name, method, stages in (("OMD", OnlineMirrorDescent(RATE), 1), ("EGPO", EGPO(RATE), 2)):
        in_kernel(RandomGame(actions=3).games(BETA), method, 1)
        for actions, instances, steps in SIZES:
            games = [game for index in range(instances) for game in RandomGame(actions=actions).games(BETA, index=index)]
            times: dict[str, list[float]] = {"kernel": [], "numpy": []}
            for _ in range(REPETITIONS):
                ours, gap = seconds(lambda: in_kernel(games, method, steps))  # noqa: B023
                theirs, expected = seconds(lambda: in_numpy(games, stages, steps))  # noqa: B023
                np.testing.assert_allclose(gap, expected, rtol=1e-9, atol=1e-15)
                times["kernel"].append(ours)
                times["numpy"].append(theirs)
            kernel, numpy = (statistics.median(values) / (instances * steps) * 1e9 for values in times.values())
            print(f"{name:<6}{actions:>6}{instances:>11}{kernel:>12,.0f}{numpy:>12,.0f}{numpy / kernel:>8.1f}")

"""Games and policies that several tests share, and one run of every kind of stage."""

import sys
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit

import simlab
from algorithms.tableau import Loop, Tableau, copy, gradient, mix, pairs, projection, prox, responses
from envs.divergence import log_normalise
from envs.feedback import Duels, Exact
from envs.game import Game
from simlab.run import Run

ROCK_SCISSORS_PAPER = np.array([[0.5, 1, 0], [0, 0.5, 1], [1, 0, 0.5]])


def complemented(upper: NDArray) -> NDArray:
    """The preference matrix with this upper triangle."""
    upper = np.triu(upper, 1)
    return upper + np.tril(1 - upper.T, -1) + np.eye(len(upper)) / 2


def random_policy(rng: np.random.Generator, actions: int, spread: float = 1.0) -> NDArray:
    """Log-probabilities, normal before they are normalised."""
    return log_normalise(spread * rng.normal(size=actions))


def uniform(actions: int, seed: int, beta: float = 0.1) -> Game:
    rng = np.random.default_rng([actions, seed])
    return Game(complemented(rng.random((actions, actions))), random_policy(rng, actions), beta)


def tournament(actions: int, seed: int, beta: float = 0.1) -> Game:
    rng = np.random.default_rng([actions, seed, 1])
    return Game(complemented(rng.integers(0, 2, (actions, actions))), random_policy(rng, actions), beta)


def bradley_terry(actions: int, seed: int, beta: float = 0.1) -> Game:
    rng = np.random.default_rng([actions, seed, 2])
    score = 2 * rng.normal(size=actions)
    return Game(complemented(expit(score[:, None] - score)), random_policy(rng, actions), beta)


def rock_scissors_paper(beta: float = 0.1, reference: tuple[float, float, float] = (0.5, 0.3, 0.2)) -> Game:
    return Game(ROCK_SCISSORS_PAPER, np.log(reference), beta)


TEN = {
    "two": uniform(2, 0, 0.5),
    "rock, scissors, paper": rock_scissors_paper(0.1),
    "rock, scissors, paper, weak pull": rock_scissors_paper(0.01),
    "uniform 3": uniform(3, 0, 1.0),
    "tournament 3": tournament(3, 1, 0.05),
    "uniform 5": uniform(5, 0, 0.1),
    "tournament 5": tournament(5, 0, 0.3),
    "Bradley-Terry 5": bradley_terry(5, 0, 0.02),
    "tournament 10": tournament(10, 0, 0.1),
    "Bradley-Terry 10": bradley_terry(10, 0, 0.5),
}


@st.composite
def games(draw: st.DrawFn, largest: int = 6) -> Game:
    """Any game of a few actions, ties, zeros and ones included."""
    actions = draw(st.integers(2, largest))
    share = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1))
    upper = np.array(draw(st.lists(share, min_size=actions**2, max_size=actions**2))).reshape(actions, actions)
    logits = draw(st.lists(st.floats(-3, 3), min_size=actions, max_size=actions))
    return Game(complemented(upper), log_normalise(logits), draw(st.floats(0.01, 2)))


@dataclass(frozen=True)
class Given:
    """A method whose tableau is given, the same at every beta."""

    stages: Tableau
    target: str = "regularised"

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        return self.stages


EVERY_KIND = Given(
    Tableau(
        prox("half", anchor={"policy": 0.9, "reference": 0.1}, opponent={"policy": 2.0, "average": -1.0}, rate=np.array([1.0, 0.5, 0.7])),
        Loop((gradient("half", opponent="half", anchor={"half": -0.1, "reference": 0.1}, rate=0.4),), times=2),
        pairs("policy", base="half", opponent="half", anchor={"half": -0.2, "reference": 0.2}, rate=0.3, samples=3),
        pairs("policy", source="policy", opponent="reference", anchor={"policy": -0.2, "reference": 0.2}, rate=0.3, samples=2),
        responses("policy", opponent="policy", rate=0.4, samples=4),
        Loop((projection("scores", opponent="half", rate=4.0),), times=3),
        prox("policy", anchor={"policy": 1.0, "scores": 0.1}),
        mix("average", {"average": 0.75, "policy": 0.25}, every=2),
        copy("last", "half", every=3),
    )
)
"""All kinds, a copy, loops, a schedule, a period, a negative opponent."""

TO_A_RESIDUAL = Given(
    Tableau(
        Loop((prox("policy", anchor={"policy": 0.5, "reference": 0.1, "centre": 0.4}, opponent="policy", rate=1.0),), 99, 1e-3),
        copy("centre", "policy"),
    )
)
"""A loop that ends early."""

METHODS = {"every kind": EVERY_KIND, "to a residual": TO_A_RESIDUAL}
FEEDBACKS = {"exact": Exact(), "flipped": Exact(flip=0.2, assumed_flip=0.1), "duels": Duels(per_action=2, flip=0.1, assumed_flip=0.05)}


def small_run(method: str, feedback: str) -> Run:
    """Two games, two seeds, all slots, all measures."""
    measure = [prefix + name for prefix in ("", "average_") for name in ("exploitability", "original_exploitability", "kl_to_equilibrium")]
    return simlab.simulate(
        [uniform(3, 7), rock_scissors_paper()],
        METHODS[method],
        steps=6,
        seeds=2,
        seed=5,
        feedback=FEEDBACKS[feedback],
        record="every",
        slots=["policy", *METHODS[method].stages.slots[2:]],
        measure=measure,
    )


def save_small_run(method: str, feedback: str, path: str) -> None:
    """Write the numbers of `small_run`, for a comparison between processes."""
    run = small_run(method, feedback)
    spent = {"queries": run.queries, "gradients": run.gradients}
    np.savez(path, policy=run.log_policy, log_average=run.log_average, **spent, **run.log_slots, **run.measured)


if __name__ == "__main__":
    save_small_run(*sys.argv[1:])

"""A self-play method on games: a world, a method, what it is told and where it starts, for one or many seeds.

Seeds key whatever is random: the games (where the world draws them), the start, and the labels. A seed's numbers do not
depend on how many run beside it; where nothing is random, one seed stands for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.tableau import Stage, Tableau
from envs.equilibrium import regularised_nash
from envs.feedback import Exact
from envs.game import Game
from envs.invalid import Invalid, require
from envs.start import Start
from envs.world import World
from simlab.experiment import Experiment, require_idle, require_idle_dials, require_numbers
from simlab.facts import facts
from simlab.members import blaming, make
from simlab.packing import AVERAGE, MEASURES
from simlab.run import Method, Run, record_steps, simulate, tableau_of
from simlab.sharing import once

DEFAULT_MEASURES = ("exploitability", "original_exploitability", "kl_to_equilibrium", "worst_user_utility", "mean_user_utility")
NEEDS_BETA = "kl_to_equilibrium"
"""The measure that does not exist at beta = 0, where the equilibrium need not be unique."""

USERS = {
    "worst_user_utility": lambda utility: utility.min(axis=-1),
    "mean_user_utility": lambda utility: utility.mean(axis=-1),
    "user_utility": lambda utility: utility,
}
"""Measures on worlds of people, of what a policy is worth to each: how often the user prefers its response to the reference's, mean
over prompts. The last holds one number a user, and is taken when asked for."""

PROBABILITIES = "policy"
"""The policy itself, one probability an action; taken when asked for."""

SMALL = 100
"""Up to so many actions it is a matter of milliseconds to see whether double precision can tell the equilibrium at all."""


@dataclass(frozen=True, eq=False)
class SelfPlay(Experiment):
    """One configuration of `simlab run` with a tableau.

    Attributes
    ----------
    feedback, start : its members
    record : (R,) iterations
    measure : names of measures
    tableau : the method's on this world
    """

    feedback: Exact
    start: Start
    record: NDArray
    measure: tuple[str, ...]
    tableau: Tableau

    page: ClassVar[str] = "simlab.self_play_page"

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SelfPlay:
        """Check a configuration and make what it describes.

        Raises
        ------
        Invalid, Refused
            With the full key of the first value that is wrong.
        """
        require_numbers(config)
        require_idle(config, ["ridge"], "only learners of a fixed set of comparisons have a ridge")
        world, method, feedback, start = (make(config, group) for group in ("env", "algorithm", "feedback", "start"))
        with blaming(config, "env"):
            require_idle_dials(config, world, "data_dials", "it shapes recorded comparisons, while a self-play method asks feedback")
            games = _drawn(world, float(config["beta"]), config["seed"], 1)
        with blaming(config, "algorithm"):
            tableau = tableau_of(method, float(config["beta"]), config["steps"], games[0].actions)
        with blaming(config, "feedback"):
            feedback.labels(games[0])
            _require_effect(tableau, feedback)
        with blaming(config, "start"):
            start.log_policy(games[0], seed=config["seed"], index=0)
        record, measure = _record(config["record"], config["steps"]), _measures(config, method, hasattr(world, "people"))
        if games[0].actions <= SMALL and any(NEEDS_BETA in name for name in measure):
            regularised_nash(games[0])
        return cls(config, world, method, feedback, start, record, measure, tableau)

    @property
    def steps(self) -> int:
        return self.config["steps"]

    @cached_property
    def random(self) -> bool:
        """Whether seeds differ."""
        sampled = any(stage.samples for stage in self.tableau.stages)
        return self.world.varies or self.start.random or self.feedback.random or sampled

    @property
    def figures(self) -> tuple[str, ...]:
        return self.measure

    @property
    def equations(self) -> str:
        return str(self.tableau)

    def facts(self) -> dict[str, Any]:
        return facts(self.world, self.games)

    @cached_property
    def games(self) -> list[Game]:
        """Those of each seed in turn, one a context; where the world draws nothing, those of one seed."""
        return _drawn(self.world, self.beta, self.seed, self.seeds if self.world.varies else 1)

    def run(self) -> dict[str, NDArray]:
        """Simulate, and return tidy columns: a row for each seed, context and recorded iteration, in this order."""
        run = simulate(
            self.games,
            self.method,
            steps=self.steps,
            seeds=1 if self.world.varies else self.seeds,
            seed=self.seed,
            first_seed=range(len(self.games)) if self.world.varies else 0,
            start=self._starts(),
            feedback=self.feedback,
            record=self.record.tolist(),
            slots=("policy",) if self._of_policies else (),
            measure=[name for name in self.measure if name not in self._of_policies],
            threads=self.config["threads"],
        )
        return self._columns(run)

    @property
    def _of_policies(self) -> list[str]:
        """Measures that the kernel does not take: they are taken of the policies it then keeps."""
        return [name for name in self.measure if name.removeprefix(AVERAGE) in (*USERS, PROBABILITIES)]

    def labels(self, queries: int) -> int | None:
        """How many labels so many queries take; None where labels are expected ones, or queries differ."""
        each = {self._labels(stage) for stage in self.tableau.stages if stage.asks}
        return queries * each.pop() if self.feedback.random and len(each) == 1 else None

    def _labels(self, stage: Stage) -> int:
        if stage.kind == "pairs":
            return 2 * stage.samples
        if stage.kind == "responses":
            return stage.samples * (stage.samples - 1) // 2
        return self.games[0].actions * self.feedback.per_action

    def _measured(self, run: Run, order: NDArray) -> dict[str, NDArray]:
        """Each measure of policies, (N, R), or (N, R, U or K) where it is one number a user or an action."""
        found: dict[str, NDArray] = {}
        for name in self._of_policies:
            policies, kind = (run.log_average if name.startswith(AVERAGE) else run.log_policy), name.removeprefix(AVERAGE)
            found[name] = np.exp(policies) if kind == PROBABILITIES else self._utilities(USERS[kind], policies, order)
        return found

    def _utilities(self, measure: Callable[[NDArray], NDArray], policies: NDArray, order: NDArray) -> NDArray:
        """A measure of users in the order of the instances; prompts of one seed share it."""
        seeds = policies[order].reshape(-1, self.world.contexts, *policies.shape[1:])
        values = np.stack([self._utility(index, measure, seed) for index, seed in enumerate(seeds)])
        found = np.empty((len(order), *values.shape[1:]))
        found[order] = np.repeat(values, self.world.contexts, axis=0)
        return found

    def _utility(self, index: int, measure: Callable[[NDArray], NDArray], log_policy: NDArray) -> NDArray:
        """Of the policies (C, R, K) of seed number `index`."""
        contexts = self.world.contexts
        first = index * contexts if self.world.varies else 0
        reference = np.stack([game.log_reference for game in self.games[first : first + contexts]])
        people = self.world.people(seed=self.seed, index=index if self.world.varies else 0)
        return measure(people.utility(log_policy.swapaxes(0, 1), reference))

    def _starts(self) -> NDArray | None:
        """(games, seeds a game, K) log-probabilities."""
        seeds, contexts, seed = self.seeds, self.world.contexts, self.seed
        if self.world.varies:
            drawn = [[self.start.log_policy(game, seed=seed, index=number // contexts)] for number, game in enumerate(self.games)]
        else:
            drawn = [[self.start.log_policy(game, seed=seed, index=index) for index in range(seeds)] for game in self.games]
        return np.array(drawn)

    def _columns(self, run: Run) -> dict[str, NDArray]:
        if self.world.varies:
            seed, context = np.divmod(run.game_index, self.world.contexts)
        else:
            seed, context = run.seed_index, run.game_index
        order = np.lexsort((context, seed))
        records = len(run.steps)
        measured = {**run.measured, **self._measured(run, order)}

        def each(values: NDArray) -> NDArray:
            return np.repeat(values[order], records)

        return {
            "seed": each(seed),
            "context": each(context),
            "step": np.tile(run.steps, len(order)),
            "queries": run.queries[order].ravel(),
            "gradients": run.gradients[order].ravel(),
            **{name: _rows(measured[name][order]) for name in self.measure},
            "status": each(run.status),
            "status_step": each(run.status_step),
        }


def _drawn(world: World, beta: float, seed: int, seeds: int) -> list[Game]:
    """The games of the first seeds, drawn once for all cells of a grid that have them."""

    def draw() -> list[Game]:
        return [game for index in range(seeds) for game in world.games(beta, seed=seed, index=index)]

    return once("games", (beta, seed, seeds), draw, of=world)


def _rows(values: NDArray) -> Any:
    """(N, R) values in a row, or (N, R, U) as a list of arrays."""
    return values.ravel() if values.ndim == 2 else list(values.reshape(-1, values.shape[-1]))


def _require_effect(tableau: Tableau, feedback: Exact) -> None:
    """A method that samples actions says itself how many labels it takes."""
    sampled = any(stage.samples for stage in tableau.stages)
    require(not sampled or feedback.per_action <= 1, "per_action", feedback.per_action, "1 for a method that samples actions itself")


def _record(record: object, steps: int) -> NDArray:
    given = isinstance(record, str) or (isinstance(record, list) and all(type(step) is int for step in record))
    require(given, "record", record, f"every, log, or a list of iterations from 0 to steps={steps}")
    return record_steps(record, steps)  # type: ignore[arg-type]


def _measures(config: dict[str, Any], method: Method, people: bool) -> tuple[str, ...]:
    """The measures asked for, or all that apply: of the average too where the method is judged on it."""
    wanted, regularised = config["measure"], config["beta"] > 0
    there = [*MEASURES, *(USERS if people else ()), PROBABILITIES]
    if wanted is None:
        basic = [name for name in DEFAULT_MEASURES if name in there and (regularised or name != NEEDS_BETA)]
        return (*basic, *(AVERAGE + name for name in basic if method.target == "original"))
    names = [wanted] if isinstance(wanted, str) else wanted
    known = [*there, *(AVERAGE + name for name in there)]
    require(isinstance(names, list) and names, "measure", wanted, "a list of names of measures, or null: all that apply")
    for name in names:
        require(name in known, "measure", name, f"null, or among {', '.join(there)}, with or without the prefix {AVERAGE}")
        if NEEDS_BETA in name and not regularised:
            raise Invalid("measure", name, "left out at beta=0, where the equilibrium need not be unique")
    require(len(set(names)) == len(names), "measure", names, "a list without repetitions")
    return tuple(names)

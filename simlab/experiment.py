"""A validated run: a world, a method, what it is told and where it starts, for one or many seeds.

Seeds key whatever is random: the games (where the world draws them), the start, and the labels. A seed's numbers do not
depend on how many run beside it; where nothing is random, one seed stands for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from algorithms.tableau import Stage, Tableau
from envs.dials import require_integer
from envs.equilibrium import regularised_nash
from envs.feedback import Exact
from envs.game import Game
from envs.invalid import Invalid, require
from envs.start import Start
from envs.world import World
from simlab.members import blaming, make
from simlab.packing import AVERAGE, MEASURES
from simlab.run import Method, Run, record_steps, simulate

DEFAULT_MEASURES = ("exploitability", "original_exploitability", "kl_to_equilibrium")
NEEDS_BETA = "kl_to_equilibrium"
"""The measure that does not exist at beta = 0, where the equilibrium need not be unique."""

SMALL = 100
"""Up to so many actions it is a matter of milliseconds to see whether double precision can tell the equilibrium at all."""


@dataclass(frozen=True, eq=False)
class Experiment:
    """One configuration of `simlab run`, checked.

    Attributes
    ----------
    config : the configuration, resolved, as plain dictionaries and lists
    world, method, feedback, start : its members
    record : (R,) iterations
    measure : names of measures
    tableau : the method's on this world
    """

    config: dict[str, Any]
    world: World
    method: Method
    feedback: Exact
    start: Start
    record: NDArray
    measure: tuple[str, ...]
    tableau: Tableau

    @classmethod
    def from_config(cls, config: DictConfig) -> Experiment:
        """Check a configuration and make what it describes.

        Raises
        ------
        Invalid, Refused
            With the full key of the first value that is wrong.
        """
        plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
        _check_numbers(plain)
        world, method, feedback, start = (make(config, group) for group in ("env", "algorithm", "feedback", "start"))
        with blaming(plain, "env"):
            games = world.games(float(plain["beta"]), seed=plain["seed"], index=0)
        with blaming(plain, "algorithm"):
            tableau = method.tableau(float(plain["beta"]), steps=plain["steps"], actions=games[0].actions)
        with blaming(plain, "feedback"):
            feedback.labels(games[0])
            _require_effect(tableau, feedback)
        with blaming(plain, "start"):
            start.log_policy(games[0], seed=plain["seed"], index=0)
        record, measure = _record(plain["record"], plain["steps"]), _measures(plain, method)
        if games[0].actions <= SMALL and any(NEEDS_BETA in name for name in measure):
            regularised_nash(games[0])
        return cls(plain, world, method, feedback, start, record, measure, tableau)

    @property
    def beta(self) -> float:
        return float(self.config["beta"])

    @property
    def steps(self) -> int:
        return self.config["steps"]

    @cached_property
    def random(self) -> bool:
        """Whether seeds differ."""
        sampled = any(stage.samples for stage in self.tableau.stages)
        return self.world.varies or self.start.random or self.feedback.random or sampled

    @property
    def seeds(self) -> int:
        """How many seeds are run: one where they do not differ."""
        return self.config["seeds"] if self.random else 1

    @cached_property
    def games(self) -> list[Game]:
        """Those of each seed in turn, one a context; where the world draws nothing, those of one seed."""
        drawn = range(self.seeds if self.world.varies else 1)
        return [game for index in drawn for game in self.world.games(self.beta, seed=self.config["seed"], index=index)]

    def run(self) -> dict[str, NDArray]:
        """Simulate, and return tidy columns: a row for each seed, context and recorded iteration, in this order."""
        run = simulate(
            self.games,
            self.method,
            steps=self.steps,
            seeds=1 if self.world.varies else self.seeds,
            seed=self.config["seed"],
            first_seed=range(len(self.games)) if self.world.varies else 0,
            start=self._starts(),
            feedback=self.feedback,
            record=self.record.tolist(),
            slots=(),
            measure=self.measure,
            threads=self.config["threads"],
        )
        return self._columns(run)

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

    def _starts(self) -> NDArray | None:
        """(games, seeds a game, K) log-probabilities."""
        seeds, contexts, seed = self.seeds, self.world.contexts, self.config["seed"]
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

        def each(values: NDArray) -> NDArray:
            return np.repeat(values[order], records)

        return {
            "seed": each(seed),
            "context": each(context),
            "step": np.tile(run.steps, len(order)),
            "queries": run.queries[order].ravel(),
            "gradients": run.gradients[order].ravel(),
            **{name: values[order].ravel() for name, values in run.measured.items()},
            "status": each(run.status),
            "status_step": each(run.status_step),
        }


def _check_numbers(config: dict[str, Any]) -> None:
    beta = config["beta"]
    number = isinstance(beta, int | float) and not isinstance(beta, bool)
    require(number and 0 <= beta < np.inf, "beta", beta, "a finite number >= 0")
    for key, least in (("steps", 1), ("seeds", 1), ("seed", 0)):
        require_integer(key, config[key], least)
    threads = config["threads"]
    require(threads is None or (type(threads) is int and threads >= 1), "threads", threads, "an integer >= 1, or null: all")


def _require_effect(tableau: Tableau, feedback: Exact) -> None:
    """A method that samples actions says itself how many labels it takes."""
    sampled = any(stage.samples for stage in tableau.stages)
    require(not sampled or feedback.per_action <= 1, "per_action", feedback.per_action, "1 for a method that samples actions itself")


def _record(record: object, steps: int) -> NDArray:
    given = isinstance(record, str) or (isinstance(record, list) and all(type(step) is int for step in record))
    require(given, "record", record, f"every, log, or a list of iterations from 0 to steps={steps}")
    return record_steps(record, steps)  # type: ignore[arg-type]


def _measures(config: dict[str, Any], method: Method) -> tuple[str, ...]:
    """The measures asked for, or all that apply: of the average too where the method is judged on it."""
    wanted, regularised = config["measure"], config["beta"] > 0
    if wanted is None:
        basic = [name for name in DEFAULT_MEASURES if regularised or name != NEEDS_BETA]
        return (*basic, *(AVERAGE + name for name in basic if method.target == "original"))
    names = [wanted] if isinstance(wanted, str) else wanted
    known = [*MEASURES, *(AVERAGE + name for name in MEASURES)]
    require(isinstance(names, list) and names, "measure", wanted, "a list of names of measures, or null: all that apply")
    for name in names:
        require(name in known, "measure", name, f"null, or among {', '.join(MEASURES)}, with or without the prefix {AVERAGE}")
        if NEEDS_BETA in name and not regularised:
            raise Invalid("measure", name, "left out at beta=0, where the equilibrium need not be unique")
    require(len(set(names)) == len(names), "measure", names, "a list without repetitions")
    return tuple(names)

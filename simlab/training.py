"""A method on a model whose responses can be enumerated, beside the same tableau on the same games in the compiled kernel.

The model at its start is the reference of every game, as in training a language model, and the start policy.
Offline learners are in `simlab.training_offline`.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.tableau import Loop, Tableau
from envs.dials import require_integer, require_weight
from envs.equilibrium import regularised_nash
from envs.feedback import Exact
from envs.game import Game
from envs.invalid import require
from simlab import catalogue
from simlab.checkpoint import Checkpoint
from simlab.experiment import Experiment, require_idle_dials, same
from simlab.finished import identity_of, place
from simlab.identity import NUMERIC
from simlab.members import blaming, make
from simlab.metrics import exploitability, kl
from simlab.refusal import Refused
from simlab.run import simulate
from simlab.store import Stored

COARSEST = 1e-3
"""The least residual that an inner loop may ask of a model moved by an optimizer."""

FIGURES = ("exploitability", "table_exploitability", "kl_to_equilibrium", "table_kl_to_equilibrium", "residual")


@dataclass(frozen=True, eq=False)
class Path:
    """What a model and a table went through, at R records.

    Attributes
    ----------
    log_policy, log_table : (C, R, K) log-probabilities
    residual : (R,) how far the model is from where it was to go: see the kind of training
    queries, gradients : (R,) spent by then
    """

    log_policy: NDArray
    log_table: NDArray
    residual: NDArray
    queries: NDArray
    gradients: NDArray


@dataclass(frozen=True, eq=False)
class Training(Experiment):
    """One configuration of `simlab train`.

    Attributes
    ----------
    feedback, model : its members
    """

    feedback: Exact
    model: Any

    page: ClassVar[str] = "simlab.training_page"
    numeric: ClassVar[tuple[str, ...]] = (*NUMERIC, "scaled", "simlab.training", "simlab.training_offline")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Training:
        """Check a configuration and make what it describes.

        Raises
        ------
        Invalid, Refused
            With the full key of the first value that is wrong.
        """
        _require_torch()
        _require_numbers(config)
        world, feedback, model = (make(config, group) for group in ("env", "feedback", "scaled"))
        with blaming(config, "env"):
            require_idle_dials(config, world, "data_dials", "it shapes recorded comparisons, while training asks feedback")
            uniform = getattr(world, "reference", "uniform") == "uniform"
            require(uniform, "reference", getattr(world, "reference", None), "left out: the model at its start is the reference")
            require(world.contexts == 1, "contexts", world.contexts, "1: prompts is the number of games")
        made = cls(config, world, None, feedback, model)
        with blaming(config, "scaled"):
            games, _ = made.start(0)
        with blaming(config, "feedback"):
            feedback.labels(games[0])
        return made.with_method(config, games)

    @abstractmethod
    def with_method(self, config: dict[str, Any], games: list[Game]) -> Training:
        """The same with the method that a configuration describes."""

    @abstractmethod
    def path(self, index: int) -> Path:
        """Train with seed number `index`."""

    @property
    @abstractmethod
    def lesson(self) -> str:
        """What the loss is taken over, in words."""

    @property
    def figures(self) -> tuple[str, ...]:
        return FIGURES

    @property
    def random(self) -> bool:
        return True

    def facts(self) -> dict[str, Any]:
        games, policy = self.start(0)
        return {
            "actions": games[0].actions,
            "prompts": len(games),
            "parameters": sum(weights.numel() for weights in policy.parameters()),
            "reference_exploitability": float(np.median(exploitability(games, np.stack([game.log_reference for game in games])))),
        }

    def start(self, index: int) -> tuple[list[Game], Any]:
        """The games of seed number `index`, and the model that is their reference."""
        from scaled.policy import as_array

        prompts = self.config["prompts"]
        world = replace(self.world, contexts=prompts) if self.world.varies else self.world
        games = world.games(self.beta, seed=self.seed, index=index)
        games = games if self.world.varies else games * prompts
        policy = self.model.build(prompts, games[0].actions, self.root(index, 7))
        return [replace(game, log_reference=log_q) for game, log_q in zip(games, as_array(policy), strict=True)], policy

    def root(self, index: int, part: int) -> int:
        """A seed for a part of seed number `index`: 7 for the model, 8 for what is drawn in training."""
        return int(np.random.SeedSequence([self.seed, index, 0, part]).generate_state(1)[0])

    def checkpoint(self, index: int) -> Checkpoint:
        """Where seed number `index` goes on from."""
        path = place(self)
        return Checkpoint(path.with_name(f"{path.stem}.seed{index}.checkpoint"), identity_of(self), self.config["checkpoint"])

    def discard(self) -> None:
        """Take away the checkpoints."""
        for index in range(self.seeds):
            self.checkpoint(index).path.unlink(missing_ok=True)

    def run(self) -> dict[str, NDArray]:
        """Train, and return tidy columns: a row for each seed, prompt and record."""
        parts = [self._columns(index) for index in range(self.seeds)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _columns(self, index: int) -> dict[str, NDArray]:
        from scaled.policy import one_thread

        with one_thread():
            path, games = self.path(index), self.start(index)[0]
        equilibria = np.stack([regularised_nash(game) for game in games])[:, None]
        contexts, records = path.log_policy.shape[:2]
        return {
            "seed": np.full(contexts * records, index),
            "context": np.repeat(np.arange(contexts), records),
            "step": np.tile(np.arange(records), contexts),
            "queries": np.tile(path.queries, contexts),
            "gradients": np.tile(path.gradients, contexts),
            "exploitability": exploitability(games, path.log_policy).ravel(),
            "table_exploitability": exploitability(games, path.log_table).ravel(),
            "kl_to_equilibrium": kl(equilibria, path.log_policy).ravel(),
            "table_kl_to_equilibrium": kl(equilibria, path.log_table).ravel(),
            "residual": np.tile(path.residual, contexts),
            "status": np.full(contexts * records, "ok"),
        }

    def keep(self, stored: Stored) -> None:
        """Draw the figure beside the rows."""
        from simlab.training_figure import draw

        draw(stored, title=f"{type(self.method).__name__}, {type(self.model).__name__}, beta={self.beta:g}")


@dataclass(frozen=True, eq=False)
class SelfPlayTraining(Training):
    """A tableau; the residual is the largest of an iteration's stages, root mean square of log pi - target."""

    def with_method(self, config: dict[str, Any], games: list[Game]) -> SelfPlayTraining:
        made = replace(self, method=make(config, "algorithm"))
        with blaming(config, "algorithm"):
            if hasattr(self.model.realisation, "inner"):
                require_coarse(made._tableau(games[0].actions))
        made._executor(0)
        return made

    @property
    def lesson(self) -> str:
        responses = self.config["responses"]
        return "all responses, each once" if responses is None else f"{responses} responses drawn for each stage and prompt"

    @property
    def equations(self) -> str:
        return str(self._tableau(self.start(0)[0][0].actions))

    def _tableau(self, actions: int) -> Tableau:
        return self.method.tableau(self.beta, steps=self.config["steps"], actions=actions)

    def path(self, index: int) -> Path:
        executor = self._executor(index)
        course = self.checkpoint(index).run(executor)
        options: dict[str, Any] = {"steps": self.config["steps"], "feedback": self.feedback, "record": "every"}
        table = simulate(executor.games, self.method, seed=self.seed, first_seed=index, threads=self.config["threads"], **options)
        residual = np.append(np.nan, np.fmax.reduce(course.residuals, axis=1))
        return Path(course.log_policy, table.log_policy, residual, course.queries, course.gradients)

    def _executor(self, index: int) -> Any:
        from scaled.executor import Executor

        games, policy = self.start(index)
        options: dict[str, Any] = {"steps": self.config["steps"], "feedback": self.feedback, "responses": self.config["responses"]}
        return Executor(games, self.method, policy, self.model.realisation, **options, seed=self.root(index, 8))


def require_coarse(tableau: Tableau) -> None:
    """Refuse an inner loop that asks more of a model than an optimizer reaches."""
    finest = min((loop.tolerance for loop in tableau.loops if _moves(loop)), default=1.0)
    wanted = f"at least {COARSEST:g} with a model that an optimizer moves, or its inner loop never ends (scaled=table solves it)"
    require(finest >= COARSEST, "tolerance", finest, wanted)


def _moves(loop: Loop) -> bool:
    """Whether a loop ends on a residual and moves a policy, rather than scores."""
    return loop.tolerance > 0 and any(stage.kind != "projection" for stage in loop.stages)


def _require_torch() -> None:
    try:
        import_module("scaled.policy")
    except ImportError:
        raise Refused("simlab train: must have torch: pip install 'simlab[scaled]'") from None


def _require_numbers(config: dict[str, Any]) -> None:
    require_weight("beta", config["beta"])
    for key, least in (("steps", 1), ("prompts", 1), ("seeds", 1), ("seed", 0)):
        require_integer(key, config[key], least)
    responses, threads, every = config["responses"], config["threads"], config["checkpoint"]
    for key in ("dry_run", "processes", "memory", "tracker"):
        require(same(config[key], catalogue.content("train")[key]), key, config[key], "left out: only a run with scaled=lm has it")
    if every is not None:
        require_integer("checkpoint", every, 1, ", or null: none")
    if responses is not None:
        require_integer("responses", responses, 2, ", or null: all")
    require(threads is None or (type(threads) is int and threads >= 1), "threads", threads, "an integer >= 1, or null: all")

"""A language model of transformers under training, by a tableau on responses that it draws; pairs are in `simlab.language_pairs`.

Beside a run's rows stands a folder of its name, with one for each seed: metrics.jsonl, written as they come; the checkpoint that a
run that was stopped goes on from; and the trained model, for `from_pretrained`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.tableau import Tableau
from envs.dials import require_integer, require_positive, require_weight
from envs.feedback import Exact
from envs.game import Game
from envs.invalid import require
from simlab.experiment import Experiment, member_name, require_idle_member
from simlab.finished import identity_of, place
from simlab.identity import NUMERIC
from simlab.language_run import LanguageRun
from simlab.members import blaming, make
from simlab.refusal import Refused
from simlab.store import Stored
from simlab.training import require_coarse

EXACT = ("exploitability", "tail_exploitability", "kl_to_equilibrium")
"""Measures of a model whose responses are enumerated."""
DRAWN = ("kl_to_reference", "win_over_reference", "residual", "length")
"""Measures of an iteration of self-play."""


@dataclass(frozen=True, eq=False)
class LanguageTraining(Experiment):
    """One configuration of `simlab train scaled=lm`.

    Attributes
    ----------
    feedback, model : its members
    """

    feedback: Exact
    model: Any

    page: ClassVar[str] = "simlab.language_page"
    numeric: ClassVar[tuple[str, ...]] = (
        *NUMERIC,
        "scaled",
        "scaled.oracles",
        "scaled.rollouts",
        "simlab.language_training",
        "simlab.language_pairs",
        "simlab.language_run",
    )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LanguageTraining:
        """Check a configuration and make what it describes.

        Raises
        ------
        Invalid, Refused
            With the full key of the first value that is wrong.
        """
        _require_libraries()
        _require_numbers(config)
        feedback, model = make(config, "feedback"), make(config, "scaled")
        made = cls(config, None, None, feedback, model)
        with blaming(config, "scaled"):
            model.engine.check(config["processes"])
            model.config  # noqa: B018  read, or refused
            model.allowed  # noqa: B018
        made = made.with_method(config)
        if not config["dry_run"]:
            _require_processes(config)
            made.require_room()
        return made

    @abstractmethod
    def with_method(self, config: dict[str, Any]) -> LanguageTraining:
        """The same with the method that a configuration describes, and with what it learns from, checked."""

    @abstractmethod
    def learner(self, index: int, network: Any) -> Any:
        """What trains a network with seed number `index`: it has `step`, `iteration`, `steps`, `weights`, `queries` and `gradients`."""

    @abstractmethod
    def plan(self, index: int) -> Any:
        """What the learner of seed number `index` does."""

    @property
    @abstractmethod
    def lesson(self) -> str:
        """What it learns from, in words."""

    @property
    @abstractmethod
    def meaning(self) -> str:
        """What the measures are means over, in words."""

    @property
    def random(self) -> bool:
        return True

    @property
    def judge(self) -> str | None:
        """The model that judges, if one does."""
        return None

    def facts(self) -> dict[str, Any]:
        module = self.model.shape()
        trained = sum(weight.numel() for weight in module.parameters() if weight.requires_grad)
        return {"parameters": sum(weight.numel() for weight in module.parameters()), "trained": trained, "rows": len(self.model.examples)}

    @property
    def need(self) -> Any:
        """What a process needs of its device, see `scaled.memory`."""
        from scaled.memory import estimate

        with blaming(self.config, "scaled"):
            return estimate(self.model, plan=self.plan(0), processes=self.config["processes"], judge=self.judge)

    def require_room(self) -> None:
        """Refuse a model that the device cannot hold."""
        from scaled.memory import require_room

        sizes = {"processes": self.config["processes"], "memory": self.config["memory"]}
        with blaming(self.config, "scaled"):
            require_room(self.model, plan=self.plan(0), judge=self.judge, **sizes)

    def root(self, index: int, part: int) -> int:
        """A seed for a part of seed number `index`: 7 for new weights, 8 for what is drawn in training."""
        return int(np.random.SeedSequence([self.seed, index, 0, part]).generate_state(1)[0])

    def folder(self, index: int) -> Path:
        """Of seed number `index`."""
        return place(self).with_suffix("") / f"seed{index}"

    @property
    def identity(self) -> str:
        """See `simlab.identity`."""
        return identity_of(self)

    @property
    def leads(self) -> bool:
        return self.processes.leads

    @property
    def processes(self) -> Any:
        """Those of the run."""
        from scaled.processes import Processes

        return Processes.joined()

    def run(self) -> dict[str, NDArray]:
        """Train, and return tidy columns: a row for each seed, record, and prompt where responses are enumerated."""
        parts = [self.columns(index, LanguageRun(self, index).rows()) for index in range(self.seeds)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def columns(self, index: int, rows: Sequence[dict[str, Any]]) -> dict[str, NDArray]:
        """Of one seed."""
        kept = {name: np.array([row.get(name, np.nan) for row in rows], dtype=np.float64) for name in self.figures if name not in EXACT}
        whole = {name: np.array([row[name] for row in rows]) for name in ("step", "queries", "gradients")}
        return {"seed": np.full(len(rows), index), **whole, **kept, "status": np.full(len(rows), "ok")}

    def exact(self, network: Any) -> NDArray | None:
        """(C, K) log-probabilities of all responses, where they are enumerated."""
        return None

    def keep(self, stored: Stored) -> None:
        """Draw the figure beside the rows."""
        from simlab.language_figure import draw

        draw(stored, self.figures, title=f"{type(self.method).__name__}, beta={self.beta:g}")

    def discard(self) -> None:
        """Take away the checkpoints."""
        for index in range(self.seeds):
            LanguageRun(self, index).clear()
        self.processes.wait()


@dataclass(frozen=True, eq=False)
class LanguageSelfPlay(LanguageTraining):
    """A tableau; the residual is the largest of an iteration's stages, root mean square of log pi - target.

    Where the oracle judges enumerated responses, by the games of a world, exact measures are taken of the model, each iteration.
    `tail_exploitability` is that of the mean policy over the later half of the iterations so far.
    """

    def with_method(self, config: dict[str, Any]) -> LanguageSelfPlay:
        require(config["responses"] is not None, "responses", None, "an integer >= 2: how many are drawn for each prompt")
        with blaming(config, "scaled"):
            rows = len(self.model.prompts)
        require(config["prompts"] <= rows, "prompts", config["prompts"], f"at most {rows}, the rows of the dataset")
        made = replace(self, method=make(config, "algorithm"), world=self._world(config))
        with blaming(config, "feedback"):
            pairs = [list(pair) for pair in getattr(self.feedback.flip, "pairs", ())]
            require(not pairs, "pairs", pairs, "left out, with another feedback: responses that are drawn have no numbers")
        with blaming(config, "algorithm"):
            require_coarse(made.tableau)
        from scaled.self_play import check

        check(made.plan(0))
        return made

    def _world(self, config: dict[str, Any]) -> Any:
        """Where an oracle judges by games, the world that they come from."""
        oracle = self.model.oracle
        if not oracle.enumerable:
            require_idle_member(config, "train", "env", "the oracle knows no games")
            return None
        world, actions = make(config, "env"), self.model.actions
        require(actions, "scaled.vocabulary", None, "a list of texts, with an oracle that judges by games: all responses are enumerated")
        with blaming(config, "env"):
            world = replace(world, contexts=len(self.model.prompts)) if world.varies else world
            found = world.games(config["beta"], seed=config["seed"], index=0)[0].actions
        wanted = f"such that V^L = K = {found}, the world's number of responses (V={len(self.model.vocabulary)})"
        require(actions == found, "scaled.length", self.model.length, wanted)
        return world

    @property
    def figures(self) -> tuple[str, ...]:
        return (*EXACT, *DRAWN) if self.world else DRAWN

    @property
    def name(self) -> str:
        return super().name if self.world else f"{member_name(self.config, 'algorithm')}-{member_name(self.config['scaled'], 'oracle')}"

    @property
    def lesson(self) -> str:
        return f"{self.config['responses']} responses drawn for each of {self.config['prompts']} prompts an iteration"

    @property
    def meaning(self) -> str:
        own = "of seeds and prompts, exact over all responses; " if self.world else ""
        return f"{own}means over the responses drawn in an iteration, from the policy before it"

    @property
    def equations(self) -> str:
        return str(self.tableau)

    @property
    def judge(self) -> str | None:
        return getattr(self.model.oracle, "model", None) or getattr(self.model.oracle, "encoder", None)

    @property
    def tableau(self) -> Tableau:
        """Of the method."""
        return self.method.tableau(self.beta, steps=self.config["steps"], actions=self.config["responses"])

    def plan(self, index: int) -> Any:
        from scaled.self_play import Plan

        config = self.config
        numbers = (config["prompts"], config["responses"], config["steps"], self.root(index, 8))
        return Plan(self.tableau, self.beta, self.feedback, *numbers)

    def learner(self, index: int, network: Any) -> Any:
        from scaled.self_play import SelfPlay

        games = self.games(index) if self.world else None
        judge = self.model.oracle.open(network.processes.device, games)
        return SelfPlay(self.model, network, judge, self.plan(index))

    def games(self, index: int) -> list[Game]:
        """One a prompt, of seed number `index`; their references are the world's, not the model's."""
        found = self.world.games(self.beta, seed=self.seed, index=index)
        return found if self.world.varies else found * len(self.model.prompts)

    def exact(self, network: Any) -> NDArray | None:
        from scaled.enumeration import log_policy, responses

        if not self.world:
            return None
        every = responses(self.model.allowed, self.model.length)
        return log_policy(network, self.model.prompts, every, self.model.batch * self.config["responses"])

    def columns(self, index: int, rows: Sequence[dict[str, Any]]) -> dict[str, NDArray]:
        base = super().columns(index, rows)
        if not self.world:
            return base
        logs = np.stack([row["log_policy"] for row in rows], axis=1)
        games = [replace(game, log_reference=log_q) for game, log_q in zip(self.games(index), logs[:, 0], strict=True)]
        measured = measures(games, logs)
        repeated = {name: np.tile(values, len(games)) for name, values in base.items() if name not in EXACT}
        return repeated | {"context": np.repeat(np.arange(len(games)), len(rows))} | {name: each.ravel() for name, each in measured.items()}


def measures(games: Sequence[Game], logs: NDArray) -> dict[str, NDArray]:
    """(C, R) of (C, R, K) log-probabilities; the first are the reference."""
    from envs.equilibrium import regularised_nash
    from simlab.metrics import exploitability, kl

    sums = np.concatenate([np.zeros_like(logs[:, :1]), np.exp(logs).cumsum(axis=1)], axis=1)
    last = np.arange(1, logs.shape[1] + 1)
    first = last // 2
    means = (sums[:, last] - sums[:, first]) / (last - first)[:, None]
    equilibria = np.stack([regularised_nash(game) for game in games])[:, None]
    with np.errstate(divide="ignore"):
        tails = np.log(np.maximum(means, 0))
    found = (exploitability(games, logs), exploitability(games, tails), kl(equilibria, logs))
    return dict(zip(EXACT, found, strict=True))


def _require_libraries() -> None:
    try:
        import_module("scaled.policy")
    except ImportError:
        raise Refused("simlab train: must have torch: pip install 'simlab[scaled]'") from None
    if not find_spec("transformers"):
        raise Refused("scaled=lm: must have transformers: pip install 'simlab[lm]'")


def _require_numbers(config: dict[str, Any]) -> None:
    require_weight("beta", config["beta"])
    for key, least in (("steps", 1), ("prompts", 1), ("seeds", 1), ("seed", 0), ("processes", 1)):
        require_integer(key, config[key], least)
    every, responses, memory = config["checkpoint"], config["responses"], config["memory"]
    if every is not None:
        require_integer("checkpoint", every, 1, ", or null: none")
    if responses is not None:
        require_integer("responses", responses, 2)
    require(isinstance(config["dry_run"], bool), "dry_run", config["dry_run"], "true or false")
    if memory is not None:
        require_positive("memory", memory)
    shared = config["prompts"] % config["processes"] == 0
    require(shared, "prompts", config["prompts"], f"a multiple of {config['processes']}, the number of processes")
    from scaled.trackers import require_tracker

    require_tracker(config["tracker"])


def _require_processes(config: dict[str, Any]) -> None:
    from scaled.processes import Processes

    started = Processes.joined().count
    require(config["processes"] == started, "processes", config["processes"], f"{started}, as many as were started (torchrun)")

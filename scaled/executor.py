"""Runs a tableau on a model whose responses can be enumerated: the second executor of `algorithms`, beside the compiled kernel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algorithms.tableau import POLICY, REFERENCE
from envs.dials import require_integer
from envs.feedback import Exact
from envs.game import Game
from envs.invalid import require
from scaled.course import Course
from scaled.iteration import Iteration, slots_that_go_on
from scaled.oracle import Oracle
from scaled.policy import Policy
from scaled.realisation import NonFinite, Realisation, Regression
from scaled.slots import Slots
from scaled.stages import require_one_shape
from scaled.trained import Trained
from simlab.run import Method, record_steps

SPENT = ("iteration", "queries", "gradients")


class Executor:
    """One method on one model and C games.

    Parameters
    ----------
    games : a game for each prompt of the policy, of one K; each has its own reference
    method : of `algorithms`, or anything with such a `tableau`
    policy : the model, trained in place; where it stands is the start policy
    realisation : how stages move it
    steps : >= 1, iterations in all
    feedback : `Exact()` or `Duels(...)`, flips and debiasing included
    responses : >= 2, responses drawn from the policy for the loss of each stage and prompt; all K, each once, when None
    record : as in `simlab.simulate`
    seed : >= 0, of all draws

    Raises
    ------
    Invalid
        Before any work, for what does not fit together.
    """

    def __init__(
        self,
        games: Sequence[Game],
        method: Method,
        policy: Policy,
        realisation: Realisation = Regression(),  # noqa: B008  (immutable)
        *,
        steps: int,
        feedback: Exact = Exact(),  # noqa: B008  (immutable)
        responses: int | None = None,
        record: str | Iterable[int] = "every",
        seed: int = 0,
    ) -> None:
        _check(games, policy, feedback, responses, realisation)
        require_integer("steps", steps, 1)
        require_integer("seed", seed, 0)
        self.games, self.policy, self.responses = list(games), policy, responses
        made = {game.beta: method.tableau(game.beta, steps=steps, actions=game.actions) for game in games}
        self.tableaus = [made[game.beta] for game in games]
        require_one_shape(self.tableaus)
        self.steps, self.recorded = steps, record_steps(record, steps)
        self.betas = torch.tensor([game.beta for game in games], dtype=torch.float64)[:, None]
        self.trained = Trained(policy, realisation)
        self.generator = torch.Generator().manual_seed(seed)
        self.slots = Slots(Oracle(games, feedback, self.generator), self._start())
        self.weights = dict.fromkeys(slots_that_go_on(self.tableaus[0].stages), self.trained.snapshot())
        self.iteration = 0
        self.residuals = torch.full((steps, len(self.tableaus[0].stages)), torch.nan, dtype=torch.float64)
        self.records: list[dict[str, Any]] = []
        self._record()

    def run(self, until: int | None = None) -> Course:
        """Go on to iteration `until`, the last when None; returns all that is recorded so far."""
        until = self.steps if until is None else until
        require_integer("until", until, 0)
        while self.iteration < min(until, self.steps):
            self.step()
        return self.course()

    def step(self) -> None:
        """One iteration.

        Raises
        ------
        NonFinite
            With iteration, stage and prompt, where a target or a loss is not finite; all is then as before the iteration.
        """
        before = self.state_dict()
        try:
            self._iterate()
        except NonFinite:
            self.load_state_dict(before)
            raise
        self.iteration += 1
        self._record()

    def course(self) -> Course:
        """All that is recorded so far."""
        steps, queries, gradients = (np.array([record[key] for record in self.records], dtype=np.int64) for key in SPENT)
        logs = [record["log_policy"].numpy() for record in self.records]
        recorded = np.stack(logs, axis=1) if logs else np.zeros((len(self.games), 0, self.policy.actions))
        return Course(self.games, steps, recorded, self.residuals[: self.iteration].numpy().copy(), queries, gradients)

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimizer, slots, generator, records: `torch.save` takes it, and a run resumed from it is the same bitwise.

        Tensors are not copied; none of them is changed later.
        """
        return {
            "iteration": self.iteration,
            "weights": dict(self.weights),
            "slots": self.slots.state_dict(),
            "generator": self.generator.get_state(),
            "residuals": self.residuals.clone(),
            "records": list(self.records),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state of an executor with the same arguments."""
        slots, shape = list(state["slots"]["logs"]), tuple(state["residuals"].shape)
        same = slots == list(self.slots.logs) and shape == tuple(self.residuals.shape)
        require(same, "state", f"of slots {', '.join(slots)} and {shape[0]} steps", "of the same method, for as many steps")
        self.iteration, self.weights, self.records = state["iteration"], dict(state["weights"]), list(state["records"])
        self.slots.load_state_dict(state["slots"])
        self.generator.set_state(state["generator"])
        self.residuals = state["residuals"].clone()
        self.trained.restore(self.weights[POLICY])

    def _iterate(self) -> None:
        iteration = Iteration(self.iteration, self.tableaus, self.betas, self.trained, self.slots, self.weights, self._draw)
        iteration.run()
        self.residuals[self.iteration] = iteration.residuals

    def _draw(self) -> Tensor | None:
        return None if self.responses is None else self.policy.sample(self.responses, self.generator)

    def _start(self) -> dict[str, Tensor]:
        start = dict.fromkeys(self.tableaus[0].slots, self.trained.log_probs())
        return start | {REFERENCE: torch.from_numpy(np.stack([game.log_reference for game in self.games]))}

    def _record(self) -> None:
        if self.iteration in self.recorded:
            logs = self.slots.logs[self.tableaus[0].returns]
            spent = zip(SPENT, (self.iteration, self.slots.queries, self.slots.gradients), strict=True)
            self.records.append({"log_policy": logs, **dict(spent)})


def _check(games: Sequence[Game], policy: Policy, feedback: Exact, responses: int | None, realisation: Realisation) -> None:
    listed = isinstance(games, Sequence) and games and all(isinstance(game, Game) for game in games)
    require(listed, "games", games, "a list of at least one Game")
    sizes = sorted({game.actions for game in games})
    fits = sizes == [policy.actions] and len(games) == policy.contexts
    wanted = f"one for each of {policy.contexts} prompts, of K={policy.actions}"
    require(fits, "games", f"{len(games)} games of K={', '.join(map(str, sizes))}", wanted)
    require(isinstance(feedback, Exact), "feedback", feedback, "Exact(...) or Duels(...)")
    if responses is not None:
        require_integer("responses", responses, 2)
        require(realisation.sampled, "responses", responses, f"left out: {type(realisation).__name__} takes the targets of all")

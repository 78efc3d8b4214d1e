"""Runs a tableau on a model: the second executor of `algorithms`, beside the compiled kernel.

In an iteration the stages run in order, on cached log-probabilities of all slots. A stage says where its slot goes
(`scaled.stages`). Three things can then happen.

1. A copy takes the log-probabilities of another slot, and its weights where these go on.
2. A stage that only does arithmetic on slots (a mixture, scores of a reward fit) is that arithmetic.
3. A stage that moves a policy on the judge's word, or whose slot's weights go on, is realised: the model starts from the ITERATION's
   own weights and optimizer state, is moved by the realisation, and the slot takes its log-probabilities. Thus the second gradient of
   an extragradient step is taken at the original parameters, and the half point enters as an opponent only.

Weights and optimizer state are kept of the slots that lead to `policy` by copies (`policy` itself, mostly), and dropped of all others.
Where a loop of stages repeats, each pass is an iteration in this sense.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algorithms.tableau import POLICY, REFERENCE, Stage
from envs.dials import require_integer
from envs.feedback import Exact
from envs.game import Game
from envs.invalid import require
from scaled.course import Course
from scaled.oracle import Oracle
from scaled.policy import Policy, normalise
from scaled.realisation import Aim, NonFinite, Realisation, Regression, require_finite
from scaled.slots import Slots
from scaled.stages import TARGETS, Due, due_stages, require_one_shape
from simlab.run import Method, record_steps

JUDGED = ("prox", "gradient", "pairs", "responses")
"""Kinds that move a policy when they have an opponent."""
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
        self.games, self.policy, self.realisation, self.responses = list(games), policy, realisation, responses
        made = {game.beta: method.tableau(game.beta, steps=steps, actions=game.actions) for game in games}
        self.tableaus = [made[game.beta] for game in games]
        require_one_shape(self.tableaus)
        self.steps, self.recorded = steps, record_steps(record, steps)
        self.betas = torch.tensor([game.beta for game in games], dtype=torch.float64)[:, None]
        self.optimizer = realisation.optimizer(policy)
        self.generator = torch.Generator().manual_seed(seed)
        self.slots = Slots(Oracle(games, feedback, self.generator), self._start())
        self.weights = dict.fromkeys(slots_that_go_on(self.tableaus[0].stages), self._snapshot())
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
        self._restore(self.weights[POLICY])

    def _iterate(self) -> None:
        self.slots.begin_iteration()
        stages = iter(enumerate(due_stages(self.tableaus, self.iteration)))
        start = self.weights[POLICY]
        for loop in self.tableaus[0].loops:
            members = [next(stages) for _ in loop.stages]
            answer, moving = loop.stages[-1].to, torch.ones_like(self.betas, dtype=torch.bool)
            for _ in range(loop.times):
                before, origin = self.slots.logs[answer], start if loop.times == 1 else self.weights[POLICY]
                for number, due in members:
                    if (self.iteration + 1) % due.stage.every == 0:
                        self._run_stage(number, due, origin, moving)
                if loop.tolerance > 0:
                    change = self.slots.logs[answer] - before
                    moving = moving & (change.amax(-1, True) - change.amin(-1, True) > loop.tolerance)
                    if not moving.any():
                        break
        self._restore(self.weights[POLICY])

    def _run_stage(self, number: int, due: Due, origin: dict[str, Any], moving: Tensor) -> None:
        """Write the slot of a stage; prompts whose loop has reached its tolerance, those that are not `moving`, aim at where they are."""
        stage, goes_on = due.stage, due.stage.to in self.weights
        if stage.copied and (not goes_on or stage.copied in self.weights):
            self.slots.copy(stage.to, stage.copied)
            if goes_on:
                self.weights[stage.to] = self.weights[stage.copied]
            return
        try:
            target = TARGETS[stage.kind](due, self.slots)
            target = torch.where(moving, target, self.slots.logs[stage.to])
            require_finite(target, "the target")
            if goes_on or (stage.kind in JUDGED and stage.opponent):
                target = self._realise(number, due, normalise(target), origin)
        except NonFinite as failure:
            raise failure.at(f"iteration {self.iteration}, stage {number + 1} ({stage}), ") from None
        self.slots.write(stage.to, target)
        if goes_on:
            self.weights[stage.to] = self._snapshot()

    def _realise(self, number: int, due: Due, target: Tensor, origin: dict[str, Any]) -> Tensor:
        """(C, K) what the model makes of a target, from the original weights."""
        self._restore(origin)
        drawn = None if self.responses is None else self.policy.sample(self.responses, self.generator)
        self.realisation.move(self.policy, self.optimizer, Aim(target, (target - self._log_probs()) / (due.rate * self.betas), drawn))
        reached = self._log_probs()
        require_finite(reached, "the policy")
        self.residuals[self.iteration, number] = (reached - target).var(-1, correction=0).mean().sqrt()
        return reached

    @torch.no_grad()
    def _log_probs(self) -> Tensor:
        return normalise(self.policy.log_probs().to("cpu", torch.float64))

    def _start(self) -> dict[str, Tensor]:
        start = dict.fromkeys(self.tableaus[0].slots, self._log_probs())
        return start | {REFERENCE: torch.from_numpy(np.stack([game.log_reference for game in self.games]))}

    def _snapshot(self) -> dict[str, Any]:
        weights = {name: value.detach().clone() for name, value in self.policy.state_dict().items()}
        return {"policy": weights, "optimizer": deepcopy(self.optimizer.state_dict()) if self.optimizer else None}

    def _restore(self, snapshot: dict[str, Any]) -> None:
        self.policy.load_state_dict(snapshot["policy"])
        if self.optimizer:
            self.optimizer.load_state_dict(deepcopy(snapshot["optimizer"]))  # the optimizer would change its tensors in place

    def _record(self) -> None:
        if self.iteration in self.recorded:
            logs = self.slots.logs[self.tableaus[0].returns]
            spent = zip(SPENT, (self.iteration, self.slots.queries, self.slots.gradients), strict=True)
            self.records.append({"log_policy": logs, **dict(spent)})


def slots_that_go_on(stages: Sequence[Stage]) -> list[str]:
    """`policy`, and every slot whose policy reaches it by copies."""
    found = [POLICY]
    for slot in found:
        sources = [stage.copied for stage in stages if stage.to == slot and stage.copied]
        found += [source for source in sources if source not in found and any(stage.to == source for stage in stages)]
    return found


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

"""One iteration of a tableau on a model.

The stages run in order, on cached log-probabilities of all slots. A stage says where its slot goes (`scaled.stages`). Three
things can then happen.

1. A copy takes the log-probabilities of another slot, and its weights where these go on.
2. A stage that only does arithmetic on slots (a mixture, scores of a reward fit) is that arithmetic.
3. A stage that moves a policy on the judge's word, or whose slot's weights go on, is realised: the model starts from the ITERATION's
   own weights and optimizer state, is moved by the realisation, and the slot takes its log-probabilities. Thus the second gradient of
   an extragradient step is taken at the original parameters, and the half point enters as an opponent only.

Weights and optimizer state are kept of the slots that lead by copies to those that go on (`policy` itself, mostly), and dropped of
all others. Where a loop of stages repeats, each pass is an iteration in this sense.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from algorithms.tableau import POLICY, Stage, Tableau
from scaled.policy import normalise
from scaled.realisation import Aim, NonFinite, require_finite
from scaled.slots import Slots
from scaled.stages import TARGETS, Due, due_stages
from scaled.trained import Snapshot, Trained

JUDGED = ("prox", "gradient", "pairs", "responses")
"""Kinds that move a policy when they have an opponent."""


@dataclass(eq=False)
class Iteration:
    """Number `number`, from 0 on, of one tableau a prompt.

    Attributes
    ----------
    tableaus : C, of one shape
    betas : (C, 1) of the prompts' games
    trained : the model
    slots : what the tableau names; written
    weights : snapshots of the slots whose weights go on; written
    draw : (C, n) responses that the loss of a stage sees, drawn anew for each; None: all
    residuals : (stages,) root mean square of log pi - target less its mean, of what was realised last; nan where nothing was
    """

    number: int
    tableaus: Sequence[Tableau]
    betas: Tensor
    trained: Trained
    slots: Slots
    weights: dict[str, Snapshot]
    draw: Callable[[], Tensor | None]
    residuals: Tensor = field(init=False)

    def run(self) -> None:
        """All stages; the model then stands at `policy`.

        Raises
        ------
        NonFinite
            With iteration, stage and prompt, where a target or a loss is not finite.
        """
        self.residuals = torch.full((len(self.tableaus[0].stages),), torch.nan, dtype=torch.float64)
        self.slots.begin_iteration()
        stages = iter(enumerate(due_stages(self.tableaus, self.number)))
        start = self.weights[POLICY]
        for loop in self.tableaus[0].loops:
            members = [next(stages) for _ in loop.stages]
            answer, moving = loop.stages[-1].to, torch.ones_like(self.betas, dtype=torch.bool)
            for _ in range(loop.times):
                before, origin = self.slots.logs[answer], start if loop.times == 1 else self.weights[POLICY]
                for number, due in members:
                    if (self.number + 1) % due.stage.every == 0:
                        self._run_stage(number, due, origin, moving)
                if loop.tolerance > 0:
                    change = self.slots.logs[answer] - before
                    moving = moving & (change.amax(-1, True) - change.amin(-1, True) > loop.tolerance)
                    if not moving.any():
                        break
        self.trained.restore(self.weights[POLICY])

    def _run_stage(self, number: int, due: Due, origin: Snapshot, moving: Tensor) -> None:
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
            raise failure.at(f"iteration {self.number}, stage {number + 1} ({stage}), ") from None
        self.slots.write(stage.to, target)
        if goes_on:
            self.weights[stage.to] = self.trained.snapshot()

    def _realise(self, number: int, due: Due, target: Tensor, origin: Snapshot) -> Tensor:
        """(C, K) what the model makes of a target, from the original weights."""
        self.trained.restore(origin)
        drawn = self.draw()
        self.trained.move(Aim(target, (target - self.trained.log_probs()) / (due.rate * self.betas), drawn))
        reached = self.trained.log_probs()
        require_finite(reached, "the policy")
        self.residuals[number] = (reached - target).var(-1, correction=0).mean().sqrt()
        return reached


def slots_that_go_on(stages: Sequence[Stage], first: Iterable[str] = (POLICY,)) -> list[str]:
    """`first`, and every slot whose policy reaches one of them by copies."""
    found = list(first)
    for slot in found:
        sources = [stage.copied for stage in stages if stage.to == slot and stage.copied]
        found += [source for source in sources if source not in found and any(stage.to == source for stage in stages)]
    return found


def carried(tableau: Tableau) -> list[str]:
    """Slots that an iteration may read before it writes them: what it needs of those before it.

    Where a fit of scores starts is none of these: it ends at the same scores.
    """
    written: set[str] = set()
    found: list[str] = []
    for stage in tableau.stages:
        based = [stage.base] if stage.kind in ("gradient", "pairs", "responses") else []
        read = [*based, *([stage.source] if stage.source else []), *stage.anchor, *stage.opponent]
        found += [slot for slot in dict.fromkeys(read) if slot not in written and slot not in found]
        if stage.every == 1:
            written.add(stage.to)
    return found

"""Self-play of a language model: a tableau on the responses that it draws, iteration by iteration.

In an iteration n responses to each prompt of a batch are drawn from the policy, the judge compares them pairwise, and each prompt's
responses become the actions of a game (`scaled.pool`), on which the tableau's stages run (`scaled.iteration`). A slot that an
iteration reads before it writes it (`policy`, `reference`, `previous`, `centre`, ...) goes on as a state of the trained weights, with
LoRA the adapters'; every other, as the half point of an extragradient, exists on the responses drawn only.

A draw is a function of seed, iteration and place in the batch, so that neither how many processes there are nor where a run was
stopped changes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from algorithms.tableau import POLICY, REFERENCE, Tableau
from envs.dials import require_integer
from envs.feedback import Exact
from envs.game import Game
from envs.invalid import require
from scaled.iteration import Iteration, carried, slots_that_go_on
from scaled.language_model import LanguageModel
from scaled.learner import Learner
from scaled.network import Network
from scaled.oracle import Oracle
from scaled.oracles.judge import Judge
from scaled.policy import normalise
from scaled.pool import Pool
from scaled.prompts import Prompt, Response
from scaled.realisation import NonFinite, require_finite
from scaled.rollouts.rollout import Question, uniforms
from scaled.slots import Slots

ANCHORED = {"prox": 1, "gradient": 0, "pairs": 0}
"""What the anchors of a stage must sum to, for log mu to cancel."""


class Plan(NamedTuple):
    """What a run of self-play does.

    Attributes
    ----------
    tableau : of the method at `beta`
    beta : > 0, KL coefficient
    feedback : flips, labels and debiasing, on top of the judge
    prompts, responses : >= 1 prompts an iteration, over all processes, and >= 2 responses to each
    steps : iterations in all
    seed : of all draws
    """

    tableau: Tableau
    beta: float
    feedback: Exact
    prompts: int
    responses: int
    steps: int
    seed: int


class SelfPlay(Learner):
    """One tableau on one language model.

    Parameters
    ----------
    model : settings
    network : the model, loaded
    judge : compares responses
    plan : see there
    """

    def __init__(self, model: LanguageModel, network: Network, judge: Judge, plan: Plan) -> None:
        check(plan)
        self.judge, self.plan = judge, plan
        self.begins_with = list(dict.fromkeys([POLICY, REFERENCE, *carried(plan.tableau)]))
        kept = slots_that_go_on(plan.tableau.stages, self.begins_with)
        sizes = {"rows": len(model.prompts), "prompts": plan.prompts, "steps": plan.steps, "seed": plan.seed}
        super().__init__(model, network, kept=kept, **sizes)

    def step(self) -> dict[str, float]:
        """One iteration; returns what was seen in it.

        Raises
        ------
        NonFinite
            With iteration, stage and the dataset's rows; the weights are then those before the iteration.
        """
        before, rows = dict(self.weights), self.batches[self.iteration]
        try:
            seen = self._iterate([self.model.prompts[row] for row in rows])
        except NonFinite as failure:
            self.weights = before
            self.trained.restore(before[POLICY])
            raise failure.of(self.model.examples[rows[failure.prompt]].line, self.model.dataset) from None
        self.iteration += 1
        return seen

    def _iterate(self, prompts: Sequence[Prompt]) -> dict[str, float]:
        self.trained.rate = self.model.rate(self.iteration, self.steps)
        pool, ratios = self._draw(prompts)
        for slot, logs in ratios.items():
            self._require_finite(logs, f"a response's log-probability under {slot}")
        preference = self.network.processes.gather(self.judge.preferences(prompts[self.own], pool.responses))
        self._require_finite(preference, "the judge's word")
        start = dict.fromkeys(self.plan.tableau.slots, normalise(ratios[POLICY])) | {slot: normalise(logs) for slot, logs in ratios.items()}
        games = [Game(wins.numpy(), logs.numpy(), self.plan.beta) for wins, logs in zip(preference, start[REFERENCE], strict=True)]
        generator = torch.Generator().manual_seed(int(np.random.SeedSequence([self.plan.seed, self.iteration, 12]).generate_state(1)[0]))
        slots = Slots(Oracle(games, self.plan.feedback, generator), start)
        seen = self._seen(pool, preference, ratios)
        betas = torch.full((len(games), 1), self.plan.beta, dtype=torch.float64)
        iteration = Iteration(self.iteration, [self.plan.tableau] * len(games), betas, self.trained, slots, self.weights, lambda: None)
        iteration.run()
        self.queries, self.gradients = self.queries + slots.queries, self.gradients + slots.gradients
        return seen | {"residual": float(np.fmax.reduce(iteration.residuals.numpy())), "queries": self.queries, "gradients": self.gradients}

    def _draw(self, prompts: Sequence[Prompt]) -> tuple[Pool, dict[str, Tensor]]:
        """Responses from the policy as it is, and (C, n) log s - log mu of what goes on, mu what drew them."""
        places, count = range(self.own.start, self.own.stop), self.plan.responses
        numbers = uniforms(self.plan.seed, self.iteration, places, count, self.model.length)
        question = Question(prompts[self.own], numbers, self.model.ends, self.model.tokenizer)
        drawn = self.model.rollout.draw(self.network, question)
        responses = [[self._response(tokens) for tokens, _ in answers] for answers in drawn]
        self.policy.pool = Pool(prompts, self.own, responses, torch.zeros(len(prompts), count, dtype=torch.float64))
        logs = self._log_probs()
        known = all(log is not None for answers in drawn for _, log in answers)
        own = torch.tensor([[log for _, log in answers] for answers in drawn], dtype=torch.float64) if known else None
        log_drawn = logs[POLICY] if own is None else self.network.processes.gather(own)
        self.policy.pool = replace(self.policy.pool, log_drawn=log_drawn)
        return self.policy.pool, {slot: each - log_drawn for slot, each in logs.items()}

    def _log_probs(self) -> dict[str, Tensor]:
        """(C, n) of every slot that an iteration begins with; the model stands at `policy` again."""
        found: dict[int, Tensor] = {}
        for slot in self.begins_with:
            snapshot = self.weights[slot]
            if id(snapshot) not in found:
                self.trained.restore(snapshot)
                found[id(snapshot)] = self.policy.log_probs()
        self.trained.restore(self.weights[POLICY])
        return {slot: found[id(self.weights[slot])] for slot in self.begins_with}

    def _require_finite(self, values: Tensor, what: str) -> None:
        try:
            require_finite(values, what)
        except NonFinite as failure:
            raise failure.at(f"iteration {self.iteration}, ") from None

    def _response(self, tokens: tuple[int, ...]) -> Response:
        text = self.model.tokenizer.decode(tokens, skip_special_tokens=True)
        if self.model.allowed is None:
            return Response(tokens, text)
        number = 0
        for token in tokens:
            number = number * len(self.model.allowed) + self.model.allowed.index(token)
        return Response(tokens, text, number)

    def _seen(self, pool: Pool, preference: Tensor, ratios: dict[str, Tensor]) -> dict[str, float]:
        reference = normalise(ratios[REFERENCE]).exp()
        policy = normalise(ratios[POLICY]).exp()
        lengths = self.network.processes.gather(pool.lengths)
        wins = (policy[:, None] @ preference @ reference[..., None]).mean()
        kl = (policy * (ratios[POLICY] - ratios[REFERENCE])).sum(-1).mean()
        return {
            "kl_to_reference": float(kl),
            "win_over_reference": float(wins),
            "length": float(lengths.mean()),
            "tokens": float(lengths.sum()),
        }


def check(plan: Plan) -> None:
    """Refuse what does not fit together.

    Raises
    ------
    Invalid
        With the key at fault.
    """
    for key, least in (("prompts", 1), ("responses", 2), ("steps", 1), ("seed", 0)):
        require_integer(key, getattr(plan, key), least)
    require(isinstance(plan.feedback, Exact), "feedback", plan.feedback, "Exact(...) or Duels(...)")
    scores = {stage.to for stage in plan.tableau.stages if stage.kind == "projection"}
    places = [place for place, slot in enumerate(plan.tableau.slots) if slot not in scores]
    sums = plan.tableau.weights("anchor")[..., places].sum(-1)
    for number, stage in enumerate(plan.tableau.stages):
        if stage.kind in ANCHORED:
            wanted = ANCHORED[stage.kind]
            fits = np.allclose(sums[:, number], wanted)
            require(fits, "algorithm", str(stage), f"of anchors that sum to {wanted}, where responses are drawn")

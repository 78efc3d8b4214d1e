"""Where a stage of a tableau wants its slot to go: one function a kind, on C prompts at once.

These are the kinds of `algorithms.tableau`, not methods: a method's coefficients come from its tableau, and no method is
named here. Each function returns new logits (C, K); how a model gets there is for `scaled.realisation`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.tableau import Stage, Tableau
from envs.invalid import require
from scaled.policy import draw
from scaled.slots import Slots


@dataclass(frozen=True, eq=False)
class Due:
    """A stage with its coefficients of one iteration, a (C, 1) column each: prompts may differ in beta."""

    stage: Stage
    anchor: dict[str, Tensor]
    opponent: dict[str, Tensor]
    rate: Tensor


def due_stages(tableaus: Sequence[Tableau], iteration: int) -> list[Due]:
    """Every stage of an iteration, from one tableau a prompt."""
    slots, found = tableaus[0].slots, []
    rows = [min(iteration, tableau.length - 1) for tableau in tableaus]
    anchors, opponents = (
        torch.stack([torch.from_numpy(tableau.weights(kind)[row]) for tableau, row in zip(tableaus, rows, strict=True)])
        for kind in ("anchor", "opponent")
    )
    rates = torch.stack([torch.from_numpy(tableau.rates()[row]) for tableau, row in zip(tableaus, rows, strict=True)])
    for number, stage in enumerate(tableaus[0].stages):
        anchor = {slot: anchors[:, number, place, None] for place, slot in enumerate(slots) if slot in stage.anchor}
        opponent = {slot: opponents[:, number, place, None] for place, slot in enumerate(slots) if slot in stage.opponent}
        found.append(Due(stage, anchor, opponent, rates[:, number, None]))
    return found


def require_one_shape(tableaus: Sequence[Tableau]) -> None:
    """Refuse games at whose betas a method has different stages."""
    shapes = [
        [(loop.times, loop.tolerance, *((s.kind, s.slots, s.copied, s.samples, s.every) for s in loop.stages)) for loop in tableau.loops]
        for tableau in tableaus
    ]
    require(all(shape == shapes[0] for shape in shapes), "games", "betas", "such that the method has the same stages at each")


def prox(due: Due, slots: Slots) -> Tensor:
    """sum anchor[s] log s + rate P (sum opponent[s] s)."""
    return slots.weigh(due.anchor) + due.rate * slots.field(due.opponent)


def gradient(due: Due, slots: Slots) -> Tensor:
    """theta_base + rate p (adv - <p, adv>)."""
    base = slots.logs[due.stage.base]
    advantage = slots.weigh(due.anchor) + slots.field(due.opponent)
    probs = base.exp()
    return base + due.rate * probs * (advantage - (probs * advantage).sum(-1, keepdim=True))


def pairs(due: Due, slots: Slots) -> Tensor:
    """theta_base + rate c/(2 n) sum over n sampled pairs (y, z) of (e_y - e_z)(adv_y - adv_z), one judged opponent a pair."""
    slots.gradients, slots.queries = slots.gradients + 1, slots.queries + 1
    stage, (rival, weight), oracle = due.stage, _only(due.opponent), slots.oracle
    base = slots.logs[stage.base]
    source = slots.logs[stage.source] if stage.source else torch.zeros_like(base)
    first, second = draw(source, 2 * stage.samples, oracle.generator).chunk(2, -1)
    opponents = draw(slots.logs[rival], stage.samples, oracle.generator)
    anchor = torch.zeros_like(base) + slots.weigh(due.anchor)
    difference = weight * (oracle.judge(first, opponents) - oracle.judge(second, opponents))
    difference = difference + anchor.gather(-1, first) - anchor.gather(-1, second)
    step = due.rate * (1.0 if stage.source else base.shape[-1]) / (2 * stage.samples) * difference
    return base.scatter_add(-1, first, step).scatter_add(-1, second, -step)


def responses(due: Due, slots: Slots) -> Tensor:
    """theta_base + rate (win rate of a drawn response against the other draws - 1/2), on the responses drawn."""
    slots.gradients, slots.queries = slots.gradients + 1, slots.queries + 1
    stage, (rival, _), oracle = due.stage, _only(due.opponent), slots.oracle
    base = slots.logs[stage.base]
    drawn = draw(slots.logs[rival], stage.samples, oracle.generator)
    later, earlier = torch.tril_indices(stage.samples, stage.samples, -1)
    won = oracle.judge(drawn[:, later], drawn[:, earlier])
    wins = torch.zeros(drawn.shape, dtype=won.dtype)
    wins.index_add_(1, later, won).index_add_(1, earlier, 1 - won)
    rates = wins / (stage.samples - 1) if stage.samples > 1 else torch.full_like(wins, 0.5)
    count = torch.zeros_like(base).scatter_add(-1, drawn, torch.ones_like(rates))
    total = torch.zeros_like(base).scatter_add(-1, drawn, rates)
    return base + torch.where(count > 0, due.rate * (total / count.clamp_min(1) - 0.5), 0.0)


def projection(due: Due, slots: Slots) -> Tensor:
    """theta_base + rate (P q - S q), S_ij = sigmoid(theta_i - theta_j), both less 1/2."""
    slots.gradients += 1
    base, (rival, _) = slots.logs[due.stage.base], _only(due.opponent)
    wins = slots.win_rates(rival)
    fitted = 0.5 * torch.tanh(0.5 * (base[..., :, None] - base[..., None, :]))
    return base + due.rate * (wins - (fitted @ slots.logs[rival].exp()[..., None])[..., 0])


def mix(due: Due, slots: Slots) -> Tensor:
    """log sum_s weight[s] s, in probability space and without underflow."""
    parts = [weight.log() + slots.logs[slot] for slot, weight in due.opponent.items()]
    return torch.stack(parts).logsumexp(0)


TARGETS: dict[str, Callable[[Due, Slots], Tensor]] = {
    function.__name__: function for function in (prox, gradient, pairs, responses, projection, mix)
}
"""By the names of `algorithms.tableau.KINDS`."""


def _only(weights: dict[str, Tensor]) -> tuple[str, Tensor]:
    ((slot, weight),) = weights.items()
    return slot, weight

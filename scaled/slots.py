"""The policies that a tableau names, as cached log-probabilities, with what the judge has said of them.

Slots live in dictionaries: a slot may be called `half`, which is also a method of every torch module.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from scaled.oracle import Oracle
from scaled.policy import normalise


class Slots:
    """(C, K) log-probabilities by name; tensors are replaced and never changed, so that a state may be kept by reference.

    Win rates of a slot are asked for once and kept until the slot is written, or left alone for a whole iteration; copying
    a slot copies them. `queries` and `gradients` count what is spent.

    Parameters
    ----------
    oracle : the judge
    log_policies : the start
    """

    def __init__(self, oracle: Oracle, log_policies: dict[str, Tensor]) -> None:
        self.oracle, self.logs = oracle, dict(log_policies)
        self.wins: dict[str, Tensor] = {}
        self.written: set[str] = set()
        self.queries = self.gradients = 0

    def begin_iteration(self) -> None:
        """Forget what was said of slots that the last iteration left alone."""
        self.wins = {slot: wins for slot, wins in self.wins.items() if slot in self.written}
        self.written = set()

    def write(self, slot: str, logits: Tensor) -> None:
        """The policy with these logits enters a slot."""
        self.logs[slot] = normalise(logits)
        self.wins.pop(slot, None)
        self.written.add(slot)

    def copy(self, slot: str, source: str) -> None:
        """A policy enters another slot, with what is known of it."""
        self.logs[slot] = self.logs[source]
        self.wins.pop(slot, None)
        if source in self.wins:
            self.wins[slot] = self.wins[source]
        self.written.add(slot)

    def win_rates(self, slot: str) -> Tensor:
        """(C, K) win rates less 1/2 against a slot, for one query unless they are known."""
        if slot not in self.wins:
            self.wins[slot] = self.oracle.win_rates(self.logs[slot])
            self.queries += 1
        return self.wins[slot]

    def weigh(self, weights: dict[str, Tensor]) -> Tensor | float:
        """sum_s weights[s] log s."""
        return sum((weight * self.logs[slot] for slot, weight in weights.items()), start=0.0)

    def field(self, weights: dict[str, Tensor]) -> Tensor | float:
        """sum_s weights[s] (win rates against s), for one gradient evaluation; a slot of weight 0 is not asked about."""
        met = {slot: weight for slot, weight in weights.items() if weight.any()}
        self.gradients += bool(met)
        return sum((weight * self.win_rates(slot) for slot, weight in met.items()), start=0.0)

    def state_dict(self) -> dict[str, Any]:
        """All of it but the judge."""
        kept = {"logs": dict(self.logs), "wins": dict(self.wins), "written": sorted(self.written)}
        return kept | {"queries": self.queries, "gradients": self.gradients}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over such a state."""
        self.logs, self.wins, self.written = dict(state["logs"]), dict(state["wins"]), set(state["written"])
        self.queries, self.gradients = state["queries"], state["gradients"]

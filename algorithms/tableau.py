"""A method as a table of stages over named policies, executed by one loop (`algorithms/kernel.py`).

Slots are policies with names: `reference` starts at the game's reference, every other slot at the start policy. In one
iteration the stages run in order:

    prox        log to  =  normalise( sum_s anchor[s] log s  +  rate P (sum_s opponent[s] s) )
    gradient    theta_to = theta_base + rate p * (adv - <p, adv>),  p = softmax theta_base,
                adv = P (sum_s opponent[s] s) + sum_s anchor[s] log s
    pairs       the same field adv, met by sampling: theta_to = theta_base + rate c/(2 n) sum over n pairs (y, y') of
                (e_y - e_y') (adv_y - adv_y'), where P q is replaced by one judged opponent y'' ~ q a pair. Uniform pairs, c = K:
                in expectation theta_base + rate (adv - mean adv), which with base policy and anchor -beta log policy + beta
                log reference is a prox stage with pull rate * beta. Pairs from a slot p, c = 1: in expectation a gradient
                stage, theta_base + rate p * (adv - <p, adv>).
    responses   n actions drawn from one opponent slot, each judged against the others: theta_to = theta_base + rate (mean win
                rate - 1/2) on the actions that were drawn
    projection  theta_to = theta_base + rate (P q - S q), S_ij = sigmoid(theta_i - theta_j): repeated at rate 4 on one slot of scores, it
                fits a Bradley-Terry model to P under q x q
    mix         to  =  sum_s opponent[s] s        in probability space

`anchor` weighs log-probabilities (a geometric mixture), `opponent` weighs probabilities and may be negative except in a
mix. Coefficients may be schedules over iterations. Win rates of a slot are asked for once and kept until that slot is
written: a stage that meets an opponent it has already asked about spends no query, and copying a policy copies them. A slot
that an iteration leaves alone is asked about anew in the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from algorithms.symbol import Coefficient, Symbol, as_symbol
from envs.invalid import require

REFERENCE, POLICY = "reference", "policy"
KINDS = ("prox", "gradient", "pairs", "responses", "projection", "mix")
SAMPLED = ("pairs", "responses")
Weights = Mapping[str, Coefficient]


@dataclass(frozen=True)
class Stage:
    """One line of a tableau; use the function named after its kind (or `copy`) to write one.

    Parameters
    ----------
    kind : one of KINDS
    to : slot that is written
    anchor : weights of log-probabilities, by slot
    opponent : weights of probabilities, by slot (in a mix: the mixture)
    rate : step on the win rates
    base : slot whose logits are moved, in all but prox and mix stages; `to` when empty
    source : slot that a pairs stage draws its pairs from; uniform when empty
    samples : pairs or responses drawn
    every : the stage runs in iterations every-1, 2 every-1, ... (counted from 0)
    """

    kind: str
    to: str
    anchor: Weights = field(default_factory=dict)
    opponent: Weights = field(default_factory=dict)
    rate: Coefficient = 0.0
    base: str = ""
    source: str = ""
    samples: int = 0
    every: int = 1

    def __post_init__(self) -> None:
        require(self.kind in KINDS, "kind", self.kind, f"one of {', '.join(KINDS)}")
        require(_counts(self.every), "every", self.every, "an integer >= 1")
        require(self.kind not in SAMPLED or _counts(self.samples), "samples", self.samples, "an integer >= 1")
        single = self.kind in ("prox", "gradient", "mix") or len(self.opponent) == 1
        require(single, "opponent", list(self.opponent), f"one slot in a {self.kind} stage")
        object.__setattr__(self, "base", self.base or self.to)

    @property
    def copied(self) -> str | None:
        """The slot that this stage merely copies, if it does."""
        if self.kind == "prox" and not self.opponent and len(self.anchor) == 1:
            ((slot, weight),) = self.anchor.items()
            return slot if np.all(as_symbol(weight).value == 1.0) else None
        return None

    @property
    def asks(self) -> tuple[str, ...]:
        """Slots whose win rates the stage needs."""
        return () if self.kind == "mix" else tuple(self.opponent)

    @property
    def gradients(self) -> int:
        """Gradient evaluations that one run of the stage spends."""
        return int(bool(self.asks))

    @property
    def slots(self) -> tuple[str, ...]:
        """Every slot that the stage reads or writes."""
        return (self.to, self.base, *([self.source] if self.source else []), *self.anchor, *self.opponent)

    def __str__(self) -> str:
        wins = _sum(self.opponent)
        wins = f"P ({wins})" if len(self.opponent) > 1 or not wins.isidentifier() else f"P {wins}"
        condition = f"   [every {self.every} iterations]" if self.every > 1 else ""
        if self.copied:
            return f"{self.to} <- {self.copied}{condition}"
        if self.kind == "mix":
            return f"{self.to} = {_sum(self.opponent)}{condition}"
        if self.kind == "prox":
            factors = [_power(slot, weight) for slot, weight in self.anchor.items()]
            factors += [f"exp({as_symbol(self.rate)._at(1)} {wins})"] if self.opponent else []
            return f"{self.to} ∝ {' · '.join(factors)}{condition}"
        field_ = " + ".join([wins, *(f"{as_symbol(weight)._at(1)} log {slot}" for slot, weight in self.anchor.items())])
        field_ = field_.replace("+ -", "- ")
        rate = as_symbol(self.rate)._at(1)
        drawn = f"y, y' ~ {self.source or 'uniform'}"
        step = {
            "gradient": f"{rate} {self.base}∘(adv - <{self.base}, adv>),  adv = {field_}",
            "pairs": f"{rate} {'' if self.source else 'K '}mean of {self.samples} (e_y - e_y')(adv_y - adv_y')/2, {drawn},  adv = {field_}",
            "responses": f"{rate} (wins - 1/2) on {self.samples} responses from {next(iter(self.opponent), '')}",
            "projection": f"{rate} ({wins} - σ(θ_{self.base}) {next(iter(self.opponent), '')})",
        }[self.kind]
        return f"θ_{self.to} = θ_{self.base} + {step}{condition}"


def prox(to: str, *, anchor: Weights, opponent: str | Weights | None = None, rate: Coefficient = 0.0, every: int = 1) -> Stage:
    """log to = normalise(sum anchor[s] log s + rate P (sum opponent[s] s))."""
    return Stage("prox", to, anchor=dict(anchor), opponent=_weights(opponent), rate=rate, every=every)


def copy(to: str, source: str, *, every: int = 1) -> Stage:
    """to <- source, with the win rates already known of it."""
    return prox(to, anchor={source: 1.0}, every=every)


def gradient(to: str, *, opponent: str | Weights, anchor: Weights, rate: Coefficient, base: str = "", every: int = 1) -> Stage:
    """theta_to = theta_base + rate p * (adv - <p, adv>), a softmax policy-gradient step."""
    return Stage("gradient", to, anchor=dict(anchor), opponent=_weights(opponent), rate=rate, base=base, every=every)


def pairs(
    to: str, *, opponent: str, anchor: Weights, rate: Coefficient, samples: int, base: str = "", source: str = "", every: int = 1
) -> Stage:
    """The stochastic online-IPO step from `samples` pairs, uniform or from a slot; only sampled actions move."""
    slots = {"base": base, "source": source}
    return Stage("pairs", to, anchor=dict(anchor), opponent=_weights(opponent), rate=rate, samples=samples, every=every, **slots)


def responses(to: str, *, opponent: str, rate: Coefficient, samples: int, base: str = "", every: int = 1) -> Stage:
    """theta_to = theta_base + rate (win rate among `samples` responses drawn from opponent - 1/2), on those drawn."""
    return Stage("responses", to, opponent=_weights(opponent), rate=rate, samples=samples, base=base, every=every)


def projection(to: str, *, opponent: str, rate: Coefficient, base: str = "", every: int = 1) -> Stage:
    """theta_to = theta_base + rate (P q - sigmoid(theta_i - theta_j) q): a step towards Bradley-Terry scores."""
    return Stage("projection", to, opponent=_weights(opponent), rate=rate, base=base, every=every)


def mix(to: str, weight: Weights, *, every: int = 1) -> Stage:
    """to = sum weight[s] s, in probability space (weights non-negative)."""
    return Stage("mix", to, opponent=dict(weight), every=every)


@dataclass(frozen=True)
class Loop:
    """Stages repeated within an iteration.

    Parameters
    ----------
    stages : the stages, in order
    times : how often at most, >= 1
    tolerance : stop once a pass changes the log-probabilities of the last stage's slot by a span of at most this; 0 = never
    """

    stages: tuple[Stage, ...]
    times: int
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        require(self.stages, "stages", self.stages, "at least one stage")
        require(_counts(self.times), "times", self.times, "an integer >= 1")
        require(self.tolerance >= 0, "tolerance", self.tolerance, "a number >= 0")


@dataclass(frozen=True, init=False)
class Tableau:
    """A method at one beta: its loops of stages, and the slot that it returns.

    Parameters
    ----------
    stages : Stage or Loop, in order
    returns : name of the slot that is the method's answer
    """

    loops: tuple[Loop, ...]
    returns: str = POLICY

    def __init__(self, *stages: Stage | Loop, returns: str = POLICY):
        require(stages, "stages", "()", "at least one stage")
        object.__setattr__(self, "loops", tuple(s if isinstance(s, Loop) else Loop((s,), 1) for s in stages))
        object.__setattr__(self, "returns", returns)
        require(returns in self.slots, "returns", returns, f"one of the slots {', '.join(self.slots)}")
        for stage in self.stages:
            tables = [table.value for table in _tables(stage)]
            shaped = all(table.ndim <= 1 and table.size for table in tables)
            require(shaped, f"coefficients of {stage.to}", [table.shape for table in tables], "numbers, or schedules of one axis")
            require(all(np.isfinite(table).all() for table in tables), f"coefficients of {stage.to}", stage, "finite")
            positive = stage.kind != "mix" or all((as_symbol(weight).value >= 0).all() for weight in stage.opponent.values())
            require(positive, f"weights of {stage.to}", stage, "non-negative in a mix")

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All stages, flat."""
        return tuple(stage for loop in self.loops for stage in loop.stages)

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of all slots, the reference first."""
        named = [slot for stage in self.stages for slot in stage.slots]
        return tuple(dict.fromkeys([REFERENCE, POLICY, *named]))

    @property
    def length(self) -> int:
        """Iterations after which every coefficient is constant."""
        return max(table.value.size for stage in self.stages for table in _tables(stage))

    @property
    def residual_controlled(self) -> bool:
        """Whether a loop stops on its residual."""
        return any(loop.tolerance > 0 for loop in self.loops)

    def spending(self) -> list[tuple[int, int]]:
        """(preference queries, gradient evaluations) of one run of each stage, once the method is under way."""
        known: set[str] = set()
        for _ in range(2):
            known &= {stage.to for stage in self.stages}
            spent = []
            for stage in self.stages:
                new = set(stage.asks) - known
                if stage.kind in SAMPLED:  # judges single actions: always a query, never a slot's win rates
                    new = set(stage.asks)
                else:
                    known |= new
                known -= {stage.to}
                if stage.copied in known:
                    known |= {stage.to}
                spent.append((len(new), stage.gradients))
        return spent

    def weights(self, kind: str) -> NDArray:
        """(length, stages, slots) array of the `anchor` or `opponent` weights."""
        index = {slot: number for number, slot in enumerate(self.slots)}
        table = np.zeros((self.length, len(self.stages), len(index)))
        for number, stage in enumerate(self.stages):
            for slot, weight in getattr(stage, kind).items():
                table[:, number, index[slot]] = _schedule(weight, self.length)
        return table

    def rates(self) -> NDArray:
        """(length, stages) array of the rates."""
        return np.stack([_schedule(stage.rate, self.length) for stage in self.stages], axis=1)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for loop in self.loops:
            indent = ""
            if loop.times > 1:
                until = f" or until the change is <= {loop.tolerance:g}" if loop.tolerance else ""
                yield f"{loop.times} times{until}:"
                indent = "    "
            yield from (f"{indent}{stage}" for stage in loop.stages)
        if self.returns != POLICY:
            yield f"returns {self.returns}"


def _counts(number: object) -> bool:
    return isinstance(number, int | np.integer) and not isinstance(number, bool) and bool(number >= 1)


def _weights(slots: str | Weights | None) -> dict[str, Coefficient]:
    return {slots: 1.0} if isinstance(slots, str) else dict(slots or {})


def _tables(stage: Stage) -> Iterator[Symbol]:
    for value in (stage.rate, *stage.anchor.values(), *stage.opponent.values()):
        yield as_symbol(value)


def _schedule(value: Coefficient, length: int) -> NDArray:
    table = np.atleast_1d(as_symbol(value).value)
    return np.concatenate([table, np.full(length - len(table), table[-1])])


def _power(slot: str, weight: Coefficient) -> str:
    text = str(as_symbol(weight))
    return slot if text == "1" else f"{slot}^({text})" if not text.isalnum() else f"{slot}^{text}"


def _sum(weights: Weights) -> str:
    terms = [slot if str(as_symbol(weight)) == "1" else f"{as_symbol(weight)._at(1)} {slot}" for slot, weight in weights.items()]
    return " + ".join(terms).replace("+ (-1) ", "- ").replace("+ -", "- ")

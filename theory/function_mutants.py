"""Wrong equilibria, divergences, metrics, averages and estimators, and how they take the place of the right ones in a check.

A claim's code calls these functions by name. A mutant stands where the name is looked up: in the modules of `theory`, in the
module that holds the original, and in the claim's fields.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.comparisons import Comparisons
from envs.divergence import kl, log_normalise
from envs.equilibrium import nash, regularised_nash
from envs.game import Game
from envs.pair_truth import objective, regularised_gap
from envs.pairs import Pairs
from simlab.metrics import exploitability
from simlab.run import Run, simulate
from theory.claim import Claim, Instance
from theory.online_ipo_gradients import gradient_1, gradient_2
from theory.pair_statistics import minimiser

Function = Callable[..., Any]
Change = Callable[[Function], Function]


@dataclass(frozen=True, eq=False)
class Ingredient:
    """A function that claims are checked with, and its mutants by what they change.

    Parameters
    ----------
    name : what it computes
    function : the right one
    changes : from the right function to a wrong one
    call : (function, instance) -> its value there, for telling whether two are the same; None where it is no function of games
    measures : beginning of the measures that a claim must ask a run for, or have code that names `reads`; None: it need only call
    reads : an attribute of the run
    """

    name: str
    function: Function
    changes: Mapping[str, Change]
    call: Callable[[Function, Instance], Any] | None = None
    measures: str | None = None
    reads: str = ""


def scaled(factor: float) -> Change:
    """A multiple."""
    return lambda function: lambda *given, **named: factor * function(*given, **named)


def at(change: Callable[[Game], Game]) -> Change:
    """The same of a changed game."""
    return lambda function: lambda game: function(change(game))


def transposed(game: Game) -> Game:
    """Winners and losers exchanged."""
    return replace(game, preference=game.preference.T)


def with_uniform_reference(game: Game) -> Game:
    """Pulled to the uniform policy."""
    return replace(game, log_reference=np.full(game.actions, -np.log(game.actions)))


def at_twice_beta(function: Function) -> Function:
    """An exploitability at twice the beta that was meant."""

    def wrong(game: Game | Sequence[Game], log_policy: NDArray, beta: Any = None) -> NDArray:
        own = [one.beta for one in game] if not isinstance(game, Game) else game.beta
        return function(game, log_policy, 2 * np.asarray(own if beta is None else beta))

    return wrong


def of_the_original_game(function: Function) -> Function:
    """An exploitability at beta = 0."""
    return lambda game, log_policy, beta=None: function(game, log_policy, 0.0)


def halving_measures(function: Function) -> Function:
    """Half of all that a run measures."""

    def wrong(*given: Any, **named: Any) -> Run:
        run = function(*given, **named)
        return replace(run, measured={name: values / 2 for name, values in run.measured.items()})

    return wrong


def last_for_average(function: Function) -> Function:
    """The last iterate in the average's place."""

    def wrong(*given: Any, measure: Sequence[str] = (), **named: Any) -> Run:
        run = function(*given, measure=tuple(name.removeprefix("average_") for name in measure), **named)
        measured = {name: run.measured[name.removeprefix("average_")] for name in measure}
        return replace(run, log_average=run.log_policy, measured=measured)

    return wrong


def shifted_average(function: Function) -> Function:
    """The mean of p_1 .. p_T for that of p_0 .. p_(T-1): the average of a run that starts at p_1."""

    def wrong(*given: Any, **named: Any) -> Run:
        right = function(*given, **named)
        first = function(*given, **{**named, "steps": 1, "record": [1], "measure": (), "slots": ("policy",)}).log_policy
        games = 1 if isinstance(given[0], Game) else len(given[0])
        starts = first.reshape(games, -1, first.shape[-1])
        later = function(*given, **{**named, "start": starts})
        averaged = {name: (later if name.startswith("average_") else right).measured[name] for name in right.measured}
        return replace(right, log_average=later.log_average, measured=averaged)

    return wrong


def geometric_average(function: Function) -> Function:
    """The mean of log-probabilities, of runs of which every iterate is kept."""

    def wrong(*given: Any, **named: Any) -> Run:
        run = function(*given, **named)
        if named.get("record") != "every" or not run.log_policy.size:
            return run
        total = np.cumsum(run.log_policy, axis=1)[:, :-1] / np.arange(1, len(run.steps))[:, None]
        return replace(run, log_average=log_normalise(np.concatenate([run.log_policy[:, :1], total], axis=1)))

    return wrong


def on(change: Callable[[Pairs, Comparisons], Comparisons]) -> Change:
    """An estimator on changed data."""
    return lambda function: lambda loss, world, sample: function(loss, world, change(world, sample))


def flipped_again(world: Pairs, sample: Comparisons) -> Comparisons:
    """Labels flipped once more, in expectation."""
    flip, wins, losses = world.rows.rates[0], sample.wins, sample.losses
    return replace(sample, wins=(1 - flip) * wins + flip * losses, losses=(1 - flip) * losses + flip * wins)


def _gradient(function: Function, instance: Instance) -> NDArray:
    """At the start, pairs from the reference."""
    return function(instance.game, instance.start, np.exp(instance.game.log_reference))


VALUES: Mapping[str, Change] = {
    "halved": scaled(0.5),
    "doubled": scaled(2.0),
    "of the reference": lambda function: lambda world, log_policy: function(world, world.log_reference),
    "at twice beta": lambda function: lambda world, log_policy: function(replace(world, beta=2 * world.beta), log_policy),
}

GRADIENTS: Mapping[str, Change] = {
    "halved": scaled(0.5),
    "negated": scaled(-1.0),
    "of the transposed game": lambda function: lambda game, policy, pairs: function(transposed(game), policy, pairs),
    "at twice beta": lambda function: lambda game, policy, pairs: function(game.with_beta(2 * game.beta), policy, pairs),
    "with a uniform reference": lambda function: lambda game, policy, pairs: function(with_uniform_reference(game), policy, pairs),
}

EQUILIBRIA: Mapping[str, Change] = {
    "at twice beta": at(lambda game: game.with_beta(2 * game.beta)),
    "at a hundredth of beta": at(lambda game: game.with_beta(game.beta / 100)),
    "of the transposed game": at(transposed),
    "with a uniform reference": at(with_uniform_reference),
    "the reference": lambda function: lambda game: game.log_reference,
}

INGREDIENTS = (
    Ingredient("the regularised equilibrium", regularised_nash, EQUILIBRIA, lambda function, instance: function(instance.game)),
    Ingredient(
        "an equilibrium of the original game",
        nash,
        {
            "of the transposed game": at(transposed),
            "the uniform policy": lambda function: lambda game: np.full(game.actions, 1 / game.actions),
            "the reference": lambda function: lambda game: np.exp(game.log_reference),
        },
        lambda function, instance: function(instance.game),
    ),
    Ingredient(
        "the divergence",
        kl,
        {"reversed": lambda function: lambda p, q: function(q, p), "halved": scaled(0.5), "doubled": scaled(2.0)},
        lambda function, instance: function(instance.start, instance.equilibrium),
    ),
    Ingredient(
        "exploitability",
        exploitability,
        {
            "halved": scaled(0.5),
            "the duality gap": scaled(2.0),
            "at twice beta": at_twice_beta,
            "at beta = 0": of_the_original_game,
        },
        lambda function, instance: function(instance.game, instance.start),
    ),
    Ingredient(
        "the average of a run",
        simulate,
        {
            "the last iterate for the average": last_for_average,
            "the average one iteration late": shifted_average,
            "a geometric average": geometric_average,
        },
        measures="average_",
        reads="log_average",
    ),
    Ingredient("the measures of a run", simulate, {"halved": halving_measures}, measures="", reads="measured"),
    Ingredient("the gradient of online IPO, version 1", gradient_1, GRADIENTS, _gradient),
    Ingredient("the gradient of online IPO, version 2", gradient_2, GRADIENTS, _gradient),
    Ingredient("the value of a policy on labelled pairs", objective, VALUES),
    Ingredient("the gap of a policy on labelled pairs", regularised_gap, VALUES),
    Ingredient(
        "the fit to labelled pairs",
        minimiser,
        {
            "beta missing": on(lambda world, sample: replace(sample, features=sample.features / world.beta)),
            "beta squared": on(lambda world, sample: replace(sample, features=sample.features * world.beta)),
            "reference dropped": lambda function: lambda loss, world, sample: function(loss, world, sample) - world.theta0,
            "labels flipped twice": on(flipped_again),
            "labels swapped": on(lambda world, sample: replace(sample, wins=sample.losses, losses=sample.wins)),
        },
    ),
)


@contextmanager
def standing_in(function: Function, other: Function, claim: Claim) -> Iterator[Claim]:
    """While it lasts, what the code of claims calls `function` is `other`; gives the claim with `other` in its fields."""
    spaces = [vars(module) for name, module in sys.modules.items() if name.startswith("theory.") and name != __name__]
    spaces.append(vars(sys.modules[function.__module__]))
    places = [(space, name) for space in spaces for name, held in space.items() if held is function]
    given: dict[str, Any] = {field.name: other for field in fields(claim) if getattr(claim, field.name) is function}
    try:
        for space, name in places:
            space[name] = other
        yield replace(claim, **given)
    finally:
        for space, name in places:
            space[name] = function

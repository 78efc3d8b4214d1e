"""What claims are about: methods, pair losses, and the functions that checks are made with; each with its mutants.

A method or a loss is found in the fields of a claim. Its mutants are made from the tableau, or the loss, that the claim's own code
makes of it, and take its place in that field. A function is found by running the claim, and replaced where its code looks it up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, fields, replace
from typing import Any

from algorithms.pair_loss import PairLoss
from algorithms.tableau import Tableau
from envs.invalid import Invalid
from simlab.claim_methods import behind, says
from simlab.run import Method
from theory.agreement import same_function, same_method
from theory.claim import Claim, Instance
from theory.function_mutants import INGREDIENTS, Ingredient, standing_in
from theory.instances import BETAS
from theory.loss_mutants import of_loss, same_loss
from theory.mutants import Mutant
from theory.mutations import of_tableau
from theory.refusal import KINDS, refuses

Making = Callable[..., Any]


@dataclass(eq=False)
class Court:
    """A claim about an original.

    Attributes
    ----------
    claim : Claim
    subjects : those it applies to
    place : the field that holds the original; empty where it is looked up by name
    accepts : whether the claim does not refuse the original itself; None until asked
    """

    claim: Claim
    subjects: Sequence[Any]
    place: str = ""
    accepts: bool | None = None


@dataclass(eq=False)
class Original(ABC):
    """Something right, its mutants by name, and the claims about it."""

    name: str
    changes: dict[str, Any]
    courts: list[Court] = field(default_factory=list)

    @abstractmethod
    def put(self, court: Court, change: Any) -> AbstractContextManager[Claim]:
        """The claim with a mutant in the original's place."""

    @abstractmethod
    def equivalent(self, change: Any) -> bool:
        """Whether a mutant does what the original does, as the claims that were asked have used it."""

    def recorded(self, court: Court) -> Claim:
        """The claim, which notes for `equivalent` how it uses the original."""
        return court.claim

    def accepted(self, court: Court) -> bool:
        """Whether a claim does not refuse the original itself."""
        if court.accepts is None:
            court.accepts = not refuses(self.recorded(court), court.subjects)
        return court.accepts

    def refused(self, court: Court, change: Any) -> bool | None:
        """Whether a claim refuses a mutant; None where it says nothing of it.

        Raises
        ------
        Invalid
            If the mutant cannot be made for it.
        """
        with self.put(court, change) as claim:
            return refuses(claim, court.subjects)


class Spied(Exception):
    """Carries what a claim has made."""


@dataclass(eq=False)
class MadeMethod:
    """A method that tells each tableau that is asked of it."""

    method: Method
    tell: Callable[[Method, float, Tableau], None]

    @property
    def target(self) -> str:
        return self.method.target

    def tableau(self, beta: float, *, steps: int, actions: int) -> Tableau:
        made = self.method.tableau(beta, steps=steps, actions=actions)
        self.tell(self.method, beta, made)
        return made


@dataclass(eq=False)
class OriginalMethod(Original):
    """A method, by its tableau; `made` are the methods that claims have run, each with its beta."""

    made: set[tuple[Method, float]] = field(default_factory=set)

    def put(self, court: Court, change: Any) -> AbstractContextManager[Claim]:
        return nullcontext(_remade(court, lambda method: Mutant(method, change)))

    def recorded(self, court: Court) -> Claim:
        return _remade(court, lambda method: MadeMethod(method, lambda one, beta, _: self.made.add((one, beta))))

    def equivalent(self, change: Any) -> bool:
        return bool(self.made) and all(_same(method, Mutant(method, change), beta) for method, beta in self.made)


def _same(method: Method, mutant: Method, beta: float) -> bool:
    try:
        return same_method(method, mutant, beta)
    except Invalid:
        return False


@dataclass(eq=False)
class OriginalLoss(Original):
    """A pair loss; `made` are those that claims have made."""

    made: set[PairLoss] = field(default_factory=set)

    def put(self, court: Court, change: Any) -> AbstractContextManager[Claim]:
        return nullcontext(_remade(court, change))

    def recorded(self, court: Court) -> Claim:
        def note(loss: PairLoss) -> PairLoss:
            self.made.add(loss)
            return loss

        return _remade(court, note)

    def equivalent(self, change: Any) -> bool:
        try:
            return bool(self.made) and all(same_loss(change(loss), loss) for loss in self.made)
        except Invalid:
            return False


@dataclass(eq=False)
class OriginalFunction(Original):
    """A function that checks are made with."""

    ingredient: Ingredient | None = None

    def put(self, court: Court, change: Any) -> AbstractContextManager[Claim]:
        assert self.ingredient
        return standing_in(self.ingredient.function, change(self.ingredient.function), court.claim)

    def refused(self, court: Court, change: Any) -> bool | None:
        return super().refused(replace(court, subjects=_afresh(court.subjects)), change)

    def equivalent(self, change: Any) -> bool:
        assert self.ingredient
        function = self.ingredient.function
        return self.ingredient.call is not None and same_function(function, change(function), self.ingredient.call, BETAS)


def _remade(court: Court, change: Callable[[Any], Any]) -> Claim:
    """The claim whose field makes something changed."""
    make: Making = getattr(court.claim, court.place)
    changed: dict[str, Any] = {court.place: lambda *given, **named: change(make(*given, **named))}
    return replace(court.claim, **changed)


def _afresh(subjects: Sequence[Any]) -> list[Any]:
    """Subjects that remember no equilibrium."""
    return [replace(subject) for subject in subjects]


def originals(claims: Sequence[Claim], subjects: Sequence[Any]) -> list[Original]:
    """Everything that the claims are about, each with the claims about it, exact ones first."""
    found: dict[Any, Original] = {}
    for claim in sorted(claims, key=lambda claim: (KINDS.index(claim.kind), claim.id)):
        own = [subject for subject in subjects if isinstance(subject, claim.subject) and claim.applies(subject)]
        if own:
            for key, original, place in (*_in_fields(claim, own), *_by_name(claim, own)):
                known = found.setdefault(key, original)
                known.changes |= original.changes
                known.courts.append(Court(claim, own, place))
    return sorted(found.values(), key=lambda original: (type(original).__name__ != "OriginalMethod", original.name))


def _in_fields(claim: Claim, subjects: Sequence[Any]) -> Iterator[tuple[Any, Original, str]]:
    """Methods and losses that fields make."""
    for place in (each.name for each in fields(claim)):
        names = behind(getattr(claim, place))
        made = _specimen(Court(claim, subjects, place)) if len(names) == 1 else None
        if isinstance(made, Tableau):
            shape = f"{names[0]}, {len(made.stages)} stages" if len(made.stages) > 1 else names[0]
            yield (names[0], *_skeleton(made)), OriginalMethod(shape, of_tableau(made)), place
        elif made is not None:
            yield names[0], OriginalLoss(names[0], of_loss(made)), place


def _skeleton(tableau: Tableau) -> tuple[Any, ...]:
    """What mutants of a tableau depend on."""
    return tuple((stage.kind, stage.to, *stage.anchor, "", *stage.opponent, stage.every) for stage in tableau.stages)


def _specimen(court: Court) -> Any:
    """The first tableau or loss that a claim makes; None where it makes neither."""

    def caught(made: Any) -> Any:
        def tell(method: Method, beta: float, tableau: Tableau) -> None:
            raise Spied(tableau)

        if hasattr(made, "tableau"):
            return MadeMethod(made, tell)
        if hasattr(made, "slope"):
            raise Spied(made)
        return made

    try:
        next(iter(_remade(court, caught).findings(court.subjects[:1])), None)
    except Spied as found:
        return found.args[0]
    return None


def _by_name(claim: Claim, subjects: Sequence[Any]) -> Iterator[tuple[Any, Original, str]]:
    """Functions that are in a field, or are called, on games, before the first finding."""
    held = [getattr(claim, each.name) for each in fields(claim)]
    called = _called(claim, subjects) if claim.subject is Instance else set()
    for ingredient in INGREDIENTS:
        if ingredient.name in called or any(thing is ingredient.function for thing in held):
            yield ingredient.name, OriginalFunction(ingredient.name, dict(ingredient.changes), ingredient=ingredient), ""


def _called(claim: Claim, subjects: Sequence[Any]) -> set[str]:
    """Names of ingredients that a claim calls."""
    called: set[str] = set()

    def noting(function: Callable[..., Any]) -> Callable[..., Any]:
        alike = [ingredient for ingredient in INGREDIENTS if ingredient.function is function]

        def noted(*given: Any, **named: Any) -> Any:
            called.update(ingredient.name for ingredient in alike if _asked(ingredient, claim, named))
            return function(*given, **named)

        return noted

    with ExitStack() as stack:
        spied = claim
        for function in {ingredient.function for ingredient in INGREDIENTS}:
            spied = stack.enter_context(standing_in(function, noting(function), spied))
        next(iter(spied.findings(_afresh(subjects[:1]))), None)
    return called


def _asked(ingredient: Ingredient, claim: Claim, named: Mapping[str, Any]) -> bool:
    """Whether a call is one that the ingredient's mutants change."""
    if ingredient.measures is None:
        return True
    return any(name.startswith(ingredient.measures) for name in named.get("measure", ())) or says(claim, ingredient.reads)

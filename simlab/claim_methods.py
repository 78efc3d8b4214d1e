"""Which methods a claim puts to the test: those of conf/algorithm that its fields hold, or that its own code names."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import fields
from functools import cache, partial
from types import CodeType
from typing import Any

from hydra.utils import get_class
from omegaconf import OmegaConf

from simlab import catalogue
from theory.claim import Claim


def methods(claim: Claim) -> list[str]:
    """Names in conf/algorithm of the methods that a claim makes or is given, in order; none for an identity of games."""
    return _named(list(_met(claim)))


def behind(thing: Any) -> list[str]:
    """Names of the methods that a field's value is, is bound to, or names in its code."""
    return _named(list(_behind(thing)))


def _named(met: list[Any]) -> list[str]:
    return sorted(name for kind, name in _known().items() if any(thing is kind or type(thing) is kind for thing in met))


@cache
def _known() -> dict[type, str]:
    """The class of each method."""
    names = catalogue.groups()["algorithm"]
    return {get_class(OmegaConf.load(catalogue.CONF / "algorithm" / f"{name}.yaml")._target_): name for name in names}


def _met(claim: Claim) -> Iterator[Any]:
    """What the fields hold, and what the functions of the claim's classes refer to."""
    names = {field.name for field in fields(claim)}
    for name in names:
        yield from _behind(getattr(claim, name))
    for kind in type(claim).__mro__:
        for name, thing in vars(kind).items():
            if inspect.isfunction(thing) and name not in names:
                yield from _behind(thing)


def says(claim: Claim, word: str) -> bool:
    """Whether the code of the claim's classes, with what is inside it, refers to a name or an attribute."""
    functions = (thing for kind in type(claim).__mro__ for thing in vars(kind).values() if inspect.isfunction(thing))
    return any(word in _names(function.__code__) for function in functions)


def _behind(thing: Any) -> Iterator[Any]:
    """A thing, what it is bound to or part of, and, of a function, the globals that its code names."""
    if inspect.ismethod(thing):
        yield thing.__self__
    elif isinstance(thing, partial):
        yield thing.func
    elif inspect.isfunction(thing):
        yield from (thing.__globals__[name] for name in _names(thing.__code__) if name in thing.__globals__)
    else:
        yield thing


def _names(code: CodeType) -> Iterator[str]:
    """Names that code refers to, with those of functions inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)

"""The oracle that is a Python function: rules, a remote judge, anything that can be called."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from envs.game import Game
from envs.invalid import Invalid, require
from scaled.oracles.judge import Distinct, judged, triangles
from scaled.prompts import Prompt, Response
from simlab.refusal import sentence

Asked = tuple[Distinct, int, int]


@dataclass(frozen=True)
class Function:
    """P(y over z | x) = (f(x, y, z) + 1 - f(x, z, y)) / 2, f what a function says of the first of two responses.

    f(prompts, first, second) takes three lists of one length, of prompts (a text, or a tuple of messages with role and content)
    and of texts, and gives as many probabilities that the first is preferred. It is called once an iteration and batch of prompts,
    with every two distinct texts in both orders. These are averaged in probability, not in logits, since an answer may be 0 or 1,
    whose logit is infinite.

    Parameters
    ----------
    function : `package.module:name`, or `folder/file.py:name`

    Raises
    ------
    Invalid
        For any other value; when opened, for a function that cannot be found; when asked, with the first bad answer.
    """

    function: str

    enumerable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        home, _, name = str(self.function).rpartition(":")
        written = isinstance(self.function, str) and home and name.isidentifier()
        require(written, "function", self.function, "written package.module:name or folder/file.py:name")

    def open(self, device: torch.device, games: Sequence[Game] | None) -> Answers:
        """Import the function."""
        del device, games
        home, _, name = self.function.rpartition(":")
        try:
            module = _run(Path(home)) if home.endswith(".py") else importlib.import_module(home)
            found = getattr(module, name)
        except Exception as error:  # a module may raise what it likes
            raise Invalid("function", self.function, f"a function that can be imported ({_said(error)})") from None
        require(callable(found), "function", self.function, f"a function: this is a {type(found).__name__}")
        return Answers(self.function, found)


@dataclass(frozen=True, eq=False)
class Answers:
    """A judge that calls a function.

    Parameters
    ----------
    name : of the function, for errors
    function : (prompts, first, second) -> probabilities
    """

    name: str
    function: Callable[[list[Any], list[str], list[str]], Any]

    def preferences(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> Tensor:
        """See :class:`scaled.oracles.judge.Judge`; answers that are no probabilities are refused."""
        return judged(prompts, responses, self._ask)

    def _ask(self, pools: Sequence[Distinct]) -> list[NDArray]:
        pairs = [(pool, i, j) for pool in pools for i, j in pool.pairs]
        answers = self._answers(pairs + [(pool, j, i) for pool, i, j in pairs])
        return triangles(pools, (answers[: len(pairs)] + (1 - answers[len(pairs) :])) / 2)

    def _answers(self, asked: Sequence[Asked]) -> NDArray:
        if not asked:
            return np.zeros(0)
        prompts, first, second = zip(*[(pool.prompt.content, pool.texts[i], pool.texts[j]) for pool, i, j in asked], strict=True)
        try:
            answers = _plain(self.function(list(prompts), list(first), list(second)))
        except Exception as error:  # a function may raise what it likes
            raise Invalid("function", self.name, f"a function that answers every pair ({_said(error)})") from None
        given, wanted = f"{self.name}: {len(answers)} answers", f"a function that gives one for each of {len(asked)} pairs"
        require(len(answers) == len(asked), "function", given, wanted)
        for (pool, i, j), answer in zip(asked, answers, strict=True):
            fits = isinstance(answer, Real) and 0 <= float(answer) <= 1
            require(fits, "function", f"{self.name}: {answer!r} for {pool.place(i, j)}", "a function that gives probabilities in [0, 1]")
        return np.array(answers, dtype=np.float64)


def _plain(answers: Any) -> list[Any]:
    """A list, array or tensor of answers as a list of Python's own numbers."""
    return [answer.item() if hasattr(answer, "item") else answer for answer in answers]


def _run(file: Path) -> Any:
    """The module in a file, under a name that no other has."""
    name = str(file.resolve())
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    sys.modules[name] = module  # dataclasses look there
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {sentence(error)}"

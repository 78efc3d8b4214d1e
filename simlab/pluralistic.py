"""A learner of users who differ: what it predicts for users it has seen and for newcomers, against one Bradley-Terry score for all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from envs.invalid import require
from envs.survey import Survey
from envs.user_comparisons import UserComparisons
from simlab.experiment import Experiment, fit_status, member_name, require_idle, require_idle_dials, require_numbers
from simlab.members import blaming, make
from simlab.store import Stored

IDLE = ("beta", "feedback", "start", "steps", "record", "measure", "ridge")
"""Top-level keys that mean something to other methods alone."""

FIGURES = ("accuracy", "cross_entropy", "excess_cross_entropy", "ideal_point_error", "worst_accuracy")
POOLED = 0
"""Stands for the number of prototypes of the one Bradley-Terry score for all."""


class UserLearner(Protocol):
    """A learner with a number of prototypes (None: its own choice) that can be told of new users."""

    prototypes: int | None

    def fit(self, comparisons: UserComparisons, *, seed: int = 0) -> Any: ...

    def choose(self, comparisons: UserComparisons, *, seed: int = 0) -> Any: ...


@dataclass(frozen=True, eq=False)
class Pluralistic(Experiment):
    """One configuration of `simlab run` with a learner of users."""

    method: UserLearner

    page: ClassVar[str] = "simlab.pluralistic_page"

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Pluralistic:
        """Check a configuration and make what it describes.

        Raises
        ------
        Invalid, Refused
            With the full key of the first value that is wrong.
        """
        require_numbers(config)
        require_idle(config, IDLE, "a learner of users has none")
        world, method = make(config, "env"), make(config, "algorithm")
        required = "a world of users (env=population, or env=recorded with a .soc file) with a learner of users"
        require(hasattr(world, "survey"), "env", member_name(config, "env"), required)
        with blaming(config, "env"):
            require_idle_dials(config, world, "game_dials", "it shapes games, while a learner of users reads comparisons")
            survey = world.survey(seed=config["seed"], index=0)
            enough = method.prototypes is not None or survey.seen.compared.min() >= 2
            require(enough, "samples", 1, "at least 2, one to hold out, where the number of prototypes is left open")
        with blaming(config, "algorithm"):
            most = min(survey.seen.users, survey.seen.features.shape[1] + 1)
            asked = method.prototypes
            require(
                asked is None or asked <= most, "prototypes", asked, f"at most {most}, which leave every user an ideal point of their own"
            )
        return cls(config, world, method)

    @property
    def figures(self) -> tuple[str, ...]:
        return FIGURES

    @property
    def random(self) -> bool:
        return True

    @property
    def equations(self) -> str:
        return str(self.method)

    def facts(self) -> dict[str, Any]:
        survey = self.world.survey(seed=self.seed, index=0)
        return {
            "seen": survey.seen.users,
            "newcomers": next(iter(survey.newcomers.values()))[0].users,
            "comparisons": float(survey.seen.compared.mean()),
            "pairs": len(survey.seen.features),
            "dimension": survey.seen.features.shape[1],
            "truth": survey.coordinates is not None,
        }

    def headline(self, stored: Stored) -> dict[str, NDArray]:
        columns = stored.columns
        new = columns["users"] == "new"
        rows = new & columns["chosen"] & (columns["comparisons"] == columns["comparisons"][new].max())
        return {name: values[rows] for name, values in columns.items()}

    def run(self) -> dict[str, NDArray]:
        """Fit and predict for each seed; a row for each number of prototypes and each kind of users."""
        rows = [row for index in range(self.seeds) for row in self._rows(index)]
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    def _rows(self, index: int) -> Iterator[dict[str, Any]]:
        survey = self.world.survey(seed=self.seed, index=index)
        held_out = self._held_out(survey, index)
        chosen = min(held_out, key=lambda k: (held_out[k], k)) if self.method.prototypes is None else self.method.prototypes
        for prototypes in (POOLED, *held_out):
            about = {"seed": index, "prototypes": prototypes, "chosen": prototypes == chosen, "held_out": held_out.get(prototypes, np.nan)}
            for row in self._predictions(survey, prototypes, index):
                yield about | row

    def _held_out(self, survey: Survey, index: int) -> dict[int, float]:
        """Numbers of prototypes to fit, and the cross-entropy by which one of them is chosen (nan where it is given)."""
        if self.method.prototypes is not None:
            return dict.fromkeys(sorted({1, self.method.prototypes}), np.nan)
        choice = self.method.choose(survey.seen, seed=self.seed + index)
        return dict(zip(choice.prototypes.tolist(), choice.cross_entropy.tolist(), strict=True))

    def _predictions(self, survey: Survey, prototypes: int, index: int) -> Iterator[dict[str, Any]]:
        one = prototypes == POOLED
        learner: Any = replace(self.method, prototypes=1 if one else prototypes)  # type: ignore[type-var]
        fit = learner.fit(_scored(survey.seen, survey) if one else survey.seen, seed=self.seed + index)
        about = {"rank": fit.rank, "status": fit_status(fit)}
        seen = float(survey.seen.compared.mean())
        truth = None if one else survey.coordinates
        answers = _scored(survey.seen_answers, survey) if one else survey.seen_answers
        floor = _floor(survey.seen_answers, survey.coordinates)
        yield {"users": "seen", "comparisons": seen, **_score(answers, fit.coordinates, floor, truth), **about}
        floor = _floor(next(iter(survey.newcomers.values()))[1], survey.newcomer_coordinates)
        for shots, (shown, answers) in survey.newcomers.items():
            where = fit.centre if one or not fit.exists else _placed(fit, shown)
            answers = _scored(answers, survey) if one else answers
            truth = None if one else survey.newcomer_coordinates
            yield {"users": "new", "comparisons": float(shots), **_score(answers, where, floor, truth), **about}


def _placed(fit: Any, shown: UserComparisons) -> NDArray:
    """Coordinates of newcomers; those whose few answers have no minimiser are taken for the mean user."""
    found = fit.few_shot(shown)
    return np.where(found.exists[:, None], found.coordinates, fit.centre)


def _scored(comparisons: UserComparisons, survey: Survey) -> UserComparisons:
    """The same comparisons, of responses with a score each."""
    return UserComparisons(survey.scores, np.zeros(len(survey.scores)), comparisons.wins, comparisons.losses)


def _floor(answers: UserComparisons, coordinates: NDArray | None) -> float:
    """The cross-entropy of the truth, which nobody can beat; nan where it is not known."""
    return np.nan if coordinates is None else answers.cross_entropy(coordinates)


def _score(answers: UserComparisons, coordinates: NDArray, floor: float, truth: NDArray | None) -> dict[str, float]:
    """What each of FIGURES comes to; nan where the fit has no minimiser."""
    if np.isnan(coordinates).any():
        return dict.fromkeys(FIGURES, np.nan)
    entropy = answers.cross_entropy(coordinates)
    away = np.nan if truth is None else float(np.sqrt(((coordinates - truth) ** 2).sum(axis=-1).mean()))
    each = answers.accuracies(coordinates)
    figures = (answers.accuracy(coordinates), entropy, entropy - floor, away, float(np.fmin.reduce(each)))
    return dict(zip(FIGURES, figures, strict=True))

"""An offline learner on labelled pairs: fits of its pair loss to samples of one world, a sample a seed, against the exact truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.fit import Fit, fit
from algorithms.limit import Limit, expected_error, limit
from algorithms.pair_loss import PairLoss
from envs import pair_truth as truth
from envs.dials import require_nonnegative
from envs.divergence import kl
from envs.invalid import require
from simlab.experiment import Experiment, fit_status, member_name, require_idle, require_numbers
from simlab.members import blaming, make
from simlab.refusal import Refused

IDLE = ("feedback", "start", "steps", "record", "measure")
"""Top-level keys that mean something to self-play alone."""

FIGURES = ("estimation_error", "regularised_gap", "reward_gap", "kl_to_optimum", "objective", "accuracy", "borda_agreement")


@dataclass(frozen=True, eq=False)
class Offline(Experiment):
    """One configuration of `simlab run` with a pair loss.

    Attributes
    ----------
    world : of labelled pairs (`envs.pairs`), at the run's beta
    method : PairLoss, what it leaves open (null) filled in from the world: the rate of wrong labels, and tau = beta/4
    """

    method: PairLoss

    page: ClassVar[str] = "simlab.offline_page"

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Offline:
        """Check a configuration and make what it describes.

        Raises
        ------
        Invalid, Refused
            With the full key of the first value that is wrong.
        """
        require_numbers(config)
        require_idle(config, IDLE, "a learner of a fixed set of comparisons has none")
        world = make(config, "env")
        require(hasattr(world, "log_policy"), "env", member_name(config, "env"), "a world of labelled pairs (env=pairs) with a pair loss")
        with blaming(config, "env"):
            world = replace(world, beta=config["beta"])
            require(world.n >= world.d, "n", world.n, f"at least d={world.d}: fewer comparisons than parameters determine nothing")
            known = {"flip": world.flip_rate, "smoothing": world.flip_rate, "tau": world.beta / 4}
        require_nonnegative("ridge", config["ridge"])
        completed = config | {"algorithm": config["algorithm"] | open_values(config, known)}
        return cls(completed, world, make(completed, "algorithm"))

    @property
    def figures(self) -> tuple[str, ...]:
        return FIGURES

    @property
    def random(self) -> bool:
        return True

    @property
    def equations(self) -> str:
        return str(self.method)

    @property
    def ridge(self) -> float:
        return float(self.config["ridge"])

    @cached_property
    def limit(self) -> Limit:
        """Where the fit goes as comparisons are added (without ridge)."""
        return limit(self.method, self.world)

    def facts(self) -> dict[str, Any]:
        world = self.world
        return {name: getattr(world, name) for name in ("n", "contexts", "actions", "d", "scale", "flip_rate", "keep_equal")} | {
            "rows": len(world.rows.weight),
            "bias": truth.estimation_error(world, self.limit.shift),
            "expected_error": expected_error(self.method, world, world.n),
        }

    def run(self) -> dict[str, NDArray]:
        """Fit a sample for each seed, and return tidy columns: a row a seed."""
        fits = [self._fit(index) for index in range(self.seeds)]
        figures = np.array([[*self._figures(found).values()] for found in fits])
        return {
            "seed": np.arange(self.seeds),
            "comparisons": np.full(self.seeds, self.world.n),
            **dict(zip(FIGURES, figures.T, strict=True)),
            "iterations": np.array([found.iterations for found in fits]),
            "status": np.array([fit_status(found) for found in fits]),
        }

    def _fit(self, index: int) -> Fit:
        data = self.world.comparisons(seed=self.seed, index=index, log_ratio=self.method.log_ratio)
        return fit(self.method, data, self.ridge)

    def _figures(self, found: Fit) -> dict[str, float]:
        """What each of FIGURES comes to; nan where there is no minimiser."""
        if not found.exists:
            return dict.fromkeys(FIGURES, np.nan)
        world, policy = self.world, self.world.log_policy(found.theta)
        values = (
            truth.estimation_error(world, found.theta),
            truth.regularised_gap(world, policy),
            truth.reward_gap(world, policy),
            float(kl(policy, world.log_policy(world.shift)).mean()),
            truth.objective(world, policy),
            truth.accuracy(world, policy),
            truth.borda_agreement(world, policy),
        )
        return dict(zip(FIGURES, values, strict=True))


def open_values(config: dict[str, Any], known: dict[str, float]) -> dict[str, float]:
    """What the learner's null keys stand for."""
    left = [key for key, value in config["algorithm"].items() if value is None]
    for key in left:
        if key not in known:
            raise Refused(f"algorithm.{key}=null: must be given")
    return {key: known[key] for key in left}

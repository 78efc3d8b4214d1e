"""Claims on users who differ come out as predicted, and reject wrong learners, designs, aggregates and counts of parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import OmegaConf
from scipy.special import expit
from scipy.stats import norm

import conf
from algorithms.pal import PAL, PALFit
from envs.people import People
from envs.population import Population
from envs.population_bradley_terry import PopulationBradleyTerry
from envs.population_cycle import PopulationCycle
from envs.population_tournament import PopulationTournament
from envs.user_comparisons import UserComparisons
from theory.claim import Claim, judge
from theory.instances import standard_populations
from theory.pal_cycle_edges import formula
from theory.pal_margin import by_distance, of_people
from theory.pal_mean_user import of_the_mean_user
from theory.pal_statistics import affine_rank, cycles, firm_majority, majority
from theory.testbed import PopulationTestbed

FOLDER = Path(conf.__file__).parent / "claim"
CLAIMS = sorted(path.stem for path in FOLDER.glob("pal_*.yaml"))
SLOW = {"pal_wilks_few", "pal_number", "pal_accuracy"}
TESTBEDS = standard_populations()
FEW = [testbed for testbed in TESTBEDS if testbed.name.endswith(("drawn", "cycle at 30 degrees"))]
"""Where a wrong learner must show already."""


def load(name: str) -> Claim:
    return instantiate(OmegaConf.load(FOLDER / f"{name}.yaml"))


def marked(name: str, *values: Any) -> Any:
    """Parameters of a test, slow where the claim is."""
    return pytest.param(name, *values, marks=pytest.mark.slow if name in SLOW else (), id="-".join([name, *map(str, values[:1])]))


def seen_as_is(data: UserComparisons) -> UserComparisons:
    return data


def halved(data: UserComparisons) -> UserComparisons:
    """The margin's factor 2 missing."""
    return UserComparisons(data.features / 2, data.offset, data.wins, data.losses)


def without_offset(data: UserComparisons) -> UserComparisons:
    return UserComparisons(data.features, np.zeros_like(data.offset), data.wins, data.losses)


def turned(data: UserComparisons) -> UserComparisons:
    """The score's sign: what is further is preferred."""
    return UserComparisons(data.features, data.offset, data.losses, data.wins)


def pooled(data: UserComparisons) -> UserComparisons:
    """Everybody's labels as each user's."""
    wins, losses = (np.tile(counts / data.users, (data.users, 1)) for counts in (data.pooled.wins, data.pooled.losses))
    return UserComparisons(data.features, data.offset, wins, losses)


def users(found: PALFit, data: UserComparisons) -> NDArray:
    return found.coordinates


def newcomers(found: PALFit, data: UserComparisons, shrinkage: float | None) -> NDArray:
    return found.few_shot(data, shrinkage).coordinates


def one_for_all(found: PALFit, data: UserComparisons, shrinkage: float | None = None) -> NDArray:
    """One w, shared by all users."""
    return np.tile(PAL(1).fit(data).coordinates[0], (data.users, 1))


def normalised_over_users(found: PALFit, data: UserComparisons, shrinkage: float | None = None) -> NDArray:
    weights = found.weights if data is found.seen else found.few_shot(data, shrinkage).weights
    return weights / weights.sum(axis=0) @ found.prototypes


def unnormalised(found: PALFit, data: UserComparisons, shrinkage: float | None) -> NDArray:
    """Any combination of prototypes, K numbers and not K - 1."""
    spanned = replace(found, centre=np.zeros_like(found.centre), directions=found.prototypes)
    return spanned.few_shot(data, 1.0 if shrinkage is None else shrinkage).coordinates


def updated_together(found: PALFit, data: UserComparisons, shrinkage: float | None) -> NDArray:
    """Prototypes trained on newcomers too."""
    return PAL(len(found.prototypes), restarts=1).fit(data).coordinates


def updated_by_each(found: PALFit, data: UserComparisons, shrinkage: float | None) -> NDArray:
    """Prototypes trained on each newcomer: a free ideal point."""
    return np.vstack([PAL(1).fit(data.of([user])).coordinates for user in range(data.users)])


@dataclass(frozen=True)
class Mutant:
    """PAL with one ingredient changed: what it sees, where it puts users, or where it puts newcomers."""

    see: Callable = seen_as_is
    users: Callable = users
    newcomers: Callable = newcomers
    more: int = 0

    def __call__(self, *, prototypes: int, shrinkage: float = 1.0, restarts: int = 3) -> Any:
        return SimpleNamespace(fit=lambda data: self._fit(PAL(max(prototypes + self.more, 1), shrinkage, restarts), data))

    def _fit(self, learner: PAL, data: UserComparisons) -> Any:
        found = learner.fit(self.see(data))

        def few_shot(data: UserComparisons, shrinkage: float | None = None) -> Any:
            return SimpleNamespace(coordinates=self.newcomers(found, self.see(data), shrinkage))

        coordinates = self.users(found, found.seen)
        return SimpleNamespace(coordinates=coordinates, few_shot=few_shot, prototypes=found.prototypes, rank=affine_rank(coordinates))


LEARNERS = {
    "factor 2 missing": Mutant(see=halved),
    "offset missing": Mutant(see=without_offset),
    "score sign": Mutant(see=turned),
    "pooled labels": Mutant(see=pooled),
    "one shared w": Mutant(users=one_for_all, newcomers=one_for_all),
    "w over users": Mutant(users=normalised_over_users, newcomers=normalised_over_users),
    "w unnormalised": Mutant(newcomers=unnormalised),
    "prototypes updated with newcomers": Mutant(newcomers=updated_together),
    "prototypes updated by each newcomer": Mutant(newcomers=updated_by_each),
    "one prototype too few": Mutant(more=-1),
    "one prototype too many": Mutant(more=1),
}
WRONG = {"factor 2 missing", "score sign", "pooled labels", "one shared w", "w over users"}
MISFIT = {*WRONG, "offset missing", "one prototype too few"}
ONCE: dict[str, dict[str, int]] = {"pal_wilks_few": {"repetitions": 3}, "pal_number": {"draws": 1}}
"""A few samples, on which a misfit shows already."""
FEWER: dict[tuple[str, str], dict[str, int]] = {
    ("pal_few_shot", "prototypes updated by each newcomer"): {"newcomers": 60},
    ("pal_wilks_few", "one prototype too many"): {"repetitions": 45},
}
REJECTED = {
    "pal_consistency": MISFIT,
    "pal_few_shot": {*MISFIT, "w unnormalised", "prototypes updated by each newcomer", "one prototype too many"},
    "pal_free_point": {*WRONG, "offset missing", "one prototype too few"},
    "pal_frozen": {
        *("pooled labels", "one shared w", "w over users", "w unnormalised"),
        *("prototypes updated with newcomers", "prototypes updated by each newcomer"),
    },
    "pal_wilks": {*MISFIT, "one prototype too many"},
    "pal_wilks_few": {*MISFIT, "one prototype too many"},
    "pal_number": {*MISFIT, "one prototype too many"},
    "pal_accuracy": WRONG - {"factor 2 missing"},
    "pal_cycle": {"score sign", "pooled labels", "one shared w"},
    "pal_identifiability": {*MISFIT, "one prototype too few"},
}


@pytest.mark.parametrize(("name", "mutant"), [marked(name, mutant) for name, mutants in REJECTED.items() for mutant in sorted(mutants)])
def test_rejects_a_wrong_learner(name: str, mutant: str) -> None:
    claim = replace(load(name), **(ONCE.get(name, {}) if mutant in MISFIT else FEWER.get((name, mutant), {})))
    assert judge(replace(claim, learner=LEARNERS[mutant]), FEW).outcome == "violated"


@pytest.mark.parametrize("name", sorted(ONCE))
def test_a_few_samples_do(name: str) -> None:
    assert judge(replace(load(name), **ONCE[name]), FEW).outcome == "holds"


def without_factor_2(people: People) -> tuple[NDArray, NDArray]:
    return people.features / 2, people.offset


def of_the_wrong_sign(people: People) -> tuple[NDArray, NDArray]:
    return -people.features, -people.offset


def unsquared(people: People) -> tuple[NDArray, NDArray]:
    prompt, first, second = people.pairs.T
    size = np.linalg.norm(people.items, axis=2) / people.temperature
    return people.features, size[prompt, second] - size[prompt, first]


def deaf_to_prompts(people: People) -> tuple[NDArray, NDArray]:
    return of_people(replace(people, prompts=np.tile(people.prompts.mean(axis=0), (people.contexts, 1))))


DESIGNS = {"factor 2 missing": without_factor_2, "score sign": of_the_wrong_sign, "unsquared distance": unsquared}


@pytest.mark.parametrize("name", ["pal_margin", "pal_prompt_margin"])
@pytest.mark.parametrize("mutant", DESIGNS)
def test_rejects_a_wrong_design(name: str, mutant: str) -> None:
    assert judge(replace(load(name), design=DESIGNS[mutant]), TESTBEDS).outcome == "violated"


def test_rejects_a_design_that_ignores_the_prompt() -> None:
    for name in ("pal_margin", "pal_prompt_margin"):
        assert judge(replace(load(name), design=deaf_to_prompts), TESTBEDS).outcome == "violated"


@pytest.mark.parametrize("name", ["pal_cycle", "pal_cycle_edges", "pal_tournament", "pal_median"])
def test_rejects_the_mean_user_for_the_aggregate(name: str) -> None:
    assert judge(replace(load(name), aggregate=of_the_mean_user), TESTBEDS).outcome == "violated"


def raw_parameters(users: int, dimension: int, prototypes: int) -> int:
    """K (K - 1) too many: 31 where there are 25."""
    return dimension * prototypes + (prototypes - 1) * users


def free_points(users: int, dimension: int, prototypes: int) -> int:
    return users * dimension


def one_shape(users: int, dimension: int, prototypes: int) -> int:
    """The shared part left out."""
    return (prototypes - 1) * users


def scaled_rewards(rewards: NDArray, weights: NDArray) -> People:
    return replace(People.of_rewards(rewards, weights), temperature=1.0)


def of_themselves(people: People) -> NDArray:
    return people.scores.swapaxes(0, 1)


def by_own_score(preference: NDArray, scores: NDArray) -> NDArray:
    """Each user predicted by a score of its own, where users are certain: no bound for one score holds."""
    return np.ones(len(scores))


def flipped_labels(people: People, context: int) -> NDArray:
    return 0.1 + 0.8 * people.preferences(context)


def probit(people: People, context: int) -> NDArray:
    scores = people.scores[context]
    return norm.cdf(scores[:, :, None] - scores[:, None, :])


def halfway(preference: NDArray) -> float:
    """The mean majority as a bound, not the larger camp's."""
    first, second = np.triu_indices(preference.shape[1], 1)
    return float(abs(preference[:, first, second].mean() - 0.5) + 0.5)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        marked("pal_wilks_few", "dof", raw_parameters),
        marked("pal_wilks_few", "dof", one_shape),
        marked("pal_wilks", "dof", one_shape),
        marked("pal_number", "dof", free_points),
        marked("pal_rewards", "users_of", scaled_rewards),
        marked("pal_pooling", "measure", by_own_score),
        marked("pal_pooling", "limit", halfway),
        marked("pal_triangles", "preferences", flipped_labels),
        marked("pal_triangles", "preferences", probit),
        marked("pal_median", "d", 2),
        marked("pal_median", "users", (2, 4)),
        marked("pal_median", "aggregate", lambda people: firm_majority(replace(people, items=-people.items))),
        marked("pal_tournament", "aggregate", lambda people: 1 - majority(people)),
    ],
)
def test_rejects_a_wrong_ingredient(name: str, field: str, value: object) -> None:
    testbeds = TESTBEDS[:1] if name in SLOW else TESTBEDS
    assert judge(replace(load(name), **{field: value}), testbeds).outcome == "violated"


@pytest.mark.slow
def test_a_few_samples_of_many_users_do_not_tell_the_parameters_apart() -> None:
    """Why PAL-9b is there."""
    assert judge(replace(load("pal_wilks"), dof=raw_parameters), TESTBEDS).outcome == "holds"


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("pal_unsquared", {"power": 2.0}),
        ("pal_mean_user", {"aggregate": of_the_mean_user}),
        ("pal_median_plane", {"aggregate": of_the_mean_user}),
        ("pal_mixtures", {"aggregate": of_the_mean_user}),
        ("pal_pooling_enough", {"learner": LEARNERS["one shared w"]}),
        ("pal_pooling_enough", {"learner": LEARNERS["pooled labels"]}),
        ("pal_identifiability_beyond", {"enough": (2, 1)}),
        ("pal_two_comparisons", {"shots": 50}),
        ("pal_two_comparisons", {"shrinkage": None}),
    ],
)
def test_a_prediction_of_failure_can_be_refuted(name: str, right: dict) -> None:
    verdict = judge(replace(load(name), **right), TESTBEDS)
    assert verdict.outcome == "holds" and not verdict.expected


ODD = {
    "one user": Population(users=1),
    "users who agree": Population(prototypes=1),
    "users who hardly differ": PopulationBradleyTerry(scale=1e-3),
    "rewards of 0": PopulationBradleyTerry(scale=0.0),
    "two responses": Population(actions=2),
    "two responses with scores": PopulationBradleyTerry(actions=2),
    "a line": Population(d=1, actions=4),
    "more prototypes than dimensions": Population(prototypes=9, d=2),
    "users who are certain": Population(temperature=1e-6),
    "users who are even": Population(temperature=1e6),
    "a dull cycle": PopulationCycle(temperature=1e6),
    "a cycle at its end": PopulationCycle(delta=1.0, temperature=0.3),
    "a tournament of two": PopulationTournament(actions=2),
    "a given tournament": PopulationTournament(beats=[[0, 1], [1, 2], [2, 0]]),
    "tournaments": PopulationTournament(contexts=2),
    "few users": Population(users=3, concentration=0.0),
    "the default": Population(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CLAIMS)
def test_no_world_contradicts_a_theorem(name: str) -> None:
    """Statements hold, fail as predicted, or say nothing of worlds that nobody thought of."""
    claim = replace(load(name), **({"repetitions": 10} if name == "pal_wilks_few" else {}))
    for title, world in ODD.items():
        verdict = judge(claim, [PopulationTestbed(title, world)])
        assert verdict.expected, verdict


class TestStatistics:
    def test_cycles(self) -> None:
        around = np.array([[0.5, 0.6, 0.4], [0.4, 0.5, 0.6], [0.6, 0.4, 0.5]])
        assert cycles(around) == cycles(around.T) == 1
        assert cycles(np.full((4, 4), 0.5)) == 0
        assert cycles(np.array([[0.5, 0.6, 0.6], [0.4, 0.5, 0.6], [0.4, 0.4, 0.5]])) == 0
        assert cycles(np.array([[0.5, 0.6, 0.5], [0.4, 0.5, 0.6], [0.5, 0.4, 0.5]])) == 0

    def test_affine_rank(self) -> None:
        rng = np.random.default_rng(0)
        assert affine_rank(rng.standard_normal((1, 3))) == affine_rank(np.ones((4, 3))) == 0
        assert affine_rank(5 + np.outer(rng.standard_normal(6), np.ones(3))) == 1
        assert affine_rank(rng.standard_normal((9, 3))) == 3

    def test_the_formula_of_the_cycle(self) -> None:
        assert formula(30, 1) == pytest.approx(0.4234, abs=5e-5) and formula(30, 0.2) == pytest.approx(0.3334, abs=5e-5)

    def test_distances_by_hand(self) -> None:
        """A user at 0, responses at 1 and -3: squares 9 - 1, sizes 3 - 1, over a temperature of 2."""
        people = People(items=[[[1.0], [-3.0]]], prototypes=[[0.0]], weights=[[1.0]], temperature=2.0)
        assert by_distance(people).tolist() == [[4.0]] and by_distance(people, power=1.0).tolist() == [[1.0]]
        assert expit(by_distance(people)) == pytest.approx(people.probabilities)

    def test_firm_majorities_count_users_and_ties_half(self) -> None:
        people = People(items=[[[0.0], [2.0]]], prototypes=[[0.0], [1.0], [2.0]], weights=np.eye(3)[[0, 0, 1, 2]])
        np.testing.assert_array_equal(firm_majority(people), [[[0.5, 0.625], [0.375, 0.5]]])

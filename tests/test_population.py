"""People and the worlds they make: margins by two routes, exact constructions, laws of what is drawn."""

from dataclasses import replace
from itertools import combinations, permutations, product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import beta, binom, chi2, chisquare, kstest

from algorithms.dpo import DPO
from algorithms.fit import fit
from envs.divergence import log_normalise
from envs.invalid import Invalid
from envs.pairs import Comparisons
from envs.people import People, mixing_weights
from envs.population import Population
from envs.population_bradley_terry import PopulationBradleyTerry
from envs.population_cycle import PopulationCycle
from envs.population_tournament import PopulationTournament
from envs.population_world import PopulationWorld
from envs.user_comparisons import UserComparisons

WORLDS = {
    "model A": Population(users=7, actions=4, contexts=2),
    "model A, hot": Population(users=5, actions=3, temperature=3.0, concentration=1.0, d=2),
    "model B": Population(users=6, actions=4, contexts=5, prompt_features=3, temperature=0.7, concentration=0.5),
    "one prototype a user": Population(users=9, prototypes=4, concentration=0, actions=3, contexts=3, prompt_features=1),
    "cycle": PopulationCycle(delta=17.0, temperature=0.4),
    "tournament": PopulationTournament(actions=4, contexts=2),
    "Bradley-Terry": PopulationBradleyTerry(users=6, actions=4, contexts=3, concentration=1.0),
}
each_world = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
NEVER = 1e-6
"""The false alarm of a statistical test."""


def score(people: People, context: int, user: int, item: int) -> float:
    """Minus the squared distance over the temperature, in plain loops."""
    prototypes, features, dimension = people.prototypes.shape
    square = 0.0
    for axis in range(dimension):
        ideal = 0.0
        for m in range(prototypes):
            for e in range(features):
                ideal += people.weights[user, m] * people.prototypes[m, e, axis] * people.prompts[context, e]
        square += (people.items[context, item, axis] - ideal) ** 2
    return -square / people.temperature


def margins(people: People) -> np.ndarray:
    """(U, m), prompts in turn, pairs of responses in lexicographic order."""
    rows = [
        [score(people, x, u, i) - score(people, x, u, j) for x in range(people.contexts) for i, j in combinations(range(people.actions), 2)]
        for u in range(people.users)
    ]
    return np.array(rows)


def by_scores(people: People) -> np.ndarray:
    """(U, m) margins from scores."""
    prompt, first, second = people.pairs.T
    return (people.scores[prompt, :, first] - people.scores[prompt, :, second]).T


def seen(people: People) -> np.ndarray:
    """(U, m) margins that a learner who knew the coordinates would compute."""
    return people.expected().margins(people.coordinates)


def bradley_terry(preference: np.ndarray) -> tuple[np.ndarray, float]:
    """The scores, that of the first response being 0, that fit a preference matrix best, and their cross-entropy."""
    first, second = np.triu_indices(len(preference), 1)
    features, loss = (np.eye(len(preference))[first] - np.eye(len(preference))[second])[:, 1:], DPO()
    wins = preference[first, second]
    found = fit(loss, Comparisons(features, wins, 1 - wins))
    assert found.converged
    value = (wins * loss.value(features @ found.theta) + (1 - wins) * loss.value(-features @ found.theta)).mean()
    return np.append(0.0, found.theta), float(value)


def around(preference: np.ndarray) -> np.ndarray:
    """logit P_ij + logit P_jk + logit P_ki of all triangles."""
    odds = logit(preference)
    return np.array([odds[i, j] + odds[j, k] + odds[k, i] for i, j, k in combinations(range(len(odds)), 3)])


def cycles(people: People) -> int:
    """Cyclic triangles of the majorities."""
    ahead = people.preference() > 0.5
    return sum(len({ahead[i, j], ahead[j, k], ahead[k, i]}) == 1 for i, j, k in combinations(range(people.actions), 3))


class TestMargins:
    """PAL-1 and PAL-2, the margin twice."""

    @each_world
    def test_two_routes_and_plain_loops_agree(self, world: PopulationWorld) -> None:
        people = world.people(3)
        by_loops, size = margins(people), np.abs(people.scores).max()
        np.testing.assert_allclose(by_scores(people), by_loops, rtol=0, atol=1e-14 * (1 + size))
        np.testing.assert_allclose(seen(people), by_loops, rtol=0, atol=1e-14 * (1 + size))
        np.testing.assert_allclose(people.probabilities, expit(by_loops), rtol=1e-11)
        assert np.abs(by_loops).max() > 0.3

    def test_by_hand(self) -> None:
        """Users at 0 and 3 on a line, responses at 1 and 2, temperature 2: margins (-1 + 4) / 2 and (-4 + 1) / 2."""
        people = People(items=[[[1.0], [2.0]]], prototypes=[[0.0], [3.0]], weights=[[1, 0], [0, 1], [0.5, 0.5]], temperature=2.0)
        np.testing.assert_allclose(seen(people)[:, 0], [1.5, -1.5, 0.0], atol=1e-15)
        np.testing.assert_allclose(people.scores[0], [[-0.5, -2.0], [-2.0, -0.5], [-0.125, -0.125]], atol=1e-15)
        np.testing.assert_allclose(people.probabilities[:, 0], [expit(1.5), expit(-1.5), 0.5], atol=1e-15)
        assert people.features.tolist() == [[-1.0]] and people.offset.tolist() == [1.5]

    def test_by_hand_with_prompts(self) -> None:
        """One user, ideal point psi at 1 for prompts 2 and -1: items 0 and 1 lie 2 and 1, then 1 and 2 away."""
        people = People(items=[[[0.0], [1.0]]] * 2, prototypes=[[[1.0]]], weights=[[1.0]], prompts=[[2.0], [-1.0]])
        assert people.ideal_points.ravel().tolist() == [2.0, -1.0]
        assert seen(people).tolist() == [[-3.0, 3.0]] and margins(people).tolist() == [[-3.0, 3.0]]
        assert people.features.ravel().tolist() == [-4.0, 2.0]

    @each_world
    @given(share=st.floats(0, 1))
    def test_margins_are_affine_in_the_weights(self, world: PopulationWorld, share: float) -> None:
        people = world.people(1)
        one, other = people.weights[0], people.weights[-1]
        between = replace(people, weights=[one, other, (1 - share) * one + share * other])
        first, second, mixed = by_scores(between)
        np.testing.assert_allclose(mixed, (1 - share) * first + share * second, atol=2e-15 * (1 + np.abs(people.scores).max()))

    def test_margins_of_unsquared_distances_are_not(self) -> None:
        """The defect that squaring removes: halfway between two users the margin is not halfway."""
        people = People(items=[[[0.0, 1.0], [1.0, 0.0]]], prototypes=[[0.0, 2.0], [1.0, 0.5]], weights=[[1, 0], [0, 1], [0.5, 0.5]])
        squared, plain = (np.array([row[1] - row[0] for row in (-people.scores[0]) ** power]) for power in (1.0, 0.5))
        assert squared[2] == pytest.approx(squared[:2].mean(), abs=1e-15)
        assert abs(plain[2] - plain[:2].mean()) > 0.05

    def test_in_model_b_the_prompt_matters_and_in_model_a_it_does_not(self) -> None:
        same = np.random.default_rng(0).standard_normal((4, 2))
        alike = People(items=[same, same], prototypes=np.eye(2), weights=np.eye(2))
        told_apart = People(
            items=[same, same], prototypes=np.ones((2, 1, 2)) * [[[1.0]], [[2.0]]], weights=np.eye(2), prompts=[[1.0], [-1.0]]
        )
        pairs = len(alike.features) // 2
        np.testing.assert_array_equal(alike.features[:pairs], alike.features[pairs:])
        np.testing.assert_array_equal(alike.preference(0), alike.preference(1))
        np.testing.assert_array_equal(told_apart.features[:pairs], -told_apart.features[pairs:])
        assert np.abs(told_apart.preference(0) - told_apart.preference(1)).max() > 0.1

    def test_model_a_is_model_b_at_a_constant_prompt(self) -> None:
        people = WORLDS["model A"].people(2)
        constant = replace(people, prompts=np.ones((2, 1)), prototypes=people.prototypes[:, 0])
        np.testing.assert_array_equal(people.scores, constant.scores)
        np.testing.assert_array_equal(people.features, constant.features)

    @pytest.mark.parametrize("name", ["model A", "model B"])
    def test_the_closer_response_is_preferred(self, name: str) -> None:
        people = WORLDS[name].people(4)
        for x, u in product(range(people.contexts), range(people.users)):
            distance = np.linalg.norm(people.items[x] - people.ideal_points[u, x], axis=1)
            np.testing.assert_array_equal(people.preferences(x)[u].mean(axis=1).argsort(), (-distance).argsort())

    def test_the_order_of_weights_and_prototypes_does_not_matter_but_together(self) -> None:
        people, order = WORLDS["model B"].people(0), [2, 0, 1]
        turned = replace(people, prototypes=people.prototypes[order], weights=people.weights[:, order])
        np.testing.assert_allclose(turned.scores, people.scores, rtol=1e-13)
        assert np.abs(replace(people, weights=people.weights[:, order]).scores - people.scores).max() > 0.1


class TestAggregate:
    @each_world
    def test_it_is_the_mean_of_sigmoids(self, world: PopulationWorld) -> None:
        people = world.people(5)
        for x in range(people.contexts):
            actions, users = people.actions, people.users
            expected = np.zeros((users, actions, actions))
            for u, i, j in product(range(users), range(actions), range(actions)):
                expected[u, i, j] = expit(score(people, x, u, i) - score(people, x, u, j))
            np.testing.assert_allclose(people.preferences(x), expected, rtol=0, atol=1e-13)
            np.testing.assert_allclose(people.preference(x), expected.mean(axis=0), rtol=0, atol=1e-13)
            assert (people.preference(x) + people.preference(x).T == 1).all()

    def test_it_is_not_the_sigmoid_of_the_mean_user(self) -> None:
        people = PopulationCycle().people()
        mean_user = replace(people, weights=people.weights.mean(axis=0, keepdims=True))
        np.testing.assert_allclose(mean_user.preference(), 0.5, atol=1e-15)
        assert np.abs(people.preference() - 0.5)[np.triu_indices(3, 1)].min() > 0.07

    @each_world
    def test_games_are_the_aggregates(self, world: PopulationWorld) -> None:
        people, games = world.people(2, 3), world.games(0.3, seed=2, index=3)
        assert len(games) == people.contexts == world.contexts
        for x, game in enumerate(games):
            np.testing.assert_array_equal(game.preference, people.preference(x))
        np.testing.assert_array_equal(games[0].preference, world.preference(np.random.default_rng([2, 3, 0, 0])))

    @each_world
    def test_the_reference_is_that_of_any_world(self, world: PopulationWorld) -> None:
        games = replace(world, contexts=3, reference="random").games(0.1, seed=1)
        assert len({game.log_reference.tobytes() for game in games}) == 3
        shares = np.arange(1.0, games[0].actions + 1) / np.arange(1.0, games[0].actions + 1).sum()
        for game in replace(world, reference=shares).games(0.1):
            np.testing.assert_allclose(np.exp(game.log_reference), shares, rtol=1e-14)

    def test_thousands_of_users(self) -> None:
        world = Population(users=5000, contexts=3)
        people = world.people()
        assert people.preference(2).shape == (10, 10) and world.comparisons().wins.shape == (5000, 135)
        some = replace(people, weights=people.weights[:100])
        np.testing.assert_allclose(some.probabilities, people.probabilities[:100], rtol=1e-12)


class TestUtility:
    @each_world
    def test_by_loops(self, world: PopulationWorld) -> None:
        people, rng = world.people(6), np.random.default_rng(6)
        policy, reference = (log_normalise(rng.standard_normal((people.contexts, people.actions))) for _ in range(2))
        expected = np.zeros(people.users)
        for x, i, j in product(range(people.contexts), range(people.actions), range(people.actions)):
            expected += np.exp(policy[x, i] + reference[x, j]) * people.preferences(x)[:, i, j] / people.contexts
        np.testing.assert_allclose(people.utility(policy, reference), expected, rtol=1e-13)

    @each_world
    def test_the_reference_is_worth_one_half_and_policies_swap(self, world: PopulationWorld) -> None:
        people, rng = world.people(), np.random.default_rng(1)
        policies = log_normalise(rng.standard_normal((2, 3, people.contexts, people.actions)))
        reference = policies[1, 2]
        worth = people.utility(policies, reference)
        assert worth.shape == (2, 3, people.users) and worth.min() >= 0 and worth.max() <= 1
        np.testing.assert_allclose(worth[1, 2], 0.5, atol=1e-15)
        np.testing.assert_allclose(worth[0, 1] + people.utility(reference, policies[0, 1]), 1.0, atol=1e-14)
        np.testing.assert_allclose(people.utility(policies[0, 1], reference), worth[0, 1], rtol=1e-14)

    def test_a_certain_policy_against_a_certain_reference_is_an_entry(self) -> None:
        people = WORLDS["Bradley-Terry"].people()
        with np.errstate(divide="ignore"):
            policy, reference = np.log(np.eye(4)[[0, 3, 1]]), np.log(np.eye(4)[[1, 0, 1]])
        entries = people.preferences(0)[:, 0, 1] + people.preferences(1)[:, 3, 0] + 0.5
        np.testing.assert_allclose(people.utility(policy, reference), entries / 3, rtol=1e-14)

    def test_other_shapes_are_refused(self) -> None:
        people, flat = WORLDS["model A"].people(), np.full((2, 4), -np.log(4))
        for key, arguments in {"log_policy": (flat[0], flat), "log_reference": (flat, flat[:1])}.items():
            with pytest.raises(Invalid, match=rf"^{key}=array of shape .*: must be of shape \(.*2, 4\)"):
                people.utility(*arguments)


class TestComparisons:
    @each_world
    def test_counts(self, world: PopulationWorld) -> None:
        people, size = world.people(), world.contexts * world.games(0.1)[0].actions * (world.games(0.1)[0].actions - 1) // 2
        data = people.comparisons(30, [1, 2, 3, 4])
        assert data.wins.shape == (people.users, size) and (data.compared == 30).all()
        assert (data.wins == data.wins.round()).all()
        again = people.comparisons(30, np.random.default_rng([1, 2, 3, 4]))
        np.testing.assert_array_equal(data.wins, again.wins)
        assert not np.array_equal(data.wins, people.comparisons(30, [1, 2, 3, 5]).wins)

    @pytest.mark.parametrize("name", ["model A", "model B", "cycle", "Bradley-Terry"])
    def test_their_distribution(self, name: str) -> None:
        """Pearson's statistic over (user, pair, label)."""
        people, n = WORLDS[name].people(), 400_000
        data, expected = people.comparisons(n, [7, 0, 0, 0]), people.expected()
        common = n * np.minimum(expected.wins, expected.losses) > 20
        statistic = sum(
            ((counts - n * mean)[common] ** 2 / (n * mean)[common]).sum()
            for counts, mean in ((data.wins, expected.wins), (data.losses, expected.losses))
        )
        freedom = 2 * common.sum() - (people.users if common.all() else 0)
        assert common.mean() > 0.9 and statistic < chi2.isf(NEVER, freedom)

    @each_world
    def test_expected_counts(self, world: PopulationWorld) -> None:
        people = world.people()
        data = people.expected()
        assert isinstance(data, UserComparisons)
        np.testing.assert_allclose(data.wins + data.losses, 1 / len(people.pairs), rtol=1e-14)
        np.testing.assert_allclose(data.wins * len(people.pairs), expit(margins(people)), rtol=1e-11)
        assert data.pooled.users == 1

    def test_of_a_world(self) -> None:
        world = Population(samples=70)
        data, people = world.comparisons(1, 2), world.people(1, 2)
        assert (data.compared == 70).all()
        np.testing.assert_array_equal(data.features, people.features)
        np.testing.assert_array_equal(data.wins, world.comparisons(1, 2).wins)
        for other in ((1, 3), (2, 2)):
            assert not np.array_equal(data.wins, world.comparisons(*other).wins)


class TestPopulation:
    def test_users_are_shared_by_prompts_and_responses_are_not(self) -> None:
        people = Population(contexts=3, prompt_features=2).people()
        assert people.items.shape == (3, 10, 6) and people.prompts.shape == (3, 2) and people.weights.shape == (40, 3)
        assert len({people.items[x].tobytes() for x in range(3)}) == len({people.prompts[x].tobytes() for x in range(3)}) == 3

    @pytest.mark.parametrize("world", [Population(prompt_features=2), PopulationBradleyTerry(), PopulationTournament()])
    def test_more_prompts_leave_the_first_as_they_were(self, world: PopulationWorld) -> None:
        few, many = (replace(world, contexts=contexts).games(0.1, seed=4) for contexts in (2, 5))
        assert [game.key for game in few] == [game.key for game in many[:2]]

    @pytest.mark.parametrize(
        ("dials", "changed"),
        [
            ({"users": 50}, {"weights"}),
            ({"concentration": 1.0}, {"weights"}),
            ({"prototypes": 4}, {"weights", "prototypes"}),
            ({"actions": 9}, {"items"}),
            ({"prompt_features": 2}, {"prompts", "prototypes"}),
            ({"temperature": 2.0, "samples": 10}, set()),
        ],
    )
    def test_a_dial_changes_its_own_part(self, dials: dict, changed: set[str]) -> None:
        people, other = Population().people(), Population(**dials).people()
        parts = ("items", "prompts", "prototypes", "weights")
        assert {part for part in parts if not np.array_equal(getattr(people, part), getattr(other, part))} == changed

    @pytest.mark.parametrize("features", [0, 1, 4])
    def test_the_laws_of_what_is_drawn(self, features: int) -> None:
        people = Population(prompt_features=features, contexts=100, prototypes=200, users=1, d=8).people()
        assert kstest(people.items.ravel() * np.sqrt(8), "norm").pvalue > NEVER
        assert kstest(people.prototypes.ravel(), "norm").pvalue > NEVER
        if features:
            assert kstest(people.prompts.ravel() * np.sqrt(features), "norm").pvalue > NEVER
        else:
            assert (people.prompts == 1).all() and people.prompts.shape == (100, 1)

    @pytest.mark.parametrize("world", [Population, PopulationBradleyTerry])
    @pytest.mark.parametrize("concentration", [0.1, 1.0, 20.0])
    def test_weights_are_dirichlet(self, world: type[PopulationWorld], concentration: float) -> None:
        drawn = world(users=3000, prototypes=4, concentration=concentration)
        for people in (drawn.people(), drawn.newcomers(3000)):
            for column in people.weights.T:
                assert kstest(column, beta(concentration, 3 * concentration).cdf).pvalue > NEVER

    @pytest.mark.parametrize("world", [Population, PopulationBradleyTerry])
    def test_without_concentration_each_user_has_one_prototype(self, world: type[PopulationWorld]) -> None:
        drawn = world(users=3000, prototypes=4, concentration=0)
        for people in (drawn.people(), drawn.newcomers(3000)):
            assert set(people.weights.ravel()) == {0.0, 1.0} and (people.weights.sum(axis=1) == 1).all()
            assert chisquare(people.weights.sum(axis=0)).pvalue > NEVER

    @pytest.mark.parametrize("features", [0, 5])
    def test_the_defaults_are_a_population_that_no_single_ranking_serves(self, features: int) -> None:
        accuracy, size, excess = [], [], []
        for seed in range(60):
            people = Population(prompt_features=features).people(seed)
            truth, (score, value) = seen(people), bradley_terry(people.preference())
            single = score[people.pairs[:, 1]] - score[people.pairs[:, 2]]
            accuracy.append(((truth > 0) == (single > 0)).mean())
            size.append(np.abs(truth).mean())
            p = people.probabilities
            excess.append(value + (p * np.log(p) + (1 - p) * np.log1p(-p)).mean())
        assert 0.70 < np.mean(accuracy) < 0.80
        assert 1.5 < np.mean(size) < 2.5
        assert 0.12 < np.mean(excess) < 0.22


class TestNewcomers:
    @each_world
    def test_they_are_others_who_judge_the_same(self, world: PopulationWorld) -> None:
        people, others = world.people(1, 2), world.newcomers(17, 1, 2)
        for part in ("items", "prompts", "prototypes"):
            np.testing.assert_array_equal(getattr(people, part), getattr(others, part))
        assert others.users == 17 and others.temperature == people.temperature
        np.testing.assert_array_equal(others.weights, world.newcomers(17, 1, 2).weights)
        assert not np.array_equal(others.weights, world.newcomers(17, 1, 3).weights)
        size = min(17, people.users)
        assert not np.array_equal(others.weights[:size], people.weights[:size])

    @pytest.mark.parametrize("world", [PopulationCycle(), PopulationTournament(actions=3)])
    def test_in_an_exact_construction_they_are_drawn_from_the_list(self, world: PopulationWorld) -> None:
        weights = world.newcomers(3000).weights
        assert set(weights.ravel()) == {0.0, 1.0} and (weights.sum(axis=1) == 1).all()
        assert weights.shape[1] == world.people().users and chisquare(weights.sum(axis=0)).pvalue > NEVER


class TestCycle:
    """PAL-5 and PAL-11."""

    @given(st.floats(0, 60), st.floats(0.05, 20))
    def test_the_formula(self, delta: float, temperature: float) -> None:
        preference = PopulationCycle(delta=delta, temperature=temperature).games(0.1)[0].preference
        angles = np.radians([0.0, 120.0, 240.0])
        item = np.radians(delta)
        expected = np.mean([expit(2 / temperature * (np.cos(item - a) - np.cos(item + angles[1] - a))) for a in angles])
        for i, j in ((0, 1), (1, 2), (2, 0)):
            assert preference[i, j] == pytest.approx(expected, abs=1e-13 * (1 + 1 / temperature))

    @given(st.floats(0, 30), st.floats(0.05, 20))
    def test_the_dial_is_symmetric_with_ties_at_its_ends_and_its_extreme_halfway(self, off: float, temperature: float) -> None:
        win = {
            delta: PopulationCycle(delta=delta, temperature=temperature).people().preference()[0, 1]
            for delta in (0, 60, 30, 30 - off, 30 + off)
        }
        assert win[0] == pytest.approx(0.5, abs=1e-13 / temperature) and win[60] == pytest.approx(0.5, abs=1e-13 / temperature)
        assert win[30 - off] == pytest.approx(win[30 + off], abs=1e-13 * (1 + 1 / temperature))
        assert win[30] <= win[30 - off] + 1e-14 <= 0.5 + 1e-12

    def test_figures(self) -> None:
        assert PopulationCycle().people().preference()[0, 1] == pytest.approx(0.4234, abs=5e-5)
        assert PopulationCycle(temperature=0.2).people().preference()[0, 1] == pytest.approx(0.3334, abs=5e-5)
        assert PopulationCycle(temperature=1e-3).people().preference()[0, 1] == pytest.approx(1 / 3, abs=1e-15)

    @pytest.mark.parametrize("delta", [5.0, 30.0, 55.0])
    def test_the_majority_is_a_cycle_and_no_score_sees_it(self, delta: float) -> None:
        (game,) = PopulationCycle(delta=delta).games(0.1)
        assert game.cyclic_triangles() == 1 and game.condorcet_winner() is None
        assert game.intransitivity() == pytest.approx(1, abs=1e-12)
        score, value = bradley_terry(game.preference)
        np.testing.assert_allclose(score, 0, atol=1e-12)
        assert value == pytest.approx(np.log(2), abs=1e-15)

    def test_one_ranking_for_all_is_right_five_times_in_nine(self) -> None:
        truth = PopulationCycle(temperature=1e-3).people().probabilities.round()
        pairs = list(combinations(range(3), 2))
        right = [np.mean([truth[:, n] == (rank[i] < rank[j]) for n, (i, j) in enumerate(pairs)]) for rank in permutations(range(3))]
        assert max(right) == pytest.approx(5 / 9, abs=1e-15)
        for user in truth:  # whom some ranking satisfies
            assert any(all(user[n] == (rank[i] < rank[j]) for n, (i, j) in enumerate(pairs)) for rank in permutations(range(3)))


class TestTournament:
    """PAL-12."""

    @staticmethod
    def check(beats: list[tuple[int, int]], actions: int) -> None:
        preference = PopulationTournament(beats=beats).games(0.1)[0].preference
        assert preference.shape == (actions, actions)
        for winner, loser in beats:
            assert preference[winner, loser] == pytest.approx(0.5 + 1 / (actions * (actions - 1)), abs=1e-12)

    @pytest.mark.parametrize("actions", [2, 3, 4])
    def test_every_tournament_is_the_majority_of_some_users(self, actions: int) -> None:
        pairs = list(combinations(range(actions), 2))
        for turned in product((False, True), repeat=len(pairs)):
            self.check([(j, i) if turn else (i, j) for (i, j), turn in zip(pairs, turned, strict=True)], actions)

    def test_a_large_one(self) -> None:
        rng = np.random.default_rng(3)
        self.check([tuple(rng.permutation(pair).tolist()) for pair in rng.permutation(list(combinations(range(12), 2))).tolist()], 12)

    def test_users_are_certain_and_rank(self) -> None:
        people = PopulationTournament(actions=5).people()
        assert people.users == 20
        assert np.abs(people.probabilities - people.probabilities.round()).max() < 1e-20
        for user in people.preferences():
            assert sorted((user > 0.5).sum(axis=1)) == [0, 1, 2, 3, 4]
        assert set(people.preference()[np.triu_indices(5, 1)].round(12)) <= {0.45, 0.55}

    def test_drawn_ones_are_fair_coins(self) -> None:
        world = PopulationTournament(contexts=100)
        ahead = np.array([game.preference[np.triu_indices(5, 1)] > 0.5 for game in world.games(0.1)])
        for count in ahead.sum(axis=0):
            assert binom.ppf(NEVER / 20, 100, 0.5) <= count <= binom.isf(NEVER / 20, 100, 0.5)
        assert binom.ppf(NEVER, 1000, 0.5) < ahead.sum() < binom.isf(NEVER, 1000, 0.5)

    def test_a_given_one_is_not_random(self) -> None:
        given = PopulationTournament(beats=[[0, 1], [1, 2], [2, 0]])
        assert not given.random and PopulationTournament().random and given.beats == ((0, 1), (1, 2), (2, 0))
        assert [world.games(0.1)[0].actions for world in (given, PopulationTournament(), PopulationTournament(actions=3))] == [3, 5, 3]
        with pytest.raises(Invalid, match=r"^contexts=2"):
            replace(given, contexts=2)
        assert len(replace(given, contexts=2, reference="random").games(0.1)) == 2


class TestBradleyTerry:
    """PAL-13 and PAL-C."""

    def test_a_user_is_a_vector_of_rewards(self) -> None:
        rng = np.random.default_rng(0)
        rewards, weights = 3 * rng.standard_normal((4, 2, 5)), mixing_weights(rng, 6, 4, 1.0)
        people = People.of_rewards(rewards, weights)
        for u, x, i, j in product(range(6), range(2), range(5), range(5)):
            own = sum(weights[u, m] * rewards[m, x] for m in range(4))
            assert people.preferences(x)[u, i, j] == pytest.approx(expit(own[i] - own[j]), rel=1e-13)
        np.testing.assert_allclose(people.coordinates.reshape(6, 2, 5), np.einsum("um,mck->uck", weights, rewards), rtol=1e-14)
        assert set(people.features.ravel()) == {-1.0, 0.0, 1.0} and not people.offset.any()

    def test_any_mixture_of_bradley_terry_models_is_a_population(self) -> None:
        """r = 2 a / temperature up to a constant, at any temperature."""
        rewards = np.random.default_rng(1).standard_normal((3, 4))
        for temperature in (0.3, 1.0, 5.0):
            ideal = temperature / 2 * rewards + 7.0
            people = People(items=np.eye(4)[None], prototypes=ideal, weights=np.eye(3), temperature=temperature)
            expected = np.mean([expit(own[:, None] - own) for own in rewards], axis=0)
            np.testing.assert_allclose(people.preference(), expected, rtol=0, atol=1e-13 * (1 + 49 / temperature))

    @pytest.mark.parametrize("scale", [0.0, 0.5, 3.0])
    def test_the_scale_is_that_of_the_rewards(self, scale: float) -> None:
        people = PopulationBradleyTerry(scale=scale, contexts=20, prototypes=20).people()
        assert kstest(people.prototypes.ravel() / scale, "norm").pvalue > NEVER if scale else not people.prototypes.any()

    @pytest.mark.parametrize("seed", range(5))
    def test_triangles_close_if_and_only_if_users_agree(self, seed: int) -> None:
        mixed = PopulationBradleyTerry(actions=6).people(seed)
        assert np.abs(around(mixed.preference())).max() > 0.05
        for user in mixed.preferences():
            assert np.abs(around(user)).max() < 1e-10
        agreed = PopulationBradleyTerry(actions=6, prototypes=1).people(seed)
        assert np.abs(around(agreed.preference())).max() < 1e-11
        _, value = bradley_terry(agreed.preference())
        p = agreed.probabilities[0]
        assert value == pytest.approx(-(p * np.log(p) + (1 - p) * np.log1p(-p)).mean(), abs=1e-12)

    def test_triangles_can_stay_open_without_a_cycle(self) -> None:
        games = [PopulationBradleyTerry(scale=0.5, actions=5).games(0.1, seed=seed)[0] for seed in range(30)]
        defects = [np.abs(around(game.preference)).max() for game in games if not game.cyclic_triangles()]
        assert len(defects) > 15 and min(defects) > 1e-4


class TestPooledUsers:
    """PAL-6, PAL-8 and PAL-10."""

    @given(st.integers(0, 10**6), st.integers(0, 4), st.integers(2, 7))
    def test_on_a_line_the_median_user_decides(self, seed: int, pairs: int, actions: int) -> None:
        rng = np.random.default_rng([seed, pairs, actions])
        ideal, items = rng.standard_normal((2 * pairs + 1, 1)), rng.standard_normal((1, actions, 1))
        people = People(items=items, prototypes=ideal, weights=np.eye(len(ideal)), temperature=1e-7)
        assume(np.abs(by_scores(people)).min() > 50)
        wins = (people.preference() > 0.5).sum(axis=1)
        assert sorted(wins) == list(range(actions))
        assert wins.argmax() == np.abs(items[0, :, 0] - np.median(ideal)).argmin()

    def test_in_the_plane_it_does_not(self) -> None:
        assert sorted((PopulationCycle(temperature=1e-3).people().preference() > 0.5).sum(axis=1)) == [1, 1, 1]

    @pytest.mark.parametrize(
        "people",
        [
            *[Population(actions=5, concentration=0, d=2).people(seed) for seed in range(6)],
            *[PopulationTournament(actions=5).people(seed) for seed in range(3)],
            PopulationCycle(temperature=1e-3).people(),
        ],
    )
    def test_no_ranking_predicts_labels_better_than_the_majority_does(self, people: People) -> None:
        """The bound E max(P, 1 - P), over all rankings: it is met just where majorities are transitive."""
        p, (_, first, second) = people.probabilities, people.pairs.T
        majority = people.preference()[first, second]
        best = max(np.where(rank[first] < rank[second], p, 1 - p).mean() for rank in map(np.array, permutations(range(people.actions))))
        bound = np.maximum(majority, 1 - majority).mean()
        assert best <= bound + 1e-14
        assert (best > bound - 1e-9) == (not cycles(people))

    @given(st.integers(0, 10**6))
    def test_five_prototypes_in_a_plane_are_three(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        people = Population(prototypes=5, d=2, actions=4, concentration=1.0).people(seed)
        corners = people.prototypes[:, 0].mean(axis=0) + 50 * np.array([[0, 2], [-2, -1], [2, -1]]) + rng.standard_normal((3, 2))
        weights = np.linalg.solve(np.vstack([corners.T, np.ones(3)]), np.vstack([people.coordinates.T, np.ones(people.users)])).T
        fewer = replace(people, prototypes=corners, weights=weights)
        np.testing.assert_allclose(fewer.probabilities, people.probabilities, rtol=1e-9)
        np.testing.assert_allclose(fewer.preference(), people.preference(), atol=1e-12)

    def test_three_prototypes_on_a_line_are_two(self) -> None:
        ends = np.random.default_rng(2).standard_normal((2, 6))
        rng = np.random.default_rng(3)
        three = People(
            items=rng.standard_normal((1, 5, 6)), prototypes=[ends[0], ends.mean(axis=0), ends[1]], weights=mixing_weights(rng, 9, 3, 1.0)
        )
        two = replace(three, prototypes=ends, weights=three.weights[:, [0, 2]] + three.weights[:, [1]] / 2)
        np.testing.assert_allclose(two.probabilities, three.probabilities, rtol=1e-12)

    @pytest.mark.parametrize(("prototypes", "rank"), [(1, 0), (2, 1), (4, 3), (7, 6), (9, 6)])
    def test_the_affine_rank_of_ideal_points(self, prototypes: int, rank: int) -> None:
        points = Population(prototypes=prototypes, concentration=1.0).people().coordinates
        assert np.linalg.matrix_rank(points - points.mean(axis=0), tol=1e-9) == rank


PEOPLE = {"items": np.zeros((2, 3, 4)), "prototypes": np.zeros((2, 4)), "weights": [[0.5, 0.5]]}
REFUSED_PEOPLE = [
    ({"items": np.zeros((3, 4))}, "items"),
    ({"items": np.zeros((2, 1, 4))}, "items"),
    ({"items": np.full((2, 3, 4), np.nan)}, "items"),
    ({"items": [["a"]]}, "items"),
    ({"prompts": np.ones((3, 1))}, "prompts"),
    ({"prompts": np.ones(2)}, "prompts"),
    ({"prompts": np.ones((2, 2))}, "prototypes"),
    ({"prototypes": np.zeros((2, 3))}, "prototypes"),
    ({"prototypes": np.zeros((2, 2, 4))}, "prototypes"),
    ({"weights": [[0.5, 0.25, 0.25]]}, "weights"),
    ({"weights": [0.5, 0.5]}, "weights"),
    ({"weights": [[0.5, 0.4]]}, "weights"),
    ({"weights": [[1.5, -0.5]]}, "weights"),
    ({"weights": [[1.0, 0.0], [1.0, 1.0]]}, "weights"),
    ({"temperature": 0.0}, "temperature"),
    ({"temperature": np.inf}, "temperature"),
]


@pytest.mark.parametrize(("changes", "key"), REFUSED_PEOPLE)
def test_bad_people_are_refused(changes: dict, key: str) -> None:
    People(**PEOPLE)
    with pytest.raises(Invalid) as refusal:
        People(**{**PEOPLE, **changes})
    assert refusal.value.key == key and "\n" not in str(refusal.value)


REFUSED = [
    *[(Population, {key: value}, key, "an integer >= 1") for key in ("users", "prototypes", "d", "samples") for value in (0, 2.0, True)],
    *[(Population, {"actions": value}, "actions", "an integer >= 2") for value in (1, "3")],
    *[(Population, {"prompt_features": value}, "prompt_features", "an integer >= 0") for value in (-1, None)],
    *[
        (world, {"temperature": value}, "temperature", "a number in [1e-06, 1e+06]")
        for world in (Population, PopulationCycle)
        for value in (0, np.nan)
    ],
    *[
        (world, {"concentration": value}, "concentration", "0, or a number in [0.01, 1000]")
        for world in (Population, PopulationBradleyTerry)
        for value in (-1, 0.001, np.nan, np.inf, False, "1", None)
    ],
    *[(PopulationCycle, {"delta": value}, "delta", "a number in [0, 60]") for value in (-1, 60.1, np.nan)],
    (PopulationCycle, {"contexts": 2}, "contexts", "1 in a world"),
    (PopulationCycle, {"samples": 0}, "samples", "an integer >= 1"),
    *[(PopulationBradleyTerry, {"scale": value}, "scale", "a number in [0, 1000]") for value in (-1, np.inf)],
    *[(PopulationTournament, {"actions": value}, "actions", "an integer >= 2") for value in (1, 2.5)],
    (PopulationTournament, {"actions": 51}, "actions", "at most 50"),
    (PopulationTournament, {"actions": 4, "beats": [[0, 1], [1, 2], [0, 2]]}, "actions", "3, the number of responses"),
    *[
        (PopulationTournament, {"beats": value}, "beats", "a list of pairs")
        for value in ("abc", 3, [1, 2], [[0, 1, 2]], [[0, 1.0]], [[0, -1]], [[True, 0]], [["0", "1"]])
    ],
    *[
        (PopulationTournament, {"beats": value}, "beats", "each pair once")
        for value in ([], [[0, 0]], [[0, 1], [1, 0]], [[0, 1], [1, 2]], [[0, 1], [1, 2], [2, 0], [0, 2]], [[1, 2]])
    ],
]


@pytest.mark.parametrize(("world", "dials", "key", "allowed"), REFUSED)
def test_a_bad_dial_is_refused(world: type[PopulationWorld], dials: dict, key: str, allowed: str) -> None:
    with pytest.raises(Invalid) as refusal:
        world(**dials)
    assert refusal.value.key == key and allowed in refusal.value.allowed and "\n" not in str(refusal.value)


def test_counts_of_newcomers_and_comparisons_are_checked() -> None:
    for call in (lambda: Population().newcomers(0), lambda: Population().people().comparisons(0, [0, 0, 0, 0])):
        with pytest.raises(Invalid, match="an integer >= 1"):
            call()

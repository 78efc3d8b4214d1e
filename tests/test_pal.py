"""PAL: margins, the fit and its optimum, few-shot users, what is identifiable, existence, and the statistics of the estimates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, softmax
from scipy.stats import chi2, kstest

from algorithms.dpo import DPO
from algorithms.fit import fit, slope_slack
from algorithms.pal import PAL, PALFit, degrees, held_out
from algorithms.pal_blocks import likeliest_spread, settle
from envs.invalid import Invalid
from envs.pairs import Comparisons
from envs.user_comparisons import UserComparisons


class People:
    """A small population around squared distances, with margins worked out from the distances themselves."""

    def __init__(self, users: int, dimension: int, prototypes: int, items: int, *, temperature: float = 1.0, seed: int = 0):
        rng = np.random.default_rng([seed, users, dimension, prototypes])
        self.items, self.prototypes = rng.normal(size=(items, dimension)), rng.normal(size=(prototypes, dimension))
        self.weights = rng.dirichlet(np.ones(prototypes), size=users)
        self.temperature, self.ideal = temperature, self.weights @ self.prototypes
        self.first, self.second = (self.items[index] for index in np.triu_indices(items, 1))
        self.features = 2 * (self.first - self.second) / temperature
        self.offset = ((self.second**2).sum(axis=1) - (self.first**2).sum(axis=1)) / temperature

    def margins(self, ideal: np.ndarray) -> np.ndarray:
        far = ((ideal[:, None] - self.second) ** 2).sum(axis=2)
        near = ((ideal[:, None] - self.first) ** 2).sum(axis=2)
        return (far - near) / self.temperature

    def comparisons(self, each: int, seed: int, ideal: np.ndarray | None = None) -> UserComparisons:
        """A draw: `each` comparisons a user, of random pairs."""
        rng = np.random.default_rng([seed, each, 1, 0])
        margins = self.margins(self.ideal if ideal is None else ideal)
        counts = rng.multinomial(each, np.full(len(self.features), 1 / len(self.features)), size=len(margins))
        wins = rng.binomial(counts, expit(margins))
        return UserComparisons(self.features, self.offset, wins, counts - wins)

    def expected(self, ideal: np.ndarray | None = None) -> UserComparisons:
        """One comparison of each pair, divided as in the long run."""
        chance = expit(self.margins(self.ideal if ideal is None else ideal))
        return UserComparisons(self.features, self.offset, chance, 1 - chance)

    def excess(self, coordinates: np.ndarray) -> float:
        return self.expected().cross_entropy(coordinates) - self.expected().cross_entropy(self.ideal)

    def accuracy(self, coordinates: np.ndarray, ideal: np.ndarray | None = None) -> float:
        """How often the sign is that of the true margin."""
        truth = self.margins(self.ideal if ideal is None else ideal)
        return float(((self.margins(np.atleast_2d(coordinates)) > 0) == (truth > 0)).mean())


def penalised(data: UserComparisons, coordinates: np.ndarray, shrinkage: float) -> float:
    """The objective as it is stated, by loops over users and moments over comparisons."""
    counts = data.wins + data.losses
    moment = np.einsum("ui,ij,ik->jk", counts, data.features, data.features) / counts.sum()
    total, mean = 0.0, coordinates.mean(axis=0)
    for a, wins, losses in zip(coordinates, data.wins, data.losses, strict=True):
        chance = expit(data.features @ a + data.offset)
        total -= wins @ np.log(chance) + losses @ np.log1p(-chance)
        total += shrinkage / 8 * (a - mean) @ moment @ (a - mean)
    return total


def bradley_terry(users: int, items: int, seed: int, each: int = 40) -> UserComparisons:
    """Users with a score for each item."""
    rng = np.random.default_rng([seed, users, items, 2])
    first, second = np.triu_indices(items, 1)
    features = np.eye(items)[first] - np.eye(items)[second]
    counts = np.full((users, len(features)), each)
    wins = rng.binomial(counts, expit(rng.normal(size=(users, items)) @ features.T))
    return UserComparisons(features, np.zeros(len(features)), wins, counts - wins)


PEOPLE = People(12, 4, 3, 12, temperature=4.0)
DATA = PEOPLE.comparisons(200, 1)
each_shrinkage = pytest.mark.parametrize("shrinkage", [0.0, 1.0, 20.0])


class TestMargins:
    def test_squared_distance(self) -> None:
        """PAL-1: affine in the ideal point, so in the weights."""
        data = UserComparisons(PEOPLE.features, PEOPLE.offset, DATA.wins, DATA.losses)
        np.testing.assert_allclose(data.margins(PEOPLE.ideal), PEOPLE.margins(PEOPLE.ideal), atol=1e-12)
        mixed = PEOPLE.weights @ data.margins(PEOPLE.prototypes)
        np.testing.assert_allclose(mixed, PEOPLE.margins(PEOPLE.ideal), atol=1e-12)

    def test_unsquared_distance_is_not_affine(self) -> None:
        def margins(ideal: np.ndarray) -> np.ndarray:
            far, near = (np.linalg.norm(ideal[:, None] - side, axis=2) for side in (PEOPLE.second, PEOPLE.first))
            return far - near

        assert np.abs(PEOPLE.weights @ margins(PEOPLE.prototypes) - margins(PEOPLE.ideal)).max() > 0.05

    def test_ideal_points_that_depend_on_the_prompt(self) -> None:
        """PAL-2: users' maps of the prompt are coordinates; a learner that is not told the prompt cannot follow."""
        rng = np.random.default_rng(5)
        prompts, x, y = rng.normal(size=(40, 2)), rng.normal(size=(40, 3)), rng.normal(size=(40, 3))
        maps = rng.dirichlet(np.ones(2), size=9) @ rng.normal(size=(2, 6))
        ideal = np.einsum("upd,ip->uid", maps.reshape(9, 2, 3), prompts)
        margins = ((ideal - y) ** 2).sum(axis=2) - ((ideal - x) ** 2).sum(axis=2)
        chance, offset = expit(margins), (y**2).sum(axis=1) - (x**2).sum(axis=1)
        told = UserComparisons(np.einsum("ip,id->ipd", prompts, 2 * (x - y)).reshape(40, 6), offset, chance, 1 - chance)
        untold = UserComparisons(2 * (x - y), offset, chance, 1 - chance)
        np.testing.assert_allclose(told.margins(maps), margins, atol=1e-12)
        found = PAL(2, shrinkage=0).fit(told)
        np.testing.assert_allclose(found.coordinates, maps, atol=1e-6)
        assert PAL(4, shrinkage=0).fit(untold).value > found.value + 0.05


class TestOptimum:
    def test_one_prototype_is_the_pooled_fit(self) -> None:
        data = bradley_terry(7, 5, 0)
        pooled = fit(DPO(), Comparisons(data.features, data.wins.sum(axis=0), data.losses.sum(axis=0)))
        found = PAL(1).fit(data)
        np.testing.assert_allclose(found.coordinates, np.tile(pooled.theta, (7, 1)), atol=1e-10)
        assert found.value == pytest.approx(pooled.value, rel=1e-12)
        np.testing.assert_array_equal(found.weights, np.ones((7, 1)))
        assert found.exists and found.converged and found.rank == 0 and found.message == "the minimiser"

    def test_as_many_prototypes_as_users_or_dimensions_are_free_fits(self) -> None:
        data = bradley_terry(4, 6, 1)  # fewer users than dimensions
        fits = [fit(DPO(), Comparisons(data.features, *counts)).theta for counts in zip(data.wins, data.losses, strict=True)]
        found = PAL(4, shrinkage=0).fit(data)
        np.testing.assert_allclose(found.coordinates, fits, atol=1e-8)
        data = bradley_terry(9, 4, 2)  # more
        fits = [fit(DPO(), Comparisons(data.features, *counts)).theta for counts in zip(data.wins, data.losses, strict=True)]
        np.testing.assert_allclose(PAL(4, shrinkage=0).fit(data).coordinates, fits, atol=1e-8)

    def test_one_prototype_with_offsets(self) -> None:
        pooled = minimize(lambda a: penalised(DATA, np.tile(a, (12, 1)), 0.0), np.zeros(4), method="BFGS", options={"gtol": 1e-6})
        np.testing.assert_allclose(PAL(1).fit(DATA).centre, pooled.x, atol=1e-5)

    @each_shrinkage
    @pytest.mark.parametrize("prototypes", [2, 3, 4])
    def test_stationary_and_curved_up(self, prototypes: int, shrinkage: float) -> None:
        """Central differences along every kind of move that keeps users on one plane."""
        found, rng, h = PAL(prototypes, shrinkage=shrinkage).fit(DATA), np.random.default_rng(0), 1e-4
        assert found.converged
        for _ in range(20):
            weights, corners = rng.normal(size=found.weights.shape), rng.normal(size=found.prototypes.shape)
            weights -= weights.mean(axis=1, keepdims=True)

            def at(t: float, weights: np.ndarray = weights, corners: np.ndarray = corners) -> float:
                return penalised(DATA, (found.weights + 0.1 * t * weights) @ (found.prototypes + t * corners), shrinkage)

            slope, curvature = (at(h) - at(-h)) / (2 * h), (at(h) - 2 * at(0) + at(-h)) / h**2
            assert abs(slope) < 1e-6 * curvature and curvature > 0

    @each_shrinkage
    def test_generic_search_in_the_papers_form_finds_nothing_better(self, shrinkage: float) -> None:
        """Softmax weights and free prototypes by L-BFGS: positivity costs nothing, and the same minimum is found."""
        found, rng, values = PAL(3, shrinkage=shrinkage).fit(DATA), np.random.default_rng(1), []

        counts = DATA.wins + DATA.losses
        moment = np.einsum("ui,ij,ik->jk", counts, DATA.features, DATA.features) / counts.sum()

        def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
            weights, corners = softmax(x[:36].reshape(12, 3), axis=1), x[36:].reshape(3, 4)
            margins, apart = (weights @ corners) @ DATA.features.T + DATA.offset, weights @ corners - (weights @ corners).mean(axis=0)
            value = (DATA.wins * np.logaddexp(0, -margins) + DATA.losses * np.logaddexp(0, margins)).sum()
            slope = (counts * expit(margins) - DATA.wins) @ DATA.features + shrinkage / 4 * apart @ moment
            through = slope @ corners.T
            logits = weights * (through - (weights * through).sum(axis=1, keepdims=True))
            return value + shrinkage / 8 * np.sum(apart @ moment * apart), np.concatenate([logits.ravel(), (weights.T @ slope).ravel()])

        for _ in range(6):
            options = {"maxiter": 5000, "maxfun": 10**6, "ftol": 1e-15, "gtol": 1e-7}
            values.append(minimize(objective, rng.normal(size=48), jac=True, method="L-BFGS-B", options=options).fun)
        best = penalised(DATA, found.coordinates, shrinkage)
        assert best - 1e-7 < min(values) < best + 1e-3

    def test_value(self) -> None:
        found = PAL(2).fit(DATA)
        assert found.value == pytest.approx(penalised(DATA, found.coordinates, 0.0) / DATA.compared.sum(), rel=1e-12)
        assert DATA.cross_entropy(found.centre) == pytest.approx(penalised(DATA, np.tile(found.centre, (12, 1)), 0.0) / 2400, rel=1e-12)

    def test_restarts_help_and_never_harm(self) -> None:
        values = [penalised(DATA, PAL(3, restarts=n).fit(DATA).coordinates, 1.0) for n in (1, 3, 8)]
        assert values[0] + 1e-9 >= values[1] and values[1] + 1e-9 >= values[2]

    @pytest.mark.parametrize("prototypes", [2, 3, 4])
    @each_shrinkage
    def test_newton_from_the_leading_directions_takes_few_steps(self, prototypes: int, shrinkage: float) -> None:
        once, often = (PAL(prototypes, shrinkage=shrinkage, restarts=n).fit(DATA) for n in (1, 6))
        assert once.converged and once.iterations <= 12
        np.testing.assert_allclose(once.coordinates, often.coordinates, atol=1e-6)

    def test_shrinkage_goes_from_each_alone_to_all_together(self) -> None:
        pooled = PAL(1).fit(DATA).centre
        np.testing.assert_allclose(PAL(3, shrinkage=1e6).fit(DATA).coordinates, np.tile(pooled, (12, 1)), atol=1e-2)
        likelihoods = [PAL(3, shrinkage=s).fit(DATA).value for s in (0, 0.5, 5, 50)]
        assert (np.diff(likelihoods) > 0).all()


class TestInvariance:
    @each_shrinkage
    def test_the_space_has_no_axes_origin_or_unit(self, shrinkage: float) -> None:
        rng, learner = np.random.default_rng(3), PAL(3, shrinkage=shrinkage)
        change, origin = rng.normal(size=(4, 4)) * [[1], [10], [0.1], [1]], 1e5 * rng.normal(size=4)
        moved = UserComparisons(DATA.features @ change.T, DATA.offset - DATA.features @ origin, DATA.wins, DATA.losses)
        found = learner.fit(moved)
        assert found.converged
        np.testing.assert_allclose(found.coordinates @ change - origin, learner.fit(DATA).coordinates, atol=1e-5)

    @each_shrinkage
    def test_order_and_orientation_play_no_part(self, shrinkage: float) -> None:
        rng, learner = np.random.default_rng(4), PAL(3, shrinkage=shrinkage)
        here, users, pairs = learner.fit(DATA).coordinates, rng.permutation(12), rng.permutation(len(DATA.features))
        other = UserComparisons(DATA.features[pairs], DATA.offset[pairs], DATA.wins[:, pairs], DATA.losses[:, pairs]).of(users)
        np.testing.assert_allclose(learner.fit(other).coordinates, here[users], atol=1e-6)
        swapped = UserComparisons(-DATA.features, -DATA.offset, DATA.losses, DATA.wins)
        np.testing.assert_allclose(learner.fit(swapped).coordinates, here, atol=1e-6)

    def test_shrinkage_counts_comparisons(self) -> None:
        more = UserComparisons(DATA.features, DATA.offset, 3 * DATA.wins, 3 * DATA.losses)
        np.testing.assert_allclose(PAL(3, shrinkage=6).fit(more).coordinates, PAL(3, shrinkage=2).fit(DATA).coordinates, atol=1e-7)

    def test_a_seed_is_a_result(self) -> None:
        first, again, other = (PAL(3).fit(DATA, seed=seed) for seed in (0, 0, 1))
        np.testing.assert_array_equal(first.prototypes, again.prototypes)
        np.testing.assert_allclose(first.coordinates, other.coordinates, atol=1e-6)

    @pytest.mark.parametrize("prototypes", [1, 2, 3, 4, 5])
    def test_axes_and_corners(self, prototypes: int) -> None:
        found = PAL(prototypes).fit(DATA)
        moment = np.einsum("ui,ij,ik->jk", DATA.wins + DATA.losses, DATA.features, DATA.features) / DATA.compared.sum()
        np.testing.assert_allclose(found.directions @ moment @ found.directions.T, np.eye(prototypes - 1), atol=1e-10)
        np.testing.assert_allclose(found.centre, found.coordinates.mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(found.weights @ found.prototypes, found.coordinates, atol=1e-12)
        np.testing.assert_allclose(found.weights.sum(axis=1), 1, atol=1e-13)
        assert found.weights.min() >= 0 and found.prototypes.shape == (prototypes, 4)
        places = (found.coordinates - found.centre) @ moment @ found.directions.T
        spread = places.T @ places
        np.testing.assert_allclose(spread, np.diag(np.diag(spread)), atol=1e-9 * max(1.0, np.abs(spread).max(initial=0)))
        assert (np.diff(np.diag(spread)) <= 1e-12).all()


class TestFewShot:
    @each_shrinkage
    def test_users_that_were_seen_stay_where_they_were(self, shrinkage: float) -> None:
        found = PAL(3, shrinkage=shrinkage).fit(DATA)
        again = found.few_shot(DATA, shrinkage)
        np.testing.assert_allclose(again.coordinates, found.coordinates, atol=1e-7)
        np.testing.assert_allclose(again.weights, found.weights, atol=1e-7)
        assert again.converged.all()

    @pytest.mark.parametrize("shrinkage", [1e-3, 1.0, 30.0, None])
    def test_they_settle_on_the_plane_at_a_minimum_each(self, shrinkage: float | None) -> None:
        found, new = PAL(3).fit(DATA), PEOPLE.comparisons(6, 9)
        users = found.few_shot(new, shrinkage)
        np.testing.assert_allclose(users.weights.sum(axis=1), 1, atol=1e-12)
        np.testing.assert_allclose(users.weights @ found.prototypes, users.coordinates, atol=1e-10)
        precision = np.linalg.inv(found.spread) if shrinkage is None else shrinkage / 4 * np.eye(2)
        along = np.linalg.pinv(found.directions)

        def objective(user: int, coordinates: np.ndarray) -> float:
            place, margins = (coordinates - found.centre) @ along, new.margins(coordinates)
            terms = new.wins[user] @ np.logaddexp(0, -margins) + new.losses[user] @ np.logaddexp(0, margins)
            return float(terms + 0.5 * place @ precision @ place)

        for user, at in enumerate(users.coordinates):
            for direction in np.vstack([found.directions, -found.directions]):
                assert objective(user, at + 1e-3 * direction) > objective(user, at) - 1e-12
                middle, end = objective(user, at + 2 * direction), objective(user, at + 4 * direction)
                assert middle <= (objective(user, at) + end) / 2  # convex

    def test_one_prototype_leaves_no_choice(self) -> None:
        found = PAL(1).fit(DATA)
        for shrinkage in (None, 0.0, 1.0):
            np.testing.assert_allclose(found.few_shot(DATA.of([3, 4]), shrinkage).coordinates, np.tile(found.centre, (2, 1)), atol=1e-12)

    def test_users_do_not_see_each_other(self) -> None:
        found, new = PAL(3).fit(DATA), PEOPLE.comparisons(8, 3)
        np.testing.assert_allclose(found.few_shot(new.of([5])).coordinates[0], found.few_shot(new).coordinates[5], atol=1e-10)

    @given(st.integers(0, 10**6), st.integers(1, 4))
    def test_existence_on_a_line(self, seed: int, pairs: int) -> None:
        """By hand: on a line a user's answers separate iff, where the pair is not a tie, all point the same way."""
        rng = np.random.default_rng(seed)
        features, offset = rng.integers(-1, 2, size=(pairs, 1)).astype(float), 3 * rng.normal(size=pairs)
        wins, losses = rng.integers(0, 2, size=(2, 5, pairs)).astype(float)
        up, down = (
            (wins * (features.T > 0) + losses * (features.T < 0)).sum(axis=1),
            (wins * (features.T < 0) + losses * (features.T > 0)).sum(axis=1),
        )
        found = settle(features, offset, wins, losses, 0.0)
        np.testing.assert_array_equal(found.exists, (up == 0) == (down == 0))
        np.testing.assert_array_equal(found.converged, found.exists)

    @given(st.integers(0, 10**6))
    def test_existence_agrees_with_the_linear_program(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        features, wins, losses = rng.integers(-2, 3, size=(8, 3)).astype(float), *rng.integers(0, 2, size=(2, 6, 8)).astype(float)
        wins[:, 0] += 1
        found = settle(features, rng.normal(size=8), wins, losses, 0.0)
        slack = [slope_slack(DPO(), Comparisons(features, w, l)) for w, l in zip(wins, losses, strict=True)]
        np.testing.assert_array_equal(found.exists, np.array(slack) > 1e-9)
        np.testing.assert_array_equal(found.converged, found.exists)

    def test_separable_users_are_marked_one_by_one(self) -> None:
        found = PAL(3).fit(DATA)
        wins, losses = DATA.wins[:3].copy(), DATA.losses[:3].copy()
        direction = found.directions[0]
        wins[1], losses[1] = DATA.features @ direction > 0, DATA.features @ direction < 0
        users = found.few_shot(UserComparisons(DATA.features, DATA.offset, wins, losses), 0)
        np.testing.assert_array_equal(users.exists, [True, False, True])
        assert np.isnan(users.coordinates[1]).all() and np.isnan(users.weights[1]).all()
        assert np.isfinite(users.coordinates[[0, 2]]).all()
        assert settle(DATA.features @ found.directions.T, DATA.margins(found.centre), wins, losses, 0.0).iterations < 50
        for shrinkage in (None, 1e-3):
            assert found.few_shot(UserComparisons(DATA.features, DATA.offset, wins, losses), shrinkage).exists.all()

    def test_offsets_beyond_what_the_exponential_can_hold(self) -> None:
        users = settle(np.array([[1.0], [-1.0]]), np.array([900.0, -2.0]), np.array([[1.0, 3.0]]), np.array([[1.0, 1.0]]), 1.0)
        assert users.exists.all() and np.isfinite(users.points).all()

    def test_refusals(self) -> None:
        found = PAL(2).fit(DATA)
        with pytest.raises(Invalid, match="features=array of 5 columns: must be of 4 columns"):
            found.few_shot(bradley_terry(2, 5, 0))
        with pytest.raises(Invalid, match="shrinkage=-1"):
            found.few_shot(DATA, -1.0)
        with pytest.raises(Invalid, match="user 1"):
            UserComparisons(
                DATA.features, DATA.offset, DATA.wins * (np.arange(12) != 1)[:, None], DATA.losses * (np.arange(12) != 1)[:, None]
            )


class TestIdentification:
    def test_five_prototypes_on_a_plane_are_three(self) -> None:
        """PAL-10: what counts is the affine rank."""
        rng = np.random.default_rng(8)
        people = People(20, 4, 1, 15, temperature=4.0)
        corners = rng.normal(size=(5, 2)) @ rng.normal(size=(2, 4)) + rng.normal(size=4)
        people.ideal = rng.dirichlet(np.ones(5), size=20) @ corners
        three, five = (PAL(k, shrinkage=0).fit(people.expected()) for k in (3, 5))
        for found in (three, five):
            assert found.converged and found.rank == 2
            np.testing.assert_allclose(found.coordinates, people.ideal, atol=1e-5)
        assert PAL(2, shrinkage=0).fit(people.expected()).value > three.value + 1e-4
        assert three.message == "the lowest minimum of 3 starts"
        assert "5 prototypes are not identifiable" in five.message and "affine rank is 2, so 3" in five.message

    def test_three_prototypes_on_a_line_are_two(self) -> None:
        people = People(15, 3, 1, 12, temperature=4.0)
        corners = np.array([[0.0], [0.4], [1.0]]) * [1.0, -2.0, 0.5] + [0.3, 0.2, -0.1]
        people.ideal = np.random.default_rng(2).dirichlet(np.ones(3), size=15) @ corners
        found = PAL(2, shrinkage=0).fit(people.expected())
        np.testing.assert_allclose(found.coordinates, people.ideal, atol=1e-6)
        assert "not identifiable" in PAL(3, shrinkage=0).fit(people.expected()).message

    def test_more_than_users_or_features_can_tell(self) -> None:
        few = DATA.of([0, 1, 2])
        for asked, most, data in [(9, 3, few), (9, 5, DATA), (7, 4, bradley_terry(8, 4, 0))]:
            found, same = PAL(asked).fit(data), PAL(most).fit(data)
            np.testing.assert_array_equal(found.coordinates, same.coordinates)
            assert found.prototypes.shape[0] == most and f"{asked} prototypes are not identifiable" in found.message
            assert "identifiable" not in same.message

    def test_features_that_tell_of_nothing(self) -> None:
        found = PAL(3).fit(UserComparisons(np.zeros((2, 3)), [0.5, -1], [[1, 0], [1, 2]], [[0, 1], [1, 0]]))
        np.testing.assert_array_equal(found.coordinates, np.zeros((2, 3)))
        assert found.exists and found.rank == 0

    def test_degrees(self) -> None:
        assert [degrees(8, 5, 3), degrees(7, 4, 2), degrees(50, 6, 1), degrees(4, 9, 4), degrees(30, 3, 4)] == [25, 13, 6, 36, 90]
        with pytest.raises(Invalid, match="prototypes=5"):
            degrees(4, 9, 5)


class TestExistence:
    def test_everybody_agrees(self) -> None:
        """No shrinkage to a mean helps where the mean itself runs away."""
        data = UserComparisons(np.eye(2), np.zeros(2), [[1, 2], [2, 0]], [[0, 1], [0, 3]])
        for learner in (PAL(1), PAL(2), PAL(2, shrinkage=0)):
            found = learner.fit(data)
            assert not found.exists and not found.converged and "all users together are separable" in found.message
            assert np.isnan(found.coordinates).all() and np.isnan(found.prototypes).all() and np.isnan(found.value)
            with pytest.raises(Invalid, match="all users together"):
                found.few_shot(data)

    def test_some_users_run_away(self) -> None:
        """Half of the users answer without error along one direction: every plane worth having contains it."""
        sure = np.sign(DATA.features @ [1.0, -1.0, 0.5, 0.2])
        wins, losses = DATA.wins.copy(), DATA.losses.copy()
        wins[:6], losses[:6] = 3 * (sure > 0), 3 * (sure < 0)
        data = UserComparisons(DATA.features, DATA.offset, wins, losses)
        assert PAL(1, shrinkage=0).fit(data).exists and PAL(3, shrinkage=0.01).fit(data).converged
        for prototypes in (2, 3, 5):
            found = PAL(prototypes, shrinkage=0).fit(data)
            assert not found.exists and not found.converged and "6 users, the first of them user 0, have separable" in found.message
            assert np.isnan(found.coordinates).all() and found.prototypes.shape == (prototypes, 4) and np.isnan(found.value)

    def test_existence_of_free_users_is_exact(self) -> None:
        outcomes = []
        for seed in range(30):
            rng = np.random.default_rng([seed, 7])
            features, wins, losses = rng.normal(size=(6, 2)), *rng.integers(0, 2, size=(2, 3, 6))
            wins[:, 0] += 1
            data = UserComparisons(features, rng.normal(size=6), wins, losses)
            slack = [slope_slack(DPO(), Comparisons(features, w, l)) for w, l in zip(wins, losses, strict=True)]
            found = PAL(3, shrinkage=0).fit(data)
            assert found.exists == (min(slack) > 1e-9) and found.converged == found.exists
            assert np.isfinite(found.coordinates).all() == found.exists
            outcomes.append(found.exists)
        assert 5 < sum(outcomes) < 25

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ({"prototypes": 0}, "prototypes=0: must be an integer >= 1"),
            ({"prototypes": 2.0}, "prototypes=2.0"),
            ({"shrinkage": -1.0}, "shrinkage=-1.0"),
            ({"shrinkage": np.nan}, "shrinkage=nan"),
            ({"restarts": 0}, "restarts=0"),
        ],
    )
    def test_refusals(self, arguments: dict, says: str) -> None:
        with pytest.raises(Invalid, match=says):
            PAL(**arguments)
        with pytest.raises(Invalid, match="seed=-1"):
            PAL(2).fit(DATA, seed=-1)


class TestHeldOut:
    @given(st.integers(0, 10**6), st.floats(0.01, 0.99))
    def test_nothing_is_lost(self, seed: int, share: float) -> None:
        kept, test = held_out(DATA, share, np.random.default_rng(seed))
        np.testing.assert_array_equal(kept.wins + test.wins, DATA.wins)
        np.testing.assert_array_equal(kept.losses + test.losses, DATA.losses)
        np.testing.assert_array_equal(test.compared, np.clip(np.rint(share * DATA.compared), 1, DATA.compared - 1))

    def test_every_comparison_is_as_likely_to_go(self) -> None:
        """Hypergeometric means and variances, to 5 standard errors of 4000 draws, over 6 cells."""
        data = UserComparisons(np.eye(3), np.zeros(3), [[4, 0, 3]], [[1, 2, 6]])
        rng, cells = np.random.default_rng(0), np.array([4, 0, 3, 1, 2, 6])
        draws = np.array([np.hstack([part.wins[0], part.losses[0]]) for part in (held_out(data, 0.25, rng)[1] for _ in range(4000))])
        mean = cells / 4
        variance = 4 * cells / 16 * (1 - cells / 16) * 12 / 15
        assert (np.abs(draws.mean(axis=0) - mean) <= 5.5 * np.sqrt(variance / 4000)).all()
        np.testing.assert_allclose(draws.var(axis=0), variance, rtol=0.2)

    def test_refusals(self) -> None:
        rng = np.random.default_rng(0)
        for share in (0, 1, "half", True):
            with pytest.raises(Invalid, match="share"):
                held_out(DATA, share, rng)
        with pytest.raises(Invalid, match="whole numbers"):
            held_out(PEOPLE.expected(), 0.2, rng)
        with pytest.raises(Invalid, match="two at least"):
            held_out(UserComparisons(np.eye(2), np.zeros(2), [[1, 0]], [[0, 0]]), 0.2, rng)

    def test_the_number_of_prototypes_is_found(self) -> None:
        people = People(40, 6, 3, 20, temperature=2.0, seed=1)
        people.ideal = np.random.default_rng(1).dirichlet(np.full(3, 0.3), size=40) @ people.prototypes
        data = people.comparisons(150, 0)
        choice = PAL().choose(data)
        np.testing.assert_array_equal(choice.prototypes, np.arange(1, 8))
        assert choice.best == 3 and choice.cross_entropy[0] > choice.cross_entropy[2] + 0.05
        np.testing.assert_array_equal(PAL().fit(data).coordinates, PAL(3).fit(data).coordinates)

    def test_a_fit_that_does_not_exist_is_not_chosen(self) -> None:
        choice = PAL(shrinkage=0).choose(PEOPLE.comparisons(6, 2))
        assert np.isinf(choice.cross_entropy).any() and np.isfinite(choice.cross_entropy[choice.best - 1])


def few_shot_statistics(found: PALFit, ideal: np.ndarray, people: People, repeats: int, comparisons: int) -> np.ndarray:
    """m e' H e of a user, H the information of one comparison at the truth."""
    new = people.comparisons(comparisons, 77, np.tile(ideal, (repeats, 1)))
    error = found.few_shot(new, 0).coordinates - ideal
    chance = expit(people.margins(ideal[None])[0])
    information = np.einsum("i,ij,ik->jk", chance * (1 - chance), people.features, people.features) / len(chance)
    return comparisons * np.einsum("ri,ij,rj->r", error, information, error)


@pytest.mark.parametrize(("prototypes", "freedom"), [(3, 2), (9, 8)], ids=["shared", "free"])
def test_errors_of_new_users(prototypes: int, freedom: int) -> None:
    """PAL-3: m E|error|^2 in the metric of the information tends to K - 1, and to D for a free point; the law is chi-square."""
    people = People(12, 8, 3, 14, temperature=16.0, seed=3)
    found = PAL(prototypes, shrinkage=0).fit(people.expected())
    np.testing.assert_allclose(found.coordinates, people.ideal, atol=1e-6)
    statistic = few_shot_statistics(found, np.array([0.3, 0.3, 0.4]) @ people.prototypes, people, 300, 2000)
    assert abs(statistic.mean() - freedom) < 4.9 * np.sqrt(2 * freedom / 300) + 0.02 * freedom
    assert kstest(statistic, chi2(freedom).cdf).pvalue > 1e-6


class TestSpread:
    @pytest.mark.parametrize("variance", [2.0, 0.2, 0.0])
    def test_of_normal_users(self, variance: float) -> None:
        """Within 5 standard errors, and the approximation's error, which is downwards, of a variance seen through 30 comparisons a user."""
        rng = np.random.default_rng(4)
        features, users = rng.normal(size=(30, 1)), np.sqrt(variance) * rng.normal(size=(2000, 1))
        wins = rng.binomial(1, expit(users @ features.T + 0.3)).astype(float)
        estimate = likeliest_spread(features, np.full(30, 0.3), wins, 1 - wins, np.eye(1))[0, 0]
        noise = 5 * (variance + 6 / 30) * np.sqrt(2 / 2000)
        assert 0.75 * variance - noise < estimate < variance + noise

    def test_has_the_axes_of_the_users(self) -> None:
        people = People(300, 4, 3, 12, temperature=2.0)
        found = PAL(3).fit(people.comparisons(100, 0))
        places = (people.ideal - people.ideal.mean(axis=0)) @ np.linalg.pinv(found.directions)
        truth = places.T @ places / 300
        np.testing.assert_allclose(found.spread, truth, atol=0.3 * np.trace(truth))


@pytest.mark.parametrize("temperature", [1.0, 4.0], ids=["sure", "unsure"])
def test_accuracy_on_new_users(temperature: float) -> None:
    """PAL-4 and -14: shrunk, prototypes beat one reward for all and free points at every m; unshrunk they lose to the former at m = 2."""
    people = People(100, 6, 3, 25, temperature=temperature, seed=5)
    seen = people.comparisons(100, 0)
    found, pooled, free = PAL(3).fit(seen), PAL(1).fit(seen), PAL(7).fit(seen)
    ideal = np.random.default_rng(6).dirichlet(np.ones(3), size=400) @ people.prototypes
    together, accuracies = people.accuracy(pooled.centre, ideal), []
    for m in (2, 5, 10, 20, 50, 100):
        new = people.comparisons(m, 1, ideal)
        accuracies.append(
            [people.accuracy(users.few_shot(new, s).coordinates, ideal) for users, s in [(found, None), (found, 1e-4), (free, None)]]
        )
    shrunk, bare, alone = np.transpose(accuracies)
    assert shrunk[0] > together - 0.002 and (shrunk[1:] > together).all() and (np.diff(shrunk) > -0.002).all()
    assert (shrunk > alone - 0.002).all() and shrunk[-1] > together + 0.015
    assert bare[0] < together - 0.1
    assert not found.few_shot(people.comparisons(2, 1, ideal), 0).exists.any()  # two answers on a plane are always separable


def test_the_number_of_prototypes_trades_bias_for_variance() -> None:
    """PAL-7 and -8: a floor below K*, then dof / 2n growing with K; pooled users lose sign accuracy, which no single score can regain."""
    people, counts = People(40, 6, 3, 30, temperature=4.0, seed=2), (1, 2, 3, 4, 6)
    people.ideal = np.random.default_rng(2).dirichlet(np.full(3, 0.3), size=40) @ people.prototypes
    fits = [[PAL(k, shrinkage=0).fit(people.comparisons(150, seed)) for k in counts] for seed in range(4)]
    assert all(found.converged for row in fits for found in row)
    excess = np.mean([[people.excess(found.coordinates) for found in row] for row in fits], axis=0)
    accuracy = np.mean([[people.accuracy(found.coordinates) for found in row] for row in fits], axis=0)
    assert excess.argmin() == 2 and (np.diff(excess)[:2] < 0).all() and (np.diff(excess)[2:] > 0).all()
    assert excess[2] / (degrees(40, 6, 3) / (2 * 40 * 150)) == pytest.approx(1, abs=0.4)
    assert accuracy.argmax() == 2 and accuracy[2] > accuracy[0] + 0.05
    share = (people.margins(people.ideal) > 0).mean(axis=0)
    assert accuracy[0] <= np.maximum(share, 1 - share).mean() < accuracy[2]


@pytest.mark.slow
@pytest.mark.parametrize(("users", "dimension", "prototypes", "freedom"), [(8, 5, 3, 25), (7, 4, 2, 13)])
def test_wilks(users: int, dimension: int, prototypes: int, freedom: int) -> None:
    """PAL-9: twice the log-likelihood ratio of the truth is chi-square with D + (K - 1) (U - 1 + D - (K - 1)) degrees of freedom."""
    assert degrees(users, dimension, prototypes) == freedom
    people, statistics = People(users, dimension, prototypes, 10, temperature=8.0, seed=1), []
    for seed in range(150):
        data = people.comparisons(1500, seed)
        found = PAL(prototypes, shrinkage=0, restarts=1).fit(data)
        assert found.converged
        statistics.append(2 * data.compared.sum() * (data.cross_entropy(people.ideal) - found.value))
    assert abs(np.mean(statistics) - freedom) < 4.9 * np.sqrt(2 * freedom / 150)
    assert kstest(statistics, chi2(freedom).cdf).pvalue > 1e-6
    for wrong in (freedom + 5, freedom - 5):
        assert abs(np.mean(statistics) - wrong) > 3.9 * np.sqrt(2 * wrong / 150)

"""Properties of random tableaus against plain numpy, of random games, policies, losses and populations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from games import Given, games, random_policy, uniform
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit, logsumexp

import simlab
from algorithms.cdpo import ConservativeDPO
from algorithms.dpo import DPO
from algorithms.egpo import EGPO
from algorithms.fit import fit
from algorithms.ipo import IPO
from algorithms.pair_loss import PairLoss
from algorithms.rdpo import RobustDPO
from algorithms.robust_ipo import RobustIPO
from algorithms.tableau import Loop, Stage, Tableau, copy, gradient, mix, pairs, projection, prox, responses
from envs.divergence import kl, log_normalise
from envs.equilibrium import nash, regularised_nash, residual
from envs.feedback import Duels, Exact
from envs.game import Game
from envs.pairs import Comparisons
from envs.people import People
from simlab import metrics
from simlab.packing import MEASURES
from simlab.run import LANES, Run, _blocks

SEED = st.integers(0, 2**32 - 1)
SLOTS = ("reference", "policy", "half", "slow")

# Random tableaus.

number = st.floats(-1.5, 1.5).map(lambda value: round(value, 3))


@st.composite
def coefficients(draw: st.DrawFn) -> Any:
    """A number, or a schedule of four."""
    return np.array(draw(st.lists(number, min_size=4, max_size=4))) if draw(st.booleans()) else draw(number)


def weights(values: st.SearchStrategy[Any] = number, least: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(SLOTS), values, min_size=least, max_size=3)


@st.composite
def stages(draw: st.DrawFn, sampled: bool = False) -> Stage:
    """One of any kind; what it writes is not the reference."""
    kinds = ["prox", "gradient", "mix", "copy", "projection"] + ["pairs", "responses"] * sampled
    kind, to, every = draw(st.sampled_from(kinds)), draw(st.sampled_from(SLOTS[1:])), draw(st.integers(1, 3))
    base, one = draw(st.sampled_from(SLOTS[1:])), draw(st.sampled_from(SLOTS))
    if kind == "copy":
        return copy(to, one, every=every)
    if kind == "mix":
        shares = draw(weights(st.integers(1, 9), 1))
        return mix(to, {slot: share / sum(shares.values()) for slot, share in shares.items()}, every=every)
    if kind == "prox":
        return prox(to, anchor=draw(weights(coefficients(), 1)), opponent=draw(weights()), rate=draw(coefficients()), every=every)
    rate, anchor = draw(coefficients()), draw(weights(coefficients()))
    if kind == "gradient":
        return gradient(to, opponent=draw(weights(least=1)), anchor=anchor, rate=rate, base=base, every=every)
    if kind == "projection":
        return projection(to, opponent=one, rate=rate, base=base, every=every)
    if kind == "pairs":
        source = draw(st.sampled_from(["", *SLOTS]))
        return pairs(to, opponent=one, anchor=anchor, rate=rate, samples=2, base=base, source=source, every=every)
    return responses(to, opponent=one, rate=rate, samples=3, base=base, every=every)


@st.composite
def tableaus(draw: st.DrawFn, sampled: bool = False) -> Given:
    """One to four stages, some repeated; all four slots are read, and the policy is returned."""
    found: list[Stage | Loop] = []
    for stage in draw(st.lists(stages(sampled), min_size=1, max_size=4)):
        found.append(Loop((stage,), times=draw(st.integers(1, 3))) if draw(st.booleans()) else stage)
    return Given(Tableau(*found, *(copy(slot, slot) for slot in SLOTS[1:])))


def interpreted(tableau: Tableau, game: Game, start: NDArray, steps: int) -> NDArray:
    """(steps + 1, K) logs of the returned slot, from the equations of `algorithms.tableau`."""
    slots = {slot: game.log_reference if slot == "reference" else start for slot in tableau.slots}
    path = [slots[tableau.returns]]
    for t in range(steps):
        for loop in tableau.loops:
            for _ in range(loop.times):
                for stage in loop.stages:
                    if (t + 1) % stage.every == 0:
                        slots[stage.to] = moved(stage, slots, game.preference, t)
        path.append(slots[tableau.returns])
    return np.array(path)


def moved(stage: Stage, slots: dict[str, NDArray], preference: NDArray, t: int) -> NDArray:
    """What a stage writes."""

    def at(value: Any) -> float:
        table = np.atleast_1d(value)
        return float(table[min(t, len(table) - 1)])

    mixture = sum((at(weight) * np.exp(slots[slot]) for slot, weight in stage.opponent.items()), np.zeros(len(preference)))
    if stage.kind == "mix":
        return np.log(mixture)
    anchor = sum((at(weight) * slots[slot] for slot, weight in stage.anchor.items()), np.zeros(len(preference)))
    if stage.kind == "prox":
        return log_normalise(anchor + at(stage.rate) * preference @ mixture)
    base = slots[stage.base]
    if stage.kind == "projection":
        won = expit(np.subtract.outer(base, base)) @ mixture
        return log_normalise(base + at(stage.rate) * (preference @ mixture - won))
    p, field = np.exp(base), preference @ mixture + anchor
    return log_normalise(base + at(stage.rate) * p * (field - p @ field))


@given(tableaus(), games(), SEED, st.sampled_from([0, 31]))
def test_the_kernel_is_plain_numpy(method: Given, game: Game, seed: int, more: int) -> None:
    """On small games and, with ties added, on large ones; as far as double precision tells policies apart."""
    game = enlarged(game, more)
    start = random_policy(np.random.default_rng(seed), game.actions)
    expected = interpreted(method.stages, game, start, 4)
    assume(np.isfinite(expected).all() and np.abs(expected).max() < 1e3)
    run = simlab.simulate(game, method, steps=4, start=start, record="every")
    np.testing.assert_allclose(run.log_policy[0], expected, rtol=1e-9, atol=1e-9 * (1 + np.abs(expected).max()))


def enlarged(game: Game, more: int) -> Game:
    """With so many actions more, which tie with all."""
    whole = np.full((game.actions + more,) * 2, 0.5)
    whole[: game.actions, : game.actions] = game.preference
    return Game(whole, log_normalise(np.append(game.log_reference, np.full(more, -2.0))), game.beta)


def same(first: Run, second: Run, rows: Any = slice(None)) -> None:
    """Bitwise, nan equal to nan."""
    for one, other in ((first.log_policy, second.log_policy), (first.log_average, second.log_average), (first.queries, second.queries)):
        np.testing.assert_array_equal(one, other[rows])
    np.testing.assert_array_equal(first.status, second.status[rows])
    for name in first.measured:
        np.testing.assert_array_equal(first.measured[name], second.measured[name][rows])


FEEDBACK = st.sampled_from([Exact(), Exact(flip=0.1, assumed_flip=0.2), Duels(1, flip=0.2), Duels(3, assumed_flip=0.1)])
ASKED: dict[str, Any] = {"steps": 5, "record": "every", "measure": ["exploitability", "average_kl_to_reference"]}


@given(tableaus(sampled=True), st.lists(st.integers(0, 99), min_size=2, max_size=12, unique=True), FEEDBACK, SEED, st.integers(1, 9))
def test_neighbours_change_no_bit(method: Given, worlds: list[int], feedback: Exact, seed: int, seeds: int) -> None:
    crowd = [uniform(4, world, (0.1, 0.5)[world % 2]) for world in worlds]
    together = simlab.simulate(crowd, method, seeds=seeds, seed=seed, feedback=feedback, **ASKED)
    chosen = seed % len(crowd)
    alone = simlab.simulate(crowd[chosen], method, seeds=1, first_seed=seeds - 1, seed=seed, feedback=feedback, **ASKED)
    same(alone, together, slice(chosen * seeds + seeds - 1, (chosen + 1) * seeds))


@given(tableaus(sampled=True), FEEDBACK, SEED, st.integers(1, 40), st.integers(1, 5))
def test_threads_and_the_order_of_games_change_no_bit(method: Given, feedback: Exact, seed: int, seeds: int, threads: int) -> None:
    crowd = [uniform(3, world, (0.1, 0.5)[world % 2]) for world in range(5)]
    order = np.random.default_rng(seed).permutation(5)
    first = simlab.simulate(crowd, method, seeds=seeds, seed=seed, feedback=feedback, threads=1, **ASKED)
    other = simlab.simulate([crowd[k] for k in order], method, seeds=seeds, seed=seed, feedback=feedback, threads=threads, **ASKED)
    same(other, first, np.concatenate([np.arange(seeds) + seeds * k for k in order]))


@given(tableaus(sampled=True), FEEDBACK, SEED, st.integers(1, 6))
def test_a_shorter_run_is_the_beginning_of_a_longer_one(method: Given, feedback: Exact, seed: int, steps: int) -> None:
    options: dict[str, Any] = {"seed": seed, "feedback": feedback, "record": "every"}
    short, long = (simlab.simulate(uniform(4, 1), method, steps=length, **options) for length in (steps, steps + 3))
    np.testing.assert_array_equal(short.log_policy, long.log_policy[:, : steps + 1])
    np.testing.assert_array_equal(short.queries, long.queries[:, : steps + 1])


@given(tableaus(), games(), SEED)
def test_renaming_the_actions_renames_the_policies(method: Given, game: Game, seed: int) -> None:
    rng = np.random.default_rng(seed)
    start, order = random_policy(rng, game.actions), rng.permutation(game.actions)
    renamed = Game(game.preference[np.ix_(order, order)], game.log_reference[order], game.beta)
    one = simlab.simulate(game, method, steps=3, start=start).log_policy
    other = simlab.simulate(renamed, method, steps=3, start=start[order]).log_policy
    assume(np.isfinite(one).all() and np.abs(one).max() < 1e3)
    np.testing.assert_allclose(other, one[..., order], rtol=1e-9, atol=1e-9 * (1 + np.abs(one).max()))


@given(tableaus(sampled=True), FEEDBACK, SEED)
def test_what_is_spent_never_falls_and_what_is_lost_is_told(method: Given, feedback: Exact, seed: int) -> None:
    run = simlab.simulate(uniform(5, 2), method, seed=seed, feedback=feedback, **ASKED)
    assert (np.diff(run.queries) >= 0).all() and (np.diff(run.gradients) >= 0).all()
    finite = all(np.isfinite(values).all() for values in (run.log_policy, run.log_average, *run.measured.values()))
    assert finite or run.status[0] == "nonfinite"


@given(tableaus(sampled=True))
def test_a_tableau_prints_every_stage(method: Given) -> None:
    text = str(method.stages)
    assert text.count("\n") + 1 >= len(method.stages.stages)
    assert all(stage.to in text for stage in method.stages.stages)


@given(st.lists(st.sampled_from([0.0, 0.1, 0.2]), min_size=1, max_size=50), st.integers(1, 80), st.sampled_from([4, 40]), st.booleans())
def test_every_instance_is_in_one_block_with_others_of_its_beta(betas: list[float], seeds: int, actions: int, alone: bool) -> None:
    crowd = [uniform(actions, 0, beta) for beta in betas[: 5 if actions > 4 else None]]
    blocks = list(_blocks(crowd, seeds, one_lane=alone))
    np.testing.assert_array_equal(np.sort(np.concatenate(blocks)), np.arange(len(crowd) * seeds))
    assert all(len({crowd[number // seeds].beta for number in block}) == 1 and len(block) <= (1 if alone else LANES) for block in blocks)


# Games.


@given(games(8))
def test_nothing_beats_nash_and_what_it_plays_ties(game: Game) -> None:
    p, gains = nash(game), (game.preference - 0.5) @ nash(game)
    assert gains.max() <= 1e-12 and abs(p.sum() - 1) <= 1e-13
    np.testing.assert_allclose(gains[p > 1e-6], 0, atol=1e-9)


@given(games(8))
def test_the_regularised_equilibrium_answers_itself(game: Game) -> None:
    log_p = regularised_nash(game)
    assert residual(game, log_p) <= 1e-12 * max(1.0, game.beta * np.abs(game.log_reference).max())
    np.testing.assert_allclose(log_p, log_normalise(game.log_reference + game.preference @ np.exp(log_p) / game.beta), atol=1e-10)


@given(games(), st.floats(0, 0.45))
def test_flips_scale_the_pull(game: Game, flip: float) -> None:
    """The equilibrium of flipped labels at beta is that of clean ones at beta / (1 - 2 flip)."""
    noisy, clean = regularised_nash(game.flipped(flip)), regularised_nash(game.with_beta(game.beta / (1 - 2 * flip)))
    np.testing.assert_allclose(noisy, clean, rtol=1e-7, atol=1e-8)


@given(games(), st.floats(0, 0.49), st.floats(0, 0.49))
def test_two_flips_are_one(game: Game, first: float, second: float) -> None:
    once = game.flipped(first + second - 2 * first * second).preference
    np.testing.assert_allclose(game.flipped(first).flipped(second).preference, once, atol=1e-15)


@given(games(), st.floats(0, 1), st.integers(0, 5))
def test_a_game_is_known_by_its_content(game: Game, other: float, which: int) -> None:
    twin = Game(game.preference.copy(), game.log_reference.copy(), game.beta)
    changed = game.preference.copy()
    i, j = which % game.actions, (which + 1) % game.actions
    changed[i, j], changed[j, i] = other, 1 - other
    different = not np.array_equal(changed, game.preference)
    assert twin.key == game.key == game.with_beta(1.5).key
    assert (Game(changed, game.log_reference, game.beta).key != game.key) == different


# Metrics.


@given(games(), SEED, st.floats(0.01, 5))
def test_divergences_are_positive_and_vanish_only_at_themselves(game: Game, seed: int, spread: float) -> None:
    p, q = (random_policy(np.random.default_rng([seed, k]), game.actions, spread) for k in range(2))
    assert metrics.kl(p, p) == 0 < metrics.kl(p, q)
    total = float(np.sum(np.exp(p) * (p - q)))
    assert metrics.kl(p, q) == pytest.approx(total, rel=1e-9, abs=1e-12)
    assert metrics.kl(p, q) >= np.abs(np.exp(p) - np.exp(q)).sum() ** 2 / 2 * (1 - 1e-9)


@given(games(), SEED)
def test_only_the_equilibrium_gains_nothing(game: Game, seed: int) -> None:
    """Exploitability is at least beta KL(p, p*) + beta KL(p*, p) less what rounds, so it vanishes at the equilibrium alone."""
    star = regularised_nash(game)
    p = random_policy(np.random.default_rng(seed), game.actions)
    assert 0 <= metrics.exploitability(game, star) <= 1e-20 + 1e-12 * game.beta
    assert metrics.exploitability(game, p) >= game.beta * kl(p, star) * (1 - 1e-9) - 1e-14
    assert metrics.duality_gap(game, p) == 2 * metrics.exploitability(game, p)


@given(games(), SEED)
def test_no_reply_beats_the_best_reply(game: Game, seed: int) -> None:
    """J(u, p) = u P p - beta KL(u, ref) + beta KL(p, ref) - 1/2, at the best response and at any other."""
    rng = np.random.default_rng(seed)
    p, other = random_policy(rng, game.actions), random_policy(rng, game.actions, 3)

    def gain(u: NDArray) -> float:
        won = float(np.exp(u) @ game.preference @ np.exp(p)) - 0.5
        return won - game.beta * float(kl(u, game.log_reference)) + game.beta * float(kl(p, game.log_reference))

    assert gain(other) <= metrics.exploitability(game, p) + 1e-12
    assert gain(metrics.best_response(game, p)) == pytest.approx(float(metrics.exploitability(game, p)), abs=1e-12)


@given(games(), SEED, st.floats(0.05, 0.95), st.integers(0, 5))
def test_an_action_under_two_names_is_one_action(game: Game, seed: int, share: float, which: int) -> None:
    """Its probability and the reference's divided alike, exploitability is what it was."""
    k = which % game.actions
    p = random_policy(np.random.default_rng(seed), game.actions)
    order = [*range(game.actions), k]
    parts = np.zeros(game.actions + 1)
    parts[k], parts[-1] = np.log(share), np.log1p(-share)
    doubled = Game(game.preference[np.ix_(order, order)], game.log_reference[order] + parts, game.beta)
    for beta in (game.beta, 0.0):
        found = metrics.exploitability(doubled, p[order] + parts, beta=beta)
        assert found == pytest.approx(float(metrics.exploitability(game, p, beta=beta)), rel=1e-9, abs=1e-13)


@given(st.lists(games(4), min_size=1, max_size=4), SEED)
def test_the_kernel_measures_as_the_metrics_do(crowd: list[Game], seed: int) -> None:
    game = crowd[0]
    start = random_policy(np.random.default_rng(seed), game.actions, 2)
    run = simlab.simulate(game, EGPO(), steps=1, start=start, record=[0], measure=list(MEASURES))
    expected = {
        "exploitability": metrics.exploitability(game, start),
        "original_exploitability": metrics.exploitability(game, start, beta=0),
        "kl_to_equilibrium": metrics.kl(regularised_nash(game), start),
        "kl_to_reference": metrics.kl(start, game.log_reference),
    }
    for name, value in expected.items():
        assert run.measured[name][0, 0] == pytest.approx(float(value), rel=1e-9, abs=1e-12), name


# Losses of pairs.


@st.composite
def losses(draw: st.DrawFn) -> PairLoss:
    flip, tau = draw(st.floats(0.01, 0.49)), draw(st.floats(0.05, 5))
    return draw(st.sampled_from([RobustIPO(tau, flip), RobustDPO(flip), ConservativeDPO(flip), IPO(tau), DPO()]))


MARGIN = st.floats(-30, 30)


@given(losses(), MARGIN)
def test_slope_and_curvature_are_derivatives(loss: PairLoss, margin: float) -> None:
    step = 1e-4
    size = 1 + abs(float(loss.value(margin)))
    slope = (loss.value(margin + step) - loss.value(margin - step)) / (2 * step)
    curvature = (loss.slope(margin + step) - loss.slope(margin - step)) / (2 * step)
    assert float(loss.slope(margin)) == pytest.approx(float(slope), abs=1e-7 * size)
    assert float(loss.curvature(margin)) == pytest.approx(float(curvature), abs=1e-7 * size)


@given(st.floats(0, 0.49), st.floats(0.05, 5), MARGIN)
def test_robust_losses_are_unbiased_under_their_flips(flip: float, tau: float, margin: float) -> None:
    for robust, clean in ((RobustDPO(flip), DPO()), (RobustIPO(tau, flip), IPO(tau))):
        mean = (1 - flip) * robust.value(margin) + flip * robust.value(-margin)
        flat = float(mean - clean.value(margin)) - float((1 - flip) * robust.value(0.0) + flip * robust.value(0.0) - clean.value(0.0))
        assert flat == pytest.approx(0, abs=1e-9 * (1 + abs(float(robust.value(margin))) + abs(float(robust.value(-margin)))))


@given(st.floats(0, 0.49), MARGIN)
def test_smoothing_mixes_both_labels(smoothing: float, margin: float) -> None:
    mixed = (1 - smoothing) * DPO().value(margin) + smoothing * DPO().value(-margin)
    assert float(ConservativeDPO(smoothing).value(margin)) == pytest.approx(float(mixed), rel=1e-12, abs=1e-12)


@st.composite
def data(draw: st.DrawFn) -> Comparisons:
    """Forty pairs of three features, each side preferred at least once."""
    rng = np.random.default_rng(draw(SEED))
    return Comparisons(rng.normal(size=(40, 3)), rng.integers(1, 9, 40), rng.integers(1, 9, 40))


@given(losses(), data(), st.floats(0.001, 1))
def test_no_neighbour_of_a_fit_is_better(loss: PairLoss, sample: Comparisons, ridge: float) -> None:
    def mean(theta: NDArray) -> float:
        u = sample.features @ theta
        total = sample.wins @ loss.value(u) + sample.losses @ loss.value(-u)
        return float(total) / sample.total + ridge / 2 * float(theta @ theta)

    found = fit(loss, sample, ridge)
    assert found.exists and found.converged and found.value == pytest.approx(mean(found.theta), rel=1e-9)
    for direction in np.vstack([np.eye(3), -np.eye(3)]):
        assert mean(found.theta + 1e-3 * direction) > mean(found.theta)


@given(losses(), data(), SEED, st.integers(1, 50))
def test_order_sides_and_number_change_no_fit(loss: PairLoss, sample: Comparisons, seed: int, times: int) -> None:
    rng = np.random.default_rng(seed)
    order, turned = rng.permutation(40), rng.choice([-1.0, 1.0], 40)
    wins = np.where(turned > 0, sample.wins, sample.losses)[order] * times
    lost = np.where(turned > 0, sample.losses, sample.wins)[order] * times
    other = fit(loss, Comparisons((sample.features * turned[:, None])[order], wins, lost), 0.01)
    np.testing.assert_allclose(other.theta, fit(loss, sample, 0.01).theta, rtol=1e-6, atol=1e-7)


# People.


@st.composite
def populations(draw: st.DrawFn) -> People:
    rng = np.random.default_rng(draw(SEED))
    contexts, actions, d, prototypes, users = (draw(st.integers(1, most)) for most in (2, 5, 3, 3, 6))
    actions += 1
    return People(
        items=rng.normal(size=(contexts, actions, d)),
        prototypes=rng.normal(size=(prototypes, d)),
        weights=rng.dirichlet(np.ones(prototypes), size=users),
        temperature=draw(st.floats(0.1, 10)),
    )


@given(populations())
def test_the_crowds_preferences_are_the_mean_of_its_users(people: People) -> None:
    for context in range(people.contexts):
        each = people.preferences(context)
        assert each.shape == (people.users, people.actions, people.actions)
        np.testing.assert_allclose(each + each.swapaxes(-1, -2), 1, atol=1e-12)
        np.testing.assert_allclose(people.preference(context), each.mean(axis=0), atol=1e-12)


@given(populations(), SEED)
def test_preferring_is_by_distance(people: People, seed: int) -> None:
    """A user is likelier to prefer what is nearer, and nothing changes when all is moved by one vector."""
    shift = np.random.default_rng(seed).normal(size=people.items.shape[2])
    moved_all = People(people.items + shift, people.prototypes[:, 0] + shift, people.weights, people.temperature)
    ideal = people.weights @ people.prototypes[:, 0]
    for context in range(people.contexts):
        each = people.preferences(context)
        np.testing.assert_allclose(moved_all.preferences(context), each, atol=1e-9)
        away = ((people.items[context][None] - ideal[:, None]) ** 2).sum(axis=-1)
        assert (each[away[:, :, None] < away[:, None, :] - 1e-9] >= 0.5).all()


@given(populations(), SEED)
def test_what_a_policy_is_worth_to_each_user(people: People, seed: int) -> None:
    """p' P_u ref, mean over prompts; to all of them together, 1/2 against oneself."""
    rng = np.random.default_rng(seed)
    p, q = (np.stack([random_policy(rng, people.actions) for _ in range(people.contexts)]) for _ in range(2))
    each = [[np.exp(p[c]) @ matrix @ np.exp(q[c]) for matrix in people.preferences(c)] for c in range(people.contexts)]
    np.testing.assert_allclose(people.utility(p, q), np.mean(each, axis=0), atol=1e-12)
    np.testing.assert_allclose(people.utility(p, p), 0.5, atol=1e-12)


def test_the_interpreter_moves_policies_and_keeps_them_normalised() -> None:
    method = Given(Tableau(prox("policy", anchor={"policy": 1.0}, opponent="policy", rate=0.5)))
    start = random_policy(np.random.default_rng(0), 3)
    expected = interpreted(method.stages, uniform(3, 0), start, 2)
    assert np.abs(logsumexp(expected, axis=1)).max() < 1e-12 and np.ptp(expected, axis=0).min() > 1e-3

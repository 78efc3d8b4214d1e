"""Properties of configurations: what is composed composes again, what a run is called, grids and sweeps; and of statistics."""

from __future__ import annotations

import copy
import itertools
import math
from typing import Any

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from envs.dials import HEAVIEST, LARGEST, require_integer, require_number, require_weight
from envs.invalid import Invalid
from simlab import configuration, grid, intervals, statistics
from simlab.checked import checked
from simlab.configuration import plan, resolved
from simlab.finished import identity_of
from simlab.refusal import shown
from simlab.request import parse

# Configurations.

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "env": st.sampled_from(["cyclic", "blend", "random_game", "tournament", "low_rank", "population", "sequence"]),
    "algorithm": st.sampled_from(["egpo", "nash_md", "sppo", "online_ipo", "magnetic", "nash_prox"]),
    "feedback": st.sampled_from(["exact", "duels", "duels_margin", "duels_annotators"]),
    "start": st.sampled_from(["far", "reference"]),
    "beta": st.floats(0.001, 10),
    "steps": st.integers(1, 10**6),
    "seeds": st.integers(1, 10**4),
    "seed": st.integers(0, 2**40),
    "record": st.sampled_from(["log", "every", [0], [0, 1]]),
    "measure": st.sampled_from([None, ["exploitability"], ["duality_gap", "average_kl_to_reference"]]),
    "env.reference": st.sampled_from(["uniform", "random"]),
    "feedback.assumed_flip": st.floats(0, 0.4),
}


@st.composite
def settings(draw: st.DrawFn) -> dict[str, Any]:
    keys = draw(st.lists(st.sampled_from(list(VALUES)), unique=True, max_size=6))
    return {key: draw(VALUES[key]) for key in keys}


COMPOSED: dict[tuple[str, ...], Any] = {}
_compose = configuration.compose


@pytest.fixture(autouse=True, scope="module")
def composing_once() -> Any:
    """What Hydra composes of the same words is composed once."""

    def composed(command: str, words: list[str], **options: Any) -> Any:
        key = (command, *words)
        if key not in COMPOSED:
            COMPOSED[key] = _compose(command, words, **options)
        return copy.deepcopy(COMPOSED[key])

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(configuration, "compose", composed)
        yield


def words(given: dict[str, Any]) -> list[str]:
    return [f"{key}={shown(value)}" for key, value in given.items()]


def config(*given: str) -> dict[str, Any]:
    (job,) = plan(parse("run", list(given))).jobs
    return resolved(job.config)


def flat(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by their full keys."""
    found: dict[str, Any] = {}
    for key, value in node.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def chosen(given: dict[str, Any]) -> list[str]:
    return [word for key, word in zip(given, words(given), strict=True) if key in ("env", "algorithm", "feedback", "start")]


@given(settings())
def test_what_is_composed_composes_again_to_the_same(given: dict[str, Any]) -> None:
    """With all its values written out, as `--cfg job` shows them."""
    first = config(*words(given))
    written = [f"{key}={shown(value)}" for key, value in flat(first).items() if not key.endswith("_target_")]
    assert config(*chosen(given), *written) == first


@given(settings(), st.randoms())
def test_the_order_of_words_does_not_matter(given: dict[str, Any], random: Any) -> None:
    order = words(given)
    random.shuffle(order)
    assert config(*order) == config(*words(given))


@given(settings())
def test_a_value_that_was_set_is_there(given: dict[str, Any]) -> None:
    found = config(*words(given))
    for key, value in given.items():
        if "." not in key and key in found and not isinstance(found[key], dict):
            assert found[key] == value


def name(*given: str) -> str:
    (job,) = plan(parse("run", list(given))).jobs
    return identity_of(checked(job.config))


CHANGED = st.sampled_from(["beta", "steps", "env.n", "env.win"])


@given(st.floats(0.01, 1), st.integers(1, 1000), st.integers(1, 8), st.text("abc", min_size=1), CHANGED)
def test_a_run_is_called_after_its_numbers(beta: float, steps: int, threads: int, store: str, changed: str) -> None:
    """Where it is put and how many threads it has are not in its name; all else is."""
    given = {"beta": beta, "steps": steps, "env.n": 5, "env.win": 0.75}
    first = name(*words(given))
    assert name(*words(given), f"threads={threads}", f"store={store}") == first
    other = {"beta": beta / 2, "steps": steps + 1, "env.n": 6, "env.win": 0.8}
    assert name(*words(given | {changed: other[changed]})) != first


VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("abcxyz", min_size=1),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=8,
)


@given(VALUE)
def test_a_value_that_is_shown_can_be_written(value: Any) -> None:
    text = shown(value)
    assert "..." in text or OverridesParser.create().parse_override(f"key={text}").value() == value


AXES = st.dictionaries(
    st.sampled_from(["beta", "steps", "env.n", "env.win", "algorithm.rate"]),
    st.lists(st.integers(1, 99), min_size=1, max_size=5, unique=True),
)


@given(AXES.filter(bool), st.integers(1, 30))
def test_blocks_of_a_grid_are_all_its_cells_once(axes: dict[str, list[int]], most: int) -> None:
    given = {"grid": axes, "cells": most, "block": 0}
    every = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    parts = [grid.cells(given | {"block": block}) for block in range(grid.block_count(given))]
    assert list(itertools.chain(*parts)) == every and all(1 <= len(part) <= most for part in parts)


@given(AXES)
def test_a_cell_of_a_grid_is_the_run_with_its_values(axes: dict[str, list[int]]) -> None:
    base = config()
    cell = {key: values[0] for key, values in axes.items()}
    found = flat(grid.at(base, cell))
    assert all(found[key] == value for key, value in cell.items())
    assert {key for key, value in found.items() if value != flat(base)[key]} <= set(cell)


@given(AXES.map(lambda axes: {key: values for key, values in axes.items() if "." not in key or key.startswith("env")}))
def test_a_sweep_is_every_combination_the_last_key_fastest(axes: dict[str, list[int]]) -> None:
    swept = plan(parse("run", ["-m", *(f"{key}={','.join(map(str, values))}" for key, values in axes.items())])).jobs
    found = [tuple(flat(resolved(job.config))[key] for key in axes) for job in swept]
    assert found == list(itertools.product(*axes.values()))


# Dials.


@given(st.one_of(st.integers(), st.floats(), st.booleans(), st.text(), st.none()), st.integers(0, 5))
def test_an_integer_is_what_it_is_said_to_be(value: Any, least: int) -> None:
    allowed = type(value) is int and value >= least and (least == 0 or value <= LARGEST)
    assert passes(require_integer, "key", value, least) == allowed


@given(st.one_of(st.integers(), st.floats(), st.booleans(), st.text(), st.none()), st.floats(-5, 5), st.floats(0, 5))
def test_a_number_is_within_its_ends(value: Any, low: float, width: float) -> None:
    allowed = type(value) in (int, float) and low <= value <= low + width
    assert passes(require_number, "key", value, low, low + width) == allowed
    weight = type(value) in (int, float) and 0 < value <= HEAVIEST
    assert passes(require_weight, "key", value) == weight


def passes(check: Any, *given: Any) -> bool:
    try:
        check(*given)
    except Invalid:
        return False
    return True


# Statistics.


@given(st.integers(1, 300), st.floats(0, 1), st.floats(0.5, 0.99))
def test_intervals_of_shares(trials: int, share: float, level: float) -> None:
    """They hold the share, mirror where successes and failures change places, and widen with the level."""
    successes = int(share * trials)
    found, mirrored = intervals.proportion(successes, trials, level=level), intervals.proportion(trials - successes, trials, level=level)
    assert 0 <= found.low <= found.estimate <= found.high <= 1
    if successes:
        assert binom.sf(successes - 1, trials, found.low) == pytest.approx((1 - level) / 2, rel=1e-6)
    assert (found.low, found.high) == pytest.approx((1 - mirrored.high, 1 - mirrored.low), abs=1e-9)
    wider = intervals.proportion(successes, trials, level=(1 + level) / 2)
    assert wider.low <= found.low + 1e-12 and found.high <= wider.high + 1e-12


@given(st.floats(-3, 3), st.floats(0.01, 100), st.lists(st.floats(1, 1e4), min_size=3, max_size=9, unique=True), st.floats(0.1, 10))
def test_the_slope_of_a_power_law_is_its_power(power: float, factor: float, x: list[float], unit: float) -> None:
    spread = math.log(max(x) / min(x))
    if spread > 1e-3:
        found = intervals.slope(np.array(x) * unit, factor * np.array(x) ** power)
        assert found.estimate == pytest.approx(power, abs=1e-9 / spread)
        assert found.low <= found.estimate <= found.high


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.randoms())
def test_corrected_p_values(p: list[float], random: Any) -> None:
    """Never below what they correct, never above as many times it, and no test more makes one smaller."""
    found = statistics.holm(p)
    assert (found >= np.array(p)).all() and (found <= np.minimum(1.0, len(p) * np.array(p)) + 1e-15).all()
    more = statistics.holm([*p, random.random()])
    assert (more[: len(p)] >= found - 1e-15).all()


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=25), st.floats(0.5, 0.99))
def test_an_interval_of_the_median_is_of_values_that_are_there(values: list[float], level: float) -> None:
    found = intervals.interval(np.array(values), level=level)
    assert found.estimate == pytest.approx(float(np.median(values)), abs=1e-12)
    ends = [end for end in (found.low, found.high) if not math.isnan(end)]
    assert all(min(values) - 1e-9 <= end <= max(values) + 1e-9 for end in ends if math.isfinite(end))

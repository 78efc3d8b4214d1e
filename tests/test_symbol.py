"""Coefficients know their formula and their value, and the two agree."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.symbol import Symbol, as_symbol

a, b, c = Symbol("a", 3.0), Symbol("b", 0.5), Symbol("c", -2.0)

FORMULAS = {
    "1 - a b": (1 - a * b, -0.5),
    "a + b": (a + b, 3.5),
    "1 + a": (1 + a, 4.0),
    "a + 1": (a + 1, 4.0),
    "a - b - c": (a - b - c, 4.5),
    "a - (b - c)": (a - (b - c), 0.5),
    "a - (b + c)": (a - (b + c), 4.5),
    "1 - (a + b)": (1 - (a + b), -2.5),
    "a b c": (a * b * c, -3.0),
    "a (b + c)": (a * (b + c), -4.5),
    "(a + b) c": ((a + b) * c, -7.0),
    "2 (a - b)": (2 * (a - b), 5.0),
    "a/b": (a / b, 6.0),
    "1/(a + b)": (1 / (a + b), 1 / 3.5),
    "1/(a b)": (1 / (a * b), 1 / 1.5),
    "a/(b c)": (a / (b * c), -3.0),
    "(a + b)/c": ((a + b) / c, -1.75),
    "a/(1 + a)": (a / (1 + a), 0.75),
    "a/(2 (a + b))": (a / (2 * (a + b)), 3 / 7),
    "a b/c": (a * b / c, -0.75),
    "-a": (-a, -3.0),
    "-(a + b)": (-(a + b), -3.5),
    "-a b": (-(a * b), -1.5),
    "0.25 a": (0.25 * a, 0.75),
    "a 0.25": (a * 0.25, 0.75),
}


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_prints_as_it_is_written_and_is_worth_what_it_says(text: str) -> None:
    symbol, value = FORMULAS[text]
    assert str(symbol) == text
    assert float(symbol.value) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("text", FORMULAS)
def test_what_is_printed_evaluates_to_the_value(text: str) -> None:
    """Read back with products as spaces: the brackets are all there."""
    spaced = text.replace(" + ", "+").replace(" - ", "-").replace(" ", "*")
    assert eval(spaced, {"a": 3.0, "b": 0.5, "c": -2.0}) == pytest.approx(float(FORMULAS[text][0].value))


def test_schedules_are_arithmetic_too() -> None:
    schedule = Symbol("η_t", [1.0, 0.5])
    pull = 1 - schedule * b
    assert str(pull) == "1 - η_t b"
    np.testing.assert_array_equal(pull.value, [0.5, 0.75])
    np.testing.assert_array_equal((np.array([2.0, 4.0]) * schedule).value, [2.0, 2.0])
    np.testing.assert_array_equal((np.array([2.0, 4.0]) - schedule).value, [1.0, 3.5])
    assert isinstance(np.array([2.0, 4.0]) / schedule, Symbol)
    assert isinstance(np.float64(2) * schedule, Symbol)


def test_numbers_print_as_themselves() -> None:
    assert [str(as_symbol(x)) for x in (1, 1.0, 0.1, 1e-9, -2.5, np.float64(0.25))] == ["1", "1", "0.1", "1e-09", "-2.5", "0.25"]
    assert str(as_symbol(np.array([1.0, 0.5, 0.25]))) == "[1, ..., 0.25]"
    assert as_symbol(a) is a
    assert repr(a) == "Symbol('a', 3.0)"


def test_negative_numbers_are_bracketed_in_products() -> None:
    assert str(a * -2) == "a (-2)"
    assert str(-2 * a) == "(-2) a"


numbers = st.floats(-100, 100).filter(lambda x: x == 0 or abs(x) > 1e-6)


@given(numbers, numbers)
def test_values_follow_the_arithmetic_of_numbers(x: float, y: float) -> None:
    first, second = Symbol("x", x), Symbol("y", y)
    assert [float(s.value) for s in (first + second, first - second, first * second, -first)] == [x + y, x - y, x * y, -x]
    assert [float(s.value) for s in (first + y, y + first, first - y, y - first, first * y, y * first)] == [
        x + y,
        y + x,
        x - y,
        y - x,
        x * y,
        y * x,
    ]
    if y:
        assert float((first / second).value) == float((first / y).value) == x / y
        assert float((x / second).value) == x / y


@pytest.mark.parametrize("value", ["fast", [[1.0], [2.0, 3.0]]])
def test_what_is_no_number_is_no_coefficient(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        Symbol("x", value) + 1

"""The compiled sums of a pair loss over counted pairs: margins, the logistic loss, and its gradient with the Hessian.

Every sum over features or pairs runs in an order that the shape alone decides, on one thread, so that a fit does not depend on how a
linear algebra library shares work out: over features in eight partial sums, over pairs in theirs, so that both vectorise.

A fit goes through its features in parts that stay in the cache from the margins to the derivatives. While margins are taken, the
part after is asked for (`fetch`), since a processor looks ahead by itself a few rows only, and not at all while it works on slopes.

Numba's disk cache watches this file alone, so e^-u and eight numbers in registers stand here as in `algorithms.kernel`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model
from numpy.typing import NDArray

_options: dict[str, Any] = {"cache": True, "error_model": "numpy", "_nrt": False}
_inlined = _options | {"inline": "always"}

EIGHT = 8
"""Numbers in registers at a time."""


def load(rows, i, at):  # type: ignore[no-untyped-def]
    """Eight neighbours of row i, kept in registers; those beyond its end are the next row's."""
    return rows.reshape(-1)[i * rows.shape[1] + at :][:EIGHT].copy()


def store(rows, i, at, u):  # type: ignore[no-untyped-def]
    """Write eight neighbours of row i."""
    rows[i, at : at + EIGHT] = u


def fused(a, b, c):  # type: ignore[no-untyped-def]
    """a b + c, rounded once where it is compiled; eight times where a and c are in registers."""
    return a * b + c


def scaled(u, x):  # type: ignore[no-untyped-def]
    """Eight numbers times one."""
    return u * x


def fetch(rows, i, at):  # type: ignore[no-untyped-def]
    """Ask for a number of row i, which need not exist, and its neighbours, without waiting for them."""


class Eight(types.Type):
    """What numba takes eight numbers in registers for."""


_EIGHT, _VECTOR = Eight("Eight"), ir.VectorType(ir.DoubleType(), EIGHT)


@register_model(Eight)
class _Registers(models.PrimitiveModel):
    def __init__(self, manager, of):  # type: ignore[no-untyped-def]
        super().__init__(manager, of, _VECTOR)


def _place(context, builder, signature, arguments, of):  # type: ignore[no-untyped-def]
    """Where the number `at` of row i is, as a pointer to what is there."""
    rows = context.make_array(signature.args[0])(context, builder, arguments[0])
    where = [context.cast(builder, arguments[n], signature.args[n], types.intp) for n in (1, 2)]
    return builder.bitcast(cgutils.get_item_pointer(context, builder, signature.args[0], rows, where), of.as_pointer())


@intrinsic
def _load(typing_context, rows, i, at):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.load(_place(context, builder, signature, arguments, _VECTOR), align=8)

    return _EIGHT(rows, i, at), generate


@intrinsic
def _store(typing_context, rows, i, at, u):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        builder.store(arguments[3], _place(context, builder, signature, arguments, _VECTOR), align=8)
        return context.get_dummy_value()

    return types.void(rows, i, at, u), generate


def _spread_out(builder, x):  # type: ignore[no-untyped-def]
    one = builder.insert_element(_VECTOR(ir.Undefined), x, ir.IntType(32)(0))
    return builder.shuffle_vector(one, _VECTOR(ir.Undefined), ir.VectorType(ir.IntType(32), EIGHT)([0] * EIGHT))


@intrinsic
def _scaled(typing_context, u, x):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.fmul(arguments[0], _spread_out(builder, arguments[1]))

    return _EIGHT(_EIGHT, types.float64), generate


@intrinsic
def _fused(typing_context, a, b, c):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        if a != _EIGHT:
            return builder.fma(*arguments)
        instruction = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), "llvm.fma.v8f64")
        return builder.call(instruction, [arguments[0], _spread_out(builder, arguments[1]), arguments[2]])

    return (_EIGHT if a == _EIGHT else types.float64)(*(_EIGHT if of == _EIGHT else types.float64 for of in (a, b, c))), generate


@intrinsic
def _fetch(typing_context, rows, i, at):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        byte, flag = ir.IntType(8), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte.as_pointer(), flag, flag, flag])
        instruction = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        reading, near, data = flag(0), flag(2), flag(1)
        builder.call(instruction, [_place(context, builder, signature, arguments, byte), reading, near, data])
        return context.get_dummy_value()

    return types.void(rows, i, at), generate


overload(load)(lambda rows, i, at: lambda rows, i, at: _load(rows, i, at))
overload(store)(lambda rows, i, at, u: lambda rows, i, at, u: _store(rows, i, at, u))
overload(fused)(lambda a, b, c: lambda a, b, c: _fused(a, b, c))
overload(scaled)(lambda u, x: lambda u, x: _scaled(u, x))
overload(fetch)(lambda rows, i, at: lambda rows, i, at: _fetch(rows, i, at))


@njit(**_inlined)
def products(u, v, at, sums):  # type: ignore[no-untyped-def]
    """sums + u v for the eight numbers of u and v from `at` on."""
    return (
        fused(u[at], v[at], sums[0]),
        fused(u[at + 1], v[at + 1], sums[1]),
        fused(u[at + 2], v[at + 2], sums[2]),
        fused(u[at + 3], v[at + 3], sums[3]),
        fused(u[at + 4], v[at + 4], sums[4]),
        fused(u[at + 5], v[at + 5], sums[5]),
        fused(u[at + 6], v[at + 6], sums[6]),
        fused(u[at + 7], v[at + 7], sums[7]),
    )


_NOTHING = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@njit(**_inlined)
def added_up(s):  # type: ignore[no-untyped-def]
    """The sum of eight partial sums."""
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))


@njit(**_inlined)
def added(u, at, sums):  # type: ignore[no-untyped-def]
    """sums + u for the eight numbers of u from `at` on."""
    return (
        sums[0] + u[at],
        sums[1] + u[at + 1],
        sums[2] + u[at + 2],
        sums[3] + u[at + 3],
        sums[4] + u[at + 4],
        sums[5] + u[at + 5],
        sums[6] + u[at + 6],
        sums[7] + u[at + 7],
    )


@njit(**_inlined)
def product(row, v):  # type: ignore[no-untyped-def]
    """row . v."""
    dimension, sums = row.shape[0], _NOTHING
    for group in range(dimension // EIGHT):
        sums = products(row, v, EIGHT * group, sums)
    total = added_up(sums)
    for n in range(dimension - dimension % EIGHT, dimension):
        total = fused(row[n], v[n], total)
    return total


@njit(**_inlined)
def fetch_row(rows, i):  # type: ignore[no-untyped-def]
    """Ask for a whole row."""
    for at in range(0, rows.shape[1], EIGHT):
        fetch(rows, i, at)


@njit(**_options)
def margins(features: NDArray, theta: NDArray, out: NDArray, ahead: int) -> float:
    """out = (m,) features . theta, asking for the row so far `ahead`; returns the largest size of one (nan counts for nothing)."""
    largest = 0.0
    for i in range(features.shape[0]):
        fetch_row(features, i + ahead)
        out[i] = product(features[i], theta)
        largest = max(largest, abs(out[i]))
    return largest


@njit(**_options)
def largest_square(features: NDArray, ahead: int) -> float:
    """The largest |features_i|^2, asking for the row so far `ahead`."""
    largest = 0.0
    for i in range(features.shape[0]):
        fetch_row(features, i + ahead)
        largest = max(largest, product(features[i], features[i]))
    return largest


@njit(**_options)
def add_gradient(features: NDArray, slopes: NDArray, gradient: NDArray) -> None:
    """Add (D,) sum_i slopes_i features_i, four pairs at a time."""
    pairs, dimension = features.shape
    for quarter in range(pairs // 4):
        i = 4 * quarter
        a, b, c, d = features[i], features[i + 1], features[i + 2], features[i + 3]
        p, q, r, s = slopes[i], slopes[i + 1], slopes[i + 2], slopes[i + 3]
        for n in range(dimension):
            gradient[n] = fused(d[n], s, fused(c[n], r, fused(b[n], q, fused(a[n], p, gradient[n]))))
    for i in range(pairs - pairs % 4, pairs):
        for n in range(dimension):
            gradient[n] = fused(features[i, n], slopes[i], gradient[n])


STRETCH = 64
"""Pairs that are gone through again for every four rows of the Hessian, so few that they stay near."""


@njit(**_options)
def add_hessian(features: NDArray, curvatures: NDArray, hessian: NDArray) -> None:
    """Add (D, D) sum_i curvatures_i features_i features_i', on and below the diagonal, pair after pair.

    `hessian` has D rows of a multiple of eight columns. Four rows and eight columns of it are in registers at a time; where fewer rows are
    left the last stands for those missing. Columns from D on are sums without meaning, and since their features are the next pair's, the
    last eight pairs wait for the end.
    """
    pairs, dimension = features.shape
    inner, end = max(0, pairs - EIGHT), dimension - 1
    for first in range(0, inner, STRETCH):
        last = min(first + STRETCH, inner)
        for n in range(0, dimension, 4):
            o, p, q = min(n + 1, end), min(n + 2, end), min(n + 3, end)
            for at in range(0, q + 1, EIGHT):
                a, b, c, d = load(hessian, n, at), load(hessian, o, at), load(hessian, p, at), load(hessian, q, at)
                for i in range(first, last):
                    weighted = scaled(load(features, i, at), curvatures[i])
                    a = fused(weighted, features[i, n], a)
                    b = fused(weighted, features[i, o], b)
                    c = fused(weighted, features[i, p], c)
                    d = fused(weighted, features[i, q], d)
                store(hessian, n, at, a)
                store(hessian, o, at, b)
                store(hessian, p, at, c)
                store(hessian, q, at, d)
    for i in range(inner, pairs):
        for n in range(dimension):
            for m in range(n + 1):
                hessian[n, m] = fused(features[i, m] * curvatures[i], features[i, n], hessian[n, m])


_SHIFT = 1.5 * 2.0**52
_LOG2_E, _LN2_HIGH, _LN2_LOW = 1.4426950408889634, 6.93147180369123816490e-01, 1.90821492927058770002e-10
_52, _ONE = np.int64(52), np.float64(1.0).view(np.int64)


@njit(**_inlined)
def decay(u: float) -> float:
    """e^-u for u >= 0, 0 beyond 708: as in `algorithms.kernel`."""
    shifted = fused(-u, _LOG2_E, _SHIFT)
    k = shifted - _SHIFT
    r = fused(k, -_LN2_LOW, fused(k, -_LN2_HIGH, -u))
    tail = fused(r, 2.506816908915108e-08, 2.762004664751964e-07)
    tail = fused(r, tail, 2.7557355505578615e-06)
    tail = fused(r, tail, 2.480152139635458e-05)
    tail = fused(r, tail, 0.000198412697846689)
    tail = fused(r, tail, 0.0013888888917138362)
    tail = fused(r, tail, 0.008333333333356199)
    tail = fused(r, tail, 0.04166666666662431)
    tail = fused(r, tail, 0.16666666666666644)
    tail = fused(r, tail, 0.5)
    power = np.int64((np.float64(shifted).view(np.int64) << _52) + _ONE).view(np.float64)
    value = fused(power, fused(r * r, tail, r), power)
    return 0.0 if u > 708.0 else value


@njit(**_inlined)
def log_of_one_and(s: float) -> float:
    """log(1 + e) = 2 artanh(s), to the last bit or two, for s = e / (2 + e) <= 1/3."""
    t = s * s
    value = fused(t, 0.0853055105047584, 0.04157567636428607)
    value = fused(t, value, 0.06056185938366098)
    value = fused(t, value, 0.06650043662722376)
    value = fused(t, value, 0.0769331829224734)
    value = fused(t, value, 0.09090869867925176)
    value = fused(t, value, 0.11111112056608252)
    value = fused(t, value, 0.1428571427245109)
    value = fused(t, value, 0.20000000000095255)
    value = fused(t, value, 0.33333333333333065)
    return 2.0 * fused(s * t, value, s)


@njit(**_options)
def logistic(margin: NDArray, wins: NDArray, losses: NDArray, tilt: float, values: NDArray, slopes: NDArray, curvatures: NDArray) -> float:
    """For L(u) = log(1 + e^-u) + tilt u: wins L(u) + losses L(-u), with its slope and curvature in u, pair by pair; returns the sum.

    One division a pair, of which 1 / (1 + e) and e / (2 + e) are made.
    """
    pairs = margin.shape[0]
    for i in range(pairs):
        u, won, lost = margin[i], wins[i], losses[i]
        e = decay(abs(u))
        share = 1.0 / ((1.0 + e) * (2.0 + e))
        larger = (2.0 + e) * share
        smaller, curve = e * larger, log_of_one_and(e * (1.0 + e) * share)
        of_win, of_loss = (larger, smaller) if u >= 0.0 else (smaller, larger)
        values[i] = won * (max(-u, 0.0) + curve) + lost * (max(u, 0.0) + curve) + tilt * (won - lost) * u
        slopes[i] = lost * of_win - won * of_loss + tilt * (won - lost)
        curvatures[i] = (won + lost) * (smaller * larger)
    sums = _NOTHING
    for group in range(pairs // EIGHT):
        sums = added(values, EIGHT * group, sums)
    total = added_up(sums)
    for i in range(pairs - pairs % EIGHT, pairs):
        total += values[i]
    return total

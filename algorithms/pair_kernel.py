"""The compiled sums of a pair loss over counted pairs: margins, the logistic loss, and its gradient with the Hessian.

Every sum over features or pairs runs in an order that the shape alone decides, on one thread, so that a fit does not depend on how a
linear algebra library shares work out: over features in eight partial sums, over pairs in theirs, so that both vectorise.

Numba's disk cache watches this file alone, so e^-u stands here as in `algorithms.kernel`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

_options: dict[str, Any] = {"cache": True, "error_model": "numpy", "_nrt": False}
_inlined = _options | {"inline": "always"}

EIGHT = 8
"""Numbers in registers at a time."""


def fused(a: float, b: float, c: float) -> float:
    """a b + c, rounded once where it is compiled."""
    return a * b + c


@intrinsic
def _fused(typing_context, a, b, c):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.fma(*arguments)

    return types.float64(types.float64, types.float64, types.float64), generate


@overload(fused)
def _compiled_fused(a, b, c):  # type: ignore[no-untyped-def]
    return lambda a, b, c: _fused(a, b, c)


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


@njit(**_options)
def margins(features: NDArray, theta: NDArray, out: NDArray) -> float:
    """out = (m,) features . theta; returns the largest size of one (nan counts for nothing)."""
    (pairs, dimension), largest = features.shape, 0.0
    for i in range(pairs):
        row, sums = features[i], _NOTHING
        for group in range(dimension // EIGHT):
            sums = products(row, theta, EIGHT * group, sums)
        total = added_up(sums)
        for a in range(dimension - dimension % EIGHT, dimension):
            total = fused(row[a], theta[a], total)
        out[i] = total
        largest = max(largest, abs(total))
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


@njit(**_options)
def add_hessian(features: NDArray, curvatures: NDArray, hessian: NDArray) -> None:
    """Add (D, D) sum_i curvatures_i features_i features_i', on and below the diagonal, four pairs at a time."""
    pairs, dimension = features.shape
    for quarter in range(pairs // 4):
        i = 4 * quarter
        a, b, c, d = features[i], features[i + 1], features[i + 2], features[i + 3]
        for n in range(dimension):
            p, q = curvatures[i] * a[n], curvatures[i + 1] * b[n]
            r, s = curvatures[i + 2] * c[n], curvatures[i + 3] * d[n]
            row = hessian[n]
            for m in range(n + 1):
                row[m] = fused(s, d[m], fused(r, c[m], fused(q, b[m], fused(p, a[m], row[m]))))
    for i in range(pairs - pairs % 4, pairs):
        for n in range(dimension):
            weight = curvatures[i] * features[i, n]
            for m in range(n + 1):
                hessian[n, m] = fused(weight, features[i, m], hessian[n, m])


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
def log_of_one_and(e: float) -> float:
    """log(1 + e) for e in [0, 1], to the last bit or two: 2 artanh(s) with s = e / (2 + e) <= 1/3."""
    s = e / (2.0 + e)
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
    """For L(u) = log(1 + e^-u) + tilt u: wins L(u) + losses L(-u), with its slope and curvature in u, pair by pair; returns the sum."""
    for i in range(margin.shape[0]):
        u, won, lost = margin[i], wins[i], losses[i]
        e = decay(abs(u))
        larger = 1.0 / (1.0 + e)
        smaller, curve = e * larger, log_of_one_and(e)
        of_win, of_loss = (larger, smaller) if u >= 0.0 else (smaller, larger)
        values[i] = won * (max(-u, 0.0) + curve) + lost * (max(u, 0.0) + curve) + tilt * (won - lost) * u
        slopes[i] = lost * of_win - won * of_loss + tilt * (won - lost)
        curvatures[i] = (won + lost) * (smaller * larger)
    total = 0.0
    for i in range(margin.shape[0]):
        total += values[i]
    return total

"""The one numba kernel: runs any tableau on a block of instances (a game and a seed each) that share K and beta.

Layout. Instances are interleaved: every array carries them in its last axis, the "lanes" (W of them), and each sum over
actions runs in an order that K alone decides, lane by lane. Arithmetic of neighbouring lanes never meets, so the compiler may
vectorise across lanes without changing a bit of any of them, and a result does not depend on W or on what runs beside.
Elementwise work runs over all cells (action, lane) at once, for which arrays have a flat view (`Cells`).

Up to K = INTERLEAVED every lane has a matrix of its own, beside those of its neighbours. Above it a block is one game, alone or
with EIGHT policies that are carried through one pass over its matrix. A matrix is antisymmetric, and where reading it is what
takes the time half of it is read: of lanes' own (`interleaved`), and above K = WHOLE (`halved_alone`).

Matrices are centred (P - 1/2, antisymmetric) and held transposed, [j, i, lane]: adding a constant to P q changes no update,
and exploitability loses no digits.

Arithmetic is strict: exponentials, logarithms and fused products are written out here, so that they are the same bits in a
vector as alone, and no processor or library swaps in others. What runs in vectors says so, eight numbers at a time (`load`): the
compiler finds neighbours in plain loops, but not in sums, and takes only half of the widest registers there.

Win rates of a slot are kept until the slot is written (`known`), so that a stage pays for new policies only; but a slot that an
iteration leaves alone is asked about anew in the next, so that no run rests on one draw of labels.

Random numbers are counter-based (Philox 4x32, 10 rounds: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy
as 1, 2, 3", SC 2011): key = the instance's 64-bit stream, counter = (draw, action, number of the query within its iteration,
iteration). Nothing has a state, so no draw depends on what else was drawn. Duels, which are many, share four words between two draws:
a uniform of theirs has 32 bits, so that no chance is off by more than 2^-32.

Numba's disk cache watches this file alone: whatever the kernel calls lives here.
"""

import operator
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model
from numpy.typing import NDArray

PROX, GRADIENT, PAIRS, RESPONSES, PROJECTION, MIX = range(6)
EXPLOITABILITY, ORIGINAL_EXPLOITABILITY, KL_TO_EQUILIBRIUM, KL_TO_REFERENCE = range(4)
OK, NONFINITE, DIVERGED = range(3)
REFERENCE, START, EQUILIBRIUM = range(3)
ITERATION, ROW, QUERY, QUERIES, GRADIENTS = range(5)
"""Counts of a block: iteration, row of the coefficients, queries so far in this iteration, queries and gradients in all."""

INTERLEAVED, WHOLE = 32, 400
"""Up to which K every lane has a matrix of its own, and up to which K all of a matrix that lanes share is read."""
COUNTED = 128
"""Up to which K opponents are drawn by counting."""
EIGHT = 8
"""How many lanes are held in registers, how many policies of one game are carried through one pass over its matrix, and how many
partial sums a row has (`halved_alone`)."""

WATCH_EVERY = 10
WATCH_STRETCH = 10
WATCH_FACTOR = 2.0
WATCH_MARGIN = 0.1
"""A run has diverged when what is watched (KL to the equilibrium, or exploitability) exceeds WATCH_FACTOR times its start
plus WATCH_MARGIN at its last WATCH_STRETCH looks or more, one every WATCH_EVERY iterations."""


class Table(NamedTuple):
    """A tableau as arrays: n stages, s slots, l loops, T rows of coefficients of which the last holds on."""

    kind: NDArray  # (n,)
    to: NDArray  # (n,) slot
    base: NDArray  # (n,) slot
    source: NDArray  # (n,) slot, or -1
    copied: NDArray  # (n,) slot, or -1
    samples: NDArray  # (n,)
    every: NDArray  # (n,)
    loops: NDArray  # (l, 3) first stage, last stage + 1, times
    tolerances: NDArray  # (l,)
    anchors: NDArray  # (T, n, s)
    opponents: NDArray  # (T, n, s)
    rates: NDArray  # (T, n)
    returned: int


class Matrix(NamedTuple):
    """A centred matrix for every lane, or (M = 1) one for all: [j, i] and a lane."""

    lanes: NDArray  # (K, K, M)
    rows: NDArray  # (K, K M), the same memory
    eights: NDArray  # (K + padding, ceil(K / 8), 8) above K = WHOLE, zeros beyond K; else without rows


class Block(NamedTuple):
    """W instances of K actions at one beta, and the feedback they give."""

    advantage: Matrix  # P - 1/2, transposed
    labels: Matrix  # mean label - 1/2, transposed
    clean: bool  # feedback is exact and labels are advantage: measures and stages may share win rates
    fixed: NDArray  # (3, K W) log-probabilities: REFERENCE, START, EQUILIBRIUM
    fixed_probs: NDArray  # (3, K W)
    streams: NDArray  # (W,) uint64
    beta: float
    watched: int  # the measure by which a run has diverged
    duels: int  # 0 for exact feedback
    assumed_flip: float


class Cells(NamedTuple):
    """The memory of a State's arrays of the same names, flat: cell i W + w is action i of lane w."""

    logs: NDArray  # (s + 2, K W)
    probs: NDArray  # (s + 2, K W)
    wins: NDArray  # (s + 2, K W)
    move: NDArray  # (K W,)
    field: NDArray  # (K W,)
    average: NDArray  # (2, K W)
    eights: NDArray  # (2, 8 R)


class State(NamedTuple):
    """The policies of a block, what is known of them, and room to work in. Two slots follow the tableau's s."""

    logs: NDArray  # (s + 2, K, W) log-probabilities; slot s is the average, s + 1 a best response
    probs: NDArray  # (s + 2, K, W)
    wins: NDArray  # (s + 2, K, W) win rates, where known
    cells: Cells
    known: NDArray  # (s,)
    written: NDArray  # (s,) in this iteration
    ready: NDArray  # (s + 2,) whether wins holds what an exact query would return, paid for or not
    counts: NDArray  # (5,) see ITERATION ... GRADIENTS
    move: NDArray  # (K, W) new logits
    field: NDArray  # (K, W) room for one value a cell
    before: NDArray  # (K, W)
    average: NDArray  # (2, K, W) log peak and factor of the running sum of probabilities
    look: NDArray  # (3, W) a sum, a peak, a measure
    threshold: NDArray  # (W,) what is watched may not exceed it for long
    streak: NDArray  # (W,) looks for which it has
    eights: NDArray  # (2, R, 8) a policy and its win rates above K = WHOLE: R = ceil(K / 8) rows of a policy alone, else an action a row
    partial: NDArray  # (16, 8)
    sums: NDArray  # (2, K) running sums of an opponent, of a source of pairs
    tally: NDArray  # (2, samples) responses drawn, and their wins
    panel: NDArray  # (2, L) uint64 pair of draws and action, pair by pair
    drawn: NDArray  # (2, 2 L) uniforms of opponents and of labels
    chosen: NDArray  # (2 L,) uint64 opponents


class Records(NamedTuple):
    """What a run is to write down, and where."""

    steps: NDArray  # (R,) iterations, increasing
    slots: NDArray  # (Q,) slots to keep; s is the average
    measures: NDArray  # (M, 2) which measure; 0 of the returned policy, 1 of the average
    with_average: bool
    logs: NDArray  # (Q, R, K W)
    measured: NDArray  # (M, R, W)
    spent: NDArray  # (R, 2)
    status: NDArray  # (W,)
    status_step: NDArray  # (W,)


_options = {"nogil": True, "cache": True, "error_model": "numpy", "_nrt": False}
"""Nothing here allocates, so nothing needs the run-time that counts references: to count those of a State's arrays at every call took
longer than the calls."""
_inlined = _options | {"inline": "always"}
"""For what is passed eight numbers, which a call would send through memory, or a State, some two hundred words, where little is done."""

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _32, _11, _21 = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(11), np.uint64(21)


def load(row, at):
    """Eight neighbours of a row, kept in registers: for + - * and what follows a vector of the compiler's, left nothing to guess."""
    return row[at : at + EIGHT].copy()


def store(row, at, u):
    """Write eight neighbours of a row."""
    row[at : at + EIGHT] = u


def spread(x):
    """Eight times one number."""
    return np.full(EIGHT, x)


def larger(u, v):
    """max(u, v), number by number."""
    return np.where(v > u, v, u)


def either(x, limit, below, above):
    """`below` where x < limit, else `above`."""
    return np.where(x < limit, below, above)


def power_of_two(shifted):
    """2^k from 3/2 2^52 + k, which holds k in its low bits: they are moved to where a float keeps its exponent."""
    return ((np.asarray(shifted, dtype=np.float64).view(np.int64) << _52) + _ONE).view(np.float64)


def not_below(x, limit):
    """1 where x >= limit, else 0, as words."""
    return np.asarray(x >= limit).astype(np.uint64)


def word(x):
    """An integer, or eight, as uint64."""
    return np.asarray(x).astype(np.uint64)


def number(x):
    """A word below 2^53, or eight, as floats."""
    return np.asarray(x).astype(np.float64)


def added_up(u):
    """The sum of eight partial sums."""
    return ((u[0] + u[4]) + (u[2] + u[6])) + ((u[1] + u[5]) + (u[3] + u[7]))


def fused(a, b, c):
    """a b + c, rounded once where it is compiled, of numbers or eights (a number meets all eight).

    The compiler never fuses of its own accord: its choice would vary with the loop.
    """
    return a * b + c


class Eight(types.Type):
    """What numba takes eight numbers in registers for, or eight words."""


_EIGHT, _WORDS = Eight("Eight"), Eight("EightWords")
_VECTOR, _BITS = ir.VectorType(ir.DoubleType(), EIGHT), ir.VectorType(ir.IntType(64), EIGHT)


def _signature(eights, *given):
    return (_EIGHT if eights else types.float64)(*(_EIGHT if of == _EIGHT else types.float64 for of in given))


@register_model(Eight)
class _Registers(models.PrimitiveModel):
    def __init__(self, manager, of):
        super().__init__(manager, of, _VECTOR if of == _EIGHT else _BITS)


def _place(context, builder, signature, arguments):
    """Where the eight neighbours begin."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    at = context.cast(builder, arguments[1], signature.args[1], types.intp)
    found = cgutils.get_item_pointer(context, builder, signature.args[0], array, [at], wraparound=False)
    return builder.bitcast(found, (_VECTOR if signature.args[0].dtype == types.float64 else _BITS).as_pointer())


@intrinsic
def _load(typing_context, row, at):
    def generate(context, builder, signature, arguments):
        return builder.load(_place(context, builder, signature, arguments), align=8)

    return (_EIGHT if row.dtype == types.float64 else _WORDS)(row, at), generate


@intrinsic
def _store(typing_context, row, at, u):
    def generate(context, builder, signature, arguments):
        builder.store(arguments[2], _place(context, builder, signature, arguments), align=8)
        return context.get_dummy_value()

    return types.void(row, at, u), generate


def _spread_out(builder, x):
    nothing = ir.VectorType(x.type, EIGHT)(ir.Undefined)
    one = builder.insert_element(nothing, x, ir.IntType(32)(0))
    return builder.shuffle_vector(one, nothing, ir.VectorType(ir.IntType(32), EIGHT)([0] * EIGHT))


@intrinsic
def _spread(typing_context, x):
    found = _EIGHT(types.float64) if x == types.float64 else _WORDS(types.uint64)
    return found, lambda context, builder, signature, arguments: _spread_out(builder, *arguments)


def _as_eight(builder, value, of):
    return value if isinstance(of, Eight) else _spread_out(builder, value)


@intrinsic
def _not_below(typing_context, x, limit):
    def generate(context, builder, signature, arguments):
        given = [_as_eight(builder, *pair) for pair in zip(arguments, signature.args, strict=True)] if x == _EIGHT else arguments
        return builder.zext(builder.fcmp_ordered(">=", *given), _BITS if x == _EIGHT else ir.IntType(64))

    return (_WORDS if x == _EIGHT else types.uint64)(x, types.float64), generate


@intrinsic
def _number(typing_context, x):
    def generate(context, builder, signature, arguments):
        return builder.sitofp(arguments[0], _VECTOR if x == _WORDS else ir.DoubleType())

    return (_EIGHT if x == _WORDS else types.float64)(x), generate


@intrinsic
def _either(typing_context, x, limit, below, above):
    eights = _EIGHT in (x, limit, below, above)

    def generate(context, builder, signature, arguments):
        given = [_as_eight(builder, *pair) for pair in zip(arguments, signature.args, strict=True)] if eights else arguments
        return builder.select(builder.fcmp_ordered("<", given[0], given[1]), given[2], given[3])

    return _signature(eights, x, limit, below, above), generate


@intrinsic
def _power_of_two(typing_context, shifted):
    def generate(context, builder, signature, arguments):
        places, one = (_BITS([number] * EIGHT) if shifted == _EIGHT else ir.IntType(64)(number) for number in (int(_52), int(_ONE)))
        bits = builder.bitcast(arguments[0], places.type)
        return builder.bitcast(builder.add(builder.shl(bits, places), one), arguments[0].type)

    return _signature(shifted == _EIGHT, shifted), generate


@intrinsic
def _size(typing_context, u):
    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(_VECTOR, [_VECTOR])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.fabs.v8f64"), arguments)

    return _EIGHT(_EIGHT), generate


@intrinsic
def _added_up(typing_context, u):
    def generate(context, builder, signature, arguments):
        parts = [builder.extract_element(arguments[0], ir.IntType(32)(number)) for number in (0, 4, 2, 6, 1, 5, 3, 7)]
        while len(parts) > 1:
            parts = [builder.fadd(*parts[at : at + 2]) for at in range(0, len(parts), 2)]
        return parts[0]

    return types.float64(u), generate


@intrinsic
def _fused(typing_context, a, b, c):
    eights = _EIGHT in (a, b, c)

    def generate(context, builder, signature, arguments):
        if not eights:
            return builder.fma(*arguments)
        given = [_as_eight(builder, *pair) for pair in zip(arguments, signature.args, strict=True)]
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.fma.v8f64"), given)

    return _signature(eights, a, b, c), generate


def _number_by_number(of, instruction):
    """What two eights of a kind become, or one and a number, as an overload."""
    alone = types.float64 if of == _EIGHT else types.uint64

    @intrinsic
    def compiled(typing_context, u, v):
        def generate(context, builder, signature, arguments):
            return instruction(builder, *(_as_eight(builder, *pair) for pair in zip(arguments, signature.args, strict=True)))

        return of(*(each if each == of else alone for each in (u, v))), generate

    return lambda u, v: (lambda u, v: compiled(u, v)) if of in (u, v) else None


overload(load)(lambda row, at: lambda row, at: _load(row, at))
overload(store)(lambda row, at, u: lambda row, at, u: _store(row, at, u))
overload(spread)(lambda x: lambda x: _spread(x))
overload(either)(lambda x, limit, below, above: lambda x, limit, below, above: _either(x, limit, below, above))
overload(power_of_two)(lambda shifted: lambda shifted: _power_of_two(shifted))
overload(added_up)(lambda u: lambda u: _added_up(u))
overload(abs)(lambda u: (lambda u: _size(u)) if u == _EIGHT else None)
overload(fused)(lambda a, b, c: lambda a, b, c: _fused(a, b, c))
overload(not_below)(lambda x, limit: lambda x, limit: _not_below(x, limit))
overload(number)(lambda x: lambda x: _number(x))
overload(word)(lambda x: (lambda x: x) if x == _WORDS else lambda x: np.uint64(x))
overload(larger)(_number_by_number(_EIGHT, lambda builder, u, v: builder.select(builder.fcmp_ordered(">", v, u), v, u)))
overload(operator.add)(_number_by_number(_EIGHT, lambda builder, u, v: builder.fadd(u, v)))
overload(operator.sub)(_number_by_number(_EIGHT, lambda builder, u, v: builder.fsub(u, v)))
overload(operator.mul)(_number_by_number(_EIGHT, lambda builder, u, v: builder.fmul(u, v)))
overload(operator.add)(_number_by_number(_WORDS, lambda builder, u, v: builder.add(u, v)))
overload(operator.mul)(_number_by_number(_WORDS, lambda builder, u, v: builder.mul(u, v)))
overload(operator.and_)(_number_by_number(_WORDS, lambda builder, u, v: builder.and_(u, v)))
overload(operator.or_)(_number_by_number(_WORDS, lambda builder, u, v: builder.or_(u, v)))
overload(operator.xor)(_number_by_number(_WORDS, lambda builder, u, v: builder.xor(u, v)))
overload(operator.lshift)(_number_by_number(_WORDS, lambda builder, u, v: builder.shl(u, v)))
overload(operator.rshift)(_number_by_number(_WORDS, lambda builder, u, v: builder.lshr(u, v)))


@njit(**_inlined)
def philox(key, draw, action, query, iteration):
    """Four 32-bit words (in uint64) of Philox 4x32-10 at counter (draw, action, query, iteration) under a 64-bit key.

    Numbers, or eights: eight draws at a time.
    """
    a, b, c, d = word(draw) & _LOW, word(action) & _LOW, word(query) & _LOW, word(iteration) & _LOW
    low, high = key & _LOW, key >> _32
    for _ in range(10):
        x, y = a * _M0, c * _M1
        a, b, c, d = (y >> _32) ^ b ^ low, y & _LOW, (x >> _32) ^ d ^ high, x & _LOW
        low, high = (low + _W0) & _LOW, (high + _W1) & _LOW
    return a, b, c, d


@njit(**_inlined)
def uniforms(key, draw, action, query, iteration):
    """Two independent uniforms on [0, 1) with 53 bits each."""
    a, b, c, d = philox(key, draw, action, query, iteration)
    return number((a << _21) | (b >> _11)) * 2.0**-53, number((c << _21) | (d >> _11)) * 2.0**-53


@njit(**_inlined)
def two_duels(key, pair, action, query, iteration):
    """Independent uniforms on [0, 1) with 32 bits each: for the opponent and the label of draw 2 pair, and for those of the next."""
    a, b, c, d = philox(key, pair, action, query, iteration)
    return number(a) * 2.0**-32, number(b) * 2.0**-32, number(c) * 2.0**-32, number(d) * 2.0**-32


_SHIFT = 1.5 * 2.0**52
_LOG2_E, _LN2_HIGH, _LN2_LOW = 1.4426950408889634, 6.93147180369123816490e-01, 1.90821492927058770002e-10
_52, _ONE, _ROOT_HALF = np.int64(52), np.float64(1.0).view(np.int64), np.float64(np.sqrt(0.5)).view(np.int64)


@njit(**_inlined)
def tail(r):
    """(e^r - 1 - r) / r^2 for |r| <= ln(2)/2: the polynomial of least relative error, 2e-16."""
    value = fused(r, 2.506816908915108e-08, 2.762004664751964e-07)
    value = fused(r, value, 2.7557355505578615e-06)
    value = fused(r, value, 2.480152139635458e-05)
    value = fused(r, value, 0.000198412697846689)
    value = fused(r, value, 0.0013888888917138362)
    value = fused(r, value, 0.008333333333356199)
    value = fused(r, value, 0.04166666666662431)
    value = fused(r, value, 0.16666666666666644)
    return fused(r, value, 0.5)


@njit(**_inlined)
def exponential(x):
    """e^x for x <= 709 to the last bit or two, 0 below -708: with k the integer next to x / ln 2, 2^k e^(x - k ln 2).

    Adding 3/2 2^52 rounds to an integer.
    """
    shifted = fused(x, _LOG2_E, _SHIFT)
    k = shifted - _SHIFT
    r = fused(k, -_LN2_LOW, fused(k, -_LN2_HIGH, x))
    power = power_of_two(shifted)
    return either(x, -708.0, 0.0, fused(power, fused(r * r, tail(r), r), power))


@njit(**_options)
def logarithm(x):
    """log x for normal x > 0 to the last bit or two; 0, infinity and nan as everywhere.

    x = 2^k (1 + s) / (1 - s) with (1 + s) / (1 - s) in [sqrt(1/2), sqrt(2)], and log((1 + s) / (1 - s)) = 2 (s + s^3/3 + ...).
    """
    bits = np.float64(x).view(np.int64)
    k = (bits - _ROOT_HALF) >> _52
    m = np.int64(bits - (k << _52)).view(np.float64)
    s = (m - 1.0) / (m + 1.0)
    t = s * s
    value = fused(t, 0.06543583611089734, 0.06634359227487781)
    value = fused(t, value, 0.07693120936489783)
    value = fused(t, value, 0.09090897798724036)
    value = fused(t, value, 0.11111111196072325)
    value = fused(t, value, 0.14285714285400772)
    value = fused(t, value, 0.2000000000000044)
    value = fused(t, value, 0.3333333333333333)
    value = fused(float(k), _LN2_HIGH, fused(float(k), _LN2_LOW, 2.0 * fused(s * t, value, s)))
    return value if x > 0.0 and x < np.inf else -np.inf if x == 0.0 else x


@njit(**_options)
def normalise_alone(logits, logs, probs):
    """logs = log softmax of the logits of one policy (K,), probs = their softmax."""
    top, total = -np.inf, 0.0
    for i in range(logits.shape[0]):
        top = max(top, logits[i])
    for i in range(logits.shape[0]):
        logs[i] = logits[i] - top
        probs[i] = exponential(logs[i])
    for i in range(logits.shape[0]):
        total += probs[i]
    scale, shift = 1.0 / total, logarithm(total)
    for i in range(logits.shape[0]):
        probs[i] *= scale
        logs[i] -= shift


@njit(**_options)
def exponentials(logits, logs, probs, look):
    """logs = logits (K, W) less the largest, probs = e^logs, look = 1 / sum of these and log sum, by lane; logs may be the logits."""
    actions, lanes = logits.shape
    for group in range(lanes // EIGHT):
        w = EIGHT * group
        top, total = load(logits[0], w), spread(0.0)
        for i in range(1, actions):
            top = larger(top, load(logits[i], w))
        for i in range(actions):
            x = load(logits[i], w) - top
            p = exponential(x)
            store(logs[i], w, x)
            store(probs[i], w, p)
            total = total + p
        store(look[0], w, total)
    for w in range(lanes):
        look[1, w] = logarithm(look[0, w])
        look[0, w] = 1.0 / look[0, w]


@njit(**_options)
def normalise_together(logits, logs, probs, look):
    """As `normalise_alone` for the policies of all lanes (K, W); look is room for two numbers a lane."""
    actions, lanes = logits.shape
    exponentials(logits, logs, probs, look)
    for group in range(lanes // EIGHT):
        w = EIGHT * group
        scale, shift = load(look[0], w), load(look[1], w)
        for i in range(actions):
            store(probs[i], w, load(probs[i], w) * scale)
            store(logs[i], w, load(logs[i], w) - shift)


@njit(**_inlined)
def normalise(state, slot):
    """logs[slot] = log softmax of state.move, probs[slot] = its softmax; nothing is known of its win rates."""
    cells = state.cells
    if state.move.shape[1] == 1:
        normalise_alone(cells.move, cells.logs[slot], cells.probs[slot])
    else:
        normalise_together(state.move, state.logs[slot], state.probs[slot], state.look)
    state.ready[slot] = False


@njit(**_options)
def interleaved(matrix, policy, out):
    """out[i] = sum_j matrix[j, i] policy[j], every lane with an antisymmetric matrix of its own, from what is above the diagonal.

    Row j serves twice: out_i += A_ji p_j for the columns i beyond it, and out_j -= A_ji p_i. Rows are taken four at a time, and every sum
    runs in the order of the other action, as where all of the matrix is read. Half of it stays in the cache.
    """
    actions, lanes = policy.shape
    fours = actions - actions % 4
    for group in range(lanes // EIGHT):
        w = EIGHT * group
        for i in range(actions):
            store(out[i], w, spread(0.0))
        for j in range(0, fours, 4):
            k, l, m = j + 1, j + 2, j + 3
            a, b, c, d = load(out[j], w), load(out[k], w), load(out[l], w), load(out[m], w)
            p, q, r, s = load(policy[j], w), load(policy[k], w), load(policy[l], w), load(policy[m], w)
            less_q, less_r, less_s = spread(0.0) - q, spread(0.0) - r, spread(0.0) - s
            jk, jl, jm = load(matrix[j, k], w), load(matrix[j, l], w), load(matrix[j, m], w)
            kl, km, lm = load(matrix[k, l], w), load(matrix[k, m], w), load(matrix[l, m], w)
            a = fused(jm, less_s, fused(jl, less_r, fused(jk, less_q, a)))
            b = fused(km, less_s, fused(kl, less_r, fused(jk, p, b)))
            c = fused(lm, less_s, fused(kl, q, fused(jl, p, c)))
            d = fused(lm, r, fused(km, q, fused(jm, p, d)))
            for i in range(j + 4, actions):
                less = spread(0.0) - load(policy[i], w)
                ji, ki, li, mi = load(matrix[j, i], w), load(matrix[k, i], w), load(matrix[l, i], w), load(matrix[m, i], w)
                a, b, c, d = fused(ji, less, a), fused(ki, less, b), fused(li, less, c), fused(mi, less, d)
                store(out[i], w, fused(mi, s, fused(li, r, fused(ki, q, fused(ji, p, load(out[i], w))))))
            store(out[j], w, a)
            store(out[k], w, b)
            store(out[l], w, c)
            store(out[m], w, d)
        for j in range(fours, actions):
            a, p = load(out[j], w), load(policy[j], w)
            for i in range(j + 1, actions):
                ji = load(matrix[j, i], w)
                a = fused(ji, spread(0.0) - load(policy[i], w), a)
                store(out[i], w, fused(ji, p, load(out[i], w)))
            store(out[j], w, a)


@njit(**_options)
def whole_alone(rows, policy, out):
    """The same in the same order for one policy, four rows of its matrix at a time."""
    actions = policy.shape[0]
    for i in range(actions):
        out[i] = 0.0
    for quarter in range(actions // 4):
        j = 4 * quarter
        a, b, c, d = rows[j], rows[j + 1], rows[j + 2], rows[j + 3]
        p, q, r, s = policy[j], policy[j + 1], policy[j + 2], policy[j + 3]
        for i in range(actions):
            out[i] = fused(d[i], s, fused(c[i], r, fused(b[i], q, fused(a[i], p, out[i]))))
    for j in range(actions - actions % 4, actions):
        row, p = rows[j], policy[j]
        for i in range(actions):
            out[i] = fused(row[i], p, out[i])


@njit(**_options)
def whole_together(rows, policy, out):
    """The same in the same order for eight policies of one matrix, four rows at a time."""
    actions = policy.shape[0]
    for i in range(actions):
        store(out[i], 0, spread(0.0))
    for quarter in range(actions // 4):
        j = 4 * quarter
        a, b, c, d = rows[j], rows[j + 1], rows[j + 2], rows[j + 3]
        p, q, r, s = load(policy[j], 0), load(policy[j + 1], 0), load(policy[j + 2], 0), load(policy[j + 3], 0)
        for i in range(actions):
            store(out[i], 0, fused(s, d[i], fused(r, c[i], fused(q, b[i], fused(p, a[i], load(out[i], 0))))))
    for j in range(actions - actions % 4, actions):
        row, p = rows[j], load(policy[j], 0)
        for i in range(actions):
            store(out[i], 0, fused(p, row[i], load(out[i], 0)))


@njit(**_options)
def halved_alone(matrix, policy, out):
    """out = matrix' policy for one policy, from the part of its antisymmetric matrix on and above the diagonal of 8 x 8 blocks.

    Row j of A serves twice: out_i += A_ji p_j for the columns i beyond the row's block, and out_j -= sum_i A_ji p_i, in eight
    partial sums, of the columns i = 0, 1, ..., 7 modulo 8. Rows come in pairs, so that what is read of out and p serves both.
    Reading a large matrix is what takes the time, and half of it is read.
    """
    blocks = matrix.shape[1]
    for block in range(blocks):
        store(out[block], 0, spread(0.0))
    for block in range(blocks):
        for r in range(EIGHT):
            for c in range(r + 1, EIGHT):
                a = matrix[EIGHT * block + r, block, c]
                out[block, c] = fused(a, policy[block, r], out[block, c])
                out[block, r] = fused(-a, policy[block, c], out[block, r])
        for r in range(0, EIGHT, 2):
            one, two = matrix[EIGHT * block + r], matrix[EIGHT * block + r + 1]
            x, y = policy[block, r], policy[block, r + 1]
            s, t = spread(0.0), spread(0.0)
            for b in range(block + 1, blocks):
                u, v, p = load(one[b], 0), load(two[b], 0), load(policy[b], 0)
                s, t = fused(u, p, s), fused(v, p, t)
                store(out[b], 0, fused(v, y, fused(u, x, load(out[b], 0))))
            out[block, r] -= added_up(s)
            out[block, r + 1] -= added_up(t)


@njit(**_inlined)
def added_rows(partial, first):
    """The sum of eight rows, in the order of `added_up`."""
    one = (load(partial[first], 0) + load(partial[first + 4], 0)) + (load(partial[first + 2], 0) + load(partial[first + 6], 0))
    two = (load(partial[first + 1], 0) + load(partial[first + 5], 0)) + (load(partial[first + 3], 0) + load(partial[first + 7], 0))
    return one + two


@njit(**_options)
def halved_together(matrix, policy, out, partial):
    """The same in the same order for eight policies of one matrix: policy and out hold an action a row, and a policy a column."""
    rows, blocks, _ = matrix.shape
    for i in range(rows):
        store(out[i], 0, spread(0.0))
    for block in range(blocks):
        first = EIGHT * block
        for r in range(EIGHT):
            for c in range(r + 1, EIGHT):
                a = matrix[first + r, block, c]
                store(out[first + c], 0, fused(load(policy[first + r], 0), a, load(out[first + c], 0)))
                store(out[first + r], 0, fused(load(policy[first + c], 0), -a, load(out[first + r], 0)))
        for r in range(0, EIGHT, 2):
            one, two = matrix[first + r], matrix[first + r + 1]
            x, y = load(policy[first + r], 0), load(policy[first + r + 1], 0)
            for c in range(EIGHT):
                s, t = spread(0.0), spread(0.0)
                for b in range(block + 1, blocks):
                    i = EIGHT * b + c
                    p = load(policy[i], 0)
                    s, t = fused(p, one[b, c], s), fused(p, two[b, c], t)
                    store(out[i], 0, fused(y, two[b, c], fused(x, one[b, c], load(out[i], 0))))
                store(partial[c], 0, s)
                store(partial[EIGHT + c], 0, t)
            store(out[first + r], 0, load(out[first + r], 0) - added_rows(partial, 0))
            store(out[first + r + 1], 0, load(out[first + r + 1], 0) - added_rows(partial, EIGHT))


@njit(**_inlined)
def win_rates(matrix, state, slot, target):
    """wins[target] = matrix' probs[slot] by lane. K alone decides the order of the sums."""
    actions, lanes = state.move.shape
    if actions > WHOLE:
        cells, probs, wins = state.cells.eights, state.cells.probs[slot], state.cells.wins[target]
        for n in range(probs.shape[0]):
            cells[0, n] = probs[n]
        if lanes == 1:
            halved_alone(matrix.eights, state.eights[0], state.eights[1])
        else:
            halved_together(matrix.eights, state.eights[0], state.eights[1], state.partial)
        for n in range(wins.shape[0]):
            wins[n] = cells[1, n]
    elif lanes == 1:
        whole_alone(matrix.rows, state.cells.probs[slot], state.cells.wins[target])
    elif actions > INTERLEAVED:
        whole_together(matrix.rows, state.probs[slot], state.wins[target])
    else:
        interleaved(matrix.lanes, state.probs[slot], state.wins[target])


@njit(**_options)
def accumulate(probs, slot, lane, sums):
    """Running sums of one policy, for `draw_action`."""
    running = 0.0
    for j in range(sums.shape[0]):
        running += probs[slot, j, lane]
        sums[j] = running


@njit(**_inlined)
def draw_action(sums, uniform):
    """Inverse CDF: the first action whose running sum exceeds uniform times the total, by halving."""
    level = uniform * sums[-1]
    low, left = 0, sums.shape[0]
    while left > 1:
        half = left // 2
        low += half if sums[low + half - 1] <= level else 0
        left -= half
    return low


@njit(**_options)
def draw_actions(sums, uniforms, chosen):
    """The same for many uniforms. Up to K = COUNTED the running sums that are not beyond are counted, for eight draws at a time."""
    many, counted = chosen.shape[0], sums.shape[0] <= COUNTED
    whole = many - many % EIGHT if counted else 0
    for n in range(0, whole, EIGHT):
        level, count = load(uniforms, n) * sums[-1], spread(np.uint64(0))
        for j in range(sums.shape[0] - 1):
            count = count + not_below(level, sums[j])
        store(chosen, n, count)
    for n in range(whole, many):
        chosen[n] = np.uint64(draw_action(sums, uniforms[n]))


@njit(**_inlined)
def chance(block, i, j, w):
    """Of a label that says that i beat j."""
    matrix = block.labels.lanes
    return matrix[j, i, w if matrix.shape[2] > 1 else 0] + 0.5


@njit(**_options)
def panel_of_draws(key, before, panel, query, iteration, opponents, labels):
    """The uniforms of the draws of a panel, the first of every pair before the second, with so many pairs drawn `before`."""
    many = opponents.shape[0] // 2
    whole = many - many % EIGHT
    for n in range(0, whole, EIGHT):
        pair, action = load(panel[0], n) + before, load(panel[1], n)
        a, b, c, d = two_duels(key, pair, action, spread(np.uint64(query)), spread(np.uint64(iteration)))
        store(opponents, n, a)
        store(labels, n, b)
        store(opponents, many + n, c)
        store(labels, many + n, d)
    for n in range(whole, many):
        a, b, c, d = two_duels(key, before + panel[0, n], panel[1, n], query, iteration)
        opponents[n], labels[n], opponents[many + n], labels[many + n] = a, b, c, d


@njit(**_options)
def count_wins(labels, lane, chosen, uniforms, wins):
    """wins[i] += the labels that say that i beat its opponent, draw by draw."""
    actions = wins.shape[0]
    for d in range(chosen.shape[0] // actions):
        rivals, drawn = chosen[d * actions : (d + 1) * actions], uniforms[d * actions : (d + 1) * actions]
        for i in range(actions):
            wins[i] += 1.0 if drawn[i] < labels[rivals[i], i, lane] + 0.5 else 0.0


@njit(**_options)
def duel_win_rates(block, state, slot):
    """state.wins[slot] = means of Bernoulli labels against opponents drawn from the slot, debiased and centred.

    A panel of draws for all actions at a time, each step of which is one loop that vectorises: uniforms, opponents, labels.
    """
    actions, lanes = state.move.shape
    query, iteration = state.counts[QUERY], state.counts[ITERATION]
    labels, sums, wins = block.labels.lanes, state.sums[0], state.sums[1]
    most, total = state.panel.shape[1] // actions, (block.duels + 1) // 2
    for w in range(lanes):
        accumulate(state.probs, slot, w, sums)
        for i in range(actions):
            wins[i] = 0.0
        for start in range(0, total, most):
            pairs = min(most, total - start)
            drawn, asked = 2 * actions * pairs, actions * min(2 * pairs, block.duels - 2 * start)
            first, second, chosen = state.drawn[0, :drawn], state.drawn[1, :drawn], state.chosen[:asked]
            panel_of_draws(block.streams[w], np.uint64(start), state.panel, query, iteration, first, second)
            draw_actions(sums, first, chosen)
            count_wins(labels, w if labels.shape[2] > 1 else 0, chosen, second, wins)
        for i in range(actions):
            mean = wins[i] / block.duels
            state.wins[slot, i, w] = (mean - block.assumed_flip) / (1.0 - 2.0 * block.assumed_flip) - 0.5


@njit(**_inlined)
def ask(block, state, slot):
    """Spend a preference query: learn the win rates of every action against the policy in a slot."""
    if block.duels > 0:
        duel_win_rates(block, state, slot)
    elif not state.ready[slot]:
        win_rates(block.labels, state, slot, slot)
        state.ready[slot] = True
    state.known[slot] = True
    state.counts[QUERY] += 1
    state.counts[QUERIES] += 1


@njit(**_options)
def combine(weights, scale, values, out):
    """out += scale sum_s weights[s] values[s] (n,), skipping slots of weight 0, two at a time."""
    held = -1
    for s in range(weights.shape[0]):
        if weights[s] != 0.0:
            if held < 0:
                held = s
            else:
                a, b, u, v = scale * weights[held], scale * weights[s], values[held], values[s]
                for n in range(out.shape[0]):
                    out[n] = fused(a, u[n], fused(b, v[n], out[n]))
                held = -1
    if held >= 0:
        a, u = scale * weights[held], values[held]
        for n in range(out.shape[0]):
            out[n] = fused(a, u[n], out[n])


@njit(**_inlined)
def field_step(table, block, state, n):
    """state.move = new logits of a prox or gradient stage."""
    row, asked = state.counts[ROW], 0
    for s in range(state.known.shape[0]):
        if table.opponents[row, n, s] != 0.0:
            asked = 1
            if not state.known[s]:
                ask(block, state, s)
    state.counts[GRADIENTS] += asked
    prox = table.kind[n] == PROX
    state.cells.move[:] = 0.0
    combine(table.anchors[row, n], 1.0, state.cells.logs, state.cells.move)
    combine(table.opponents[row, n], table.rates[row, n] if prox else 1.0, state.cells.wins, state.cells.move)
    if not prox:
        policy_gradient(state, table.base[n], table.rates[row, n])


@njit(**_inlined)
def policy_gradient(state, base, rate):
    """state.move = theta_base + rate p (adv - <p, adv>), with adv = state.move."""
    actions, lanes = state.move.shape
    mean = state.look[0]
    for w in range(lanes):
        mean[w] = 0.0
    for i in range(actions):
        for w in range(lanes):
            mean[w] = fused(state.probs[base, i, w], state.move[i, w], mean[w])
    for i in range(actions):
        for w in range(lanes):
            push = state.probs[base, i, w] * (state.move[i, w] - mean[w])
            state.move[i, w] = fused(rate, push, state.logs[base, i, w])


@njit(**_inlined)
def judged(block, i, j, w, uniform):
    """A label for i against j, debiased: drawn where feedback is sampled, expected where it is exact."""
    expected = chance(block, i, j, w)
    if block.duels == 0:
        return expected
    won = 1.0 if uniform < expected else 0.0
    return (won - block.assumed_flip) / (1.0 - 2.0 * block.assumed_flip)


@njit(**_options)
def opponent_slot(table, n, row):
    """The one slot that a stage meets."""
    rival = 0
    for s in range(table.opponents.shape[2]):
        if table.opponents[row, n, s] != 0.0:
            rival = s
    return rival


@njit(**_options)
def sampled_advantage(table, block, state, n, rival, draw, w):
    """One sampled pair: actions y and z, and the judged adv_y - adv_z."""
    row, query, iteration = state.counts[ROW], state.counts[QUERY], state.counts[ITERATION]
    first, second = uniforms(block.streams[w], draw, 0, query, iteration)
    third, fourth = uniforms(block.streams[w], draw, 1, query, iteration)
    if table.source[n] >= 0:
        y, z = draw_action(state.sums[1], first), draw_action(state.sums[1], second)
    else:
        y, z = int(first * state.sums.shape[1]), int(second * state.sums.shape[1])
    j = draw_action(state.sums[0], third)
    fifth, _ = uniforms(block.streams[w], draw, 2, query, iteration)
    difference = judged(block, y, j, w, fourth) - judged(block, z, j, w, fifth)
    difference *= table.opponents[row, n, rival]
    for s in range(table.anchors.shape[2]):
        if table.anchors[row, n, s] != 0.0:
            difference += table.anchors[row, n, s] * (state.logs[s, y, w] - state.logs[s, z, w])
    return y, z, difference


@njit(**_options)
def pairs_step(table, block, state, n):
    """state.move = theta_base + rate c/(2 samples) sum of (e_y - e_z)(adv_y - adv_z) over sampled pairs (y, z)."""
    actions, lanes = state.move.shape
    row = state.counts[ROW]
    rival = opponent_slot(table, n, row)
    source, scale = table.source[n], 1.0 if table.source[n] >= 0 else float(actions)
    step = table.rates[row, n] * scale / (2.0 * table.samples[n])
    for i in range(actions):
        for w in range(lanes):
            state.move[i, w] = state.logs[table.base[n], i, w]
    for w in range(lanes):
        accumulate(state.probs, rival, w, state.sums[0])
        if source >= 0:
            accumulate(state.probs, source, w, state.sums[1])
        for draw in range(table.samples[n]):
            y, z, difference = sampled_advantage(table, block, state, n, rival, draw, w)
            state.move[y, w] += step * difference
            state.move[z, w] -= step * difference
    for count in (QUERY, QUERIES, GRADIENTS):
        state.counts[count] += 1


@njit(**_options)
def responses_step(table, block, state, n):
    """state.move = theta_base + rate (mean win rate of a drawn action against the other draws - 1/2)."""
    actions, lanes = state.move.shape
    row, query, iteration = state.counts[ROW], state.counts[QUERY], state.counts[ITERATION]
    samples, rival = table.samples[n], opponent_slot(table, n, row)
    drawn, wins = state.tally[0], state.tally[1]
    for w in range(lanes):
        accumulate(state.probs, rival, w, state.sums[0])
        for d in range(samples):
            first, _ = uniforms(block.streams[w], d, 0, query, iteration)
            drawn[d], wins[d] = draw_action(state.sums[0], first), 0.0
        for d in range(samples):
            for e in range(d):
                label, _ = uniforms(block.streams[w], d, e + 1, query, iteration)
                won = judged(block, int(drawn[d]), int(drawn[e]), w, label)
                wins[d] += won
                wins[e] += 1.0 - won
        for i in range(actions):
            count, total = 0, 0.0
            for d in range(samples):
                if drawn[d] == i:
                    count += 1
                    total += wins[d] / max(samples - 1, 1) if samples > 1 else 0.5
            state.move[i, w] = state.logs[table.base[n], i, w]
            if count > 0:
                state.move[i, w] += table.rates[row, n] * (total / count - 0.5)
    for count in (QUERY, QUERIES, GRADIENTS):
        state.counts[count] += 1


@njit(**_options)
def projection_step(table, block, state, n):
    """state.move = theta_base + rate (P q - S q), S_ij = sigmoid(theta_i - theta_j), both centred."""
    actions, lanes = state.move.shape
    row = state.counts[ROW]
    rival, base = opponent_slot(table, n, row), table.base[n]
    if not state.known[rival]:
        ask(block, state, rival)
    state.counts[GRADIENTS] += 1
    for i in range(actions):
        for w in range(lanes):
            state.move[i, w] = state.logs[base, i, w] + table.rates[row, n] * state.wins[rival, i, w]
        for j in range(actions):
            for w in range(lanes):
                shrink = exponential(-abs(state.logs[base, i, w] - state.logs[base, j, w]))
                excess = (0.5 - shrink / (1.0 + shrink)) * (1.0 if state.logs[base, i, w] > state.logs[base, j, w] else -1.0)
                state.move[i, w] -= table.rates[row, n] * state.probs[rival, j, w] * excess


@njit(**_inlined)
def mix_step(weights, state):
    """state.move = log sum_s weights[s] exp(logs[s]), without underflow."""
    top, total, logs = state.cells.field, state.cells.move, state.cells.logs
    top[:] = -np.inf
    total[:] = 0.0
    for s in range(weights.shape[0]):
        if weights[s] > 0.0:
            for n in range(top.shape[0]):
                top[n] = max(top[n], logs[s, n])
    for s in range(weights.shape[0]):
        if weights[s] > 0.0:
            for n in range(top.shape[0]):
                total[n] += weights[s] * exponential(logs[s, n] - top[n])
    for n in range(top.shape[0]):
        total[n] = top[n] + logarithm(total[n])


@njit(**_inlined)
def copy_slot(state, source, to):
    """A policy enters another slot, with what is known of it."""
    cells = state.cells
    for n in range(cells.move.shape[0]):
        cells.logs[to, n], cells.probs[to, n], cells.wins[to, n] = cells.logs[source, n], cells.probs[source, n], cells.wins[source, n]
    state.known[to], state.ready[to] = state.known[source], state.ready[source]


@njit(**_inlined)
def run_stage(table, block, state, n):
    """Write the slot of stage n."""
    to = table.to[n]
    state.written[to] = True
    if table.copied[n] >= 0:
        copy_slot(state, table.copied[n], to)
        return
    if table.kind[n] == MIX:
        mix_step(table.opponents[state.counts[ROW], n], state)
    elif table.kind[n] == PAIRS:
        pairs_step(table, block, state, n)
    elif table.kind[n] == RESPONSES:
        responses_step(table, block, state, n)
    elif table.kind[n] == PROJECTION:
        projection_step(table, block, state, n)
    else:
        field_step(table, block, state, n)
    normalise(state, to)
    state.known[to] = False


@njit(**_options)
def change_span(state, slot):
    """Largest minus smallest change of a slot's log-probabilities since they were put into state.before (one lane)."""
    low, high = np.inf, -np.inf
    for i in range(state.before.shape[0]):
        change = state.logs[slot, i, 0] - state.before[i, 0]
        low, high = min(low, change), max(high, change)
    return high - low


@njit(**_inlined)
def iterate(table, block, state):
    """One iteration: every loop, every stage that is due. What is known of a slot that was not written lately is asked anew."""
    for s in range(state.known.shape[0]):
        state.known[s] = state.known[s] and state.written[s]
        state.written[s] = False
    due = state.counts[ITERATION] + 1
    for loop in range(table.loops.shape[0]):
        first, last, times = table.loops[loop, 0], table.loops[loop, 1], table.loops[loop, 2]
        answer, tolerance = table.to[last - 1], table.tolerances[loop]
        for _ in range(times):
            if tolerance > 0.0:
                for i in range(state.before.shape[0]):
                    state.before[i, 0] = state.logs[answer, i, 0]
            for n in range(first, last):
                if due % table.every[n] == 0:
                    run_stage(table, block, state, n)
            if tolerance > 0.0 and change_span(state, answer) <= tolerance:
                break


@njit(**_inlined)
def divergence_term(log_p, p, log_q, q):
    """q - p - p d with d = log q - log p; where d is small p d^2 (1/2 + d/6 + ...), so that nothing cancels, and nothing overflows."""
    d = log_q - log_p
    return either(abs(d), 0.34, p * (d * d * tail(d)), q - p * (1.0 + d))


@njit(**_options)
def divergence(log_p, p, log_q, q, terms):
    """Terms of KL(p | q) by cell."""
    cells = terms.shape[0]
    for group in range(cells // EIGHT):
        n = EIGHT * group
        store(terms, n, divergence_term(load(log_p, n), load(p, n), load(log_q, n), load(q, n)))
    for n in range(cells - cells % EIGHT, cells):
        terms[n] = divergence_term(log_p[n], p[n], log_q[n], q[n])


@njit(**_options)
def add_up(terms, look, out):
    """look[out] = sums by lane."""
    actions, lanes = terms.shape
    if lanes == 1:
        total = 0.0
        for i in range(actions):
            total += terms[i, 0]
        look[out, 0] = total
    else:
        for group in range(lanes // EIGHT):
            w = EIGHT * group
            totals = load(terms[0], w)
            for i in range(1, actions):
                totals = totals + load(terms[i], w)
            store(look[out], w, totals)


@njit(**_options)
def divergence_to_response(wins, sharpness, reference, log_p, p, logs, probs, look):
    """look[2] = KL(p | q) by lane with log q = log softmax (sharpness wins + reference); logs and probs are room.

    What `normalise_together`, `divergence` and `add_up` come to one after the other, with less stored on the way.
    """
    actions, lanes = wins.shape
    for i in range(actions):
        for group in range(lanes // EIGHT):
            w = EIGHT * group
            store(logs[i], w, fused(sharpness, load(wins[i], w), load(reference, i * lanes + w)))
    exponentials(logs, logs, probs, look)
    for group in range(lanes // EIGHT):
        w = EIGHT * group
        scale, shift, total = load(look[0], w), load(look[1], w), spread(0.0)
        for i in range(actions):
            log_q, q = load(logs[i], w) - shift, load(probs[i], w) * scale
            total = total + divergence_term(load(log_p[i], w), load(p[i], w), log_q, q)
        store(look[2], w, total)


@njit(**_inlined)
def exploitability(block, state, slot, beta):
    """state.look[2] = max_u J(u, p) - 1/2 by lane: beta KL(p | best response), or max (P p) - 1/2 at beta = 0."""
    cells, out, response = state.cells, state.look[2], state.logs.shape[0] - 1
    source = slot if block.clean else response
    if not (block.clean and state.ready[slot]):
        win_rates(block.advantage, state, slot, source)
        state.ready[source] = True
    if beta > 0.0:
        reference, sharpness = block.fixed[REFERENCE], 1.0 / beta
        if out.shape[0] == 1:
            wins = cells.wins[source]
            for n in range(wins.shape[0]):
                cells.move[n] = fused(sharpness, wins[n], reference[n])
            normalise(state, response)
            divergence(cells.logs[slot], cells.probs[slot], cells.logs[response], cells.probs[response], cells.field)
            add_up(state.field, state.look, 2)
        else:
            divergence_to_response(
                state.wins[source], sharpness, reference, state.logs[slot], state.probs[slot], state.logs[response], state.probs[response],
                state.look,
            )  # fmt: skip
            state.ready[response] = False
        for w in range(out.shape[0]):
            out[w] *= beta
    else:
        wins = state.wins[source]
        for w in range(out.shape[0]):
            out[w] = wins[0, w]
        for i in range(1, wins.shape[0]):
            for w in range(out.shape[0]):
                out[w] = max(out[w], wins[i, w])
        for w in range(out.shape[0]):
            out[w] = max(out[w], 0.0)  # in this order: nan stays nan


@njit(**_inlined)
def measure(block, state, kind, slot):
    """state.look[2] = one measure of a slot, by lane."""
    cells, fixed, fixed_probs = state.cells, block.fixed, block.fixed_probs
    if kind == KL_TO_EQUILIBRIUM:
        divergence(fixed[EQUILIBRIUM], fixed_probs[EQUILIBRIUM], cells.logs[slot], cells.probs[slot], cells.field)
        add_up(state.field, state.look, 2)
    elif kind == KL_TO_REFERENCE:
        divergence(cells.logs[slot], cells.probs[slot], fixed[REFERENCE], fixed_probs[REFERENCE], cells.field)
        add_up(state.field, state.look, 2)
    else:
        exploitability(block, state, slot, block.beta if kind == EXPLOITABILITY else 0.0)


@njit(**_inlined)
def add_to_average(state, slot):
    """Fold one policy into the running sum of probabilities, kept as log peak and factor so that nothing underflows."""
    peak, factor, logs = state.cells.average[0], state.cells.average[1], state.cells.logs[slot]
    for n in range(peak.shape[0]):
        apart = exponential(-abs(logs[n] - peak[n]))
        factor[n] = factor[n] + apart if logs[n] <= peak[n] else fused(factor[n], apart, 1.0)
        peak[n] = max(peak[n], logs[n])


@njit(**_inlined)
def write_average(table, state):
    """The mean of the policies before this iteration (at iteration 0: the start) enters its slot."""
    first = state.counts[ITERATION] == 0
    peak, factor = state.cells.average[0], state.cells.average[1]
    for n in range(peak.shape[0]):
        state.cells.move[n] = state.cells.logs[table.returned, n] if first else peak[n] + logarithm(factor[n])
    normalise(state, state.known.shape[0])


@njit(**_inlined)
def write_record(table, state, records, record):
    """Keep policies and average of one iteration, and what was spent on it."""
    if records.with_average:
        write_average(table, state)
    for q in range(records.slots.shape[0]):
        for n in range(state.cells.move.shape[0]):
            records.logs[q, record, n] = state.cells.logs[records.slots[q], n]
    records.spent[record, 0], records.spent[record, 1] = state.counts[QUERIES], state.counts[GRADIENTS]


@njit(**_inlined)
def watch(table, state, records):
    """From what is watched, note by lane whether the run is no longer finite, or stands diverged."""
    iteration, threshold, streak = state.counts[ITERATION], state.threshold, state.streak
    for i in range(state.move.shape[0]):
        for w in range(state.move.shape[1]):
            state.look[2, w] += 0.0 * state.logs[table.returned, i, w]  # nan where one is not finite
    for w in range(state.move.shape[1]):
        seen = state.look[2, w]
        if iteration == 0:
            threshold[w] = WATCH_FACTOR * seen + WATCH_MARGIN
        if records.status[w] == NONFINITE:
            continue
        if not np.isfinite(seen):
            records.status[w], records.status_step[w] = NONFINITE, iteration
        elif iteration % WATCH_EVERY == 0:
            streak[w] = streak[w] + 1 if seen > threshold[w] else 0
            diverged = streak[w] >= WATCH_STRETCH
            records.status[w] = DIVERGED if diverged else OK
            records.status_step[w] = iteration - (streak[w] - 1) * WATCH_EVERY if diverged else -1


@njit(**_options)
def run_block(table, block, state, records):
    """Run one tableau on one block, from the reference and the start policy to the last recorded iteration.

    What is watched is measured after what is recorded, in the same place, so that this is compiled once.
    """
    for s in range(state.known.shape[0]):
        first = block.fixed[REFERENCE if s == 0 else START]
        for n in range(first.shape[0]):
            state.cells.move[n] = first[n]
        normalise(state, s)
    record, end, measures = 0, records.steps[-1], records.measures.shape[0]
    for iteration in range(end + 1):
        state.counts[ITERATION], state.counts[QUERY] = iteration, 0
        state.counts[ROW] = min(iteration, table.rates.shape[0] - 1)
        recorded, watched = records.steps[record] == iteration, iteration % WATCH_EVERY == 0 or iteration == end
        if recorded:
            write_record(table, state, records, record)
        for m in range(0 if recorded else measures, measures + watched):
            average = m < measures and records.measures[m, 1]
            kind = records.measures[m, 0] if m < measures else block.watched
            measure(block, state, kind, state.known.shape[0] if average else table.returned)
            if m == measures:
                watch(table, state, records)
            else:
                for w in range(state.look.shape[1]):
                    records.measured[m, record, w] = state.look[2, w]
        record += recorded
        if iteration < end:
            if records.with_average:
                add_to_average(state, table.returned)
            iterate(table, block, state)

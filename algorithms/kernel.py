"""The one numba kernel: runs any tableau on a block of instances (a game and a seed each) that share K and beta.

Layout. Instances are interleaved: every array carries them in its last axis, the "lanes" (W of them), and each sum over
actions runs in the order of the actions, lane by lane. Arithmetic of neighbouring lanes never meets, so the compiler may
vectorise across lanes without changing a bit of any of them, and a result does not depend on W or on what runs beside.
With W = 1 (large K) the mat-vec runs over rows instead, each row's sum still in the order of the columns: the same bits.

Matrices are centred (P - 1/2, antisymmetric) and held transposed, [j, i, lane]: adding a constant to P q changes no update,
and exploitability loses no digits.

Win rates of a slot are kept until the slot is written (`known`), so that a stage pays for new policies only; but a slot that an
iteration leaves alone is asked about anew in the next, so that no run rests on one draw of labels.

Random numbers are counter-based (Philox 4x32, 10 rounds: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy
as 1, 2, 3", SC 2011): key = the instance's 64-bit stream, counter = (draw, action, number of the query within its iteration,
iteration). Nothing has a state, so no draw depends on what else was drawn.

Numba's disk cache watches this file alone: whatever the kernel calls lives here.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

PROX, GRADIENT, PAIRS, RESPONSES, PROJECTION, MIX = range(6)
EXPLOITABILITY, ORIGINAL_EXPLOITABILITY, KL_TO_EQUILIBRIUM, KL_TO_REFERENCE = range(4)
OK, NONFINITE, DIVERGED = range(3)
REFERENCE, START, EQUILIBRIUM = range(3)
ITERATION, ROW, QUERY, QUERIES, GRADIENTS = range(5)
"""Counts of a block: iteration, row of the coefficients, queries so far in this iteration, queries and gradients in all."""

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


class Block(NamedTuple):
    """W instances of K actions at one beta, and the feedback they give."""

    advantage: NDArray  # (K, K, W) P - 1/2, transposed
    labels: NDArray  # (K, K, W) mean label - 1/2, transposed
    clean: bool  # feedback is exact and labels are advantage: measures and stages may share win rates
    fixed: NDArray  # (3, K, W) log-probabilities: REFERENCE, START, EQUILIBRIUM
    fixed_probs: NDArray  # (3, K, W)
    streams: NDArray  # (W,) uint64
    beta: float
    watched_beta: float
    watch_equilibrium: bool
    duels: int  # 0 for exact feedback
    assumed_flip: float


class State(NamedTuple):
    """The policies of a block, what is known of them, and room to work in. Two slots follow the tableau's s."""

    logs: NDArray  # (s + 2, K, W) log-probabilities; slot s is the average, s + 1 a best response
    probs: NDArray  # (s + 2, K, W)
    wins: NDArray  # (s + 2, K, W) win rates, where known
    known: NDArray  # (s,)
    written: NDArray  # (s,) in this iteration
    ready: NDArray  # (s + 2,) whether wins holds what an exact query would return, paid for or not
    counts: NDArray  # (5,) see ITERATION ... GRADIENTS
    move: NDArray  # (K, W) new logits
    field: NDArray  # (K, W) weighted win rates
    before: NDArray  # (K, W)
    average: NDArray  # (2, K, W) log peak and factor of the running sum of probabilities
    look: NDArray  # (3, W) a sum, a peak, a measure
    sums: NDArray  # (2, K) running sums of an opponent, of a source of pairs
    tally: NDArray  # (2, samples) responses drawn, and their wins


class Records(NamedTuple):
    """What a run is to write down, and where."""

    steps: NDArray  # (R,) iterations, increasing
    slots: NDArray  # (Q,) slots to keep; s is the average
    measures: NDArray  # (M, 2) which measure; 0 of the returned policy, 1 of the average
    with_average: bool
    logs: NDArray  # (Q, R, K, W)
    measured: NDArray  # (M, R, W)
    spent: NDArray  # (R, 2)
    status: NDArray  # (W,)
    status_step: NDArray  # (W,)


_options = {"nogil": True, "cache": True, "error_model": "numpy"}

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _32, _11, _21 = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(11), np.uint64(21)


@njit(**_options)
def philox(key, draw, action, query, iteration):
    """Four 32-bit words (in uint64) of Philox 4x32-10 at counter (draw, action, query, iteration) under a 64-bit key."""
    a, b, c, d = np.uint64(draw), np.uint64(action), np.uint64(query), np.uint64(iteration)
    low, high = key & _LOW, key >> _32
    for _ in range(10):
        x, y = _M0 * a, _M1 * c
        a, b, c, d = (y >> _32) ^ b ^ low, y & _LOW, (x >> _32) ^ d ^ high, x & _LOW
        low, high = (low + _W0) & _LOW, (high + _W1) & _LOW
    return a, b, c, d


@njit(**_options)
def uniforms(key, draw, action, query, iteration):
    """Two independent uniforms on [0, 1) with 53 bits each."""
    a, b, c, d = philox(key, draw, action, query, iteration)
    first = np.float64((a << _21) | (b >> _11)) * 2.0**-53
    second = np.float64((c << _21) | (d >> _11)) * 2.0**-53
    return first, second


@njit(**_options)
def normalise(state, slot):
    """logs[slot] <- log softmax of itself, probs[slot] <- its softmax."""
    logs, probs = state.logs, state.probs
    actions, lanes = state.move.shape
    total, top = state.look[0], state.look[1]
    for w in range(lanes):
        top[w] = logs[slot, 0, w]
        total[w] = 0.0
    for i in range(1, actions):
        for w in range(lanes):
            top[w] = max(top[w], logs[slot, i, w])
    for i in range(actions):
        for w in range(lanes):
            value = np.exp(logs[slot, i, w] - top[w])
            probs[slot, i, w] = value
            total[w] += value
    for w in range(lanes):
        top[w] += np.log(total[w])
        total[w] = 1.0 / total[w]
    for i in range(actions):
        for w in range(lanes):
            probs[slot, i, w] *= total[w]
            logs[slot, i, w] -= top[w]


@njit(**_options)
def write_logits(state, slot, logits):
    """The policy with these logits (K, W) enters a slot."""
    for i in range(logits.shape[0]):
        for w in range(logits.shape[1]):
            state.logs[slot, i, w] = logits[i, w]
    normalise(state, slot)
    state.ready[slot] = False


@njit(**_options)
def win_rates(matrix, probs, slot, out, target):
    """out[target, i] = sum_j matrix[j, i] probs[slot, j], summed in the order of j; memory is read in its order too."""
    actions, lanes = matrix.shape[0], matrix.shape[2]
    sums = out[target].reshape(actions * lanes)
    rows = matrix.reshape(actions, actions * lanes)
    for n in range(actions * lanes):
        sums[n] = 0.0
    for j in range(actions):
        if lanes == 1:
            p = probs[slot, j, 0]
            for i in range(actions):
                sums[i] += rows[j, i] * p
        else:
            for i in range(actions):
                for w in range(lanes):
                    sums[i * lanes + w] += rows[j, i * lanes + w] * probs[slot, j, w]


@njit(**_options)
def accumulate(probs, slot, lane, sums):
    """Running sums of one policy, for `draw_action`."""
    running = 0.0
    for j in range(sums.shape[0]):
        running += probs[slot, j, lane]
        sums[j] = running


@njit(**_options)
def draw_action(sums, uniform):
    """Inverse CDF: the first action whose running sum exceeds uniform times the total."""
    level = uniform * sums[-1]
    low, high = 0, sums.shape[0] - 1
    while low < high:
        middle = (low + high) // 2
        if sums[middle] > level:
            high = middle
        else:
            low = middle + 1
    return low


@njit(**_options)
def duel_win_rates(block, state, slot):
    """state.wins[slot] = means of Bernoulli labels against opponents drawn from the slot, debiased and centred."""
    actions, lanes = state.move.shape
    query, iteration = state.counts[QUERY], state.counts[ITERATION]
    for w in range(lanes):
        accumulate(state.probs, slot, w, state.sums[0])
        for i in range(actions):
            wins = 0
            for draw in range(block.duels):
                first, second = uniforms(block.streams[w], draw, i, query, iteration)
                j = draw_action(state.sums[0], first)
                if second < block.labels[j, i, w] + 0.5:
                    wins += 1
            mean = wins / block.duels
            state.wins[slot, i, w] = (mean - block.assumed_flip) / (1.0 - 2.0 * block.assumed_flip) - 0.5


@njit(**_options)
def ask(block, state, slot):
    """Spend a preference query: learn the win rates of every action against the policy in a slot."""
    if block.duels > 0:
        duel_win_rates(block, state, slot)
    elif not state.ready[slot]:
        win_rates(block.labels, state.probs, slot, state.wins, slot)
        state.ready[slot] = True
    state.known[slot] = True
    state.counts[QUERY] += 1
    state.counts[QUERIES] += 1


@njit(**_options)
def weigh(weights, values, out):
    """out = sum_s weights[s] values[s], skipping slots of weight 0."""
    for i in range(out.shape[0]):
        for w in range(out.shape[1]):
            out[i, w] = 0.0
    for s in range(weights.shape[0]):
        if weights[s] != 0.0:
            for i in range(out.shape[0]):
                for w in range(out.shape[1]):
                    out[i, w] += weights[s] * values[s, i, w]


@njit(**_options)
def field_step(table, block, state, n):
    """state.move = new logits of a prox or gradient stage."""
    row, asked = state.counts[ROW], 0
    for s in range(state.known.shape[0]):
        if table.opponents[row, n, s] != 0.0:
            asked = 1
            if not state.known[s]:
                ask(block, state, s)
    state.counts[GRADIENTS] += asked
    weigh(table.anchors[row, n], state.logs, state.move)
    weigh(table.opponents[row, n], state.wins, state.field)
    if table.kind[n] == PROX:
        for i in range(state.move.shape[0]):
            for w in range(state.move.shape[1]):
                state.move[i, w] += table.rates[row, n] * state.field[i, w]
    else:
        policy_gradient(state, table.base[n], table.rates[row, n])


@njit(**_options)
def policy_gradient(state, base, rate):
    """state.move = theta_base + rate p (adv - <p, adv>), with adv = state.field + state.move."""
    actions, lanes = state.move.shape
    mean = state.look[0]
    for w in range(lanes):
        mean[w] = 0.0
    for i in range(actions):
        for w in range(lanes):
            state.field[i, w] += state.move[i, w]
            mean[w] += state.probs[base, i, w] * state.field[i, w]
    for i in range(actions):
        for w in range(lanes):
            push = state.probs[base, i, w] * (state.field[i, w] - mean[w])
            state.move[i, w] = state.logs[base, i, w] + rate * push


@njit(**_options)
def judged(block, i, j, w, uniform):
    """A label for i against j, debiased: drawn where feedback is sampled, expected where it is exact."""
    chance = block.labels[j, i, w] + 0.5
    if block.duels == 0:
        return chance
    won = 1.0 if uniform < chance else 0.0
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
            fitted = 0.0
            for j in range(actions):
                fitted += state.probs[rival, j, w] * 0.5 * np.tanh(0.5 * (state.logs[base, i, w] - state.logs[base, j, w]))
            state.move[i, w] = state.logs[base, i, w] + table.rates[row, n] * (state.wins[rival, i, w] - fitted)


@njit(**_options)
def mix_step(weights, state):
    """state.move = log sum_s weights[s] exp(logs[s]), without underflow."""
    for i in range(state.move.shape[0]):
        for w in range(state.move.shape[1]):
            top = -np.inf
            for s in range(weights.shape[0]):
                if weights[s] > 0.0:
                    top = max(top, state.logs[s, i, w])
            total = 0.0
            for s in range(weights.shape[0]):
                if weights[s] > 0.0:
                    total += weights[s] * np.exp(state.logs[s, i, w] - top)
            state.move[i, w] = top + np.log(total)


@njit(**_options)
def copy_slot(state, source, to):
    """A policy enters another slot, with what is known of it."""
    for i in range(state.move.shape[0]):
        for w in range(state.move.shape[1]):
            state.logs[to, i, w] = state.logs[source, i, w]
            state.probs[to, i, w] = state.probs[source, i, w]
            state.wins[to, i, w] = state.wins[source, i, w]
    state.known[to], state.ready[to] = state.known[source], state.ready[source]


@njit(**_options)
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
    write_logits(state, to, state.move)
    state.known[to] = False


@njit(**_options)
def change_span(state, slot):
    """Largest minus smallest change of a slot's log-probabilities since they were put into state.before (one lane)."""
    low, high = np.inf, -np.inf
    for i in range(state.before.shape[0]):
        change = state.logs[slot, i, 0] - state.before[i, 0]
        low, high = min(low, change), max(high, change)
    return high - low


@njit(**_options)
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


@njit(**_options)
def divergence(logs_p, probs_p, p, logs_q, q, out):
    """KL(p | q) by lane, as sum p (e^d - 1 - d) with d = log q - log p: no cancellation, no overflow."""
    for w in range(out.shape[0]):
        out[w] = 0.0
    for i in range(logs_p.shape[1]):
        for w in range(out.shape[0]):
            d = logs_q[q, i, w] - logs_p[p, i, w]
            if abs(d) < 1e-3:
                out[w] += probs_p[p, i, w] * d * d * (0.5 + d * (1.0 / 6.0 + d * (1.0 / 24.0 + d / 120.0)))
            elif d > 30.0:
                out[w] += np.exp(logs_q[q, i, w]) - probs_p[p, i, w] * (1.0 + d)
            else:
                out[w] += probs_p[p, i, w] * (np.expm1(d) - d)


@njit(**_options)
def exploitability(block, state, slot, beta):
    """state.look[2] = max_u J(u, p) - 1/2 by lane: beta KL(p | best response), or max (P p) - 1/2 at beta = 0."""
    actions, lanes = state.move.shape
    out, response = state.look[2], state.logs.shape[0] - 1
    source = slot if block.clean else response
    if not (block.clean and state.ready[slot]):
        win_rates(block.advantage, state.probs, slot, state.wins, source)
        state.ready[source] = True
    if beta > 0.0:
        for i in range(actions):
            for w in range(lanes):
                state.logs[response, i, w] = block.fixed[REFERENCE, i, w] + state.wins[source, i, w] / beta
        normalise(state, response)
        divergence(state.logs, state.probs, slot, state.logs, response, out)
        for w in range(lanes):
            out[w] *= beta
    else:
        for w in range(lanes):
            out[w] = state.wins[source, 0, w]
        for i in range(1, actions):
            for w in range(lanes):
                out[w] = max(out[w], state.wins[source, i, w])
        for w in range(lanes):
            out[w] = max(out[w], 0.0)  # in this order: nan stays nan


@njit(**_options)
def measure(block, state, kind, slot):
    """state.look[2] = one measure of a slot, by lane."""
    if kind == KL_TO_EQUILIBRIUM:
        divergence(block.fixed, block.fixed_probs, EQUILIBRIUM, state.logs, slot, state.look[2])
    elif kind == KL_TO_REFERENCE:
        divergence(state.logs, state.probs, slot, block.fixed, REFERENCE, state.look[2])
    else:
        exploitability(block, state, slot, block.beta if kind == EXPLOITABILITY else 0.0)


@njit(**_options)
def add_to_average(state, slot):
    """Fold one policy into the running sum of probabilities, kept as log peak and factor so that nothing underflows."""
    peak, factor = state.average[0], state.average[1]
    for i in range(peak.shape[0]):
        for w in range(peak.shape[1]):
            value = state.logs[slot, i, w]
            if value <= peak[i, w]:
                factor[i, w] += np.exp(value - peak[i, w])
            else:
                factor[i, w] = factor[i, w] * np.exp(peak[i, w] - value) + 1.0
                peak[i, w] = value


@njit(**_options)
def write_average(table, state):
    """The mean of the policies before this iteration (at iteration 0: the start) enters its slot."""
    first = state.counts[ITERATION] == 0
    for i in range(state.move.shape[0]):
        for w in range(state.move.shape[1]):
            total = state.average[0, i, w] + np.log(state.average[1, i, w])
            state.move[i, w] = state.logs[table.returned, i, w] if first else total
    write_logits(state, state.known.shape[0], state.move)


@njit(**_options)
def write_record(table, block, state, records, record):
    """Keep policies, average and measures of one iteration."""
    average = state.known.shape[0]
    if records.with_average:
        write_average(table, state)
    for q in range(records.slots.shape[0]):
        for i in range(state.move.shape[0]):
            for w in range(state.move.shape[1]):
                records.logs[q, record, i, w] = state.logs[records.slots[q], i, w]
    for m in range(records.measures.shape[0]):
        measure(block, state, records.measures[m, 0], average if records.measures[m, 1] else table.returned)
        for w in range(state.move.shape[1]):
            records.measured[m, record, w] = state.look[2, w]
    records.spent[record, 0], records.spent[record, 1] = state.counts[QUERIES], state.counts[GRADIENTS]


@njit(**_options)
def watch(table, block, state, records, threshold, streak):
    """Note by lane whether the run is no longer finite, or stands diverged."""
    iteration = state.counts[ITERATION]
    if block.watch_equilibrium:
        measure(block, state, KL_TO_EQUILIBRIUM, table.returned)
    else:
        exploitability(block, state, table.returned, block.watched_beta)
    for i in range(state.move.shape[0]):
        for w in range(state.move.shape[1]):
            if not np.isfinite(state.logs[table.returned, i, w]):
                state.look[2, w] = np.nan
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
    """Run one tableau on one block, from the reference and the start policy to the last recorded iteration."""
    lanes = state.move.shape[1]
    threshold, streak = np.zeros(lanes), np.zeros(lanes, dtype=np.int64)
    for s in range(state.known.shape[0]):
        write_logits(state, s, block.fixed[REFERENCE if s == 0 else START])
    record, end = 0, records.steps[-1]
    for iteration in range(end + 1):
        state.counts[ITERATION], state.counts[QUERY] = iteration, 0
        state.counts[ROW] = min(iteration, table.rates.shape[0] - 1)
        if records.steps[record] == iteration:
            write_record(table, block, state, records, record)
            record += 1
        if iteration % WATCH_EVERY == 0 or iteration == end:
            watch(table, block, state, records, threshold, streak)
        if iteration < end:
            if records.with_average:
                add_to_average(state, table.returned)
            iterate(table, block, state)

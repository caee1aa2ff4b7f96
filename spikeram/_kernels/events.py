r"""Neurons driven by events: what happens between two events has a closed form.

Time is counted in any unit, as float64, which is exact for whole numbers below 2**53; charges are
float64 too, and exact where they are whole quanta. Between events a membrane moves by

.. math:: U(t) = U(s)\,e^{-r (t - s)} + b\,\frac{1 - e^{-r (t - s)}}{r},

with the leak rate :math:`r` and the drift :math:`b`; :math:`U(s) + b\,(t - s)` without a leak. It
moves one way only, so that a membrane within its bounds at both ends has been so all the time:
neurons are looked at when an event reaches them, and spikes in between are found then.

With `clocked` the neurons compare at whole numbers alone, as a clock makes them, and the drift is
the charge that each of these steps brings.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from spikeram._kernels.burst import SIGNED, TERNARY

_UNLIMITED = np.int64(2**62)
# Of a quantum: what tells a drifting membrane below an edge from one at it. Sums of this and any
# charge within the rails are exact in float64.
_BELOW = 2.0**-20


@numba.njit(nogil=True, cache=True)
def _flow(dt, rate):
    """Return the share of a charge that is left after `dt`, and what a drift of 1 brings."""
    if rate > 0.0:
        return math.exp(-dt * rate), -math.expm1(-dt * rate) / rate
    return 1.0, dt


@numba.njit(nogil=True, cache=True)
def _clipped(value, rail):
    return min(max(value, -rail), rail)


@numba.njit(nogil=True, cache=True)
def _later(value, drift, dt, rate, rail):
    kept, gained = _flow(dt, rate)
    return _clipped(value * kept + drift * gained, rail)


@numba.njit(nogil=True, cache=True)
def _bounds(kind, threshold, negative, count, rail, clocked):
    """Return from where upwards and downwards a membrane fires; infinite beyond the rails."""
    up = threshold
    down = -np.inf
    if kind == TERNARY:
        down = -threshold
    elif kind == SIGNED:
        low = np.floor((threshold - negative) / 2.0)
        if count < 0:
            up = low + negative
        if count > 0 or negative > 0.0:
            edge = 0.0 if count > 0 else low
            # Below the edge, not at it.
            down = edge - (1.0 if clocked else _BELOW)
    return np.inf if up > rail else up, -np.inf if down < -rail else down


@numba.njit(nogil=True, cache=True)
def _firing(value, since, free, drift, up, down, rate, rail, clocked, t):
    """Return when a membrane without input fires before `t`, or inf, and where it is then."""
    first = max(since + 1.0, free) if clocked else max(since, free)
    if not first < t:
        return np.inf, value
    value = _later(value, drift, first - since, rate, rail)
    if value >= up or value <= down:
        return first, value
    if rate > 0.0:
        rest = drift / rate
        if rest > up:
            bound = up
        elif rest < down:
            bound = down
        else:
            return np.inf, value
        wait = math.log((rest - value) / (rest - bound)) / rate
    else:
        if drift == 0.0:
            return np.inf, value
        bound = up if drift > 0.0 else down
        wait = (bound - value) / drift
        if clocked:
            wait = np.ceil(wait)
            bound = _clipped(value + drift * wait, rail)
    at = first + wait
    return at if at < t else np.inf, bound


@numba.njit(nogil=True, cache=True)
def _fire(value, count, threshold, negative, rail, kind, subtract, most, clocked):
    """Return the membrane after at most `most` spikes, how many there were, and the new count."""
    number = 0
    compared = 0
    while compared < most:
        up, down = _bounds(kind, threshold, negative, count, rail, clocked)
        if value >= up:
            spike = 1
            taken = negative if kind == SIGNED and count < 0 else threshold
        elif value <= down:
            spike = -1
            taken = negative if kind == SIGNED and count <= 0 else threshold
        else:
            break
        value = value - spike * taken if subtract else 0.0
        number += spike
        count += spike
        compared += 1
    return value, number, count


@numba.njit(nogil=True, cache=True)
def _append(out, n, at, p, c, number):
    if n == out.shape[0]:
        larger = np.empty((2 * n, 4))
        # Loops instead of a slice, which takes ten seconds more to compile.
        for k in range(n):
            for column in range(4):
                larger[k, column] = out[k, column]
        out = larger
    out[n, 0] = at
    out[n, 1] = p
    out[n, 2] = c
    out[n, 3] = number
    return out, n + 1


@numba.njit(nogil=True, cache=True)
def _catch_up(
    p, since, t, u, free, count, drift, threshold, negative, high, low, rail, kind, subtract,
    most, rate, period, clocked, out, n,
):  # fmt: skip
    """Bring the membranes of a position from `since` to `t`, with the spikes fired before `t`."""
    for c in range(u.shape[1]):
        value, then = u[p, c], since
        theta, theta_n, b = threshold[p, c], negative[p, c], drift[p, c]
        while True:
            up, down = _bounds(kind, theta, theta_n, count[p, c], rail, clocked)
            at, there = _firing(value, then, free[p, c], b, up, down, rate, rail, clocked, t)
            if at == np.inf:
                break
            value, number, count[p, c] = _fire(
                there, count[p, c], theta, theta_n, rail, kind, subtract, most, clocked
            )
            if not clocked:
                value = _clipped(value, rail)
            then = at
            free[p, c] = at + period
            out, n = _append(out, n, at, p, c, number)
        if clocked:
            # The rails clip once in a step, when its charge has arrived: that of step t has not.
            if then < t - 1.0:
                value = _later(_later(value, b, 1.0, rate, rail), b, t - 2.0 - then, rate, rail)
            u[p, c] = value + b
        else:
            u[p, c] = _later(value, b, t - then, rate, rail)
        high[p, c] = min(up, rail)
        low[p, c] = max(down, -rail)
    return out, n


@numba.njit(nogil=True, cache=True)
def _compare(
    p, t, u, free, count, threshold, negative, high, low, waiting, rail, kind, subtract, most,
    period, clocked, out, n,
):  # fmt: skip
    """Clip and compare the membranes of a position at `t`, when all charge has arrived.

    waiting (position,) tells where a membrane stays at its bounds, to fire without more input.
    """
    waiting[p] = False
    for c in range(u.shape[1]):
        if low[p, c] < u[p, c] < high[p, c]:
            continue
        if clocked and free[p, c] > t:
            # Fired in this step: what a reset leaves beyond the rails is clipped in the next.
            waiting[p] = True
            continue
        value = _clipped(u[p, c], rail)
        if free[p, c] <= t:
            value, number, count[p, c] = _fire(
                value, count[p, c], threshold[p, c], negative[p, c], rail, kind, subtract, most,
                clocked,
            )  # fmt: skip
            if number != 0:
                out, n = _append(out, n, t, p, c, number)
                free[p, c] = t + period
                if not clocked:
                    value = _clipped(value, rail)
                if kind == SIGNED:
                    up, down = _bounds(
                        kind, threshold[p, c], negative[p, c], count[p, c], rail, clocked
                    )
                    high[p, c] = min(up, rail)
                    low[p, c] = max(down, -rail)
        u[p, c] = value
        waiting[p] |= not low[p, c] < value < high[p, c]
    return out, n


@numba.njit(nogil=True, cache=True)
def _stays_within(p, u, drift, kept, gained, high, low):
    """Tell whether no membrane of a position meets its bounds by its drift."""
    met = False
    for c in range(u.shape[1]):
        value = u[p, c] * kept + drift[p, c] * gained
        met |= (value >= high[p, c]) | (value <= low[p, c])
    return not met


@numba.njit(nogil=True, cache=True)
def _add(p, u, weight, row, number, high, low):
    """Add a row of charges to the membranes of a position; tell whether one meets its bounds."""
    met = False
    for c in range(u.shape[1]):
        value = u[p, c] + number * weight[row, c]
        u[p, c] = value
        met |= (value >= high[p, c]) | (value <= low[p, c])
    return met


@numba.njit(nogil=True, cache=True)
def _decay_and_add(p, u, kept, weight, row, number, high, low):
    met = False
    for c in range(u.shape[1]):
        value = u[p, c] * kept + number * weight[row, c]
        u[p, c] = value
        met |= (value >= high[p, c]) | (value <= low[p, c])
    return met


@numba.njit(nogil=True, cache=True)
def _drift_and_add(p, u, drift, kept, gained, weight, row, number, high, low):
    met = False
    for c in range(u.shape[1]):
        value = u[p, c] * kept + drift[p, c] * gained + number * weight[row, c]
        u[p, c] = value
        met |= (value >= high[p, c]) | (value <= low[p, c])
    return met


@numba.njit(nogil=True, cache=True)
def integrate_events(
    t, address, number, start, position, row, weight, drift, threshold, negative, initial, rail,
    kind, subtract, burst, rate, period, clocked, stop, probes, trace,
):  # fmt: skip
    """Return the spikes that events cause in a layer before `stop`.

    t, address, number (event,) float64, int64 and float64, in the order of t: when which input
    spikes, and how often with which sign. At ``position[n]`` input i drives ``row[n]``, for n from
    ``start[i]`` to ``start[i + 1]``, all int64. weight (row, column) int16; drift, threshold,
    negative, initial (position, column) float64; rail float. `period` is the least time between
    two firings of a neuron, of at most `burst` spikes each, of any number where it is 0. trace
    (probe, position, column) float64 is written: the membranes at the ascending times `probes`,
    after what happens then. Returns rows (time, position, column, number), in the order of time
    where nothing happens between events.
    """
    n_positions, n_columns = threshold.shape
    most = burst if clocked or period > 0.0 else _UNLIMITED
    u = initial.copy()
    since = np.full(n_positions, -1.0 if clocked else 0.0)
    free = np.full(u.shape, -np.inf)
    count = np.zeros(u.shape, np.int64)
    high = np.empty(u.shape)
    low = np.empty(u.shape)
    # Where a membrane met its bounds in this instant, and where one is there still, to fire later.
    met = np.zeros(n_positions, np.bool_)
    waiting = np.zeros(n_positions, np.bool_)
    drifts = False
    for p in range(n_positions):
        for c in range(n_columns):
            up, down = _bounds(kind, threshold[p, c], negative[p, c], 0, rail, clocked)
            high[p, c] = min(up, rail)
            low[p, c] = max(down, -rail)
            waiting[p] |= not low[p, c] < u[p, c] < high[p, c]
            drifts |= drift[p, c] != 0.0
    moves = drifts or rate > 0.0
    out = np.empty((max(16, t.size), 4))
    n = np.int64(0)
    elapsed = 0.0
    kept, gained = 1.0, 0.0
    first = 0
    probe = 0
    while True:
        now = t[first] if first < t.size and t[first] < stop else stop
        # The end is one more probe, before anything happens then.
        while (probe < probes.size and probes[probe] < now) or (
            probe == probes.size and now == stop
        ):
            at = probes[probe] if probe < probes.size else stop
            for p in range(n_positions):
                if since[p] < at and (moves or waiting[p]):
                    out, n = _catch_up(
                        p, since[p], at, u, free, count, drift, threshold, negative, high, low,
                        rail, kind, subtract, most, rate, period, clocked, out, n,
                    )  # fmt: skip
                    since[p] = at
                if at < stop:
                    out, n = _compare(
                        p, at, u, free, count, threshold, negative, high, low, waiting, rail,
                        kind, subtract, most, period, clocked, out, n,
                    )  # fmt: skip
                    for c in range(n_columns):
                        trace[probe, p, c] = u[p, c]
            probe += 1
        if now == stop:
            return out[:n]
        last = first
        while last < t.size and t[last] == now:
            last += 1
        for e in range(first, last):
            for k in range(start[address[e]], start[address[e] + 1]):
                p = position[k]
                then = since[p]
                since[p] = now
                if then == now or not (moves or waiting[p]):
                    met[p] = _add(p, u, weight, row[k], number[e], high, low)
                    continue
                if now - then != elapsed:
                    elapsed = now - then
                    kept, gained = _flow(elapsed, rate)
                if waiting[p] or (
                    drifts and not _stays_within(p, u, drift, kept, gained, high, low)
                ):
                    out, n = _catch_up(
                        p, then, now, u, free, count, drift, threshold, negative, high, low, rail,
                        kind, subtract, most, rate, period, clocked, out, n,
                    )  # fmt: skip
                    met[p] = _add(p, u, weight, row[k], number[e], high, low)
                elif drifts:
                    met[p] = _drift_and_add(
                        p, u, drift, kept, gained, weight, row[k], number[e], high, low
                    )
                else:
                    met[p] = _decay_and_add(p, u, kept, weight, row[k], number[e], high, low)
        # Charge of one instant is added up before any neuron compares, in whatever order it came.
        for e in range(first, last):
            for k in range(start[address[e]], start[address[e] + 1]):
                p = position[k]
                if met[p] or waiting[p]:
                    met[p] = False
                    out, n = _compare(
                        p, now, u, free, count, threshold, negative, high, low, waiting, rail,
                        kind, subtract, most, period, clocked, out, n,
                    )  # fmt: skip
        first = last


@numba.njit(nogil=True, cache=True)
def pool_events(t, address, number, start, output, index):
    """Return the events of a counting max pool: rows (time, output, 0, number).

    t, address, number (event,) as for `integrate_events`; input i is a tap of ``output[n]``, for n
    from ``start[i]`` to ``start[i + 1]``; index (output, tap) int32, -1 for none.
    """
    counts = np.zeros(start.size - 1)
    largest = np.zeros(index.shape[0])
    out = np.empty((max(16, t.size), 4))
    n = np.int64(0)
    first = 0
    while first < t.size:
        last = first
        while last < t.size and t[last] == t[first]:
            counts[address[last]] += number[last]
            last += 1
        for e in range(first, last):
            for k in range(start[address[e]], start[address[e] + 1]):
                j = output[k]
                found = -np.inf
                for tap in range(index.shape[1]):
                    if index[j, tap] >= 0:
                        found = max(found, counts[index[j, tap]])
                # An output that was seen already in this instant has not moved since.
                if found != largest[j]:
                    out, n = _append(out, n, t[first], j, 0, np.int64(found - largest[j]))
                    largest[j] = found
        first = last
    return out[:n]

"""Measures of pairs of spike trains that lie one after the other (CSR).

Train i is ``t[offsets[i]:offsets[i + 1]]``, ascending. Matrices are filled from first train
`start` to before `stop` of the pairs (i, j) with i <= j, and mirrored, so that threads can share
them out by rows.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(nogil=True, cache=True)
def tiled(
    t: NDArray[np.float64],
    offsets: NDArray[np.int64],
    begin: float,
    end: float,
    window: float,
    out: NDArray[np.float64],
) -> None:
    """Write the share of the time from `begin` to `end` within `window` of a spike, by train."""
    for i in range(offsets.size - 1):
        covered = 0.0
        until = begin
        for k in range(offsets[i], offsets[i + 1]):
            low = max(t[k] - window, until)
            high = min(t[k] + window, end)
            if high > low:
                covered += high - low
            until = max(until, high)
        out[i] = covered / (end - begin)


@numba.njit(nogil=True, cache=True)
def near(a: NDArray[np.float64], b: NDArray[np.float64], window: float) -> int:
    """Return how many spikes of `a` lie within `window` of one of `b`, its ends included."""
    count = 0
    m = 0
    for k in range(a.size):
        while m < b.size and b[m] < a[k] - window:
            m += 1
        if m < b.size and b[m] <= a[k] + window:
            count += 1
    return count


@numba.njit(nogil=True, cache=True)
def tiling(
    t: NDArray[np.float64],
    offsets: NDArray[np.int64],
    share: NDArray[np.float64],
    window: float,
    start: int,
    stop: int,
    out: NDArray[np.float64],
) -> None:
    """Write spike time tiling coefficients into `out` (train, train); NaN where one is silent."""
    trains = offsets.size - 1
    for i in range(start, stop):
        a = t[offsets[i] : offsets[i + 1]]
        for j in range(i, trains):
            b = t[offsets[j] : offsets[j + 1]]
            value = np.nan
            if a.size > 0 and b.size > 0:
                p = near(a, b, window) / a.size
                q = near(b, a, window) / b.size
                value = 0.5 * (_tiling_term(p, share[j]) + _tiling_term(q, share[i]))
            out[i, j] = value
            out[j, i] = value


@numba.njit(nogil=True, cache=True)
def _tiling_term(p: float, tile: float) -> float:
    below = 1.0 - p * tile
    return 1.0 if below <= 0.0 else (p - tile) / below


@numba.njit(nogil=True, cache=True)
def overlap(a: NDArray[np.float64], b: NDArray[np.float64], tau: float) -> float:
    """Return the sum over all pairs of ``exp(-|a_k - b_m| / tau)``, each train passed once.

    Going forward, `trace` is the sum over the spikes of the other train that came before.
    """
    total = 0.0
    trace_a = 0.0
    trace_b = 0.0
    now = 0.0
    k = 0
    m = 0
    while k < a.size or m < b.size:
        from_a = m >= b.size or (k < a.size and a[k] <= b[m])
        time = a[k] if from_a else b[m]
        decay = math.exp((now - time) / tau) if k + m > 0 else 0.0
        trace_a *= decay
        trace_b *= decay
        if from_a:
            total += trace_b
            trace_a += 1.0
            k += 1
        else:
            total += trace_a
            trace_b += 1.0
            m += 1
        now = time
    return total


@numba.njit(nogil=True, cache=True)
def van_rossum(
    t: NDArray[np.float64],
    offsets: NDArray[np.int64],
    tau: float,
    own: NDArray[np.float64],
    start: int,
    stop: int,
    out: NDArray[np.float64],
) -> None:
    """Write the distances of van Rossum into `out` (train, train); own (train,) from `overlap`."""
    trains = offsets.size - 1
    for i in range(start, stop):
        a = t[offsets[i] : offsets[i + 1]]
        out[i, i] = 0.0
        for j in range(i + 1, trains):
            b = t[offsets[j] : offsets[j + 1]]
            square = own[i] + own[j] - 2.0 * overlap(a, b, tau)
            distance = math.sqrt(max(square, 0.0))
            out[i, j] = distance
            out[j, i] = distance


@numba.njit(nogil=True, cache=True)
def own_overlaps(
    t: NDArray[np.float64], offsets: NDArray[np.int64], tau: float, out: NDArray[np.float64]
) -> None:
    """Write the overlap of each train with itself, every spike with itself counted once."""
    for i in range(offsets.size - 1):
        a = t[offsets[i] : offsets[i + 1]]
        trace = 0.0
        total = 0.0
        for k in range(a.size):
            if k > 0:
                trace = (trace + 1.0) * math.exp((a[k - 1] - a[k]) / tau)
            total += 1.0 + 2.0 * trace
        out[i] = total


@numba.njit(nogil=True, cache=True)
def victor_purpura(
    t: NDArray[np.float64],
    offsets: NDArray[np.int64],
    cost: float,
    start: int,
    stop: int,
    out: NDArray[np.float64],
) -> None:
    """Write the distances of Victor and Purpura into `out` (train, train), by their recursion."""
    trains = offsets.size - 1
    most = 0
    for i in range(trains):
        most = max(most, offsets[i + 1] - offsets[i])
    row = np.empty(most + 1)
    for i in range(start, stop):
        a = t[offsets[i] : offsets[i + 1]]
        out[i, i] = 0.0
        for j in range(i + 1, trains):
            b = t[offsets[j] : offsets[j + 1]]
            for m in range(b.size + 1):
                row[m] = m
            for k in range(a.size):
                corner = row[0]
                row[0] = k + 1.0
                for m in range(b.size):
                    shifted = corner + cost * abs(a[k] - b[m])
                    corner = row[m + 1]
                    row[m + 1] = min(shifted, min(row[m], corner) + 1.0)
            out[i, j] = row[b.size]
            out[j, i] = row[b.size]


@numba.njit(nogil=True, cache=True)
def add_correlogram(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    width: float,
    slack: float,
    same: bool,
    out: NDArray[np.int64],
) -> None:
    """Count the lags ``b_m - a_k`` in bins of `width` around 0, `out.size` of them, an odd number.

    `slack`, in bins, is how little below an edge counts as on it; `same` leaves out the lag of a
    spike to itself.
    """
    half = out.size // 2
    reach = (half + 0.5 + slack) * width
    low = 0
    for k in range(a.size):
        while low < b.size and b[low] < a[k] - reach:
            low += 1
        for m in range(low, b.size):
            lag = b[m] - a[k]
            if lag > reach:
                break
            bin_ = math.floor(lag / width + 0.5 + slack) + half
            if 0 <= bin_ < out.size and not (same and m == k):
                out[bin_] += 1


@numba.njit(nogil=True, cache=True)
def correlograms(
    t: NDArray[np.float64],
    offsets: NDArray[np.int64],
    trials: int,
    width: float,
    slack: float,
    start: int,
    stop: int,
    out: NDArray[np.int64],
) -> None:
    """Add up the correlograms of neurons `start` to `stop` with all into `out`.

    Trains are in the order (trial, neuron); out (neuron, neuron, lag), zeros.
    """
    neurons = out.shape[0]
    for s in range(trials):
        for i in range(start, stop):
            first = s * neurons + i
            a = t[offsets[first] : offsets[first + 1]]
            for j in range(neurons):
                second = s * neurons + j
                b = t[offsets[second] : offsets[second + 1]]
                add_correlogram(a, b, width, slack, i == j, out[i, j])


@numba.njit(nogil=True, cache=True)
def autocorrelograms(
    t: NDArray[np.float64],
    offsets: NDArray[np.int64],
    width: float,
    slack: float,
    out: NDArray[np.int64],
) -> None:
    """Add up the autocorrelograms of all trains; out (neuron, lag), trains (trial, neuron)."""
    for i in range(offsets.size - 1):
        a = t[offsets[i] : offsets[i + 1]]
        add_correlogram(a, a, width, slack, True, out[i % out.shape[0]])

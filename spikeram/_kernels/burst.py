"""Several spikes of one neuron in a step: what fires them, and what they bring."""

from __future__ import annotations

import numba
import numpy as np

from spikeram._kernels.columns import write_columns
from spikeram._kernels.crossbar import add_lists, filled
from spikeram._kernels.neuron import _fire_signed, noise
from spikeram._kernels.rows import AT_ONCE, add_row
from spikeram._kernels.signs import WORD, lowest, signs

UNIPOLAR, TERNARY, SIGNED = 0, 1, 2


@numba.njit(nogil=True, cache=True)
def _fire_once(v, threshold, low, fired):
    """Compare every membrane once, take or give one threshold, and count it in `fired`."""
    moved = np.int32(0)
    for j in range(v.size):
        up = np.int32(v[j] >= threshold[j])
        down = np.int32(v[j] <= low[j])
        v[j] -= (up - down) * threshold[j]
        fired[j] += np.int8(up - down)
        moved += up + down
    return moved


@numba.njit(nogil=True, cache=True)
def integrate_bursts(
    charge, bias, threshold, negative, rail, burst, kind, key, first_step, sample, sigma, kick,
    u, count, spikes, trace,
):  # fmt: skip
    """Run one sample through its steps, comparing up to `burst` times after each integration.

    `kind` is `UNIPOLAR`, `TERNARY` or `SIGNED`; spikes (step, output) int8, the sum of those of a
    step, written; the other arrays are those of `integrate` and `integrate_signed`.
    """
    driven = charge.shape[0] > 0
    traced = trace.shape[0] > 0
    random = sigma > 0.0 or kick != 0
    never = np.int32(-(2**31))
    low = np.full(u.size, never)
    for j in range(u.size):
        if kind == TERNARY:
            low[j] = -threshold[j]
        elif kind == SIGNED and negative[j] > 0:
            low[j] = (threshold[j] - negative[j]) // 2
    high = low + negative
    held = np.empty(u.size, np.int32)
    once = np.empty(u.size, np.int8)
    for k in range(spikes.shape[0]):
        for j in range(u.size):
            v = np.int64(u[j]) + bias[j]
            if driven:
                v += charge[k, j]
            if random:
                v += noise(key, first_step + k, sample, j, sigma, kick)
            held[j] = min(max(v, -rail), rail)
        fired = spikes[k]
        fired[:] = 0
        for _ in range(burst):
            if kind != SIGNED:
                if _fire_once(held, threshold, low, fired) == 0:
                    break
                continue
            _fire_signed(threshold, negative, low, high, held, count, once)
            moved = np.int32(0)
            for j in range(u.size):
                fired[j] += once[j]
                moved |= once[j]
            if moved == 0:
                break
        u[:] = held
        if traced:
            trace[k] = u


@numba.njit(nogil=True, cache=True)
def integrate_bursts_batch(
    charge, bias, threshold, negative, rail, burst, kind, key, first_step, first, sigma, kick,
    u, count, spikes, trace,
):  # fmt: skip
    """Run several samples; `first` is the first sample's number."""
    for s in range(spikes.shape[0]):
        own = bias[min(s, bias.shape[0] - 1)]
        integrate_bursts(
            charge[s], own, threshold, negative, rail, burst, kind, key, first_step, first + s,
            sigma, kick, u[s], count[s], spikes[s], trace[s],
        )  # fmt: skip


@numba.njit(nogil=True, cache=True)
def _rows_of(spikes):
    """Return how many inputs fire, and how many spikes of either sign there are."""
    active = np.int32(0)
    up = np.int32(0)
    down = np.int32(0)
    for i in range(spikes.size):
        active += np.int32(spikes[i] != 0)
        up += np.int32(max(spikes[i], 0))
        down -= np.int32(min(spikes[i], 0))
    return active, up, down


@numba.njit(nogil=True, cache=True)
def _enter(word, first, spikes, width, places, n):
    """Enter the row of each input of a word as often as it spikes; return the list's end."""
    while word != 0:
        i = first + lowest(word)
        word &= word - np.uint64(1)
        for _ in range(abs(np.int32(spikes[i]))):
            places[n] = i * width
            n += 1
    return n


@numba.njit(nogil=True, cache=True)
def charge_of_bursts(spikes, tiles, limit, out, busy):
    """Write the charge that each step's bursts bring into `out`.

    spikes (step, input) int8, any number in each; tiles (tile, input + 1, column) int16; out (step,
    output) int32. A step in which more than `limit` inputs fire is left out, for the dense path,
    and told in busy (step,) bool. A burst of n adds its row n times, which takes less time than a
    product in int32 where n is small.
    """
    n_steps, n_inputs = spikes.shape
    width = tiles.shape[2]
    zeros = np.int32(n_inputs * width)
    n_up = 0
    n_down = 0
    for k in range(n_steps):
        active, up, down = _rows_of(spikes[k])
        busy[k] = active > limit
        if not busy[k]:
            n_up += up + AT_ONCE
            n_down += down + AT_ONCE
    added = np.empty(n_up, np.int32)
    removed = np.empty(n_down, np.int32)
    ends = np.zeros((n_steps + 1, 2), np.int64)
    for k in range(n_steps):
        n_added, n_removed = ends[k]
        if not busy[k]:
            for first in range(0, n_inputs, WORD):
                up, down = signs(spikes[k], first)
                n_added = _enter(up, first, spikes[k], width, added, n_added)
                n_removed = _enter(down, first, spikes[k], width, removed, n_removed)
        ends[k + 1, 0] = filled(added, n_added, zeros)
        ends[k + 1, 1] = filled(removed, n_removed, zeros)
    add_lists(tiles, added, removed, ends, busy, out)


@numba.njit(nogil=True, cache=True)
def charge_of_burst_patches(spikes, tiles, start, position, row, n_positions, out):
    """Write the charge of bursts at every position of a convolution: as `charge_of_patches`."""
    width = tiles.shape[2]
    n_columns = out.shape[1] // n_positions
    charge = np.empty(n_positions * width, np.int32)
    for t in range(tiles.shape[0]):
        for k in range(spikes.shape[0]):
            charge[:] = 0
            for i in range(spikes.shape[1]):
                number = np.int32(spikes[k, i])
                if number != 0:
                    for n in range(start[i], start[i + 1]):
                        add_row(tiles[t], row[n] * width, number, charge, position[n] * width)
            last = min((t + 1) * width, n_columns)
            write_columns(charge, width, out[k], t * width, last)


@numba.njit(nogil=True, cache=True)
def scatter_bursts(indices, numbers, n_inputs, tiles, quantum, out):
    """Add the charge of bursts in a batch of samples to membranes in volts.

    numbers (burst,) int8, with their sign; the other arrays are those of `scatter_spikes`.
    """
    n_outputs = out.shape[1]
    width = tiles.shape[2]
    charge = np.empty(width, np.int32)
    first = 0
    while first < indices.size:
        sample = indices[first] // n_inputs
        last = first
        while last < indices.size and indices[last] // n_inputs == sample:
            last += 1
        for t in range(tiles.shape[0]):
            charge[:] = 0
            for n in range(first, last):
                place = (indices[n] - sample * n_inputs) * width
                add_row(tiles[t], place, np.int32(numbers[n]), charge, 0)
            for j in range(min(width, n_outputs - t * width)):
                out[sample, t * width + j] += charge[j] * quantum
        first = last


@numba.njit(nogil=True, cache=True)
def add_burst_counts(spikes, samples, counts):
    """Add the spikes of bursts, of either sign, to counts; as `add_counts`."""
    least = np.int8(0)
    most = np.int8(0)
    for s in range(spikes.shape[0]):
        own = counts[samples[s]]
        for k in range(spikes.shape[1]):
            train = spikes[s, k]
            for i in range(train.size):
                own[i] += np.int32(abs(np.int32(train[i])))
            for i in range(train.size):
                least = min(least, train[i])
            for i in range(train.size):
                most = max(most, train[i])
    return least, most

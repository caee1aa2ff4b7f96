"""The hot loop: add the rows of charge weights whose inputs spiked, tile by tile.

Which rows is found once for all steps; then each tile adds those of every step while it is in the
cache. Tiles are those of `spikeram._kernels.rows`.
"""

from __future__ import annotations

import numba
import numpy as np

from spikeram._kernels.columns import write_columns
from spikeram._kernels.rows import AT_ONCE, add_row, sum_rows, take_rows
from spikeram._kernels.signs import ROOM, count_signs, list_spikes
from spikeram._kernels.tables import add_entries


@numba.njit(nogil=True, cache=True)
def _filled(places, n, row):
    """Fill the list up to the next multiple of `AT_ONCE` with a row of zeros; return its end."""
    while n % AT_ONCE != 0:
        places[n] = row
        n += 1
    return n


@numba.njit(nogil=True, cache=True)
def charge_of_spikes(spikes, tiles, limit, out, busy):
    """Write the charge that each step's spikes bring into `out`.

    spikes (step, input) int8 in {-1, 0, 1}; tiles (tile, input + 1, column) int16; out (step,
    output) int32. A step with more than `limit` spikes is left out, for the dense path, and told in
    busy (step,) bool.
    """
    n_steps, n_inputs = spikes.shape
    width = tiles.shape[2]
    zeros = np.int32(n_inputs * width)
    # Each list may be filled up.
    room = n_inputs + AT_ONCE
    added = np.empty(n_steps * room + ROOM, np.int32)
    removed = np.empty(n_steps * room + ROOM, np.int32)
    ends = np.zeros((n_steps + 1, 2), np.int64)
    for k in range(n_steps):
        n_added, n_removed = list_spikes(spikes[k], width, added, ends[k, 0], removed, ends[k, 1])
        busy[k] = n_added - ends[k, 0] + n_removed - ends[k, 1] > limit
        if busy[k]:
            n_added, n_removed = ends[k]
        ends[k + 1, 0] = _filled(added, n_added, zeros)
        ends[k + 1, 1] = _filled(removed, n_removed, zeros)
    _add_lists(tiles, added, removed, ends, busy, out)


@numba.njit(nogil=True, cache=True)
def _add_lists(tiles, added, removed, ends, left_out, out):
    """Write the sum of listed rows for each step: those of `added` less those of `removed`."""
    n_outputs = out.shape[1]
    width = tiles.shape[2]
    edge = np.empty(width, np.int32)
    for t in range(tiles.shape[0]):
        column = t * width
        inside = min(width, n_outputs - column)
        for k in range(out.shape[0]):
            if left_out[k]:
                continue
            target, at = out[k], column
            if inside < width:
                target, at = edge, 0
            sum_rows(tiles[t], added, ends[k, 0], ends[k + 1, 0], target, at)
            if ends[k + 1, 1] > ends[k, 1]:
                take_rows(tiles[t], removed, ends[k, 1], ends[k + 1, 1], target, at)
            if inside < width:
                for j in range(inside):
                    out[k, column + j] = edge[j]


@numba.njit(nogil=True, cache=True)
def _split(spikes, both, up, down):
    """Write where spikes of either sign are, as 0 or 1; `both` says whether there are both."""
    if not both:
        for i in range(spikes.size):
            up[i] = np.uint8(spikes[i])
        return
    for i in range(spikes.size):
        up[i] = np.uint8(spikes[i] > 0)
    for i in range(spikes.size):
        down[i] = np.uint8(spikes[i] < 0)


@numba.njit(nogil=True, cache=True)
def _masks(spiked, runs, masks):
    """Write which inputs of each group spiked, the first as the lowest bit."""
    for r in range(runs.shape[0]):
        first, n, stride = runs[r, 0], runs[r, 1], runs[r, 2]
        some = masks[first : first + n]
        some[:] = 0
        # From the highest bit on: bytes can be doubled many at once, but not shifted.
        for bit in range(runs.shape[1] - 1, 2, -1):
            at = runs[r, bit]
            if at == spiked.size - 1:
                for q in range(n):
                    some[q] = np.uint8(some[q] + some[q])
            elif stride == 1:
                inputs = spiked[at : at + n]
                for q in range(n):
                    some[q] = np.uint8(some[q] + some[q] + inputs[q])
            else:
                for q in range(n):
                    some[q] = np.uint8(some[q] + some[q] + spiked[at + q * stride])


@numba.njit(nogil=True, cache=True)
def _scatter(inputs, number, tile, start, position, row, charge):
    """Add `number` times the rows of each input where it stands."""
    width = tile.shape[1]
    for i in inputs:
        for m in range(start[i], start[i + 1]):
            add_row(tile, row[m] * width, np.int32(number), charge, position[m] * width)


@numba.njit(nogil=True, cache=True)
def charge_of_patches(spikes, tiles, start, position, row, tables, runs, at, limit, out):
    """Write the charge that each step's spikes bring at every position of a convolution.

    Up to `limit` spikes of one sign add their rows where they stand: input i at ``position[n]`` the
    row ``row[n]``, for n from ``start[i]`` to ``start[i + 1]``. More of them choose from tables.
    spikes (step, input) int8 in {-1, 0, 1}; tiles (tile, row + 1, column) int16; tables (tile,
    table, entry, column) int16; runs and at (position, table) int32, those of
    `spikeram.groups`; out (step, column * position) int32.
    """
    n_steps, n_inputs = spikes.shape
    width = tiles.shape[2]
    n_columns = out.shape[1] // at.shape[0]
    # Of two steps at a time, by sign: the inputs that spike, or which of each group do.
    count = np.zeros((2, 2), np.int64)
    inputs = np.empty((2, 2, n_inputs + ROOM), np.int32)
    masks = np.zeros((2, 2, runs[-1, 0] + runs[-1, 1]), np.uint8)
    # The last one stands for no input.
    spiked = np.zeros((2, n_inputs + 1), np.uint8)
    charge = np.empty((2, at.shape[0] * width), np.int32)
    for k in range(0, n_steps, 2):
        n = min(2, n_steps - k)
        for s in range(n):
            count[0, s], count[1, s] = count_signs(spikes[k + s])
            if max(count[0, s], count[1, s]) > limit:
                _split(spikes[k + s], count[1, s] > 0, spiked[0, :n_inputs], spiked[1, :n_inputs])
            if 0 < count[0, s] <= limit or 0 < count[1, s] <= limit:
                list_spikes(spikes[k + s], 1, inputs[0, s], 0, inputs[1, s], 0)
            for sign in range(2):
                if count[sign, s] > limit:
                    _masks(spiked[sign], runs, masks[sign, s])
        for t in range(tiles.shape[0]):
            charge[:] = 0
            for sign in range(2):
                chosen = masks[sign]
                if n == 2 and min(count[sign, 0], count[sign, 1]) > limit:
                    add_entries(tables[t], chosen, 0, 2, at, charge, sign)
                    continue
                for s in range(n):
                    if count[sign, s] > limit:
                        add_entries(tables[t], chosen, s, 1, at, charge, sign)
                    elif count[sign, s] > 0:
                        some = inputs[sign, s, : count[sign, s]]
                        _scatter(some, 1 - 2 * sign, tiles[t], start, position, row, charge[s])
            for s in range(n):
                first = t * width
                last = min(first + width, n_columns)
                write_columns(charge[s], width, out[k + s], first, last)


@numba.njit(nogil=True, cache=True)
def scatter_spikes(indices, signs, n_inputs, tiles, quantum, out):
    """Add the charge of spikes in a batch of samples to membranes in volts.

    indices (spike,) int32 counts ``sample * n_inputs + input``, ascending; signs (spike,) int8;
    tiles (tile, input + 1, column) int16; out (sample, output) float64 [V]. Sums are exact:
    integers first, then one multiple of a power of two.
    """
    n_samples, n_outputs = out.shape
    width = tiles.shape[2]
    zeros = np.int32(n_inputs * width)
    added = np.empty(indices.size + n_samples * AT_ONCE, np.int32)
    removed = np.empty(indices.size + n_samples * AT_ONCE, np.int32)
    ends = np.zeros((n_samples + 1, 2), np.int64)
    n = 0
    for s in range(n_samples):
        n_added, n_removed = ends[s]
        while n < indices.size and indices[n] // n_inputs == s:
            place = (indices[n] - s * n_inputs) * width
            if signs[n] > 0:
                added[n_added] = place
                n_added += 1
            else:
                removed[n_removed] = place
                n_removed += 1
            n += 1
        ends[s + 1, 0] = _filled(added, n_added, zeros)
        ends[s + 1, 1] = _filled(removed, n_removed, zeros)
    charge = np.empty(width, np.int32)
    for t in range(tiles.shape[0]):
        column = t * width
        inside = min(width, n_outputs - column)
        for s in range(n_samples):
            if ends[s + 1, 0] == ends[s, 0] and ends[s + 1, 1] == ends[s, 1]:
                continue
            sum_rows(tiles[t], added, ends[s, 0], ends[s + 1, 0], charge, 0)
            take_rows(tiles[t], removed, ends[s, 1], ends[s + 1, 1], charge, 0)
            for j in range(inside):
                out[s, column + j] += charge[j] * quantum

"""The hot loop: add the rows of charge weights whose inputs spiked, tile by tile.

Which rows is found once for all steps; then each tile adds those of every step while it is in the
cache. Tiles are those of `spikeram._kernels.rows`.
"""

from __future__ import annotations

import numba
import numpy as np

from spikeram._kernels.rows import AT_ONCE, add_entries, add_row, sum_rows, take_entries, take_rows


@numba.njit(nogil=True, cache=True)
def _filled(places, n, row):
    """Fill the list up to the next multiple of `AT_ONCE` with a row of zeros; return its end."""
    while n % AT_ONCE != 0:
        places[n] = row
        n += 1
    return n


@numba.njit(nogil=True, cache=True)
def _listed(spikes, negative, width, places, n):
    """Enter the rows of all spikes of a sign into a list; return its end."""
    # Without branches: which inputs spike cannot be foretold.
    if negative:
        for i in range(spikes.size):
            places[n] = i * width
            n += spikes[i] < 0
    else:
        for i in range(spikes.size):
            places[n] = i * width
            n += spikes[i] > 0
    return n


@numba.njit(nogil=True, cache=True)
def _any_negative(spikes):
    found = np.int8(0)
    for i in range(spikes.size):
        found |= spikes[i]
    return found < 0


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
    # Each list may be filled up, and the next entry is written before it is known to count.
    room = n_inputs + AT_ONCE
    added = np.empty(n_steps * room + 1, np.int32)
    removed = np.empty(n_steps * room + 1, np.int32)
    ends = np.zeros((n_steps + 1, 2), np.int64)
    for k in range(n_steps):
        n_added, n_removed = ends[k]
        n_added = _listed(spikes[k], False, width, added, n_added)
        if _any_negative(spikes[k]):
            n_removed = _listed(spikes[k], True, width, removed, n_removed)
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
def _split(spikes, up, down):
    """Write where spikes of either sign are, as 0 or 1; return how many there are of each."""
    n_up = np.int32(0)
    n_down = np.int32(0)
    for i in range(spikes.size):
        up[i] = np.uint8(spikes[i] > 0)
    for i in range(spikes.size):
        down[i] = np.uint8(spikes[i] < 0)
    for i in range(spikes.size):
        n_up += up[i]
    for i in range(spikes.size):
        n_down += down[i]
    return n_up, n_down


@numba.njit(nogil=True, cache=True)
def _masks(spiked, runs, masks):
    """Write which inputs of each group spiked, the first as the lowest bit."""
    for r in range(runs.shape[0]):
        first, n, stride = runs[r, 0], runs[r, 1], runs[r, 2]
        some = masks[first : first + n]
        some[:] = 0
        for bit in range(runs.shape[1] - 3):
            at = runs[r, 3 + bit]
            if stride == 1:
                # One after the other: the processor takes many at once.
                inputs = spiked[at : at + n]
                for q in range(n):
                    some[q] |= inputs[q] << bit
            else:
                for q in range(n):
                    some[q] |= spiked[at + q * stride] << bit


@numba.njit(nogil=True, cache=True)
def _scatter(spiked, inputs, number, tile, start, position, row, charge):
    """Add `number` times the rows of each input that spiked where it stands."""
    width = tile.shape[1]
    n = 0
    for i in range(spiked.size - 1):
        inputs[n] = i
        n += spiked[i]
    for a in range(n):
        for m in range(start[inputs[a]], start[inputs[a] + 1]):
            add_row(tile, row[m] * width, np.int32(number), charge, position[m] * width)


@numba.njit(nogil=True, cache=True)
def write_columns(charge, width, out):
    """Write a charge of one row for each position by columns: out (column, position)."""
    for j in range(out.shape[0]):
        column = out[j]
        for p in range(column.size):
            column[p] = charge[p * width + j]


@numba.njit(nogil=True, cache=True)
def charge_of_patches(spikes, tiles, start, position, row, tables, runs, at, limit, out):
    """Write the charge that each step's spikes bring at every position of a convolution.

    Up to `limit` spikes of one sign add their rows where they stand: input i at ``position[n]`` the
    row ``row[n]``, for n from ``start[i]`` to ``start[i + 1]``. More of them choose from tables.
    spikes (step, input) int8 in {-1, 0, 1}; tiles (tile, row + 1, column) int16; tables (tile,
    table, entry, column) int16; runs and at (position, table) int32, those of
    `spikeram.groups`; out (step, column, position) int32.
    """
    n_steps, n_inputs = spikes.shape
    n_positions = out.shape[2]
    width = tiles.shape[2]
    inputs = np.empty(n_inputs + 1, np.int32)
    # The last one stands for no input.
    up = np.zeros(n_inputs + 1, np.uint8)
    down = np.zeros(n_inputs + 1, np.uint8)
    masks_up = np.zeros(runs[-1, 0] + runs[-1, 1], np.uint8)
    masks_down = np.zeros_like(masks_up)
    charge = np.empty(n_positions * width, np.int32)
    for k in range(n_steps):
        n_up, n_down = _split(spikes[k], up, down)
        if n_up > limit:
            _masks(up, runs, masks_up)
        if n_down > limit:
            _masks(down, runs, masks_down)
        for t in range(tiles.shape[0]):
            charge[:] = 0
            if n_up > limit:
                add_entries(tables[t], masks_up, at, charge)
            elif n_up > 0:
                _scatter(up, inputs, 1, tiles[t], start, position, row, charge)
            if n_down > limit:
                take_entries(tables[t], masks_down, at, charge)
            elif n_down > 0:
                _scatter(down, inputs, -1, tiles[t], start, position, row, charge)
            write_columns(charge, width, out[k, t * width : (t + 1) * width])


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

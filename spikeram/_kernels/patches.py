"""The hot loop of convolutions: rows added where spikes stand, or sums from tables everywhere."""

from __future__ import annotations

import numba
import numpy as np

from spikeram._kernels.columns import write_columns
from spikeram._kernels.rows import add_row
from spikeram._kernels.signs import ROOM, count_signs, list_spikes
from spikeram._kernels.tables import add_entries


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
def _find(spikes, runs, limit, s, spiked, count, inputs, masks):
    """Write how many spikes of each sign a step has, and the inputs, or the masks of groups.

    spikes (input,); `s` is its place in count (sign, step), inputs (sign, step, input) and masks
    (sign, step, group); spiked (sign, input + 1) uint8 is scratch, of which the last stands for no
    input and is 0.
    """
    count[0, s], count[1, s] = count_signs(spikes)
    if max(count[0, s], count[1, s]) > limit:
        _split(spikes, count[1, s] > 0, spiked[0, : spikes.size], spiked[1, : spikes.size])
    if 0 < count[0, s] <= limit or 0 < count[1, s] <= limit:
        list_spikes(spikes, 1, inputs[0, s], 0, inputs[1, s], 0)
    for sign in range(2):
        if count[sign, s] > limit:
            _masks(spiked[sign], runs, masks[sign, s])


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
    # Of two steps at a time, by sign.
    count = np.zeros((2, 2), np.int64)
    inputs = np.empty((2, 2, n_inputs + ROOM), np.int32)
    masks = np.zeros((2, 2, runs[-1, 0] + runs[-1, 1]), np.uint8)
    spiked = np.zeros((2, n_inputs + 1), np.uint8)
    charge = np.empty((2, at.shape[0] * width), np.int32)
    for k in range(0, n_steps, 2):
        n = min(2, n_steps - k)
        for s in range(n):
            _find(spikes[k + s], runs, limit, s, spiked, count, inputs, masks)
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

"""The hot loop: add the rows of charge weights whose inputs spiked, tile by tile.

Which rows is found once for all steps; then each tile adds those of every step while it is in the
cache. Tiles are those of `spikeram._kernels.rows`.
"""

from __future__ import annotations

import numba
import numpy as np

from spikeram._kernels.rows import AT_ONCE, sum_rows, take_rows
from spikeram._kernels.signs import ROOM, list_spikes


@numba.njit(nogil=True, cache=True)
def filled(places, n, row):
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
        ends[k + 1, 0] = filled(added, n_added, zeros)
        ends[k + 1, 1] = filled(removed, n_removed, zeros)
    add_lists(tiles, added, removed, ends, busy, out)


@numba.njit(nogil=True, cache=True)
def add_lists(tiles, added, removed, ends, left_out, out):
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
        ends[s + 1, 0] = filled(added, n_added, zeros)
        ends[s + 1, 1] = filled(removed, n_removed, zeros)
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

"""The hot loop: add the rows of int16 charge weights whose inputs spiked.

Weights hold 12 bits, so eight rows are added in int16, sixteen lanes to a 256-bit register,
before the sum is widened to int32.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def _add_eight(weight, r, out, partial):
    # Two loops: the first stays in int16, which doubles the lanes of every addition.
    w0 = weight[r[0]]
    w1 = weight[r[1]]
    w2 = weight[r[2]]
    w3 = weight[r[3]]
    w4 = weight[r[4]]
    w5 = weight[r[5]]
    w6 = weight[r[6]]
    w7 = weight[r[7]]
    for j in range(out.size):
        partial[j] = w0[j] + w1[j] + w2[j] + w3[j] + w4[j] + w5[j] + w6[j] + w7[j]
    for j in range(out.size):
        out[j] += partial[j]


@numba.njit(nogil=True, cache=True)
def add_rows(weight, rows, n_rows, out, partial):
    """Add rows ``rows[:n_rows]`` of `weight` to `out`.

    weight (input, output) int16; rows int32; out (output,) int32; partial (output,) int16 scratch.
    """
    whole = n_rows - n_rows % 8
    for start in range(0, whole, 8):
        _add_eight(weight, rows[start : start + 8], out, partial)
    for n in range(whole, n_rows):
        row = weight[rows[n]]
        for j in range(out.size):
            out[j] += row[j]


@numba.njit(nogil=True, cache=True)
def subtract_rows(weight, rows, n_rows, out):
    """Subtract rows ``rows[:n_rows]`` of `weight` from `out`: the spikes of sign -1."""
    for n in range(n_rows):
        row = weight[rows[n]]
        for j in range(out.size):
            out[j] -= row[j]


@numba.njit(nogil=True, cache=True)
def charge_of_spikes(spikes, weight, limit, out):
    """Write the charge that each step's spikes bring into `out`.

    spikes (step, input) int8 in {-1, 0, 1}; weight (input, output) int16; out (step, output)
    int32. A step with more than `limit` spikes is left out, for the dense path.
    """
    n_steps, n_inputs = spikes.shape
    n_outputs = weight.shape[1]
    added = np.empty(n_inputs, np.int32)
    removed = np.empty(n_inputs, np.int32)
    partial = np.empty(n_outputs, np.int16)
    for k in range(n_steps):
        n_added = 0
        n_removed = 0
        for i in range(n_inputs):
            if spikes[k, i] > 0:
                added[n_added] = i
                n_added += 1
            elif spikes[k, i] < 0:
                removed[n_removed] = i
                n_removed += 1
        if n_added + n_removed > limit:
            continue
        for j in range(n_outputs):
            out[k, j] = 0
        add_rows(weight, added, n_added, out[k], partial)
        subtract_rows(weight, removed, n_removed, out[k])


@numba.njit(nogil=True, cache=True)
def charge_of_patches(spikes, weight, start, position, row, out):
    """Write the charge that each step's spikes bring at every position of a convolution.

    A spike adds its rows where it stands: at ``position[n]`` it drives ``row[n]``, for n from
    ``start[i]`` to ``start[i + 1]`` of input i. spikes (step, input) int8 in {-1, 0, 1}; weight
    (row, column) int16; out (step, column, position) int32.
    """
    n_columns = weight.shape[1]
    n_positions = out.shape[2]
    charge = np.empty((n_positions, n_columns), np.int32)
    for k in range(spikes.shape[0]):
        charge[:] = 0
        for i in range(spikes.shape[1]):
            if spikes[k, i] > 0:
                for n in range(start[i], start[i + 1]):
                    target = charge[position[n]]
                    source = weight[row[n]]
                    for j in range(n_columns):
                        target[j] += source[j]
            elif spikes[k, i] < 0:
                for n in range(start[i], start[i + 1]):
                    target = charge[position[n]]
                    source = weight[row[n]]
                    for j in range(n_columns):
                        target[j] -= source[j]
        for j in range(n_columns):
            for p in range(n_positions):
                out[k, j, p] = charge[p, j]


@numba.njit(nogil=True, cache=True)
def scatter_spikes(indices, signs, n_inputs, weight, quantum, out):
    """Add the charge of spikes in a batch of samples to membranes in volts.

    indices (spike,) int32 counts ``sample * n_inputs + input``, ascending; signs (spike,) int8;
    weight (input, output) int16; out (sample * output,) float64 [V]. Sums are exact: integers
    first, then one multiple of a power of two.
    """
    n_outputs = weight.shape[1]
    added = np.empty(n_inputs, np.int32)
    removed = np.empty(n_inputs, np.int32)
    partial = np.empty(n_outputs, np.int16)
    charge = np.empty(n_outputs, np.int32)
    n = 0
    while n < indices.size:
        sample = indices[n] // n_inputs
        n_added = 0
        n_removed = 0
        while n < indices.size and indices[n] // n_inputs == sample:
            if signs[n] > 0:
                added[n_added] = indices[n] - sample * n_inputs
                n_added += 1
            else:
                removed[n_removed] = indices[n] - sample * n_inputs
                n_removed += 1
            n += 1
        for j in range(n_outputs):
            charge[j] = 0
        add_rows(weight, added, n_added, charge, partial)
        subtract_rows(weight, removed, n_removed, charge)
        start = sample * n_outputs
        for j in range(n_outputs):
            out[start + j] += charge[j] * quantum

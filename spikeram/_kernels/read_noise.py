"""Read noise of a step: how many cells are driven, and one normal number for each neuron."""

from __future__ import annotations

import math

import numba
import numpy as np

from spikeram._kernels.random import inverse_normal, philox

_STEP = 2.0**-32
_HALF_STEP = 2.0**-33


@numba.njit(nogil=True, cache=True)
def squares_of_patches(spikes, index, weight, out):
    """Write the sum of squares of what drives the rows at each position into `out`.

    spikes (step, input) int8; index (position, row, tap) int32, -1 for none; weight (row, group)
    int16; out (step, group, position) float64. A row is driven by the sum over its taps, pulse by
    pulse where taps bring several.
    """
    n_positions, n_rows, n_taps = index.shape
    out[:] = 0.0
    for k in range(spikes.shape[0]):
        for p in range(n_positions):
            for r in range(n_rows):
                most = np.int64(0)
                for t in range(n_taps):
                    if index[p, r, t] >= 0:
                        most = max(most, abs(np.int64(spikes[k, index[p, r, t]])))
                square = np.int64(0)
                for pulse in range(most):
                    driven = np.int64(0)
                    for t in range(n_taps):
                        if index[p, r, t] >= 0:
                            number = np.int64(spikes[k, index[p, r, t]])
                            driven += np.int64(number > pulse) - np.int64(number < -pulse)
                    square += driven * driven
                if square > 0:
                    for g in range(weight.shape[1]):
                        out[k, g, p] += square * weight[r, g]


@numba.njit(nogil=True, cache=True)
def _fill_normals(key, step, sample, out):
    # Four neurons share a counter, one word each; `out` has a multiple of four.
    for n in range(out.size // 4):
        x0, x1, x2, x3 = philox(key, step, n, sample, 0)
        out[4 * n] = inverse_normal(x0 * _STEP + _HALF_STEP)
        out[4 * n + 1] = inverse_normal(x1 * _STEP + _HALF_STEP)
        out[4 * n + 2] = inverse_normal(x2 * _STEP + _HALF_STEP)
        out[4 * n + 3] = inverse_normal(x3 * _STEP + _HALF_STEP)


@numba.njit(nogil=True, cache=True)
def read_noise_of(key, step, sample, neuron, variance):
    """Return the normal charge of one neuron in one step, in whole quanta."""
    words = philox(key, step, neuron // 4, sample, 0)
    z = inverse_normal(words[neuron % 4] * _STEP + _HALF_STEP)
    return round(math.sqrt(variance) * z)


@numba.njit(nogil=True, cache=True)
def add_read_noise(key, first_step, first_sample, squares, unit, base, worth, out):
    """Add normal charge of the variance of the driven cells to `out`, in whole quanta.

    squares (sample, step, group, position) float64, the driven rows of each step, in multiples of
    `unit`; base (sample or 1, group, position) float64, what is driven in every step; worth
    (column,) float64, the variance that one of either brings [quanta**2]. There is one group for
    all columns, or one for each. out (sample, step, column * position) int32. Draws are addressed
    by (step, neuron, sample).
    """
    n_samples, n_steps, n_groups, n_positions = squares.shape
    z = np.empty(-(-out.shape[2] // 4) * 4)
    for s in range(n_samples):
        some = base[min(s, base.shape[0] - 1)]
        for k in range(n_steps):
            _fill_normals(key, first_step + k, first_sample + s, z)
            for column in range(worth.size):
                driven = squares[s, k, min(column, n_groups - 1)]
                steady = some[min(column, some.shape[0] - 1)]
                first = column * n_positions
                for p in range(n_positions):
                    variance = (driven[p] * unit + steady[p]) * worth[column]
                    out[s, k, first + p] += np.int32(round(math.sqrt(variance) * z[first + p]))

"""Values to spikes, and spikes to counts."""

from __future__ import annotations

import numba
import numpy as np

from spikeram._kernels.random import philox


@numba.njit(nogil=True, cache=True)
def fill_rate(levels, full, spikes):
    """Write evenly spaced spikes: an integrate-and-fire neuron with half a threshold of charge.

    levels (sample, input) int16 in -full ... full; spikes (sample, step, input) int8.
    """
    for s in range(spikes.shape[0]):
        for i in range(spikes.shape[2]):
            level = abs(levels[s, i])
            sign = 1 if levels[s, i] > 0 else -1
            charge = full // 2
            for k in range(spikes.shape[1]):
                charge += level
                if charge >= full:
                    charge -= full
                    spikes[s, k, i] = sign


@numba.njit(nogil=True, cache=True)
def fill_latency(levels, full, spikes):
    """Write the last steps of each train: as many as evenly spaced spikes would be.

    levels (sample, input) int16 in -full ... full; spikes (sample, step, input) int8.
    """
    steps = spikes.shape[1]
    for s in range(spikes.shape[0]):
        for k in range(steps):
            for i in range(spikes.shape[2]):
                level = np.int64(levels[s, i])
                if k >= steps - (2 * steps * abs(level) + full) // (2 * full):
                    spikes[s, k, i] = 1 if level > 0 else -1


@numba.njit(nogil=True, cache=True)
def fill_poisson(key, first_sample, levels, full, spikes):
    """Write independent spikes with probability level / full a step, addressed by counter.

    levels (sample, input) int16 in -full ... full; spikes (sample, step, input) int8.
    """
    for s in range(spikes.shape[0]):
        for k in range(spikes.shape[1]):
            for i in range(spikes.shape[2]):
                word, _, _, _ = philox(key, k, i, first_sample + s, 0)
                if np.int64(word) * full < np.int64(abs(levels[s, i])) << 32:
                    spikes[s, k, i] = 1 if levels[s, i] > 0 else -1


@numba.njit(nogil=True, cache=True)
def spike_counts(spikes):
    """Return the number of spikes of either sign: (sample, step, neuron) to (sample, neuron)."""
    counts = np.zeros((spikes.shape[0], spikes.shape[2]), np.int64)
    few = np.empty(spikes.shape[2], np.uint8)
    for s in range(spikes.shape[0]):
        # Bytes hold the counts of 128 steps, thirty-two lanes to a register and more.
        for start in range(0, spikes.shape[1], 128):
            few[:] = 0
            for k in range(start, min(start + 128, spikes.shape[1])):
                train = spikes[s, k]
                for i in range(few.size):
                    few[i] += np.uint8(train[i] != 0)
            for i in range(few.size):
                counts[s, i] += few[i]
    return counts


@numba.njit(nogil=True, cache=True)
def driven_steps(spikes, start, position, n_positions, counts):
    """Count the steps and positions in which any spike arrives, for each sample.

    spikes (sample, step, input) int8; the entries of input i are position[start[i]:start[i + 1]];
    counts (sample,) int64.
    """
    # The last step, of whichever sample, in which each position was driven.
    last = np.full(n_positions, -1, np.int64)
    n_steps = spikes.shape[1]
    for s in range(spikes.shape[0]):
        counts[s] = 0
        for k in range(n_steps):
            now = s * n_steps + k
            train = spikes[s, k]
            for i in range(train.size):
                if train[i] != 0:
                    for entry in range(start[i], start[i + 1]):
                        if last[position[entry]] != now:
                            last[position[entry]] = now
                            counts[s] += 1

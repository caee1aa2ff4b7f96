"""Values to spikes, and spikes to counts."""

from __future__ import annotations

import numba
import numpy as np

from spikeram._kernels.random import philox


@numba.njit(nogil=True, cache=True)
def fill_rate(levels, full, first_step, spikes):
    """Write evenly spaced spikes: an integrate-and-fire neuron with half a threshold of charge.

    levels (sample, input) int16 in -full ... full; spikes (sample, step, input) int8, of which the
    first step is number `first_step`.
    """
    for s in range(spikes.shape[0]):
        for i in range(spikes.shape[2]):
            level = np.int64(abs(levels[s, i]))
            sign = 1 if levels[s, i] > 0 else -1
            charge = (full // 2 + first_step * level) % full
            for k in range(spikes.shape[1]):
                charge += level
                if charge >= full:
                    charge -= full
                    spikes[s, k, i] = sign


@numba.njit(nogil=True, cache=True)
def fill_latency(levels, full, steps, first_step, spikes):
    """Write the last of `steps` steps: as many as evenly spaced spikes would be.

    levels (sample, input) int16 in -full ... full; spikes (sample, step, input) int8, of which the
    first step is number `first_step`.
    """
    for s in range(spikes.shape[0]):
        for k in range(spikes.shape[1]):
            for i in range(spikes.shape[2]):
                level = np.int64(levels[s, i])
                if first_step + k >= steps - (2 * steps * abs(level) + full) // (2 * full):
                    spikes[s, k, i] = 1 if level > 0 else -1


@numba.njit(nogil=True, cache=True)
def fill_poisson(key, first_step, first_sample, levels, full, spikes):
    """Write independent spikes with probability level / full a step, addressed by counter.

    levels (sample, input) int16 in -full ... full; spikes (sample, step, input) int8, of which the
    first step is number `first_step`.
    """
    for s in range(spikes.shape[0]):
        for k in range(spikes.shape[1]):
            for i in range(spikes.shape[2]):
                word, _, _, _ = philox(key, first_step + k, i, first_sample + s, 0)
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
def driven_steps(spikes, counts):
    """Count the steps in which any input spikes: (sample, step, input) to counts (sample,)."""
    for s in range(spikes.shape[0]):
        counts[s] = 0
        for k in range(spikes.shape[1]):
            train = spikes[s, k]
            any_bits = np.int8(0)
            for i in range(train.size):
                any_bits |= train[i]
            counts[s] += np.int64(any_bits != 0)


@numba.njit(nogil=True, cache=True)
def driven_positions(spikes, index, counts):
    """Count the steps at each position in which any of its inputs spikes.

    spikes (sample, step, input) int8; index (position, tap) uint32, of which one more than there
    are inputs stands for none; counts (sample,).
    """
    n_steps, n_inputs = spikes.shape[1:]
    steps_of = np.empty(n_inputs + 1, np.uint64)
    for s in range(spikes.shape[0]):
        counts[s] = 0
        for start in range(0, n_steps, 64):
            # One bit for each of 64 steps: a position takes one word, not 64 scans.
            steps_of[:] = 0
            stop = min(start + 64, n_steps)
            full = np.uint64(0)
            for k in range(start, stop):
                bit = np.uint64(1) << np.uint64(k - start)
                full |= bit
                train = spikes[s, k]
                for i in range(n_inputs):
                    steps_of[i] |= bit if train[i] != 0 else np.uint64(0)
            for p in range(index.shape[0]):
                word = np.uint64(0)
                for tap in range(index.shape[1]):
                    word |= steps_of[index[p, tap]]
                    if word == full:
                        break
                # Each step takes away the lowest bit that is left.
                if word == full:
                    counts[s] += stop - start
                else:
                    while word != 0:
                        word &= word - np.uint64(1)
                        counts[s] += 1

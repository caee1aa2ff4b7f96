"""Values to spikes, and spikes to counts."""

from __future__ import annotations

import numba
import numpy as np

from spikeram._kernels.random import philox
from spikeram._kernels.signs import count_ones


@numba.njit(nogil=True, cache=True, error_model="numpy")
def fill_drive(levels, inputs, weight, full, drive):
    """Write the charge of constant levels at every position of a convolution, rounded to even.

    levels (sample, input + 1) int16, the last one 0; inputs (position, row) uint32, of which one
    more than there are stands for none; weight (row, column) int16; a level of `full` brings the
    weight itself; drive (sample, column, position) int32.
    """
    n_columns = weight.shape[1]
    # Sums are whole numbers, exact in any order; a quotient of two is no nearer to a half than
    # 1 / (2 full), if it is none, so that it rounds as the quotient of whole numbers does.
    total = np.empty(n_columns)
    for s in range(levels.shape[0]):
        for p in range(inputs.shape[0]):
            total[:] = 0.0
            for row in range(weight.shape[0]):
                level = float(levels[s, inputs[p, row]])
                own = weight[row]
                if level != 0.0:
                    for j in range(n_columns):
                        total[j] += level * own[j]
            for j in range(n_columns):
                drive[s, j, p] = np.int32(np.rint(total[j] / full))


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
def add_counts(spikes, samples, counts):
    """Add the spikes of either sign to those of `samples` in counts; return the extremes.

    spikes (sample, step, neuron) int8, -1, 0 or 1; samples (sample,) int64, where they are counted;
    counts (any sample, neuron) int32. Returned are the least of all spikes and 0, and
    the most of them and 0.
    """
    few = np.empty(spikes.shape[2], np.uint8)
    least = np.int8(0)
    most = np.int8(0)
    for s in range(spikes.shape[0]):
        bits = np.int8(0)
        # Bytes hold the counts of 128 steps, thirty-two lanes to a register and more.
        for start in range(0, spikes.shape[1], 128):
            few[:] = 0
            for k in range(start, min(start + 128, spikes.shape[1])):
                train = spikes[s, k]
                for i in range(few.size):
                    few[i] += np.uint8(train[i] != 0)
                # Once more, in the first cache now: either loop alone stays in registers.
                for i in range(few.size):
                    bits |= train[i]
            own = counts[samples[s]]
            for i in range(few.size):
                own[i] += np.int32(few[i])
        if bits == 0 or bits == 1:
            most = max(most, bits)
        else:
            for k in range(spikes.shape[1]):
                least, most = _extremes(spikes[s, k], least, most)
    return least, most


@numba.njit(nogil=True, cache=True)
def _extremes(train, least, most):
    for i in range(train.size):
        least = min(least, train[i])
    for i in range(train.size):
        most = max(most, train[i])
    return least, most


@numba.njit(nogil=True, cache=True)
def weighted_counts(counts, weight, out):
    """Add sums of counts (sample, neuron) int32 times weight (neuron,) int64 to out (sample,)."""
    for s in range(counts.shape[0]):
        total = np.int64(0)
        for i in range(weight.size):
            total += np.int64(counts[s, i]) * weight[i]
        out[s] += total


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
def driven_positions(spikes, runs, classes, n_classes, counts):
    """Count the steps at each position in which any of its inputs spikes.

    spikes (sample, step, input) int8; runs (run, 3) int32: the first input, how many follow each
    other, and the class of the first, which grows with them; classes (position, tap) uint32, those
    of the inputs at each position, `n_classes` for none; counts (sample,).
    """
    n_steps = spikes.shape[1]
    spiked = np.empty(n_classes, np.int8)
    steps_of = np.zeros(n_classes + 1, np.uint64)
    for s in range(spikes.shape[0]):
        counts[s] = 0
        for start in range(0, n_steps, 64):
            # One bit for each of 64 steps: a position takes one word, not 64 scans.
            steps_of[:] = 0
            stop = min(start + 64, n_steps)
            for k in range(start, stop):
                bit = np.uint64(1) << np.uint64(k - start)
                spiked[:] = 0
                # Inputs of a class stand at the same positions: bytes first, thirty-two at once.
                for r in range(runs.shape[0]):
                    some = spikes[s, k, runs[r, 0] : runs[r, 0] + runs[r, 1]]
                    own = spiked[runs[r, 2] : runs[r, 2] + runs[r, 1]]
                    for i in range(own.size):
                        own[i] |= some[i]
                for i in range(n_classes):
                    steps_of[i] |= bit if spiked[i] != 0 else np.uint64(0)
            for p in range(classes.shape[0]):
                word = np.uint64(0)
                for tap in range(classes.shape[1]):
                    word |= steps_of[classes[p, tap]]
                counts[s] += count_ones(word)

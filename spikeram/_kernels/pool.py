"""The counting max pool: the largest running count among the taps moves by one spike at most."""

from __future__ import annotations

import numba
import numpy as np

_NOTHING = np.int32(-(2**31))


@numba.njit(nogil=True, cache=True)
def pool_step(counts, index, largest, out):
    """Write the spikes of one step for counts that hold its input spikes already.

    counts (input,) int32; index (output, tap) int32, -1 for none; largest (output,) int32, the
    maxima before this step, changed; out (output,) int8.
    """
    for j in range(index.shape[0]):
        found = _NOTHING
        for tap in range(index.shape[1]):
            i = index[j, tap]
            if i >= 0:
                found = max(found, counts[i])
        if found == _NOTHING:
            found = np.int32(0)
        out[j] = np.int8(found - largest[j])
        largest[j] = found


@numba.njit(nogil=True, cache=True)
def pool_trains(spikes, taps, counts, largest, out):
    """Write the pooled spike trains: spikes (sample, step, input), out (sample, step, output).

    taps (tap, output) uint32: inputs, of which one more than there are stands for none; counts
    (sample, input) and largest (sample, output) int32, from before the first step, are changed.
    """
    n_inputs = spikes.shape[2]
    own = np.empty(n_inputs + 1, np.int32)
    own[n_inputs] = _NOTHING
    found = np.empty(largest.shape[1], np.int32)
    for s in range(spikes.shape[0]):
        own[:n_inputs] = counts[s]
        for k in range(spikes.shape[1]):
            arriving = spikes[s, k]
            for i in range(n_inputs):
                own[i] += arriving[i]
            _largest(own, taps, found)
            before, fired = largest[s], out[s, k]
            for j in range(found.size):
                fired[j] = np.int8(found[j] - before[j])
            before[:] = found
        counts[s] = own[:n_inputs]


@numba.njit(nogil=True, cache=True)
def _largest(counts, taps, found):
    """Write the largest count among the taps of each output; 0 where it has none."""
    if taps.shape[0] == 4:
        # As most pools have: twice as fast without the inner loop.
        t0, t1, t2, t3 = taps[0], taps[1], taps[2], taps[3]
        for j in range(found.size):
            found[j] = max(max(counts[t0[j]], counts[t1[j]]), max(counts[t2[j]], counts[t3[j]]))
    else:
        for j in range(found.size):
            most = _NOTHING
            for tap in range(taps.shape[0]):
                most = max(most, counts[taps[tap, j]])
            found[j] = most
    for j in range(found.size):
        found[j] = found[j] if found[j] != _NOTHING else np.int32(0)

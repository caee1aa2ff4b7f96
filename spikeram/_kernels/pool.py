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
def pool_trains(spikes, index, counts, largest, out):
    """Write the pooled spike trains: spikes (sample, step, input), out (sample, step, output).

    counts (sample, input) and largest (sample, output) int32, from before the first step, are
    changed.
    """
    for s in range(spikes.shape[0]):
        own = counts[s]
        for k in range(spikes.shape[1]):
            for i in range(own.size):
                own[i] += spikes[s, k, i]
            pool_step(own, index, largest[s], out[s, k])

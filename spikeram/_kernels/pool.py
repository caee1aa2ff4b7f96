"""The counting max pool: the largest running count among the taps moves by one spike at most."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from spikeram._kernels.rows import I32, arrays, vector

_LANES = 8
"""Outputs of a row that are found at once; so many more numbers are read and written after each."""

_VECTOR = ir.VectorType(I32, _LANES)

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
            _count(spikes[s, k], own)
            _largest(own, taps, found)
            _fire(found, largest[s], out[s, k])
        counts[s] = own[:n_inputs]


@numba.njit(nogil=True, cache=True)
def pool_squares(spikes, runs, counts, largest, out):
    """Write what `pool_trains` does where outputs have two neighbours in each of two rows.

    runs (run, 5) int32, those of `spikeram.runs.even_runs` for the first inputs of both rows of
    each output, which are even and grow by two; the other arrays are those of `pool_trains`.
    """
    n_inputs, n_outputs = spikes.shape[2], out.shape[2]
    pairs = np.zeros(n_inputs // 2 + _LANES, np.int32)
    found = np.empty(n_outputs + _LANES, np.int32)
    for s in range(spikes.shape[0]):
        own, before = counts[s], largest[s]
        for k in range(spikes.shape[1]):
            _count(spikes[s, k], own)
            _larger_of_pairs(own, pairs)
            for r in range(runs.shape[0]):
                first, n = runs[r, 0], runs[r, 1]
                upper, lower = runs[r, 3] // 2, runs[r, 4] // 2
                # What is written beyond a run belongs to one that follows.
                for q in range(0, n, _LANES):
                    _larger(pairs, upper + q, lower + q, found, first + q)
            _fire(found, before, out[s, k])


@numba.njit(nogil=True, cache=True)
def _count(arriving, counts):
    for i in range(arriving.size):
        counts[i] += arriving[i]


@numba.njit(nogil=True, cache=True)
def _larger_of_pairs(counts, pairs):
    for i in range(counts.size // 2):
        pairs[i] = max(counts[2 * i], counts[2 * i + 1])


@numba.njit(nogil=True, cache=True)
def _fire(found, largest, fired):
    for j in range(fired.size):
        fired[j] = np.int8(found[j] - largest[j])
        largest[j] = found[j]


def _emit_larger(_: Any, values: Any, a: Any, b: Any, out: Any, place: Any) -> Any:
    """Write the larger numbers of two stretches of an array."""
    # The types say what the kernels give: C arrays of int32, and int64.
    signature = types.void(values, types.int64, types.int64, out, types.int64)

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        """Emit two loads, a comparison and a store."""
        source, target = (array.data for array in arrays(context, builder, signature, args, 0, 3))
        one, other = (
            builder.load(vector(builder, source, args[n], _VECTOR), align=4) for n in (1, 2)
        )
        larger = builder.select(builder.icmp_signed(">", one, other), one, other)
        builder.store(larger, vector(builder, target, args[4], _VECTOR), align=4)
        return context.get_dummy_value()

    return signature, write


_larger: Any = intrinsic(_emit_larger)


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

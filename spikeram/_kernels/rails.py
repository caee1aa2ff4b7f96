"""How often membranes would have passed a rail: a run's steps retraced from its spikes."""

from __future__ import annotations

import numba
import numpy as np

from spikeram._kernels.neuron import noise


@numba.njit(nogil=True, cache=True)
def _taken(fired, count, threshold, negative, signed):
    # Signed neurons take the charge of the side of zero on which they counted.
    if not signed:
        return fired * threshold
    if fired > 0:
        return threshold if count >= 0 else negative
    if fired < 0:
        return -threshold if count > 0 else -negative
    return 0


@numba.njit(nogil=True, cache=True)
def count_clipped(
    charge, bias, threshold, negative, rail, signed, subtract, decay, key, sample, sigma, kick,
    spikes, u, out,
):  # fmt: skip
    """Count the steps of one sample in which each membrane met a rail.

    charge (step, output) int32; bias, threshold, negative (output,) int32; spikes (step,
    output) int8, those that were fired; u (output,) int32, the membranes, changed; out (output,)
    int64, written.
    """
    random = sigma > 0.0 or kick != 0
    count = np.zeros(u.size, np.int64)
    out[:] = 0
    for k in range(spikes.shape[0]):
        for j in range(u.size):
            v = np.int64(u[j])
            if decay < 1.0:
                v = np.int64(round(v * decay))
            v += bias[j] + charge[k, j]
            if random:
                v += noise(key, k, sample, j, sigma, kick)
            if abs(v) > rail:
                out[j] += 1
                v = rail if v > 0 else -rail
            fired = np.int64(spikes[k, j])
            if fired != 0 and not subtract:
                v = np.int64(0)
            u[j] = v - (
                _taken(fired, count[j], threshold[j], negative[j], signed) if subtract else 0
            )
            count[j] += fired

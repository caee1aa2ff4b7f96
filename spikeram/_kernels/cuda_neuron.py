"""Neurons and counting pools on a GPU: a thread for each, with its steps one after the other.

Arrays have a chip axis first; charge and spikes (chip, sample * step, output), what neurons hold
(chip, sample * output). What differs from chip to chip is an array over chips. Noise is in the
charge already. Each does what the kernel of its name does on a processor; grids are ((output,
sample), chip).
"""

from __future__ import annotations

import numpy as np
from numba import cuda

_NOTHING = np.int32(-(2**31))


@cuda.jit
def integrate(
    driven, charge, bias, threshold, rail, decay, ternary, subtract, steps, u, spikes, traced, trace
):
    """Run unipolar or ternary neurons through `steps` steps.

    charge (chip, row, output) int32, read where `driven`; bias (chip, sample or 1, output) int32;
    threshold (chip, output) int32; rail (chip,) int64; decay (chip,) float64; u (chip, sample *
    output) int32, changed; spikes (chip, row, output) int8, written; trace (chip, row, output)
    int32, written where `traced`.
    """
    n_outputs = spikes.shape[2]
    chip = cuda.blockIdx.y
    n = cuda.grid(1)
    if n >= u.shape[1]:
        return
    sample, j = n // n_outputs, n % n_outputs
    steady = np.int64(bias[chip, min(sample, bias.shape[1] - 1), j])
    theta = np.int64(threshold[chip, j])
    limit, shrink = rail[chip], decay[chip]
    v = np.int64(u[chip, n])
    for k in range(steps):
        row = sample * steps + k
        if shrink < 1.0:
            v = np.int64(round(v * shrink))
        v += steady
        if driven:
            v += np.int64(charge[chip, row, j])
        v = min(max(v, -limit), limit)
        fired = np.int64(0)
        if v >= theta:
            fired = np.int64(1)
        elif ternary and v <= -theta:
            fired = np.int64(-1)
        if fired != 0:
            v = v - fired * theta if subtract else np.int64(0)
        spikes[chip, row, j] = np.int8(fired)
        if traced:
            trace[chip, row, j] = np.int32(v)
    u[chip, n] = np.int32(v)


@cuda.jit
def integrate_bursts(
    driven, charge, bias, threshold, negative, rail, burst, ternary, signed, steps, u, count,
    spikes, traced, trace,
):  # fmt: skip
    """Run signed neurons, or neurons of any kind that compare up to `burst` times a step.

    negative (chip, output) int32, the charge of a spike of signed neurons whose count is below
    zero; count (chip, sample * output) int32, net spikes, changed where `signed`; the other arrays
    are those of `integrate`.
    """
    n_outputs = spikes.shape[2]
    chip = cuda.blockIdx.y
    n = cuda.grid(1)
    if n >= u.shape[1]:
        return
    sample, j = n // n_outputs, n % n_outputs
    steady = np.int64(bias[chip, min(sample, bias.shape[1] - 1), j])
    theta, below = np.int64(threshold[chip, j]), np.int64(negative[chip, j])
    # Where the count is not above zero, a signed neuron gives a spike back below `low`.
    low = (theta - below) // 2
    limit = rail[chip]
    v = np.int64(u[chip, n])
    held = np.int64(count[chip, n]) if signed else np.int64(0)
    for k in range(steps):
        row = sample * steps + k
        v += steady
        if driven:
            v += np.int64(charge[chip, row, j])
        v = min(max(v, -limit), limit)
        fired = np.int64(0)
        for _ in range(burst):
            once = np.int64(0)
            taken = theta
            if signed:
                if held < 0:
                    if v >= low + below:
                        once, taken = np.int64(1), below
                elif v >= theta:
                    once = np.int64(1)
                if held > 0:
                    if v < 0:
                        once = np.int64(-1)
                elif below > 0 and v < low:
                    once, taken = np.int64(-1), below
            elif v >= theta:
                once = np.int64(1)
            elif ternary and v <= -theta:
                once = np.int64(-1)
            if once == 0:
                break
            v -= once * taken
            held += once
            fired += once
        spikes[chip, row, j] = np.int8(fired)
        if traced:
            trace[chip, row, j] = np.int32(v)
    u[chip, n] = np.int32(v)
    if signed:
        count[chip, n] = np.int32(held)


@cuda.jit
def digitise(driven, charge, bias, threshold, rail, digits, steps, u, spikes, traced, trace):
    """Convert the charge of each line and step anew, digit by digit; a thread has a line.

    Output ``p * lines + line`` is digit p of the magnitude, with the sign of the charge; the
    arrays are those of `integrate`. Grid ((line, sample), chip).
    """
    n_outputs = spikes.shape[2]
    lines = n_outputs // digits
    chip = cuda.blockIdx.y
    n = cuda.grid(1)
    if n >= u.shape[1] // digits:
        return
    sample, line = n // lines, n % lines
    steady = np.int64(bias[chip, min(sample, bias.shape[1] - 1), line])
    full, limit = np.int64(threshold[chip, line]), rail[chip]
    whole = np.int64(1) << np.int64(digits)
    for k in range(steps):
        row = sample * steps + k
        v = steady
        if driven:
            v += np.int64(charge[chip, row, line])
        v = min(max(v, -limit), limit)
        size = min((2 * whole * abs(v) + full) // (2 * full), whole - 1)
        sign = np.int64(1) if v > 0 else np.int64(-1)
        for p in range(digits):
            digit = (size >> p) & 1
            spikes[chip, row, p * lines + line] = np.int8(sign * digit)
            left = np.int32(0) if digit else np.int32(v)
            u[chip, sample * n_outputs + p * lines + line] = left
            if traced:
                trace[chip, row, p * lines + line] = left


@cuda.jit
def pool(spikes, index, steps, counts, largest, out):
    """Pool spikes (chip or 1, row, input) by their counts; a thread has an output.

    index (tap, output) int32, -1 for none; counts (chip, tap, sample * output) int32, those of each
    tap, and largest (chip, sample * output) int32 are changed; out (chip, row, output) int8.
    """
    n_outputs = index.shape[1]
    chip = cuda.blockIdx.y
    n = cuda.grid(1)
    if n >= largest.shape[1]:
        return
    sample, j = n // n_outputs, n % n_outputs
    source = min(chip, spikes.shape[0] - 1)
    most = largest[chip, n]
    for k in range(steps):
        row = sample * steps + k
        found = _NOTHING
        for tap in range(index.shape[0]):
            i = index[tap, j]
            if i >= 0:
                now = np.int32(counts[chip, tap, n] + np.int32(spikes[source, row, i]))
                counts[chip, tap, n] = now
                found = max(found, now)
        if found == _NOTHING:
            found = np.int32(0)
        out[chip, row, j] = np.int8(found - most)
        most = found
    largest[chip, n] = most

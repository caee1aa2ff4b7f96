"""The sampling neuron's step: leak, integrate, clip, compare, charge decrement."""

from __future__ import annotations

import math

import numba
import numpy as np

from spikeram._kernels.random import philox

_STEP = 2.0**-32
_HALF_STEP = 2.0**-33
_ONE = np.uint64(1)


@numba.njit(nogil=True, cache=True)
def noise(key, step, sample, neuron, sigma, kick):
    """Return the random charge of one step in whole quanta, addressed by its counter."""
    x0, x1, x2, _ = philox(key, step, neuron, sample, 0)
    charge = kick if x2 & _ONE else -kick
    if sigma > 0.0:
        radius = math.sqrt(-2.0 * math.log(x0 * _STEP + _HALF_STEP))
        charge += round(sigma * radius * math.cos(2.0 * math.pi * (x1 * _STEP + _HALF_STEP)))
    return np.int64(charge)


@numba.njit(nogil=True, cache=True)
def fill_noise(key, step, first_sample, sigma, kick, out):
    """Write the random charge of one step into `out` (sample, neuron), float64 quanta."""
    for s in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[s, j] = noise(key, step, first_sample + s, j, sigma, kick)


@numba.njit(nogil=True, cache=True)
def integrate(charge, bias, threshold, rail, ternary, subtract, u, spikes, trace):
    """Run one sample through its steps, without leak or noise.

    charge (step or 0, output) int32, 0 steps where only `bias` drives; bias, threshold (output,)
    int32; u (output,) int32, changed; spikes (step, output) int8, written; trace (step or 0,
    output) int32, the membrane after each step's reset, written where it has steps.
    """
    driven = charge.shape[0] > 0
    traced = trace.shape[0] > 0
    both = np.int32(ternary)
    limit = np.int32(rail)
    for k in range(spikes.shape[0]):
        fired = spikes[k]
        if not subtract:
            _hold(charge, k, bias, limit, u)
            _fire_to_zero(threshold, both, u, fired)
        elif driven:
            _step(charge[k], bias, threshold, limit, both, u, fired)
        else:
            _step_alone(bias, threshold, limit, both, u, fired)
        if traced:
            trace[k] = u


@numba.njit(nogil=True, cache=True)
def _step(arriving, bias, threshold, rail, both, u, fired):
    """Integrate, clip and compare membranes; take a threshold from those that fire."""
    # Two arrays are written and three are read: with more, it would not stay in vector registers.
    for j in range(u.size):
        v = min(max(np.int32(u[j] + bias[j] + arriving[j]), -rail), rail)
        net = np.int32(np.int32(v >= threshold[j]) - both * np.int32(v <= -threshold[j]))
        fired[j] = np.int8(net)
        u[j] = np.int32(v - net * threshold[j])


@numba.njit(nogil=True, cache=True)
def _step_alone(bias, threshold, rail, both, u, fired):
    """Step without spikes that arrive."""
    for j in range(u.size):
        v = min(max(np.int32(u[j] + bias[j]), -rail), rail)
        net = np.int32(np.int32(v >= threshold[j]) - both * np.int32(v <= -threshold[j]))
        fired[j] = np.int8(net)
        u[j] = np.int32(v - net * threshold[j])


@numba.njit(nogil=True, cache=True)
def _hold(charge, k, bias, rail, u):
    """Add what arrives in step `k` to membranes, clipped, before they are compared."""
    if charge.shape[0] > 0:
        arriving = charge[k]
        for j in range(u.size):
            u[j] = min(max(np.int32(u[j] + bias[j] + arriving[j]), -rail), rail)
    else:
        for j in range(u.size):
            u[j] = min(max(np.int32(u[j] + bias[j]), -rail), rail)


@numba.njit(nogil=True, cache=True)
def _fire_to_zero(threshold, both, u, fired):
    """Compare membranes, take all from those that fire, and write spikes."""
    for j in range(u.size):
        v = u[j]
        net = np.int32(np.int32(v >= threshold[j]) - both * np.int32(v <= -threshold[j]))
        fired[j] = np.int8(net)
        u[j] = np.int32(v * (1 - net * net))


@numba.njit(nogil=True, cache=True)
def integrate_batch(charge, bias, threshold, rail, ternary, subtract, u, spikes, trace):
    """Run several samples: arrays as for `integrate`, with a sample axis first.

    bias (sample or 1, output); spikes (sample, step, output); trace (sample, step or 0, output).
    """
    for s in range(spikes.shape[0]):
        own = bias[min(s, bias.shape[0] - 1)]
        integrate(charge[s], own, threshold, rail, ternary, subtract, u[s], spikes[s], trace[s])


@numba.njit(nogil=True, cache=True)
def integrate_noisy(
    charge,
    bias,
    threshold,
    rail,
    ternary,
    subtract,
    decay,
    key,
    first_step,
    sample,
    sigma,
    kick,
    u,
    spikes,
    trace,
):
    """Run one sample through its steps, with a leak (`decay` < 1), noise, or both.

    Noise is addressed by steps, of which the first is number `first_step`.
    """
    driven = charge.shape[0] > 0
    traced = trace.shape[0] > 0
    random = sigma > 0.0 or kick != 0
    for k in range(spikes.shape[0]):
        for j in range(u.size):
            v = np.int64(u[j])
            if decay < 1.0:
                v = np.int64(round(v * decay))
            v += bias[j]
            if driven:
                v += charge[k, j]
            if random:
                v += noise(key, first_step + k, sample, j, sigma, kick)
            v = min(max(v, -rail), rail)
            fired = np.int8(0)
            if v >= threshold[j]:
                fired = np.int8(1)
            elif ternary and v <= -threshold[j]:
                fired = np.int8(-1)
            if fired != 0:
                v = v - fired * threshold[j] if subtract else np.int64(0)
            spikes[k, j] = fired
            u[j] = v
        if traced:
            trace[k] = u


@numba.njit(nogil=True, cache=True)
def integrate_noisy_batch(
    charge, bias, threshold, rail, ternary, subtract, decay, key, first_step, first, sigma, kick,
    u, spikes, trace,
):  # fmt: skip
    """Run several samples with a leak, noise, or both; `first` is the first sample's number."""
    for s in range(spikes.shape[0]):
        own = bias[min(s, bias.shape[0] - 1)]
        integrate_noisy(
            charge[s], own, threshold, rail, ternary, subtract, decay, key, first_step, first + s,
            sigma, kick, u[s], spikes[s], trace[s],
        )  # fmt: skip


@numba.njit(nogil=True, cache=True)
def _fire_signed(threshold, negative, low, high, u, count, fired):
    """Compare membranes by their counts, take or give a threshold, and write spikes."""
    # Products instead of branches keep the loop in vector registers, seven times as fast.
    for j in range(u.size):
        v = u[j]
        above = np.int32(count[j] > 0)
        below = np.int32(count[j] < 0)
        up = np.int32(v >= threshold[j] + below * (high[j] - threshold[j]))
        down = np.int32(v < low[j] - above * low[j])
        taken = up * (threshold[j] + below * (negative[j] - threshold[j]))
        given = down * (negative[j] + above * (threshold[j] - negative[j]))
        u[j] = np.int32(v - taken + given)
        count[j] = np.int32(count[j] + up - down)
        fired[j] = np.int8(up) - np.int8(down)


@numba.njit(nogil=True, cache=True)
def _step_rectified(arriving, bias, threshold, rail, u, count, fired):
    """Hold, and do what `_fire_signed` does where no count can be below zero, much faster."""
    for j in range(u.size):
        v = min(max(np.int32(u[j] + bias[j] + arriving[j]), -rail), rail)
        above = np.int32(count[j] > 0)
        net = np.int32(np.int32(v >= threshold[j]) - above * np.int32(v < 0))
        u[j] = np.int32(v - net * threshold[j])
        count[j] = np.int32(count[j] + net)
        fired[j] = np.int8(net)


@numba.njit(nogil=True, cache=True)
def integrate_signed(
    charge, bias, threshold, negative, rail, key, first_step, sample, sigma, kick,
    u, count, spikes, trace,
):  # fmt: skip
    """Run one sample of signed neurons through its steps, with or without noise.

    negative (output,) int32 is the charge of a spike whose count is below zero, 0 where the
    count never is; count (output,) int32 the net spikes before the first step, changed; the other
    arrays are those of `integrate`.
    """
    driven = charge.shape[0] > 0
    traced = trace.shape[0] > 0
    random = sigma > 0.0 or kick != 0
    low = np.empty(u.size, np.int32)
    for j in range(u.size):
        low[j] = (threshold[j] - negative[j]) // 2 if negative[j] > 0 else np.int32(-(2**31))
    high = low + negative
    rectified = not np.any(negative)
    for k in range(spikes.shape[0]):
        if rectified and driven and not random:
            _step_rectified(charge[k], bias, threshold, np.int32(rail), u, count, spikes[k])
        else:
            if random:
                for j in range(u.size):
                    v = np.int64(u[j]) + bias[j]
                    v += noise(key, first_step + k, sample, j, sigma, kick)
                    if driven:
                        v += charge[k, j]
                    u[j] = min(max(v, -rail), rail)
            else:
                _hold(charge, k, bias, np.int32(rail), u)
            _fire_signed(threshold, negative, low, high, u, count, spikes[k])
        if traced:
            trace[k] = u


@numba.njit(nogil=True, cache=True)
def integrate_signed_batch(
    charge, bias, threshold, negative, rail, key, first_step, first, sigma, kick,
    u, count, spikes, trace,
):  # fmt: skip
    """Run several samples of signed neurons; `first` is the first sample's number."""
    for s in range(spikes.shape[0]):
        own = bias[min(s, bias.shape[0] - 1)]
        integrate_signed(
            charge[s], own, threshold, negative, rail, key, first_step, first + s, sigma, kick,
            u[s], count[s], spikes[s], trace[s],
        )  # fmt: skip


@numba.njit(nogil=True, cache=True)
def digitise(
    charge, bias, threshold, rail, digits, key, first_step, sample, sigma, kick, u, spikes, trace
):
    """Run one sample of a converter: each line's charge of each step, rounded, digit by digit.

    threshold (output,) int32 is full scale, 2**digits units; output ``p * lines + line`` is digit p
    of the magnitude, with the sign of the charge. Rounds halves away from zero and saturates. All
    digits of a line have the same charge, bias, threshold and noise: those of its digit 0 are read.
    The other arrays are those of `integrate`.
    """
    driven = charge.shape[0] > 0
    traced = trace.shape[0] > 0
    random = sigma > 0.0 or kick != 0
    lines = u.size // digits
    whole = np.int64(2**digits)
    for k in range(spikes.shape[0]):
        for line in range(lines):
            v = np.int64(bias[line])
            if driven:
                v += charge[k, line]
            if random:
                v += noise(key, first_step + k, sample, line, sigma, kick)
            v = min(max(v, -rail), rail)
            full = np.int64(threshold[line])
            size = min((2 * whole * abs(v) + full) // (2 * full), whole - 1)
            sign = np.int8(1) if v > 0 else np.int8(-1)
            for p in range(digits):
                digit = np.int8((size >> p) & 1)
                spikes[k, p * lines + line] = sign * digit
                u[p * lines + line] = np.int32(0 if digit else v)
        if traced:
            trace[k] = u


@numba.njit(nogil=True, cache=True)
def digitise_batch(
    charge, bias, threshold, rail, digits, key, first_step, first, sigma, kick, u, spikes, trace
):
    """Run several samples of a converter; `first` is the first sample's number."""
    for s in range(spikes.shape[0]):
        own = bias[min(s, bias.shape[0] - 1)]
        digitise(
            charge[s], own, threshold, rail, digits, key, first_step, first + s, sigma, kick, u[s],
            spikes[s], trace[s],
        )  # fmt: skip

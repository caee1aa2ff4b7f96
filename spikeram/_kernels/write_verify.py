"""The write-verify loop of a whole array, and random numbers addressed by cell.

Every draw is at counter (cell, draw, episode, kind), so that a cell behaves the same alone, in a
larger array, or in another order. An episode is one programming of the cell.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from spikeram._kernels.random import normal_pair, uniform

_NORMAL = np.uint64(0)
_UNIFORM = np.uint64(1)


@numba.njit(nogil=True, cache=True)
def fill_normals_at(key, cell, episode, out):
    """Write independent standard normals into `out` (draw, cell); `cell`, `episode` (cell,)."""
    for draw in range(0, out.shape[0], 2):
        for i in range(cell.size):
            first, second = normal_pair(key, cell[i], draw // 2, episode[i], _NORMAL)
            out[draw, i] = first
            if draw + 1 < out.shape[0]:
                out[draw + 1, i] = second


@numba.njit(nogil=True, cache=True)
def fill_uniforms_at(key, cell, out):
    """Write one uniform number in (0, 1) for each of `cell` (cell,) into `out` (cell,)."""
    for i in range(cell.size):
        out[i] = uniform(key, cell[i], 0, 0, _UNIFORM)


@numba.njit(nogil=True, cache=True)
def after_pulse(g, v, charge, threshold, exponent, g_low, g_high):
    """Return the conductance after a pulse of `v` volts; `charge` is rate times width (VTEAM)."""
    drive = abs(v) / threshold - 1.0
    if drive <= 0.0 or charge == 0.0:
        return g
    remains = math.exp(-charge * drive**exponent)
    if v > 0.0:
        return g_high - (g_high - g) * remains
    return g_low + (g - g_low) * remains


@numba.njit(nogil=True, cache=True)
def fill_pulse(g, v, charge, threshold, exponent, g_low, g_high, out):
    """Write the conductances after one pulse on each cell into `out`; all (cell,)."""
    p = 0 if v > 0.0 else 1
    for i in range(g.size):
        out[i] = after_pulse(
            g[i], v, charge[p, i], threshold[p, i], exponent[p], g_low[i], g_high[i]
        )


@numba.njit(nogil=True, cache=True)
def write_verify(
    key,
    cell,
    episode,
    lower,
    upper,
    threshold,
    exponent,
    charge,
    g_low,
    g_high,
    sigma_cycle,
    sigma_read,
    v_start,
    v_step,
    v_end,
    max_end_pulses,
    max_reversals,
    g,
    n_pulses,
    n_reversals,
    timed_out,
):
    """Pulse each cell until it reads between `lower` and `upper`, or time it out.

    Polarity 0 is SET, 1 is RESET: `threshold` and `charge` are (polarity, cell), `exponent` and
    `v_start` (polarity,), the rest (cell,) or scalars. `g` holds the conductances before and
    after; `n_pulses`, `n_reversals` and `timed_out` are written.
    """
    for i in range(cell.size):
        polarity = -1
        step = 0
        end_pulses = 0
        pulses = 0
        reversals = 0
        while True:
            # One address serves a read and the pulse that follows it: a pair of normals.
            noise, cycle = normal_pair(key, cell[i], pulses, episode[i], _NORMAL)
            reading = g[i] + sigma_read * noise
            if lower[i] <= reading <= upper[i]:
                timed_out[i] = False
                break
            wanted = 0 if reading < lower[i] else 1
            if wanted != polarity:
                if polarity >= 0:
                    reversals += 1
                polarity = wanted
                step = 0
                end_pulses = 0
            v = min(v_start[polarity] + step * v_step, v_end)
            if reversals > max_reversals or end_pulses >= max_end_pulses:
                timed_out[i] = True
                break
            if v >= v_end:
                end_pulses += 1
            g[i] = after_pulse(
                g[i],
                v if polarity == 0 else -v,
                charge[polarity, i] * math.exp(sigma_cycle * cycle),
                threshold[polarity, i],
                exponent[polarity],
                g_low[i],
                g_high[i],
            )
            pulses += 1
            step += 1
        n_pulses[i] = pulses
        n_reversals[i] = reversals

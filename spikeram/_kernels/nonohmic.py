"""Arrays of cells whose current is not proportional to their voltage: line Gauss-Seidel.

A cell obeys I = G V0 sinh(V / V0), in series with a transistor. Before each pass it is replaced by
its tangent, a conductance and a current source.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from spikeram._kernels.lines import driven_factors, sensed_factors


@numba.njit(nogil=True, cache=True)
def cell_current(g, v_scale, r_on, volt):
    """Return current [A] and slope [S] of a cell with its transistor at `volt`."""
    inner = volt / (1.0 + r_on * g)
    if r_on > 0.0:
        # The root lies between 0 and the ohmic voltage, from which Newton steps are monotone.
        for _ in range(100):
            excess = inner + r_on * g * v_scale * math.sinh(inner / v_scale) - volt
            step = excess / (1.0 + r_on * g * math.cosh(inner / v_scale))
            inner -= step
            if abs(step) <= 1e-15 * abs(volt):
                break
    slope = g * math.cosh(inner / v_scale)
    return g * v_scale * math.sinh(inner / v_scale), slope / (1.0 + r_on * slope)


@numba.njit(nogil=True, cache=True)
def _linearise(g, v_scale, r_on, u, v, cell, rest):
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            current, slope = cell_current(g[i, j], v_scale, r_on, u[i, j] - v[i, j])
            cell[i, j] = slope
            rest[i, j] = current - slope * (u[i, j] - v[i, j])


@numba.njit(nogil=True, cache=True)
def _solve_driven(cell, rest, t, volts, r_line, r_driver, v, c, u):
    k, n = cell.shape
    for i in range(k):
        current = 0.0
        for j in range(n - 1, -1, -1):
            current += cell[i, j] * v[i, j] - rest[i, j]
            c[i, j] = current
            current *= t[i, j]
        volt, r = volts[i], r_driver
        for j in range(n):
            volt = t[i, j] * (volt + r * c[i, j])
            u[i, j] = volt
            r = r_line


@numba.njit(nogil=True, cache=True)
def _solve_sensed(cell, rest, t, gap, last, u, c, v):
    k, n = cell.shape
    for j in range(n):
        c[0, j] = cell[0, j] * u[0, j] + rest[0, j]
        for i in range(1, k):
            c[i, j] = cell[i, j] * u[i, j] + rest[i, j] + t[i - 1, j] * c[i - 1, j]
        v[k - 1, j] = last[0, j] * c[k - 1, j]
        for i in range(k - 2, -1, -1):
            v[i, j] = t[i, j] * (v[i + 1, j] + gap[i] * c[i, j])


@numba.njit(nogil=True, cache=True)
def _balanced(g, law, u, v, driven, sensed, cell, reach, limit):
    # The bound of `active_lines` for the circuit linearised here, with both kinds of residual.
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            if g[i, j] > 0.0:
                current, _ = cell_current(g[i, j], law[0], law[1], u[i, j] - v[i, j])
                residual = abs(current - driven[i, j]) + abs(current - sensed[i, j])
                if not residual <= limit * cell[i, j] * reach[i, j]:
                    return False
    return True


@numba.njit(nogil=True, cache=True)
def settle_nonohmic(g, law, volts, wires, gap, tolerance, max_sweeps, out):
    """Write the outputs of one circuit; return sweeps taken, or -1 where they did not suffice.

    g (k, node) [S] at 0 V; law: voltage scale [V] and transistor [ohm]; volts (k,) [V]; wires
    (3,) [ohm]: along driven lines, of drivers, of terminals (inf: floating); gap (k,) [ohm]; out
    (node,): voltages [V], or currents [A].
    """
    k, n = g.shape
    floating = wires[2] == np.inf
    cell, rest, t, reach, ts, c, u, v = np.zeros((8, k, n))
    driven, sensed = np.empty((2, k, n))
    load, last = np.empty(k), np.empty((2, n))
    for i in range(k):
        u[i] = volts[i]
    total = g.sum(axis=0).max()
    if total == 0.0:
        out[:] = 0.0
        return 0
    for sweep in range(1, max_sweeps + 1):
        _linearise(g, law[0], law[1], u, v, cell, rest)
        driven_factors(cell, wires[0], wires[1], t, reach, load)
        _solve_driven(cell, rest, t, volts, wires[0], wires[1], v, c, u)
        for i in range(k):
            for j in range(n):
                driven[i, j] = cell[i, j] * (u[i, j] - v[i, j]) + rest[i, j]
        _linearise(g, law[0], law[1], u, v, cell, rest)
        sensed_factors(cell, gap, wires[2], ts, last)
        _solve_sensed(cell, rest, ts, gap, last, u, c, v)
        scale = 0.0
        for j in range(n):
            out[j] = v[k - 1, j] if floating else last[1, j] * c[k - 1, j]
            scale = max(scale, abs(out[j]) if floating else abs(out[j]) / total)
            for i in range(k):
                sensed[i, j] = cell[i, j] * (u[i, j] - v[i, j]) + rest[i, j]
        if _balanced(g, law, u, v, driven, sensed, cell, reach, tolerance * scale):
            return sweep
    return -1

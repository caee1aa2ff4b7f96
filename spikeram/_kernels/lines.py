"""Lines of resistors with a cell at each node: what they look like from the other side.

Resistances, not conductances, of the wires are used throughout, so that an ideal wire is a zero.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def add_driven_line(cell, r_line, r_driver, admittance, source):
    """Add what the sensed lines see of one driven line to their admittance; write its sources.

    cell (output,) [S]; admittance (output, output) [S], Fortran order; source (output,) [S]:
    current into each short-circuited sensed line for one volt at the driver. With A the
    tridiagonal nodal matrix of the line, the admittance is D - D A^-1 D and the source
    g_driver D A^-1 e_0. A^-1 is semiseparable: a diagonal and ratios of neighbours.
    """
    n = cell.size
    before = np.empty(n)  # resistance to the driver, the node's own cell left out
    left = np.empty(n)  # voltage at a node for one volt at the next, by what lies before it
    beyond = np.empty(n)  # conductance of all that lies behind the node
    right = np.empty(n)  # voltage at a node for one volt at the one before
    r = r_driver
    for j in range(n):
        before[j] = r
        z = r / (1.0 + r * cell[j])
        left[j] = z / (z + r_line) if z + r_line > 0.0 else 0.0
        r = r_line + z
    y = 0.0
    for j in range(n - 1, -1, -1):
        beyond[j] = y
        y += cell[j]
        right[j] = 1.0 / (1.0 + r_line * y)
        y *= right[j]
    volt = 1.0 / (1.0 + r_driver * (cell[0] + beyond[0]))
    for j in range(n):
        if j > 0:
            volt *= right[j]
        source[j] = cell[j] * volt
        whole = 1.0 + before[j] * (cell[j] + beyond[j])
        admittance[j, j] += cell[j] * (1.0 + before[j] * beyond[j]) / whole
        own = cell[j] * before[j] / whole
        u = own
        for k in range(j + 1, n):
            u *= right[k]
            admittance[k, j] -= cell[k] * u
        u = own
        for k in range(j - 1, -1, -1):
            u *= left[k]
            admittance[k, j] -= cell[k] * u


@numba.njit(nogil=True, cache=True)
def driven_factors(cell, r_line, r_driver, t, reach, load):
    """Write what the passes along driven lines need, for all lines of an array.

    cell (line, node) [S]; t (line, node): voltage at a node for one volt at the one before, the
    driver being before node 0; reach (line, node): voltage at a node for one volt at the driver,
    all sensed lines at 0 V; load (line,) [S]: conductance of the whole line at its first node.
    """
    n_lines, n = cell.shape
    for i in range(n_lines):
        y = 0.0
        for j in range(n - 1, -1, -1):
            y += cell[i, j]
            if j == 0:
                load[i] = y
            t[i, j] = 1.0 / (1.0 + (r_line if j > 0 else r_driver) * y)
            y *= t[i, j]
        volt = 1.0
        for j in range(n):
            volt *= t[i, j]
            reach[i, j] = volt


@numba.njit(nogil=True, cache=True, fastmath={"contract"})
def _four_lines(cell, t, r_line, r_driver, v, u):
    # A pass is a chain of dependent operations; four of them side by side hide its latency.
    cell0, cell1, cell2, cell3 = cell
    t0, t1, t2, t3 = t
    v0, v1, v2, v3 = v
    u0, u1, u2, u3 = u
    i0 = i1 = i2 = i3 = 0.0
    for j in range(cell0.size - 1, 0, -1):
        i0 += cell0[j] * v0[j]
        i1 += cell1[j] * v1[j]
        i2 += cell2[j] * v2[j]
        i3 += cell3[j] * v3[j]
        u0[j] = i0
        u1[j] = i1
        u2[j] = i2
        u3[j] = i3
        i0 *= t0[j]
        i1 *= t1[j]
        i2 *= t2[j]
        i3 *= t3[j]
    i0 += cell0[0] * v0[0]
    u0[0] = i0
    i1 += cell1[0] * v1[0]
    u1[0] = i1
    i2 += cell2[0] * v2[0]
    u2[0] = i2
    i3 += cell3[0] * v3[0]
    u3[0] = i3
    w0 = w1 = w2 = w3 = 0.0
    r = r_driver
    for j in range(cell0.size):
        w0 = t0[j] * (w0 + r * u0[j])
        w1 = t1[j] * (w1 + r * u1[j])
        w2 = t2[j] * (w2 + r * u2[j])
        w3 = t3[j] * (w3 + r * u3[j])
        u0[j] = w0
        u1[j] = w1
        u2[j] = w2
        u3[j] = w3
        r = r_line
    return i0, i1, i2, i3


@numba.njit(nogil=True, cache=True)
def driven_pass(cell, t, r_line, r_driver, v, near, u):
    """Write the voltages `u` of driven lines for voltages `v` on the other side, drivers at 0 V.

    All of shape (line, node), u first taking the short-circuit current of a node and all behind
    it; near (line,) [A] keeps that of each line at its first node.
    """
    end = cell.shape[0] - 1
    for i in range(0, end + 1, 4):
        # The last line stands in for lines that are not there.
        a, b, d = min(i + 1, end), min(i + 2, end), min(i + 3, end)
        near[i], near[a], near[b], near[d] = _four_lines(
            (cell[i], cell[a], cell[b], cell[d]),
            (t[i], t[a], t[b], t[d]),
            r_line,
            r_driver,
            (v[i], v[a], v[b], v[d]),
            (u[i], u[a], u[b], u[d]),
        )


@numba.njit(nogil=True, cache=True)
def sensed_factors(cell, gap, r_terminal, t, last):
    """Write what the passes along sensed lines need; return nothing.

    cell (line, node) [S], lines being the driven ones; gap (line,) [ohm]: resistance of a sensed
    line from a driven line to the next; t (line, node): voltage at a node for one volt at the
    next; last (2, node): at the last line, voltage for each ampere [ohm] and share of the current
    that leaves through the terminal. r_terminal inf is a floating line.
    """
    k, n = cell.shape
    y = np.zeros(n)
    for i in range(k - 1):
        _factor_line(cell[i], gap[i], y, t[i])
    for j in range(n):
        y[j] += cell[k - 1, j]
        if r_terminal < np.inf:
            last[1, j] = 1.0 / (1.0 + r_terminal * y[j])
            last[0, j] = r_terminal * last[1, j]
        else:
            last[1, j] = 0.0
            last[0, j] = 1.0 / y[j] if y[j] > 0.0 else 0.0


@numba.njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def _factor_line(cell, gap, y, t):
    for j in range(y.size):
        whole = y[j] + cell[j]
        t[j] = 1.0 / (1.0 + gap * whole)
        y[j] = whole * t[j]


@numba.njit(nogil=True, cache=True)
def sensed_pass(cell, t, gap, last, u, end, v):
    """Write the voltages `v` of sensed lines for voltages `u` on the other side.

    All of shape (line, node), v first taking the short-circuit current of a node and all before
    it; end (node,) [A] keeps that at the last line.
    """
    k = cell.shape[0]
    _first_line(cell[0], u[0], v[0])
    for i in range(1, k):
        _add_line(cell[i], u[i], t[i - 1], v[i - 1], v[i])
    for j in range(end.size):
        end[j] = v[k - 1, j]
        v[k - 1, j] = last[0, j] * end[j]
    for i in range(k - 2, -1, -1):
        _step_back(t[i], gap[i], v[i + 1], v[i])


@numba.njit(nogil=True, cache=True)
def _first_line(cell, u, c):
    for j in range(c.size):
        c[j] = cell[j] * u[j]


@numba.njit(nogil=True, cache=True, fastmath={"contract"})
def _add_line(cell, u, t, before, c):
    for j in range(c.size):
        c[j] = cell[j] * u[j] + t[j] * before[j]


@numba.njit(nogil=True, cache=True, fastmath={"contract"})
def _step_back(t, gap, after, v):
    for j in range(v.size):
        v[j] = t[j] * (after[j] + gap * v[j])

"""The gated array: only active lines are in the circuit, so only they are solved for.

With D the cells, A and C the nodal matrices of driven and sensed lines with their cells, and
P = A^-1 D, Q = C^-1 D one pass along all driven and all sensed lines, the driven lines' voltages
obey u = P Q u + f. P and Q are symmetric in the inner product of D, so that I - P Q is
symmetric and positive definite in that of D Q: conjugate gradients. Their residual is the change
that one more sweep of line Gauss-Seidel would make.
"""

from __future__ import annotations

import numba
import numpy as np

from spikeram._kernels.lines import driven_pass, sensed_factors, sensed_pass


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _weighted_dot(cell, a, b):
    total = 0.0
    for i in range(cell.shape[0]):
        for j in range(cell.shape[1]):
            total += cell[i, j] * a[i, j] * b[i, j]
    return total


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _weighted_dot_of_difference(cell, a, b, c):
    total = 0.0
    for i in range(cell.shape[0]):
        for j in range(cell.shape[1]):
            total += cell[i, j] * a[i, j] * (b[i, j] - c[i, j])
    return total


@numba.njit(nogil=True, cache=True, fastmath={"contract"})
def _advance(u, r, alpha, p, w):
    for j in range(u.size):
        u[j] += alpha * p[j]
        r[j] += alpha * (w[j] - p[j])


@numba.njit(nogil=True, cache=True)
def _copy_scaled(scale, a, out):
    for j in range(out.size):
        out[j] = scale * a[j]


@numba.njit(nogil=True, cache=True)
def _take_smaller(a, out):
    for j in range(out.size):
        if a[j] < out[j]:
            out[j] = a[j]


@numba.njit(nogil=True, cache=True)
def _least_reach(reach):
    least = np.ones(reach.shape[1])
    for i in range(reach.shape[0]):
        _take_smaller(reach[i], least)
    return least


@numba.njit(nogil=True, cache=True)
def _within(residual, least, limit):
    for i in range(residual.shape[0]):
        for j in range(residual.shape[1]):
            if abs(residual[i, j]) > limit * least[j]:
                return False
    return True


@numba.njit(nogil=True, cache=True, fastmath={"contract"})
def _scale_and_add(scale, a, b):
    for j in range(a.size):
        a[j] = scale * a[j] + b[j]


@numba.njit(nogil=True, cache=True)
def _read(v, c, leaving, floating, total, out):
    """Write the outputs; return the largest in volts, a current being over `total` siemens."""
    largest = 0.0
    for j in range(out.size):
        out[j] = v[j] if floating else leaving[j] * c[j]
        largest = max(largest, abs(out[j]))
    return largest if floating else largest / total


@numba.njit(nogil=True, cache=True)
def _largest_sum(cell):
    total = np.zeros(cell.shape[1])
    for i in range(cell.shape[0]):
        _scale_and_add(1.0, total, cell[i])
    return total.max()


@numba.njit(nogil=True, cache=True)
def solve_lines(cell, t, reach, volts, wires, gap, tolerance, max_sweeps, work, near, out):
    """Solve one circuit of k driven lines; return sweeps taken, or -1 where they did not suffice.

    cell, t, reach (k, node) as `driven_factors` writes them; volts (k,) [V]; wires (3,) [ohm]:
    along driven lines, of drivers, of terminals (inf: floating); gap (k,) [ohm]; work (8, k or
    more, node) and near (k,) scratch, of which work[1] returns the sensed lines' voltages; out
    (node,): voltages [V], or currents [A]. Stops once no voltage of a sensed line can be further
    off than tolerance times the largest output.
    """
    k = cell.shape[0]
    # Slices of one array each are known to be contiguous when this is compiled; those of the whole
    # are not, and loops over them would not use vector instructions.
    u, v, r, q = work[0, :k], work[1, :k], work[2, :k], work[3, :k]
    p, qp, w, ts = work[4, :k], work[5, :k], work[6, :k], work[7, :k]
    end = np.empty(cell.shape[1])
    last = np.empty((2, cell.shape[1]))
    sensed_factors(cell, gap, wires[2], ts, last)
    floating = wires[2] == np.inf
    total = _largest_sum(cell)
    if total == 0.0:
        out[:] = 0.0
        return 0
    for i in range(k):
        _copy_scaled(volts[i], reach[i], u[i])
    sensed_pass(cell, ts, gap, last, u, end, v)
    scale = _read(v[k - 1], end, last[1], floating, total, out)
    driven_pass(cell, t, wires[0], wires[1], v, near, r)
    sensed_pass(cell, ts, gap, last, r, end, q)
    rho = _weighted_dot(cell, r, q)
    # Errors e_u of u and e_v of v obey (I - P Q) e_u = r and (I - Q P) e_v = q; both inverses are
    # >= 0 everywhere, and all row sums of a column at least its least reach. So
    # |e| <= max(|residual| / least reach), which holds for voltages of floating lines with q and
    # for currents, at most the sum of cell times |e_u|, with r.
    error = q if floating else r
    least = _least_reach(reach)
    for i in range(k):
        _copy_scaled(0.0, u[i], p[i])
        _copy_scaled(0.0, u[i], qp[i])
    beta = 0.0
    for sweep in range(1, max_sweeps + 1):
        if rho <= 0.0 or _within(error, least, tolerance * scale):
            sensed_pass(cell, ts, gap, last, u, end, v)
            scale = _read(v[k - 1], end, last[1], floating, total, out)
            if rho <= 0.0 or _within(error, least, tolerance * scale):
                return sweep
        for i in range(k):
            _scale_and_add(beta, p[i], r[i])
            _scale_and_add(beta, qp[i], q[i])
        driven_pass(cell, t, wires[0], wires[1], qp, near, w)
        alpha = rho / _weighted_dot_of_difference(cell, qp, p, w)
        for i in range(k):
            _advance(u[i], r[i], alpha, p[i], w[i])
        sensed_pass(cell, ts, gap, last, r, end, q)
        rho_next = _weighted_dot(cell, r, q)
        beta = rho_next / rho
        rho = rho_next
    return -1


@numba.njit(nogil=True, cache=True)
def settle_active(rows, load, volts, active, wires, r_sensed, accuracy, out, current):
    """Write outputs and input currents for each vector of volts; other lines are disconnected.

    rows (input, 3, output): cell, t and reach of `driven_factors`, those of a line side by side as
    they are fetched together; load (input,); volts, active (vector, input) [V] and bool; wires
    (3,) [ohm] as in `solve_lines`, the terminal's without the stretch of line before it; r_sensed
    [ohm]: along a sensed line from one driven line to the next; accuracy: tolerance and most
    sweeps; out (vector, output) [V] or [A]; current (vector, input) [A], into the array. Returns
    the number of vectors whose sweeps did not suffice.
    """
    tolerance, max_sweeps = accuracy
    n_inputs, _, n_outputs = rows.shape
    most = 0
    for s in range(volts.shape[0]):
        most = max(most, active[s].sum())
    cells = np.empty((3, most, n_outputs))
    work = np.empty((8, most, n_outputs))
    near = np.empty(most)
    place = np.empty(most, np.int64)
    gap = np.empty(most)
    drive = np.empty(most)
    ends = wires.copy()
    failed = 0
    for s in range(volts.shape[0]):
        k = 0
        for i in range(n_inputs):
            if active[s, i]:
                place[k] = i
                drive[k] = volts[s, i]
                _copy_scaled(1.0, rows[i, 0], cells[0, k])
                _copy_scaled(1.0, rows[i, 1], cells[1, k])
                _copy_scaled(1.0, rows[i, 2], cells[2, k])
                k += 1
        current[s] = 0.0
        if k == 0:
            out[s] = 0.0
            continue
        for a in range(k - 1):
            gap[a] = r_sensed * (place[a + 1] - place[a])
        ends[2] = wires[2] + r_sensed * (n_inputs - 1 - place[k - 1])
        sweeps = solve_lines(
            cells[0, :k],
            cells[1, :k],
            cells[2, :k],
            drive[:k],
            ends,
            gap[:k],
            tolerance,
            max_sweeps,
            work,
            near[:k],
            out[s],
        )
        failed += sweeps < 0
        v, u = work[1, :k], work[6, :k]
        driven_pass(cells[0, :k], cells[1, :k], wires[0], wires[1], v, near[:k], u)
        for a in range(k):
            i = place[a]
            current[s, i] = rows[i, 1, 0] * (load[i] * drive[a] - near[a])
    return failed

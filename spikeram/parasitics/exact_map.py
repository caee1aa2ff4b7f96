r"""The exact map of an ohmic array whose lines are all driven: computed once, a matrix after that.

Seen from the sensed lines, driven line :math:`i` is an admittance and a current source,

.. math:: S_i = D_i - D_i A_i^{-1} D_i, \qquad b_i = g_{driver} D_i A_i^{-1} e_0,

with :math:`D_i` its cells and :math:`A_i` the nodal matrix of its own wire and cells. The array
is eliminated line by line towards the terminals of the sensed lines. :math:`Y` is the admittance
of all that was passed, one row and column for each sensed line, and :math:`J` its short-circuit
current for one volt at each driver. One stretch :math:`r` of the sensed lines, then one driven
line:

.. math:: Y \leftarrow (I + r Y)^{-1} Y + S_i, \qquad
          J \leftarrow \left[(I + r Y)^{-1} J,\ b_i\right].

At the end the voltages of floating lines are :math:`Y^{-1} J`, the currents into virtual grounds
:math:`(I + r_{sense} Y)^{-1} J`. Matrices are symmetric and positive definite, and wire
resistances enter as factors, so that ideal wires need no exception.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from spikeram._kernels.lines import add_driven_line
from spikeram.errors import CircuitError
from spikeram.parasitics.wires import Direction, Termination, Wires, oriented


def transfer(
    conductance: NDArray[np.float64],
    wires: Wires,
    *,
    direction: Direction = "forward",
    termination: Termination = "floating",
) -> NDArray[np.float64]:
    """Return what each sensed line shows for one volt at each driver, all others held at 0 V.

    Parameters
    ----------
    conductance : ndarray of shape (row, column)
        Cells as they lie on the chip [S].
    wires : Wires
        Resistances around them.
    direction : {"forward", "backward"}
        Whether rows or columns are driven.
    termination : {"floating", "virtual_ground"}
        How the other lines are sensed.

    Returns
    -------
    ndarray of shape (input, output)
        Voltages of floating lines [1], or currents into virtual grounds [S].

    Examples
    --------
    Two cells of 20 uS behind drivers of 50 kohm on one column:

    >>> transfer(np.full((2, 1), 20e-6), Wires(r_driver="50 kohm")).round(12)
    array([[0.5],
           [0.5]])
    """
    cells = oriented(wires.in_series(conductance), direction)
    passed = np.zeros((cells.shape[1], cells.shape[0]))
    # A line without any conductance stays at the reference, and would make Y singular.
    live = np.flatnonzero(cells.any(axis=0))
    if live.size:
        r_driven, r_sensed = wires.along(direction)
        admittance, current = _eliminated(cells, live, (wires.r_driver, r_driven, r_sensed))
        if termination == "floating":
            passed[live] = _solved(admittance, current)
        else:
            terminal = np.asfortranarray(np.eye(live.size) + wires.r_sense * admittance)
            passed[live] = _solved(terminal, current)
    if direction == "backward":
        passed = passed[::-1, ::-1]
    return np.ascontiguousarray(passed.T)


def _eliminated(
    cells: NDArray[np.float64], live: NDArray[np.intp], resistances: tuple[float, float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Y and J after all driven lines, for the sensed lines `live`."""
    r_driver, r_driven, r_sensed = resistances
    n_inputs, n_outputs = cells.shape
    n = live.size
    # Y and J side by side, so that one call solves for both in place.
    both = np.zeros((n, n + n_inputs), order="F")
    admittance, current = both[:, :n], both[:, n:]
    unit = np.arange(n)
    whole = np.zeros((n_outputs, n_outputs), order="F") if n < n_outputs else admittance
    source = np.empty(n_outputs)
    for i in range(n_inputs):
        if i > 0 and r_sensed > 0:
            stretch = r_sensed * admittance
            stretch[unit, unit] += 1.0
            both[:, : n + i] = _solved(stretch, both[:, : n + i])
        if n < n_outputs:
            whole[:] = 0.0
        add_driven_line(cells[i], r_driven, r_driver, whole, source)
        if n < n_outputs:
            admittance += whole[np.ix_(live, live)]
        current[:, i] = source[live]
    return admittance, current


def _solved(matrix: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``matrix^-1 right`` for a symmetric positive definite matrix, over both arguments."""
    _, solution, failed = lapack.dposv(matrix, right, lower=1, overwrite_a=1, overwrite_b=1)
    if failed:
        raise CircuitError(
            "The array's conductances span too many orders of magnitude to be eliminated."
        )
    result: NDArray[np.float64] = solution
    return result

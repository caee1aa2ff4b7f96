r"""An array of which only some lines are connected: the event-driven line solver.

A word line that is off cuts the transistors of its row, and with them its cells, out of the
circuit. What is left depends on the spikes, so that no fixed map exists; but only the :math:`k`
active lines are in it, and a sensed line runs straight from one of them to the next. Given the
sensed lines' voltages each driven line is a tridiagonal system, and the other way round: two
passes, at a cost of :math:`k` times the number of outputs. They are repeated, in the directions of
conjugate gradients, until a bound on the error, not the step, is below the tolerance:

.. math:: \max_{ij} |\delta V_{ij}| \le \max_{ij} \frac{|q_{ij}|}{\min_i x_{ij}},

with :math:`q` the change of the sensed lines that another sweep would bring, and :math:`x_{ij}` the
voltage that a volt at driver :math:`i` leaves at column :math:`j` of its line when all sensed
lines are at 0 V. (Nodal matrices have inverses without negative elements, and :math:`D x` are
the row sums of the one that remains when driven lines are eliminated.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram._kernels.active_lines import settle_active
from spikeram._kernels.lines import driven_factors
from spikeram.errors import CircuitError
from spikeram.parasitics.wires import Direction, Termination, Wires, oriented

MAX_SWEEPS = 10_000
"""Passes along all lines after which a circuit is given up."""


@dataclass(frozen=True, eq=False)
class LineSolver:
    """An ohmic array prepared for any choice of active lines.

    Parameters
    ----------
    wires : Wires
        Resistances around the cells.
    direction : {"forward", "backward"}
        Whether rows or columns are driven.
    rows : ndarray of shape (input, 3, output)
        Cells [S], and what a pass along driven lines needs, one line's together.
    load : ndarray of shape (input,) [S]
        Conductance of each driven line.
    """

    wires: Wires
    direction: Direction
    rows: NDArray[np.float64]
    load: NDArray[np.float64]

    def settle(
        self,
        volts: ArrayLike,
        active: ArrayLike,
        *,
        termination: Termination = "floating",
        tolerance: float = 1e-6,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the outputs and the currents that the drivers deliver.

        Parameters
        ----------
        volts : array_like of shape (sample, input) [V]
            Voltages behind the drivers.
        active : array_like of bool, shape (sample, input)
            Which lines are connected.
        termination : {"floating", "virtual_ground"}
            How the other lines are sensed.
        tolerance : float
            Largest error of an output, as a share of the largest output.

        Returns
        -------
        output : ndarray of shape (sample, output)
            Voltages [V], or currents [A].
        current : ndarray of shape (sample, input) [A]
            Currents into the driven lines.

        Raises
        ------
        CircuitError
            If the tolerance cannot be reached.
        """
        n_inputs, _, n_outputs = self.rows.shape
        v = np.ascontiguousarray(volts, dtype=np.float64)
        connected = np.ascontiguousarray(active, dtype=np.bool_)
        if v.ndim != 2 or v.shape[1] != n_inputs or connected.shape != v.shape:
            raise ValueError(
                f"LineSolver.settle expects volts and active of shape (sample, {n_inputs}), "
                f"got {v.shape} and {connected.shape}."
            )
        if self.direction == "backward":
            v, connected = v[:, ::-1].copy(), connected[:, ::-1].copy()
        r_driven, r_sensed = self.wires.along(self.direction)
        end = np.inf if termination == "floating" else self.wires.r_sense
        output, current = np.empty((len(v), n_outputs)), np.empty_like(v)
        failed = settle_active(
            self.rows,
            self.load,
            v,
            connected,
            np.array([r_driven, self.wires.r_driver, end]),
            r_sensed,
            (tolerance, MAX_SWEEPS),
            output,
            current,
        )
        if failed:
            raise CircuitError(
                f"{failed} of {len(v)} vectors did not settle to {tolerance:g} in {MAX_SWEEPS} "
                "sweeps. Ask for a larger tolerance; the arithmetic allows about 1e-12."
            )
        if self.direction == "backward":
            output, current = output[:, ::-1], current[:, ::-1]
        return output, current


def line_solver(
    conductance: NDArray[np.float64], wires: Wires, *, direction: Direction = "forward"
) -> LineSolver:
    """Return an array prepared for any choice of active lines.

    Parameters
    ----------
    conductance : ndarray of shape (row, column)
        Cells as they lie on the chip [S].
    wires : Wires
        Resistances around them.
    direction : {"forward", "backward"}
        Whether rows or columns are driven.

    Examples
    --------
    Of two cells of 20 uS one is connected: its column follows.

    >>> solver = line_solver(np.full((2, 1), 20e-6), Wires(r_row=1.0))
    >>> solver.settle([[0.5, 0.0]], [[True, False]])[0]
    array([[0.5]])
    """
    cells = oriented(wires.in_series(conductance), direction)
    t, reach, load = np.empty_like(cells), np.empty_like(cells), np.empty(len(cells))
    driven_factors(cells, wires.along(direction)[0], wires.r_driver, t, reach, load)
    return LineSolver(wires, direction, np.stack([cells, t, reach], axis=1), load)

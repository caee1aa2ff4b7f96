r"""Cells that are not ohmic: their current rises faster than their voltage.

.. math:: I = G V_0 \sinh(V / V_0),

with :math:`G` the conductance at small voltages, as a state hops over a barrier that the field
tilts. Lines are solved one direction after the other, each cell being replaced by its tangent
before each pass (line Gauss-Seidel, re-linearised), until the currents of all cells balance those
of the wires.

Wan et al. give no current-voltage curve of their cell. A third-party model of the chip assumes
5 % more current than ohmic; :math:`V_0 = 0.92` V gives that at 0.5 V.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram._kernels.nonohmic import settle_nonohmic
from spikeram.errors import CircuitError
from spikeram.parasitics.active_lines import MAX_SWEEPS
from spikeram.parasitics.wires import Direction, Termination, Wires, oriented
from spikeram.units import Quantity, Volt, as_si


@dataclass(frozen=True, kw_only=True)
class SinhCell:
    """A cell whose current is a hyperbolic sine of its voltage.

    Parameters
    ----------
    v_scale : Volt
        Voltage :math:`V_0` at which a cell carries 17.5 % more than an ohmic one [V].
    """

    v_scale: Volt

    def __post_init__(self) -> None:
        value = as_si(self.v_scale, "V", "SinhCell.v_scale")
        if not 0 < value < math.inf:
            raise ValueError(f"SinhCell.v_scale expects a finite voltage > 0, got {value} V.")
        object.__setattr__(self, "v_scale", value)

    @classmethod
    def from_excess(cls, excess: float, *, at: Quantity) -> SinhCell:
        """Return the cell that carries ``1 + excess`` times an ohmic one's current at a voltage.

        Examples
        --------
        >>> round(SinhCell.from_excess(0.05, at=0.5).v_scale, 3)
        0.92
        """
        volt = as_si(at, "V", "at")
        if not 0 < excess < math.inf or not volt > 0:
            raise ValueError(
                "SinhCell.from_excess expects an excess and a voltage > 0, got "
                f"{excess} and {volt} V."
            )
        # sinh(x) / x = 1 + excess, by Newton from the expansion's x, which is above the root.
        x = math.sqrt(6.0 * excess)
        for _ in range(60):
            x -= (math.sinh(x) - (1 + excess) * x) / (math.cosh(x) - 1 - excess)
        return cls(v_scale=volt / x)


def settle_cells(
    conductance: NDArray[np.float64],
    cell: SinhCell,
    wires: Wires,
    *,
    volts: ArrayLike,
    active: ArrayLike,
    direction: Direction = "forward",
    termination: Termination = "floating",
    tolerance: float = 1e-6,
) -> NDArray[np.float64]:
    """Return the outputs of an array of cells that are not ohmic.

    Parameters
    ----------
    conductance : ndarray of shape (row, column)
        Conductances at small voltages, as cells lie on the chip [S].
    cell : SinhCell
        Their current over voltage.
    wires : Wires
        Resistances around them.
    volts : array_like of shape (sample, input) [V]
        Voltages behind the drivers.
    active : array_like of bool, shape (sample, input)
        Which lines are connected.
    direction, termination, tolerance
        As for `spikeram.parasitics.LineSolver`.

    Returns
    -------
    ndarray of shape (sample, output)
        Voltages [V], or currents [A].
    """
    g = oriented(np.asarray(conductance, dtype=np.float64), direction)
    v, connected = np.asarray(volts, np.float64), np.asarray(active, np.bool_)
    if v.ndim != 2 or v.shape[1] != len(g) or connected.shape != v.shape:
        raise ValueError(
            f"settle_cells expects volts and active of shape (sample, {len(g)}), got {v.shape} "
            f"and {connected.shape}."
        )
    if direction == "backward":
        v, connected = v[:, ::-1], connected[:, ::-1]
    r_driven, r_sensed = wires.along(direction)
    output = np.zeros((len(v), g.shape[1]))
    for s in range(len(v)):
        place = np.flatnonzero(connected[s])
        if not place.size:
            continue
        end = np.inf
        if termination == "virtual_ground":
            end = wires.r_sense + r_sensed * (len(g) - 1 - place[-1])
        sweeps = settle_nonohmic(
            g[place],
            (cell.v_scale, wires.r_on),
            v[s, place],
            np.array([r_driven, wires.r_driver, end]),
            r_sensed * np.append(np.diff(place), 0).astype(np.float64),
            tolerance,
            MAX_SWEEPS,
            output[s],
        )
        if sweeps < 0:
            raise CircuitError(
                f"Cells with a scale of {cell.v_scale} V did not settle to {tolerance:g} in "
                f"{MAX_SWEEPS} sweeps. Ask for a larger tolerance, or check voltages and wires."
            )
    return output[:, ::-1] if direction == "backward" else output

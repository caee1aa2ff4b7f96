r"""The wires of an array: a resistance for each stretch of line, and one in series with each cell.

Every row is a line of nodes, one at each cell, :math:`r_{row}` apart, driven through
:math:`r_{driver}` at its first column; every column likewise, :math:`r_{column}` apart, sensed
through :math:`r_{sense}` at its last row. A cell of conductance :math:`G` stands between its two
nodes in series with the transistor that selects it,

.. math:: D = \frac{G}{1 + r_{on} G}.

Each line has one terminal, whichever way the array is sensed: in the backward direction the columns
are driven at their last row, and the rows are sensed at their first column.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.units import Ohm, as_si

Direction: TypeAlias = Literal["forward", "backward"]
"""Rows drive and columns are sensed, or the other way round."""

Termination: TypeAlias = Literal["floating", "virtual_ground"]
"""A sensed line floats and its voltage is read, or is held at the reference and its current is."""


@dataclass(frozen=True, kw_only=True)
class Wires:
    """Resistances of an array's lines, drivers, terminals and transistors.

    Zero is an ideal conductor, and exact.

    Parameters
    ----------
    r_row, r_column : Ohm
        A row's resistance from one cell to the next, and a column's [ohm].
    r_driver : Ohm
        Resistance between the supply and the first cell of a driven line: driver and lead [ohm].
    r_sense : Ohm
        Resistance between the last cell of a sensed line and a virtual ground [ohm]. A floating
        line carries no current there, so that it does not matter.
    r_on : Ohm
        Resistance in series with each cell, beyond what was there when the cell was verified
        [ohm]: write-verify reads a cell through its transistor, so that 0 is right where reading
        and verifying use the same gate voltage.

    Examples
    --------
    >>> Wires(r_row="1 ohm", r_column="1 ohm", r_driver="100 ohm").r_driver
    100.0
    """

    r_row: Ohm = 0.0
    r_column: Ohm = 0.0
    r_driver: Ohm = 0.0
    r_sense: Ohm = 0.0
    r_on: Ohm = 0.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = as_si(getattr(self, each.name), "ohm", f"Wires.{each.name}")
            if not 0 <= value < math.inf:
                raise ValueError(
                    f"Wires.{each.name} expects a finite resistance >= 0 ohm, got {value} ohm."
                )
            object.__setattr__(self, each.name, value)

    def in_series(self, conductance: ArrayLike) -> NDArray[np.float64]:
        """Return the conductance of cells with their transistors in series [S]."""
        g = np.asarray(conductance, dtype=np.float64)
        return g / (1.0 + self.r_on * g)

    def along(self, direction: Direction) -> tuple[Ohm, Ohm]:
        """Return the resistance from cell to cell on driven lines, and on sensed lines [ohm]."""
        if direction == "forward":
            return self.r_row, self.r_column
        return self.r_column, self.r_row


def interleaved(conductance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the array as it lies on the chip, of shape (row, column) [S].

    Rows 2k and 2k + 1 are G+ and G- of pair k.

    Parameters
    ----------
    conductance : ndarray of shape (polarity, pair, column)
        Conductances [S].
    """
    _, pairs, columns = conductance.shape
    return np.ascontiguousarray(conductance.transpose(1, 0, 2).reshape(2 * pairs, columns))


def oriented(array: NDArray[np.float64], direction: Direction) -> NDArray[np.float64]:
    """Return an array of shape (row, column) with driven lines first and terminals in place.

    The first index counts driven lines towards the terminals of the sensed ones, the second
    sensed lines away from the terminals of the driven ones. Its own inverse.
    """
    if direction == "forward":
        return np.ascontiguousarray(array)
    return np.ascontiguousarray(array[::-1, ::-1].T)

r"""Columns that share one threshold: dummy cells that make them settle alike.

A column settles at a mean over all its cells, so that one unit of activation is worth
:math:`u_j \propto 1 / (w_{max,j} \sum_i (G^+_{ij} + G^-_{ij}))` volts on column j. Where each
column has a threshold of its own, it carries that factor. Where a core has one for all its
columns, the factor has to be the same in units of each neuron's threshold. The first half of it is
how weights are mapped: all columns take :math:`w_{max,j} \propto \theta_j`, and so no longer the
whole window each. The second half is the sum of conductances. Dummy pairs of rows, which are held
at the reference in every step and bring no charge, fill each column up to the largest sum S of its
core. With n of them, each of their 2 n cells in column j takes

.. math:: g_j = g_{min} + \frac{S - \sum_i (G^+_{ij} + G^-_{ij})}{2 n}.

They are written as all cells are, with the same errors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikeram.errors import CapacityError
from spikeram.units import Siemens


def held_pairs(
    conductance: NDArray[np.float64], height: int, *, g_min: Siemens, g_max: Siemens
) -> int:
    """Return the fewest dummy pairs of rows in each core that equalise its columns.

    Parameters
    ----------
    conductance : ndarray of shape (polarity, row, column) [S]
        What the matrix takes without them.
    height : int
        Pairs of rows that one core holds, dummies included.
    g_min, g_max : Siemens
        The conductance window [S].

    Raises
    ------
    CapacityError
        If no number of them leaves room for a single row of weights.
    """
    for held in range(height):
        rows = equal_rows(conductance.shape[1], height - held)
        missing = max(np.max(_missing(part)) for part in _parts(conductance, rows))
        # A little slack: sums of floats that should be equal differ in their last digits.
        if missing <= 2 * held * (g_max - g_min) * (1 + 1e-12):
            return held
    raise CapacityError(
        f"Columns differ by more than the dummy cells of a core of {height} pairs of rows can take "
        "up. Use larger cores or column_gain='threshold'."
    )


def equal_rows(n_rows: int, most: int) -> int:
    """Return the rows of each part where rows are cut into as few equal parts as fit."""
    return -(-n_rows // -(-n_rows // most))


def with_held_pairs(
    conductance: NDArray[np.float64], height: int, held: int, *, g_min: Siemens
) -> NDArray[np.float64]:
    """Return conductances with `held` dummy pairs at the end of each core's rows.

    Parameters
    ----------
    conductance : ndarray of shape (polarity, row, column) [S]
        What the matrix takes without them.
    height : int
        Pairs of rows of one segment, dummies included.
    held : int
        Dummy pairs in each core, as `held_pairs` returns them.
    g_min : Siemens
        Least conductance of a cell [S].
    """
    if held == 0:
        return conductance
    filled = []
    for part in _parts(conductance, height - held):
        each = g_min + _missing(part) / (2 * held)
        filled += [part, np.broadcast_to(each, (2, held, each.size))]
    return np.concatenate(filled, axis=1)


def driven_rows(n_rows: int, height: int | None, held: int) -> NDArray[np.intp]:
    """Return the rows that inputs and biases drive: all but the last `held` of each core."""
    rows = np.arange(n_rows)
    if held == 0:
        return rows
    whole = n_rows if height is None else height
    # The last core may have fewer rows; its dummies are its last ones all the same.
    ends = np.minimum((rows // whole + 1) * whole, n_rows)
    return np.flatnonzero(rows < ends - held)


def shared(values: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    """Return the median of each core's columns at each of them.

    Parameters
    ----------
    values : ndarray of shape (column,)
        One value for each column of a layer.
    columns : int
        Columns of a core; 0 where none share.
    """
    if columns == 0:
        return values
    blocks = [values[start : start + columns] for start in range(0, values.size, columns)]
    return np.concatenate([np.full(block.size, np.median(block)) for block in blocks])


def _parts(conductance: NDArray[np.float64], height: int) -> list[NDArray[np.float64]]:
    starts = range(0, conductance.shape[1], height)
    return [conductance[:, start : start + height] for start in starts]


def _missing(part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each column of one core lacks to the largest sum [S]."""
    total: NDArray[np.float64] = part.sum(axis=(0, 1))
    missing: NDArray[np.float64] = total.max() - total
    return missing

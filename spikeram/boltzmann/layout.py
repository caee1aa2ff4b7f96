r"""Where a Boltzmann machine lies on a chip: interleaved visible units, biases, dummy lines.

Visible units are pairs of rows, hidden units columns, so that hidden units see forward sums and
visible ones backward sums of the same cells. Visible unit i lies on core :math:`i \bmod n`: every
core has a thinned image, and no core more of the bright middle than others. Each core has rows
for hidden biases, driven with every input, and columns for visible biases.

A line settles at a mean over all its cells, so dummy lines, held at the reference, fill all lines
of a direction up to one sum. One threshold and one size of kicks then serve all neurons of a
direction, and the two lines of a pair of rows, whose difference the way back needs, settle alike:

.. math:: g_{held} = g_{min} + (S - \textstyle\sum G) / n_{held}.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spikeram.boltzmann.machine import BoltzmannMachine
from spikeram.chip import Chip
from spikeram.crossbar import conductance_from_weight
from spikeram.errors import CapacityError

_SLACK = 1 + 1e-12


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Pairs of rows and columns of each core.

    Parameters
    ----------
    n_visible, n_hidden : int
        Units.
    cores : int
        Cores that visible units are shared out to.
    bias_rows, bias_columns : int
        Pairs of rows of each core for hidden biases, and columns for visible ones.
    held_rows, held_columns : int
        Dummy pairs of rows and dummy columns of each core.
    """

    n_visible: int
    n_hidden: int
    cores: int
    bias_rows: int
    bias_columns: int
    held_rows: int = 0
    held_columns: int = 0

    @property
    def height(self) -> int:
        """Pairs of rows of a core."""
        return -(-self.n_visible // self.cores) + self.bias_rows + self.held_rows

    @property
    def width(self) -> int:
        """Columns of a core."""
        return self.n_hidden + self.bias_columns + self.held_columns

    @property
    def n_rows(self) -> int:
        """Pairs of rows in all."""
        return self.cores * self.height

    @cached_property
    def visible_rows(self) -> NDArray[np.intp]:
        """The pair of rows of each visible unit."""
        unit = np.arange(self.n_visible)
        return unit % self.cores * self.height + unit // self.cores

    @cached_property
    def bias_row_numbers(self) -> NDArray[np.intp]:
        """The pairs of rows of hidden biases."""
        first = self.height - self.held_rows - self.bias_rows
        core, row = np.indices((self.cores, self.bias_rows))
        numbers: NDArray[np.intp] = (core * self.height + first + row).ravel()
        return numbers

    def row_codes(self, codes: NDArray[np.int16], full: int) -> NDArray[np.float32]:
        """Return the inputs of all rows for codes of visible units; bias rows take `full`."""
        rows = np.zeros((len(codes), self.n_rows), np.float32)
        rows[:, self.visible_rows] = codes
        rows[:, self.bias_row_numbers] = full
        return rows

    def column_codes(self, hidden: NDArray[np.int8]) -> NDArray[np.float32]:
        """Return the inputs of all columns for hidden units."""
        columns = np.zeros((len(hidden), self.width), np.float32)
        columns[:, : self.n_hidden] = hidden
        columns[:, self.n_hidden : self.n_hidden + self.bias_columns] = 1.0
        return columns

    def weight(self, machine: BoltzmannMachine) -> NDArray[np.float64]:
        """Return what each pair of cells stands for, of shape (row, column); 0 of dummies."""
        weight = np.zeros((self.n_rows, self.width))
        hidden = slice(0, self.n_hidden)
        biases = slice(self.n_hidden, self.n_hidden + self.bias_columns)
        weight[self.visible_rows, hidden] = machine.weight
        weight[self.bias_row_numbers, hidden] = machine.hidden_bias / (self.cores * self.bias_rows)
        visible_bias = machine.visible_bias[:, np.newaxis] / self.bias_columns
        weight[self.visible_rows, biases] = visible_bias
        return weight


def lay_out(
    machine: BoltzmannMachine, chip: Chip, *, cores: int, w_max: float
) -> tuple[Layout, NDArray[np.float64]]:
    """Return the layout of a machine and the target conductances of its cells.

    Parameters
    ----------
    machine : BoltzmannMachine
        The machine.
    chip : Chip
        For its window and its cores.
    cores : int
        Cores that visible units are shared out to.
    w_max : float
        Weight at the end of the window; larger ones saturate.

    Returns
    -------
    Layout, ndarray of shape (polarity, row, column) [S]

    Raises
    ------
    CapacityError
        If it does not fit the chip's cores.
    """
    bare = Layout(
        n_visible=machine.shape[0],
        n_hidden=machine.shape[1],
        cores=cores,
        bias_rows=_needed(machine.hidden_bias, cores * w_max),
        bias_columns=_needed(machine.visible_bias, w_max),
    )
    window = {"g_min": chip.g_min, "g_max": chip.g_max}
    cells = conductance_from_weight(bare.weight(machine), **window, w_max=w_max)
    most = (chip.g_max - chip.g_min) * _SLACK
    per_core = cells.reshape(2, cores, bare.height, bare.width)
    rows, columns = _missing(per_core.sum(axis=3)), _missing(per_core.sum(axis=(0, 2)))
    layout = Layout(
        **{name: getattr(bare, name) for name in ("n_visible", "n_hidden", "cores")},
        bias_rows=bare.bias_rows,
        bias_columns=bare.bias_columns,
        held_rows=math.ceil(columns.max() / (2 * most)),
        held_columns=math.ceil(rows.max() / most),
    )
    if cores > chip.n_cores or 2 * layout.height > chip.rows or layout.width > chip.columns:
        raise CapacityError(
            f"A machine of {layout.n_visible} visible and {layout.n_hidden} hidden units on "
            f"{cores} cores takes {2 * layout.height} rows and {layout.width} columns of each, "
            f"biases and dummies included, but there are {chip.n_cores} cores of {chip.rows} rows "
            f"and {chip.columns} columns. Use another number of cores."
        )
    target = np.full((2, cores, layout.height, layout.width), chip.g_min)
    target[:, :, : bare.height, : bare.width] = per_core
    if layout.held_columns:
        filled = chip.g_min + rows[..., np.newaxis] / layout.held_columns
        target[:, :, : bare.height, bare.width :] = filled
    if layout.held_rows:
        filled = chip.g_min + columns[:, np.newaxis] / (2 * layout.held_rows)
        target[:, :, bare.height :, : bare.width] = filled
    return layout, np.minimum(target, chip.g_max).reshape(2, layout.n_rows, layout.width)


def _needed(bias: NDArray[np.float64], each: float) -> int:
    """Return how many lines hold the largest bias."""
    return max(1, math.ceil(float(np.abs(bias).max()) / each / _SLACK))


def _missing(total: NDArray[np.float64]) -> NDArray[np.float64]:
    missing: NDArray[np.float64] = total.max() - total
    return missing

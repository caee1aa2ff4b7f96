"""Convolution by several inputs at once: which of them spiked chooses one of their sums.

The rows of a convolution's matrix are taken in groups of four or eight, and the sums of every
choice among a group are kept in a table of 16 or 256. At a position a group of inputs stands at the
rows of a table; where those are the same at many positions, as the channels of a pixel are, which
of them spiked is found once for all. A position then adds one entry of each table, however many
inputs spiked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spikeram._kernels.rows import AT_ONCE, width_of
from spikeram.runs import even_runs

LARGEST_TABLES = 64 * 1024
"""Bytes of all tables of a tile with groups of eight: with more, four are as fast."""


@dataclass(frozen=True, eq=False)
class InputGroups:
    """The inputs of a convolution in groups.

    Parameters
    ----------
    runs : int32 ndarray of shape (run, 3 + size)
        The inputs of all groups, as `even_runs` keeps them; the number of inputs stands for none.
    rows : int32 ndarray of shape (table, size)
        Rows of the matrix at each table, -1 for none. The rows of a few tables make up `AT_ONCE`,
        and the number of tables is a multiple of that few.
    at : int32 ndarray of shape (position, table)
        Which group of inputs chooses from each table.
    """

    runs: NDArray[np.int32]
    rows: NDArray[np.int32]
    at: NDArray[np.int32]

    @cached_property
    def n_groups(self) -> int:
        """Number of different groups of inputs."""
        return int(self.runs[:, 1].sum())


def size_of(n_rows: int, n_columns: int) -> int:
    """Return how many rows a table holds the sums of: eight where that fits into the cache."""
    width = width_of(n_columns)
    in_bytes = -(-n_rows // 8) * 2**8 * width * 2
    return 8 if width <= 16 and in_bytes <= LARGEST_TABLES else 4


def groups_of(index: NDArray[np.int32], n_inputs: int, size: int) -> InputGroups:
    """Return the inputs of gathered rows in groups.

    Parameters
    ----------
    index : int32 ndarray of shape (position, row, tap)
        Inputs at each row, or -1 for none.
    n_inputs : int
        Number of inputs.
    size : int
        Rows of a group.
    """
    n_positions, n_rows, n_taps = index.shape
    # Every tap becomes a row of its own. Those of one row, or of one pixel in several channels, are
    # the same at other positions.
    apart = n_rows * n_taps
    if n_taps > 1:
        order = np.arange(apart).reshape(n_rows, n_taps)
    else:
        order = np.arange(apart).reshape(-1, _period(index[..., 0])).T
    order = np.pad(order, [(0, 0), (0, -order.shape[1] % size)], constant_values=-1)
    order = order.reshape(-1, size)
    order = np.pad(order, [(0, -len(order) % (AT_ONCE // size)), (0, 0)], constant_values=-1)
    nothing = np.full((n_positions, 1), -1, np.int32)
    flat = np.concatenate([index.reshape(n_positions, apart), nothing], axis=1)
    groups = flat[:, order].reshape(-1, size)
    groups = np.where(groups < 0, n_inputs, groups)
    inputs, at = np.unique(groups, axis=0, return_inverse=True)
    return InputGroups(
        runs=even_runs(inputs.astype(np.int32), n_inputs),
        rows=np.where(order < 0, -1, order // n_taps).astype(np.int32),
        at=at.reshape(n_positions, -1).astype(np.int32),
    )


def _period(index: NDArray[np.int32]) -> int:
    """Return after how many rows the same place follows in the next channel; all rows if never."""
    n_rows = int(index.shape[1])
    for period in range(1, n_rows // 2 + 1):
        if n_rows % period:
            continue
        before, after = index[:, :-period], index[:, period:]
        there = before >= 0
        moved = (after - before)[there]
        if np.array_equal(there, after >= 0) and np.all(moved == moved[:1]):
            return period
    return n_rows

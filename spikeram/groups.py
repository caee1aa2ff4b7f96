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

from spikeram._kernels.rows import width_of
from spikeram.runs import even_runs

LARGEST_TABLES = 64 * 1024
"""Bytes of all tables of a tile with groups of eight: with more, four are as fast."""


_RUN = 4
"""Entries that are added while one place of a run is found."""


@dataclass(frozen=True, eq=False)
class InputGroups:
    """The inputs of a convolution in groups.

    Parameters
    ----------
    runs : int32 ndarray of shape (run, 3 + size)
        The inputs of all groups, as `even_runs` keeps them; the number of inputs stands for none.
    rows : int32 ndarray of shape (table, size)
        Rows of the matrix at each table, -1 for none.
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

    @cached_property
    def cost(self) -> int:
        """Time of one step with tables, in that of one entry."""
        return self.at.size + self.n_groups + _RUN * self.runs.size


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
    # Every tap becomes a row of its own, and the taps of a row follow each other.
    apart = n_rows * n_taps
    blocks = [np.arange(apart).reshape(n_rows, n_taps)] if n_taps > 1 else _blocks(index[..., 0])
    order = np.concatenate([_filled(block, size) for block in blocks])
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


def _filled(block: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Return lines of rows in groups, the last of each line filled up with -1."""
    whole = np.pad(block, [(0, 0), (0, -block.shape[1] % size)], constant_values=-1)
    return whole.reshape(-1, size)


def _blocks(index: NDArray[np.int32]) -> list[NDArray[np.intp]]:
    """Return the rows in blocks, of which a line holds the same place in all channels.

    Inputs that follow each other in a line are the same at other positions of a convolution. A
    shortcut added to one has rows of its own kind, and becomes a block of its own.
    """
    shape, first_input = _shapes(index)
    blocks, start = [], 0
    while start < shape.size:
        period, channels = _repeated(shape[start:], first_input[start:])
        rows = np.arange(start, start + period * channels)
        blocks.append(rows.reshape(channels, period).T)
        start += rows.size
    return blocks


def _shapes(index: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return numbers that are equal for rows whose inputs differ by a constant, and their first."""
    found: dict[bytes, int] = {}
    shape = np.empty(index.shape[1], np.int64)
    first = np.empty(index.shape[1], np.int64)
    for row, inputs in enumerate(np.ascontiguousarray(index.T)):
        there = inputs >= 0
        first[row] = inputs[there][0] if there.any() else 0
        moved = np.where(there, inputs - first[row], np.iinfo(np.int64).min)
        shape[row] = found.setdefault(moved.tobytes(), len(found))
    return shape, first


def _repeated(shape: NDArray[np.int64], first: NDArray[np.int64]) -> tuple[int, int]:
    """Return after how many rows they repeat, moved by a constant, and how often they stand there.

    Of all such beginnings it is the longest; where there is none, all rows stand once.
    """
    best = (shape.size, 1)
    covered = 0
    for period in range(1, shape.size // 2 + 1):
        moved = first[period:] - first[:-period]
        same = (shape[period:] == shape[:-period]) & (moved == moved[0])
        rows = int(np.argmin(same)) if not same.all() else same.size
        channels = 1 + rows // period
        if channels > 1 and period * channels > covered:
            best, covered = (period, channels), period * channels
    return best

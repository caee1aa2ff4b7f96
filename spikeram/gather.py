r"""Which inputs meet one small matrix at which place: convolution as gathered rows.

A convolution is one matrix of shape (patch, channel), applied at every position of the output.
`Gather` lists, for each position, the input that stands at each row of the matrix; nothing stands
where the index is -1 (padding). After an average pool several inputs share a row, each with an
equal part of its drive. On the chip the matrix is programmed once and positions follow
each other in time; unrolled, each output pixel has columns of its own. Outputs are numbered
channel first: neuron ``channel * n_positions + position``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikeram.groups import InputGroups, groups_of, size_of
from spikeram.input_classes import InputClasses, classes_of

Pair: TypeAlias = tuple[int, int]

_SAMPLES_AT_A_TIME = 32


@dataclass(frozen=True, eq=False)
class Gather:
    """The inputs at the rows of a matrix, for each position.

    Parameters
    ----------
    index : int32 ndarray of shape (position, row, tap)
        Inputs at each row, or -1 for none. A row is driven by the mean over its taps.
    n_inputs : int
        Number of inputs in all.
    """

    index: NDArray[np.int32]
    n_inputs: int

    def __post_init__(self) -> None:
        index = np.ascontiguousarray(self.index, dtype=np.int32)
        if index.ndim != 3 or 0 in index.shape:
            raise ValueError(
                f"Gather expects an index of shape (position, row, tap) with at least one of each, "
                f"got {index.shape}."
            )
        if index.min() < -1 or index.max() >= self.n_inputs:
            raise ValueError(
                f"Gather expects indices from -1 to {self.n_inputs - 1}, got "
                f"{index.min()} to {index.max()}."
            )
        object.__setattr__(self, "index", index)

    @property
    def n_positions(self) -> int:
        """Number of positions."""
        return int(self.index.shape[0])

    @property
    def n_rows(self) -> int:
        """Number of rows of the matrix."""
        return int(self.index.shape[1])

    @property
    def n_taps(self) -> int:
        """Number of inputs that share a row."""
        return int(self.index.shape[2])

    @cached_property
    def inputs(self) -> NDArray[np.uint32]:
        """Inputs at each position, row after row, (position, row * tap); `n_inputs` for none."""
        # Kernels look unsigned places up twice as fast: they cannot count from the end.
        flat = self.index.reshape(self.n_positions, -1)
        return np.where(flat < 0, self.n_inputs, flat).astype(np.uint32)

    @cached_property
    def classes(self) -> InputClasses:
        """Inputs that stand at the same positions, as one: a pixel of all channels."""
        return classes_of(self.places, self.n_inputs, self.n_positions)

    @cached_property
    def reuse(self) -> NDArray[np.int64]:
        """At how many rows, over all positions, each input stands; shape (input,)."""
        return np.bincount(self.index[self.index >= 0], minlength=self.n_inputs).astype(np.int64)

    @cached_property
    def places(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
        """Where each input stands: the start of its entries, their positions and their rows."""
        position, row, tap = np.nonzero(self.index >= 0)
        order = np.argsort(self.index[position, row, tap], kind="stable")
        start = np.concatenate([[0], np.cumsum(self.reuse)])
        return start, position[order].astype(np.int32), row[order].astype(np.int32)

    def groups(self, n_columns: int) -> InputGroups:
        """Return the inputs in groups, for kernels that add sums from tables; found once."""
        size = size_of(self.n_rows * self.n_taps, n_columns)
        if size not in self._groups:
            self._groups[size] = groups_of(self.index, self.n_inputs, size)
        return self._groups[size]

    @cached_property
    def _groups(self) -> dict[int, InputGroups]:
        return {}

    @cached_property
    def spread(self) -> float:
        """At how many rows, over all positions, an input stands on average."""
        return float(self.reuse.mean())

    def rows(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean over the taps of each row, of shape (..., position, row).

        Nothing, as in the padding, counts as 0.

        Parameters
        ----------
        values : ndarray of shape (..., input)
            One value for each input.
        """
        nothing = np.zeros((*values.shape[:-1], 1), values.dtype)
        with_nothing = np.concatenate([values, nothing], axis=-1)
        if self.n_taps == 1:
            at_rows: NDArray[np.float64] = with_nothing[..., self.index[..., 0]]
            return at_rows
        total: NDArray[np.float64] = sum(
            with_nothing[..., self.index[..., tap]] for tap in range(self.n_taps)
        )
        return total / self.n_taps

    def row_values(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return one value for each row, where it is the same at every position.

        Parameters
        ----------
        values : ndarray of shape (input,)
            One value for each input, equal within a channel.

        Returns
        -------
        ndarray of shape (row,)
        """
        by_row = np.swapaxes(self.index, 0, 1).reshape(self.n_rows, -1)
        first = by_row[np.arange(self.n_rows), np.argmax(by_row >= 0, axis=1)]
        found: NDArray[np.float64] = np.where(first >= 0, values[first], 0.0)
        at_rows = np.where(by_row >= 0, values[by_row], found[:, np.newaxis])
        if not np.array_equal(at_rows, np.broadcast_to(found[:, np.newaxis], at_rows.shape)):
            raise ValueError(
                "Inputs that share a row of a convolution differ in what a spike is worth."
            )
        return found


def weighted_sums(
    values: NDArray[np.float64], weight: NDArray[np.float64], gather: Gather | None
) -> NDArray[np.float64]:
    """Return the weighted sums of values at the inputs.

    Parameters
    ----------
    values : ndarray of shape (sample, input)
        One value for each input.
    weight : ndarray of shape (row, column)
        The matrix.
    gather : Gather or None
        The inputs at its rows; None where rows are inputs.

    Returns
    -------
    ndarray of shape (sample, column * position)
    """
    if gather is None:
        return np.asarray(values @ weight, dtype=np.float64)
    summed = np.empty((values.shape[0], weight.shape[1], gather.n_positions))
    # A gathered copy of all samples at once could fill the memory.
    for start in range(0, values.shape[0], _SAMPLES_AT_A_TIME):
        some = slice(start, start + _SAMPLES_AT_A_TIME)
        summed[some] = np.swapaxes(gather.rows(values[some]) @ weight, 1, 2)
    return summed.reshape(values.shape[0], -1)


def convolution(
    shape: tuple[int, int, int],
    kernel: Pair,
    *,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
) -> tuple[Gather, Pair]:
    """Return the gathered rows of a two-dimensional convolution, and its output's size.

    Parameters
    ----------
    shape : tuple of int
        Input (channel, y, x).
    kernel, stride, padding, dilation : tuple of int
        Along y and x, as in PyTorch.

    Returns
    -------
    Gather, tuple of int
        Rows in the order (channel, kernel y, kernel x); positions in the order (y, x).

    Examples
    --------
    >>> gather, size = convolution((1, 3, 3), (2, 2))
    >>> size, gather.index[0].tolist()
    ((2, 2), [[0], [1], [3], [4]])
    """
    channels = np.arange(shape[0])
    places, sizes = [], []
    for axis in (0, 1):
        length = shape[axis + 1]
        reach = dilation[axis] * (kernel[axis] - 1) + 1
        size = (length + 2 * padding[axis] - reach) // stride[axis] + 1
        if size < 1:
            raise ValueError(
                f"A kernel that reaches over {reach} pixels does not fit into {length} with "
                f"padding {padding[axis]}."
            )
        start = np.arange(size)[:, np.newaxis] * stride[axis] - padding[axis]
        places.append(start + np.arange(kernel[axis]) * dilation[axis])
        sizes.append(size)
    y = places[0][:, np.newaxis, np.newaxis, :, np.newaxis]
    x = places[1][np.newaxis, :, np.newaxis, np.newaxis, :]
    index = (channels[:, np.newaxis, np.newaxis] * shape[1] + y) * shape[2] + x
    inside = (y >= 0) & (y < shape[1]) & (x >= 0) & (x < shape[2])
    index = np.where(inside, index, -1).reshape(sizes[0] * sizes[1], -1, 1)
    return Gather(index.astype(np.int32), int(np.prod(shape))), (sizes[0], sizes[1])


def after_average_pool(
    gather: Gather, shape: tuple[int, int, int], kernel: Pair, stride: Pair
) -> Gather:
    """Return `gather` reaching through an average pool before it.

    Averaging is linear: the inputs of a pool share the row of its output.

    Parameters
    ----------
    gather : Gather
        Rows whose inputs are the pool's outputs.
    shape : tuple of int
        The pool's input (channel, y, x).
    kernel, stride : tuple of int
        Of the pool; without padding.
    """
    one, size = convolution((1, *shape[1:]), kernel, stride=stride)
    pools = one.n_positions
    channel, place = np.divmod(np.maximum(gather.index, 0), pools)
    inputs = channel[..., np.newaxis] * (shape[1] * shape[2]) + one.index[place, :, 0]
    index = np.where(gather.index[..., np.newaxis] >= 0, inputs, -1)
    if gather.n_inputs != shape[0] * pools:
        raise ValueError(
            f"The layer after the pool expects {gather.n_inputs} inputs, but the pool has "
            f"{shape[0]} x {size[0]} x {size[1]} outputs."
        )
    index = index.reshape(gather.n_positions, gather.n_rows, -1)
    return Gather(index.astype(np.int32), int(np.prod(shape)))


def every_input(n_inputs: int) -> Gather:
    """Return the gather of a fully connected layer: one position, each input at its own row."""
    return Gather(np.arange(n_inputs, dtype=np.int32)[np.newaxis, :, np.newaxis], n_inputs)


def by_column(values: NDArray[np.float64], n_positions: int) -> NDArray[np.float64]:
    """Return values of shape (sample, output) as (observation, column).

    Each position of a convolution is an observation of its channel.
    """
    columns = values.reshape(values.shape[0], -1, n_positions)
    return np.swapaxes(columns, 1, 2).reshape(-1, columns.shape[1])

"""What a tensor of a graph is on its way to a chip: wires, charge, or a maximum that waits.

A `View` is what neurons send, moved, repeated or averaged: wires. An `Affine` is charge that adds
up on columns and has not met a neuron yet: linear operations, normalisation and residual additions
join it as rows, factors and biases. A `Maximum` is a pool that waits for its rectifier, with which
it commutes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikeram.conversion import ops
from spikeram.conversion.graph import Shape

Index: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class View:
    """Signals of neurons: the mean over some of them, times a factor, plus a shift.

    Parameters
    ----------
    index : int64 ndarray of shape (*shape, tap)
        Numbers of the neurons, counted over everything that sends; -1 for silence.
    factor, shift : ndarray of the shape
        What the mean is multiplied with, and what is added.
    """

    index: Index
    factor: Floats
    shift: Floats

    @property
    def shape(self) -> Shape:
        """Shape of one sample."""
        return self.index.shape[:-1]


@dataclass(frozen=True, eq=False, kw_only=True)
class Affine:
    """Weighted sums on columns, at every position, before any neuron.

    Parameters
    ----------
    name : str
        Name of the operation that the columns are called after.
    weight : ndarray of shape (row, column)
        The matrix.
    index : int64 ndarray of shape (position, row, tap)
        Neurons at each row, over the mean of which it is driven.
    bias : ndarray of shape (column,)
        Biases.
    arrangement : int64 ndarray
        For each element of a sample, its number ``column * n_positions + position``.
    """

    name: str
    weight: Floats
    index: Index
    bias: Floats
    arrangement: Index

    @property
    def shape(self) -> Shape:
        """Shape of one sample."""
        return self.arrangement.shape


@dataclass(frozen=True, eq=False, kw_only=True)
class Maximum:
    """The largest values over windows of what an `Affine` will send once it has neurons."""

    of: Affine
    index: Index
    name: str


Value: TypeAlias = View | Affine | Maximum


def shape_of(value: Value) -> Shape:
    """Return the shape of one sample."""
    return value.index.shape[:-1] if isinstance(value, Maximum) else value.shape


def signals(numbers: Index) -> View:
    """Return neurons as they are."""
    return View(
        index=numbers[..., np.newaxis], factor=np.ones(numbers.shape), shift=np.zeros(numbers.shape)
    )


def moved(view: View, elements: Index) -> View:
    """Return elements of a view, by number; -1 for zero."""
    taps = view.index.shape[-1]
    index = np.concatenate([view.index.reshape(-1, taps), np.full((1, taps), -1)])
    return View(
        index=index[elements],
        factor=np.append(view.factor.ravel(), 1.0)[elements],
        shift=np.append(view.shift.ravel(), 0.0)[elements],
    )


def without_silent_rows(value: Affine) -> Affine:
    """Return the same sums without rows that nothing ever drives, such as padded channels."""
    driven = np.any(value.index >= 0, axis=(0, 2))
    if driven.all() or not driven.any():
        return value
    return replace(value, weight=value.weight[driven], index=value.index[:, driven])


def repeated(index: Index, taps: int) -> Index:
    """Return the same means over more taps: each one several times."""
    return np.repeat(index, taps // index.shape[-1], axis=-1)


def blocks(weight: Floats, groups: int) -> Floats:
    """Return a kernel of groups as one matrix of shape (row, column)."""
    n_out, n_rows = weight.shape[0] // groups, math.prod(weight.shape[1:])
    matrix = np.zeros((groups * n_rows, weight.shape[0]))
    for n in range(groups):
        columns = slice(n * n_out, (n + 1) * n_out)
        matrix[n * n_rows : (n + 1) * n_rows, columns] = weight[columns].reshape(n_out, -1).T
    return matrix


def folded(view: View, elements: Index, weight: Floats) -> tuple[Floats, Floats] | None:
    """Return the weights and biases that hold a view's factors and shifts, if these can."""
    inside = elements >= 0
    factor = np.append(view.factor.ravel(), np.nan)[elements]
    known = np.where(inside, factor, -np.inf).max(axis=0)
    known = np.where(np.isfinite(known), known, 1.0)
    if not np.array_equal(factor[inside], np.broadcast_to(known, factor.shape)[inside]):
        return None
    shift = np.append(view.shift.ravel(), 0.0)[elements]
    # A shift that padding cuts off differs from position to position. Shifts are compared, and not
    # their products: a matrix product may round equal rows differently.
    if np.any(weight[np.any(shift != shift[:1], axis=0)]):
        return None
    return weight * known[:, np.newaxis], shift[0] @ weight


def common(factor: Floats, index: Index) -> Floats | None:
    """Return the factor that the elements of each window share, if they do."""
    windows = np.append(factor.ravel(), np.nan)[index]
    largest = np.where(index >= 0, windows, -np.inf).max(axis=-1)
    same = np.where(index >= 0, windows, largest[..., np.newaxis]) == largest[..., np.newaxis]
    return np.where(np.isfinite(largest), largest, 1.0) if same.all() else None


def per_channel(view: View) -> bool:
    """Return whether factors and shifts are the same all over each channel."""
    for values in (view.factor, view.shift):
        flat = values.reshape(values.shape[0], -1)
        if not np.all(flat == flat[:, :1]):
            return False
    return True


def windows(op: ops.Pool | ops.AdaptivePool, shape: Shape) -> tuple[Index, Floats]:
    """Return the elements in each window, and the share of its divisor that they are.

    Windows of several sizes repeat their elements: a mean stays a mean over as many taps.
    """
    places, counted = op.windows(shape)
    elements = np.arange(math.prod(shape)).reshape(shape)
    n_axes = len(places)
    spans: list[Index] = []
    inside: list[NDArray[np.bool_]] = []
    divisor: list[Index] = []
    for n, (at, counts) in enumerate(zip(places, counted)):
        shaped = [1] * (2 * n_axes)
        shaped[n], shaped[n_axes + n] = at.shape
        spans.append(at.reshape(shaped))
        inside.append((at >= 0).reshape(shaped))
        divisor.append(counts.sum(axis=1).reshape([-1 if k == n else 1 for k in range(n_axes)]))
    shape_out = tuple(len(at) for at in places)
    within = np.logical_and.reduce(np.broadcast_arrays(*inside))
    # numpy takes a tuple of index arrays after a slice; its stubs do not know.
    picked = elements[(slice(None), *np.broadcast_arrays(*spans))]  # type: ignore[arg-type]
    picked = np.where(within, picked, -1).reshape(shape[0], *shape_out, -1)
    size = np.count_nonzero(picked >= 0, axis=-1)
    if op.kind == "max":
        return picked, np.ones(picked.shape[:-1])
    taps = math.lcm(*(int(n) for n in np.unique(size) if n))
    total = math.prod(divisor[1:], start=divisor[0])
    index = np.full((*picked.shape[:-1], taps), -1)
    for n in (int(n) for n in np.unique(size) if n):
        # Sorted, what is outside the image stands in front.
        own = np.sort(picked[size == n], axis=-1)[:, -n:]
        index[size == n] = np.repeat(own, taps // n, axis=-1)
    return index, size / total

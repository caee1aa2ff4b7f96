"""From NIR nodes without state to the weights, biases and gather of a layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spikeram.conversion.nir import nodes
from spikeram.conversion.nir.apply import apply
from spikeram.conversion.nir.graph import Leaf
from spikeram.conversion.nir.parameters import Array, Shape
from spikeram.conversion.nir.stages import MAX_UNROLLED
from spikeram.errors import ConversionError
from spikeram.gather import Gather, after_average_pool, convolution, every_input


@dataclass(frozen=True, eq=False, kw_only=True)
class Weights:
    """What nodes without state do to their input.

    Parameters
    ----------
    weight : ndarray of shape (row, column)
        Weights; a row is the mean of its taps.
    bias : ndarray of shape (output,)
        What comes without input.
    gather : Gather or None
        Of a convolution.
    """

    weight: Array
    bias: Array
    gather: Gather | None

    @property
    def n_positions(self) -> int:
        """Number of positions of a convolution; 1 otherwise."""
        return 1 if self.gather is None else self.gather.n_positions

    @property
    def n_inputs(self) -> int:
        """Number of inputs."""
        return len(self.weight) if self.gather is None else self.gather.n_inputs


def weights_of(linear: Sequence[Leaf], shape: Shape) -> Weights:
    """Return one convolution, after a pool or not, as gathered rows, and all else as a matrix.

    Parameters
    ----------
    linear : sequence of node
        In order.
    shape : tuple of int
        Shape of what enters.

    Raises
    ------
    ConversionError
        If a matrix would be too large.
    """
    bare = [node for node in linear if not isinstance(node, nodes.Flatten)]
    pool = bare[0] if bare and isinstance(bare[0], nodes.SumPool2d | nodes.AvgPool2d) else None
    last = bare if pool is None else bare[1:]
    if len(last) != 1 or (pool is not None and pool.padding != (0, 0)):
        return matrix_of(linear, shape)
    made = _of_one(last[0], shape if pool is None else pool.output_shape(shape))
    if made is None:
        return matrix_of(linear, shape)
    if pool is None:
        return made
    gather = made.gather if made.gather is not None else every_input(len(made.weight))
    size = (shape[0], shape[1], shape[2])
    return Weights(
        weight=made.weight
        * (math.prod(pool.kernel_size) if isinstance(pool, nodes.SumPool2d) else 1),
        bias=made.bias,
        gather=after_average_pool(gather, size, pool.kernel_size, pool.stride),
    )


def matrix_of(linear: Sequence[Leaf], shape: Shape) -> Weights:
    """Return what nodes do to each input alone, and to none, as a matrix and biases."""
    n_inputs, leaving = math.prod(shape), shape
    for node in linear:
        leaving = node.output_shape(leaving)
    if n_inputs * math.prod(leaving) > MAX_UNROLLED:
        raise ConversionError(
            f"Weights from {shape} to {leaving} make a matrix of {n_inputs} x "
            f"{math.prod(leaving)}; at most {MAX_UNROLLED} entries are held."
        )
    values = np.vstack([np.zeros((1, n_inputs)), np.eye(n_inputs)]).reshape(-1, *shape)
    for node in linear:
        values = apply(node, values)  # type: ignore[arg-type]
    flat = values.reshape(n_inputs + 1, -1)
    return Weights(weight=flat[1:] - flat[0], bias=flat[0], gather=None)


def joined(parts: Sequence[Weights]) -> Weights | None:
    """Return weights from several sources as those from one after the other, or None.

    Gathered rows of one layer have as many taps each, and the same positions.
    """
    if len(parts) == 1:
        return parts[0]
    bias = np.asarray(sum(part.bias for part in parts), dtype=np.float64)
    weight = np.vstack([part.weight for part in parts])
    gathers = [part.gather for part in parts if part.gather is not None]
    if not gathers:
        return Weights(weight=weight, bias=bias, gather=None)
    alike = {(gather.n_positions, gather.n_taps) for gather in gathers}
    if len(gathers) < len(parts) or len(alike) > 1:
        return None
    start, index = 0, []
    for gather in gathers:
        index.append(np.where(gather.index >= 0, gather.index + start, -1))
        start += gather.n_inputs
    return Weights(
        weight=weight,
        bias=bias,
        gather=Gather(np.concatenate(index, axis=1).astype(np.int32), start),
    )


def _of_one(node: Leaf, shape: Shape) -> Weights | None:
    """Return one node's weights, or None where it needs a matrix."""
    if isinstance(node, nodes.Affine | nodes.Linear) and node.weight.ndim == 2:
        bias = node.bias if isinstance(node, nodes.Affine) else np.zeros(len(node.weight))
        return Weights(weight=node.weight.T, bias=bias, gather=None)
    if not isinstance(node, nodes.Conv2d) or node.groups != 1 or len(shape) != 3:
        return None
    if any(before != after for before, after in node.sides):
        return None
    gather, size = convolution(
        (shape[0], shape[1], shape[2]),
        (node.weight.shape[2], node.weight.shape[3]),
        stride=node.stride,
        padding=(node.sides[0][0], node.sides[1][0]),
        dilation=node.dilation,
    )
    return Weights(
        weight=node.weight.reshape(len(node.weight), -1).T,
        bias=np.repeat(node.bias, math.prod(size)),
        gather=gather,
    )

"""What the nodes without state compute, on many samples at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from spikeram.conversion.nir import nodes
from spikeram.conversion.nir.assume import Fires
from spikeram.conversion.nir.graph import Stateless
from spikeram.conversion.nir.parameters import Array, Pair


def apply(node: Stateless, x: Array, fires: Fires = "above") -> Array:
    """Return what a node makes of its input.

    Parameters
    ----------
    node : node
        One without state.
    x : ndarray of shape (sample, ...)
        Inputs.
    fires : {"above", "at"}
        Whether a `Threshold` passes values equal to it.

    Returns
    -------
    ndarray of shape (sample, ...)
    """
    match node:
        case nodes.Input() | nodes.Output():
            return x
        case nodes.Linear():
            return _product(node.weight, x)
        case nodes.Affine():
            return _product(node.weight, x) + node.bias
        case nodes.Scale():
            return x * node.scale
        case nodes.Conv2d():
            return _convolution(node, x)
        case nodes.Conv1d():
            return _convolution(node.as_2d, x[:, :, np.newaxis])[:, :, 0]
        case nodes.SumPool2d():
            return np.asarray(_pooled(node, x).sum((-2, -1)))
        case nodes.AvgPool2d():
            return np.asarray(_pooled(node, x).mean((-2, -1)))
        case nodes.Flatten():
            return x.reshape(len(x), *node.output_shape(x.shape[1:]))
        case nodes.Threshold():
            passed = x > node.threshold if fires == "above" else x >= node.threshold
            return passed.astype(np.float64)


def _product(weight: Array, x: Array) -> Array:
    if weight.ndim == 2:
        return np.asarray(x @ weight.T)
    return np.asarray((weight @ x[..., np.newaxis])[..., 0])


def _pooled(node: nodes.SumPool2d | nodes.AvgPool2d, x: Array) -> Array:
    y, across = node.padding
    return _windows(x, ((y, y), (across, across)), node.kernel_size, node.stride)


def _windows(
    x: Array, sides: tuple[Pair, Pair], reach: Pair, stride: Pair, dilation: Pair = (1, 1)
) -> Array:
    """Return the windows of images, of shape (sample, channel, y, x, window y, window x)."""
    padded: Array = np.pad(x, ((0, 0), (0, 0), *sides))
    axes: Any = (2, 3)
    views = np.lib.stride_tricks.sliding_window_view(padded, reach, axes)
    windows: Array = views[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    return windows


def _convolution(node: nodes.Conv2d, x: Array) -> Array:
    reach = [d * (k - 1) + 1 for d, k in zip(node.dilation, node.weight.shape[2:])]
    windows = _windows(x, node.sides, (reach[0], reach[1]), node.stride, node.dilation)
    inputs, outputs = node.weight.shape[1], node.weight.shape[0] // node.groups
    parts = [
        np.tensordot(
            windows[:, group * inputs : (group + 1) * inputs],
            node.weight[group * outputs : (group + 1) * outputs],
            axes=([1, 4, 5], [1, 2, 3]),
        )
        for group in range(node.groups)
    ]
    summed = np.concatenate(parts, axis=-1) + node.bias
    return np.moveaxis(summed, -1, 1)

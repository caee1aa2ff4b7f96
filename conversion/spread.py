r"""Weights that stand out of their columns, spread over several pairs of cells.

The largest weight of a column takes the whole conductance window, and the errors of all its cells
are a share of it. Where a residual sum is made on the array, the shortcut's one weight of a column
can be ten times as large as the convolution's: their errors then are, too. Driven by the same
spikes, k pairs of cells hold :math:`w / k` each. With the errors of n cells independent, of
standard deviation :math:`\epsilon \max|w|`, the column's is

.. math:: \sigma = \epsilon \frac{w_{max}}{k} \sqrt{n + k - 1}

where one weight is spread: smaller until the column's largest weights are equal.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spikeram.gather import Gather, every_input
from spikeram.layer import Layer
from spikeram.network import SpikingNetwork

STANDS_OUT = 2.0
"""How many times as large as the next one of its column a weight has to be."""


def spread_weights(network: SpikingNetwork, *, most: int = 10) -> SpikingNetwork:
    """Return a network in which weights that stand out have several rows.

    It fires the same spikes on ideal cells, but for rounding of weights to quanta, and needs more
    rows; layers whose weights are alike stay as they are.

    Parameters
    ----------
    network : SpikingNetwork
        A converted network.
    most : int
        Most rows that the weights of one input are spread over.

    Examples
    --------
    >>> from spikeram import Layer
    >>> weight = np.array([[8.0, 0.5], [1.0, 4.0], [-2.0, 0.5]])
    >>> layer = Layer(name="only", weight=weight, bias=np.zeros(2), threshold=np.ones(2))
    >>> spread_weights(SpikingNetwork(layers=[layer])).layers[0].weight.shape
    (13, 2)
    """
    if most < 1:
        raise ValueError(f"spread_weights expects most >= 1, got {most}.")
    layers = tuple(_spread(layer, most) for layer in network.layers)
    return replace(network, layers=layers)  # type: ignore[call-arg]


def _spread(layer: Layer, most: int) -> Layer:
    times = _times(np.abs(layer.weight), most)
    if times.max() == 1:
        return layer
    gather = layer.gather or every_input(layer.n_inputs)
    rows = np.repeat(np.arange(times.size), times)
    return replace(
        layer,
        weight=layer.weight[rows] / times[rows, np.newaxis],
        gather=Gather(gather.index[:, rows], gather.n_inputs),
    )


def _times(size: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Return over how many rows each row of magnitudes is spread."""
    times = np.ones(size.shape[0], np.int64)
    if size.shape[0] == 1:
        return times
    next_largest, largest = np.sort(size, axis=0)[-2:]
    ratio = np.divide(largest, next_largest, out=np.ones_like(largest), where=next_largest > 0)
    for row, of_next in zip(size.argmax(axis=0), ratio):
        if of_next >= STANDS_OUT:
            times[row] = max(times[row], min(most, int(np.ceil(of_next))))
    return times

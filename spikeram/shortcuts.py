"""Which rows of a layer are a shortcut that is added unchanged: the chip can do without them.

The published chip multiplied in inference mode, and its host added parts and passed activations
on as numbers (Wan et al., Nature 608, 504, 2022, Methods): a residual sum takes no cells there.
With spikes the membrane is what adds, and a shortcut needs cells of its own.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikeram.network import SpikingNetwork

Shortcuts: TypeAlias = Literal["array", "digital"]
"""Where shortcuts are added: as rows of the array, or to its readings in inference mode."""


def shortcut_rows(network: SpikingNetwork, n: int) -> NDArray[np.intp]:
    """Return the rows of layer `n` through which a source is added unchanged.

    Those of a source beside others of which every row has one weight, in a column of its own: an
    identity, or a choice of channels. A convolution of one pixel is none.

    Parameters
    ----------
    network : SpikingNetwork
        The network.
    n : int
        Number of the layer.

    Examples
    --------
    >>> from spikeram import Layer
    >>> first = Layer(name="a", weight=np.eye(2), bias=np.zeros(2), threshold=np.ones(2))
    >>> weight = np.array([[1.0, 0.0], [0.0, 1.0], [0.3, 0.1], [-0.2, 0.4]])
    >>> both = Layer(
    ...     name="b",
    ...     weight=weight,
    ...     bias=np.zeros(2),
    ...     threshold=np.ones(2),
    ...     sources=("input", "a"),
    ... )
    >>> shortcut_rows(SpikingNetwork(layers=[first, both]), 1)
    array([0, 1])
    """
    layer = network.layers[n]
    sources = network.wiring.sources[layer.name]
    if len(sources) == 1:
        return np.empty(0, np.intp)
    source = _source_of_rows(network, n)
    used = layer.weight != 0
    found = [np.empty(0, np.intp)]
    for number in range(len(sources)):
        rows = np.flatnonzero(source == number)
        own = used[rows]
        if rows.size and np.all(own.sum(axis=1) == 1) and np.all(own.sum(axis=0) <= 1):
            found.append(rows)
    rows = np.sort(np.concatenate(found))
    # Something has to be left to multiply.
    return rows if rows.size < layer.weight.shape[0] else np.empty(0, np.intp)


def _source_of_rows(network: SpikingNetwork, n: int) -> NDArray[np.intp]:
    """Return the number of the source that drives each row; -1 where several do."""
    layer = network.layers[n]
    widths = [network.wiring.widths[name] for name in network.wiring.sources[layer.name]]
    of_inputs = np.repeat(np.arange(len(widths)), widths)
    if layer.gather is None:
        return of_inputs
    index = layer.gather.index
    at = np.where(index >= 0, of_inputs[index], -1)
    most = at.max(axis=(0, 2))
    least = np.where(index >= 0, at, len(widths)).min(axis=(0, 2))
    return np.where(most == least, most, -1).astype(np.intp)

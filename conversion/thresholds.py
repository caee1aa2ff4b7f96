r"""Thresholds from activations: the largest, a percentile, or least squares at a chosen T.

A neuron that integrates a constant drive :math:`a` for :math:`T` steps from half a threshold
fires :math:`\mathrm{clip}(\lfloor aT/\theta + 1/2\rfloor, 0, T)` times. A small threshold clips
large activations, a large one quantises small ones coarsely. With room for :math:`R` spikes in a
step, where neurons burst, the count ends at :math:`R T` instead. All calibration data count at
once, in any order: there is no running average.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikeram.conversion.trained import TrainedNetwork
from spikeram.pool import MaxPool
from spikeram.wiring import INPUT

PERCENTILE = 99.9
"""Share of activations [%] that stay unclipped under percentile normalisation."""

FLOOR = 0.02
"""Least threshold of a channel as a share of its layer's: silent channels keep a finite one."""

_FACTORS = np.linspace(0.2, 1.0, 33)

_MOST_OBSERVATIONS = 2**17


def largest(activation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each channel's largest activation.

    Parameters
    ----------
    activation : ndarray of shape (observation, column)
        Sizes of activations.

    Returns
    -------
    ndarray of shape (column,)
    """
    return _floored(activation.max(axis=0), activation)


def percentile(activation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each channel's `PERCENTILE`.

    Percentile normalisation after Rueckauer et al., Front. Neurosci. 11, 682 (2017), here for
    each channel.

    Parameters
    ----------
    activation : ndarray of shape (observation, column)
        Sizes of activations.

    Returns
    -------
    ndarray of shape (column,)
    """
    return _floored(np.percentile(activation, PERCENTILE, axis=0), activation)


def least_squares(
    activation: NDArray[np.float64], steps: int, room: int = 1
) -> NDArray[np.float64]:
    r"""Return each channel's threshold of least squared error after `steps` steps.

    .. math:: \theta_c = \arg\min_\theta\ E\left[\left(\theta\,
              \mathrm{clip}\left(\lfloor a_c T/\theta + 1/2\rfloor / T, 0, R\right)
              - a_c\right)^2\right]

    over 33 shares, from 0.2 to 1, of an R-th of the channel's largest activation.

    Parameters
    ----------
    activation : ndarray of shape (observation, column)
        Sizes of activations.
    steps : int
        Number of steps T.
    room : int
        Spikes R of a step that the largest activation may take.

    Returns
    -------
    ndarray of shape (column,)
    """
    most = activation.max(axis=0)
    candidates = _floored(most, activation) / room * _FACTORS[:, np.newaxis]
    # A mean error over so many observations is as good as over all.
    some = activation[:: -(-activation.shape[0] // _MOST_OBSERVATIONS)]
    errors = np.stack([expected_error(some, theta, steps, room) for theta in candidates])
    best = np.argmin(errors, axis=0)
    chosen: NDArray[np.float64] = candidates[best, np.arange(most.size)]
    return chosen


def expected_error(
    activation: NDArray[np.float64], threshold: NDArray[np.float64], steps: int, room: int = 1
) -> NDArray[np.float64]:
    """Return each channel's mean squared error of rate coding with constant drive."""
    counts = np.clip(np.floor(activation * (steps / threshold) + 0.5), 0, room * steps)
    error: NDArray[np.float64] = np.mean((counts * (threshold / steps) - activation) ** 2, axis=0)
    return error


def _floored(
    threshold: NDArray[np.float64], activation: NDArray[np.float64]
) -> NDArray[np.float64]:
    whole = float(np.percentile(activation, PERCENTILE)) or float(activation.max())
    # A layer that is silent on all calibration data still needs a finite threshold.
    return np.maximum(threshold, FLOOR * whole if whole > 0 else 1.0)


def tied(
    trained: TrainedNetwork, chosen: dict[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    """Return thresholds that agree among columns whose spikes meet at one row or one counter.

    A row has one weight for all spikes that it takes, as where pixels of several channels were
    shuffled into one; columns that share a row take their largest threshold.

    Parameters
    ----------
    trained : TrainedNetwork
        The network.
    chosen : mapping of str to ndarray of shape (column,)
        Thresholds of each layer but the last, by name.
    """
    labels = _labels(trained)
    worth = {name: threshold.copy() for name, threshold in chosen.items()}
    count = max((int(own.max()) for own in labels.values()), default=0) + 1
    parent = np.arange(count)
    for node in trained.nodes:
        read = np.concatenate([labels[name] for name in trained.wiring.sources[node.name]])
        if isinstance(node, MaxPool):
            groups = read[node.index]
            there = node.index >= 0
        elif node.gather is not None:
            index = np.swapaxes(node.gather.index, 0, 1).reshape(node.gather.n_rows, -1)
            groups, there = read[index], index >= 0
        else:
            continue
        first = np.max(np.where(there, groups, -1), axis=1)
        mixed = np.any(there & (groups != first[:, np.newaxis]), axis=1)
        for row in np.flatnonzero(mixed):
            members = np.unique(parent[groups[row][there[row]]])
            parent[np.isin(parent, members)] = members[0]
    if np.array_equal(parent, np.arange(count)):
        return worth
    largest_of = np.zeros(count)
    columns = {layer.name: labels[layer.name][:: layer.n_positions] for layer in trained.layers}
    for name, threshold in worth.items():
        np.maximum.at(largest_of, parent[columns[name]], threshold)
    return {name: largest_of[parent[columns[name]]] for name in worth}


def _labels(trained: TrainedNetwork) -> dict[str, NDArray[np.int64]]:
    """Return, for each output of each node, the number of the column that it comes from."""
    labels = {INPUT: np.zeros(trained.n_inputs, np.int64)}
    count = 1
    for node in trained.nodes:
        if isinstance(node, MaxPool):
            (source,) = trained.wiring.sources[node.name]
            first = np.take_along_axis(
                node.index, np.argmax(node.index >= 0, axis=1)[:, np.newaxis], axis=1
            )
            labels[node.name] = labels[source][np.maximum(first[:, 0], 0)]
        else:
            n_columns = node.weight.shape[1]
            labels[node.name] = np.repeat(count + np.arange(n_columns), node.n_positions)
            count += n_columns
    return labels

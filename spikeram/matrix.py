r"""The matrix of a layer as it is programmed: weights, always-on rows for biases, and its window.

Each layer's weights, times the worth of its input spikes, :math:`W_{ij}\,\theta_i^{l-1}`, get its
biases as always-on rows at the bottom, so many that a bias needs no larger a window than the
weights. A chip's `full_scale` says what takes the end of the window, :math:`w_{max,j}`: the largest
magnitude in the column, that in the whole layer, or the value of least squares. The latter lets
some weights saturate, so that the others use more of the window and errors of the cells, of
standard deviation :math:`\sigma(G)`, weigh less. With rows of equal power it minimises

.. math:: \sum_i \left[\max(|W_{ij}| - w_{max,j},\ 0)^2 + \frac{\sigma^2(G^+_{ij})
          + \sigma^2(G^-_{ij})}{k\,(g_{max} - g_{min})^2}\,w_{max,j}^2\right]

for k pairs per weight. Biases never saturate.

Where a core has one threshold for all its columns (a chip's `column_gain`), :math:`w_{max,j}` is
the same multiple of the threshold :math:`\theta_j` in all of them; see `spikeram.balance`. Least
squares then chooses one multiple, for the sum of the errors in units of :math:`\theta_j^2`. Neurons
whose spikes are worth next to nothing are left out: they would widen the window of all others.
They keep their column's largest weight, and fire less than they should.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from spikeram.balance import equal_rows, held_pairs
from spikeram.chip import Chip
from spikeram.crossbar import conductance_from_weight
from spikeram.network import Layer, SpikingNetwork
from spikeram.shortcuts import Shortcuts, shortcut_rows
from spikeram.units import Second

MAX_BIAS_ROWS = 8
"""Most always-on row pairs of one layer; the published chip used one to six."""

BIAS_QUANTILE = 0.9
"""Share of a layer's columns whose biases fit the window of their weights."""

SILENT = 0.1
"""Share of the median threshold below which a neuron's spikes are worth too little to count."""

SCALES = np.linspace(1.0, 0.2, 33)
"""Shares of a column's largest weight that least squares chooses from."""


@dataclass(frozen=True, eq=False)
class Matrix:
    """A layer's weights with always-on rows at the bottom, in units of activation per spike.

    Parameters
    ----------
    weight : ndarray of shape (row, column)
        Weights of fully driven rows, those of the biases last.
    w_max : ndarray of shape (column,)
        Weight that takes the end of the window.
    n_bias : int
        Always-on rows.
    height : int
        Rows of weights of a segment that it is cut into, the dummy rows among them.
    held : int
        Dummy rows at the end of each segment.
    digital : ndarray of shape (shortcut,)
        Rows of the layer that are left out, to be added digitally.
    """

    weight: NDArray[np.float64]
    w_max: NDArray[np.float64]
    n_bias: int
    height: int
    held: int = 0
    digital: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))

    @property
    def n_rows(self) -> int:
        """Rows of weights in all, held ones included."""
        n_weights: int = self.weight.shape[0]
        return n_weights + self.held * -(-n_weights // (self.height - self.held))


def layer_matrix(
    network: SpikingNetwork, n: int, chip: Chip, delay: Second, shortcuts: Shortcuts = "array"
) -> Matrix:
    """Return the matrix of layer `n` for a chip that is read at a delay."""
    layer = network.layers[n]
    weight = layer.row_weight(network.worth(n))
    if shortcuts not in get_args(Shortcuts):
        raise ValueError(f"shortcuts expects 'array' or 'digital', got {shortcuts!r}.")
    digital = shortcut_rows(network, n) if shortcuts == "digital" else np.empty(0, np.intp)
    weight = np.delete(weight, digital, axis=0)
    top, per, loud = _window(layer, weight, chip, delay)
    together = chip.full_scale == "layer" or chip.column_gain != "threshold"
    # So many rows that a bias needs no larger a window than its column's weights. Columns of
    # silent neurons have hardly any weight: they do not count, unless all share one window.
    counted = 1.0 if together else BIAS_QUANTILE
    biases = np.abs(layer.bias) / np.where(top > 0, top, 1.0)
    share = float(np.quantile(biases[loud], counted))
    n_bias = min(max(1, int(np.ceil(share))), MAX_BIAS_ROWS)
    each = layer.bias / n_bias
    w_max = np.maximum(top, np.abs(each))
    if together:
        w_max = np.where(loud, per * np.max((w_max / per)[loud]), w_max)
    matrix = Matrix(
        weight=np.vstack([weight, np.tile(each, (n_bias, 1))]),
        w_max=np.where(w_max > 0, w_max, 1.0),
        n_bias=n_bias,
        height=max(1, chip.pairs // chip.pairs_per_weight),
        digital=digital,
    )
    return matrix if chip.column_gain != "balanced" else _balanced(matrix, chip)


def _balanced(matrix: Matrix, chip: Chip) -> Matrix:
    """Return the matrix with room for the dummy rows that equalise its columns."""
    one_pair = conductance_from_weight(
        matrix.weight, g_min=chip.g_min, g_max=chip.g_max, w_max=matrix.w_max
    )
    held = held_pairs(one_pair, matrix.height, g_min=chip.g_min, g_max=chip.g_max)
    rows = equal_rows(matrix.weight.shape[0], matrix.height - held)
    return replace(matrix, held=held, height=rows + held)


def _window(
    layer: Layer, weight: NDArray[np.float64], chip: Chip, delay: Second
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return the weight that takes the end of the window, its unit, and which neurons count."""
    top = full_scale(weight, chip, delay)
    own, per, loud = chip.column_gain == "threshold", np.ones_like(top), np.ones_like(top, bool)
    if own and chip.full_scale != "layer":
        return top, per, loud
    if not own:
        per, loud = layer.threshold, layer.threshold >= SILENT * np.median(layer.threshold)
    shared = per * np.max((np.abs(weight).max(axis=0) / per)[loud])
    if chip.full_scale == "least_squares":
        errors = [_mapping_error(weight, s * shared, chip, delay) / per**2 for s in SCALES]
        shared = SCALES[np.argmin(np.sum(np.array(errors)[:, loud], axis=1))] * shared
    return np.where(loud, shared, top), per, loud


def full_scale(weight: NDArray[np.float64], chip: Chip, delay: Second) -> NDArray[np.float64]:
    """Return the weight of each column that takes the end of the window; 0 without weights.

    Parameters
    ----------
    weight : ndarray of shape (row, column)
        Weights.
    chip : Chip
        For its choice, its window and its cells.
    delay : Second
        When it is read [s].
    """
    largest: NDArray[np.float64] = np.abs(weight).max(axis=0)
    if chip.full_scale == "layer":
        return np.full_like(largest, largest.max())
    if chip.full_scale == "column":
        return largest
    errors = [_mapping_error(weight, share * largest, chip, delay) for share in SCALES]
    least: NDArray[np.float64] = SCALES[np.argmin(errors, axis=0)] * largest
    return least


def _mapping_error(
    weight: NDArray[np.float64], w_max: NDArray[np.float64], chip: Chip, delay: Second
) -> NDArray[np.float64]:
    """Return the squared error of each column's weights expected at a delay."""
    saturated = np.maximum(np.abs(weight) - w_max, 0.0)
    above_zero = np.where(w_max > 0, w_max, 1.0)
    target = conductance_from_weight(weight, g_min=chip.g_min, g_max=chip.g_max, w_max=above_zero)
    variance = np.sum(chip.device.deviation(target, delay) ** 2, axis=0) / chip.pairs_per_weight
    noise = variance * (w_max / (chip.g_max - chip.g_min)) ** 2
    error: NDArray[np.float64] = np.sum(saturated**2 + noise, axis=0)
    return error

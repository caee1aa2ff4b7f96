r"""program: from a spiking network to a chip that holds it.

Each layer's matrix, weighted by the worth of its input spikes, :math:`W_{ij}\,\theta_i^{l-1}`,
gets its biases as always-on rows at the bottom and is mapped column by column to the whole
conductance window. One unit of activation is then worth

.. math:: u_j = \frac{C_s}{C_i}\,V_{read}\,
          \frac{g_{max} - g_{min}}{w_{max,j}\sum_i (G^+_{ij}+G^-_{ij})}

volts on column :math:`j`, with the target conductances in the sum. Where several pairs hold a
weight their rows lie side by side; the sum, and :math:`u_j`, are those of one of them.

A chip's `full_scale` says what :math:`w_{max,j}` is: the largest magnitude in the column, that in
the whole layer, or the value of least squares. The latter lets some weights saturate, so that
the others use more of the window and errors of the cells, of standard deviation
:math:`\sigma(G)`, weigh less. With rows of equal power it minimises

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

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spikeram import registry
from spikeram.balance import held_pairs, with_held_pairs
from spikeram.chip import Chip, ProgrammedChip, ProgrammedLayer
from spikeram.crossbar import Crossbar, conductance_from_weight
from spikeram.errors import CapacityError
from spikeram.network import Layer, SpikingNetwork
from spikeram.seeds import Seed
from spikeram.units import Quantity, Second, as_si
from spikeram.write_verify import write_and_relax

MAX_BIAS_ROWS = 8
"""Most always-on row pairs of one layer; the published chip used one to six."""

BIAS_QUANTILE = 0.9
"""Share of a layer's columns whose biases fit the window of their weights."""

SILENT = 0.1
"""Share of the median threshold below which a neuron's spikes are worth too little to count."""

SCALES = np.linspace(1.0, 0.2, 33)
"""Shares of a column's largest weight that least squares chooses from."""


def program(
    network: SpikingNetwork,
    *,
    chip: str | Chip = "neurram",
    delay: Quantity = "1 day",
    seed: Seed,
    index: int = 0,
    rounds: int | None = None,
) -> ProgrammedChip:
    """Return `network` written to a chip, as it is `delay` later.

    Parameters
    ----------
    network : SpikingNetwork
        What to program.
    chip : str or Chip
        A chip, or the name of a published one.
    delay : Second
        Time between programming and read-out; ``"1 day"`` and seconds both serve.
    seed : int or numpy.random.SeedSequence
        Where cells and pulses draw from.
    index : int
        Number of the chip: chips of one seed and different numbers are independent.
    rounds : int, optional
        Rounds of iterative programming: cells that left the window are written again. By
        default as many as the chip takes.

    Raises
    ------
    CapacityError
        If the network needs more cores than the chip has.
    """
    if not isinstance(network, SpikingNetwork):
        raise TypeError(
            f"program expects a SpikingNetwork, got {type(network).__name__}. Convert a trained "
            "network first: spikeram.convert(model, calibration)."
        )
    chosen = registry.lookup("chips", chip)() if isinstance(chip, str) else chip
    if not isinstance(chosen, Chip):
        raise TypeError(f"chip expects a Chip or the name of one, got {type(chip).__name__}.")
    time = as_si(delay, "s", "delay")
    n_rounds = chosen.rounds if rounds is None else rounds
    matrices = [_matrix(network, n, chosen, time) for n in range(len(network.layers))]
    _check_capacity(matrices, chosen)
    layers = tuple(
        _program_layer(
            layer, matrix, chosen, delay=time, seed=seed, address=(index, n), rounds=n_rounds
        )
        for n, (layer, matrix) in enumerate(zip(network.layers, matrices))
    )
    return ProgrammedChip(
        network=network, chip=chosen, layers=layers, delay=time, seed=str(seed), index=index
    )


@dataclass(frozen=True, eq=False)
class _Matrix:
    """A layer's weights with always-on rows at the bottom, in units of activation per spike.

    A core has room for `height` rows of weights, of which the last `held` are dummies.
    """

    weight: NDArray[np.float64]
    w_max: NDArray[np.float64]
    n_bias: int
    height: int
    held: int = 0

    @property
    def n_rows(self) -> int:
        """Rows of weights in all, held ones included."""
        n_weights: int = self.weight.shape[0]
        return n_weights + self.held * -(-n_weights // (self.height - self.held))


def _matrix(network: SpikingNetwork, n: int, chip: Chip, delay: Second) -> _Matrix:
    layer = network.layers[n]
    weight = layer.row_weight(network.worth(n))
    top = _full_scale(weight, chip, delay)
    own, per, loud = chip.column_gain == "threshold", np.ones_like(top), np.ones_like(top, bool)
    together = chip.full_scale == "layer" or not own
    if not own:
        per, loud = layer.threshold, layer.threshold >= SILENT * np.median(layer.threshold)
    if together:
        shared = per * np.max((np.abs(weight).max(axis=0) / per)[loud])
        if chip.full_scale == "least_squares":
            errors = [_mapping_error(weight, s * shared, chip, delay) / per**2 for s in SCALES]
            shared = SCALES[np.argmin(np.sum(np.array(errors)[:, loud], axis=1))] * shared
        top = np.where(loud, shared, top)
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
    matrix = _Matrix(
        weight=np.vstack([weight, np.tile(each, (n_bias, 1))]),
        w_max=np.where(w_max > 0, w_max, 1.0),
        n_bias=n_bias,
        height=max(1, chip.pairs // chip.pairs_per_weight),
    )
    if chip.column_gain != "balanced":
        return matrix
    one_pair = _conductance(matrix, chip)
    held = held_pairs(one_pair, matrix.height, g_min=chip.g_min, g_max=chip.g_max)
    return replace(matrix, held=held)


def _conductance(matrix: _Matrix, chip: Chip) -> NDArray[np.float64]:
    """Return what the weights of a matrix take, with one pair for each and without dummies."""
    return conductance_from_weight(
        matrix.weight, g_min=chip.g_min, g_max=chip.g_max, w_max=matrix.w_max
    )


def _full_scale(weight: NDArray[np.float64], chip: Chip, delay: Second) -> NDArray[np.float64]:
    """Return the weight of each column that takes the end of the window; 0 without weights."""
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


def _program_layer(
    layer: Layer,
    matrix: _Matrix,
    chip: Chip,
    *,
    delay: Second,
    seed: Seed,
    address: tuple[int, int],
    rounds: int,
) -> ProgrammedLayer:
    weights = _conductance(matrix, chip)
    one_pair = with_held_pairs(weights, matrix.height, matrix.held, g_min=chip.g_min)
    target = np.repeat(one_pair, chip.pairs_per_weight, axis=1)
    written = write_and_relax(
        target,
        chip.device,
        delay=delay,
        seed=seed,
        chip=address[0],
        array=address[1],
        rounds=rounds,
        verify=chip.verify,
    )
    window = chip.g_max - chip.g_min
    unit = chip.neuron.gain * chip.v_read * window / (matrix.w_max * one_pair.sum(axis=(0, 1)))
    return ProgrammedLayer(
        crossbar=Crossbar(
            conductance=written.conductance,
            neuron=replace(chip.neuron, spikes=layer.spikes),
            v_read=chip.v_read,
            pairs_per_core=matrix.height * chip.pairs_per_weight if matrix.held else chip.pairs,
        ),
        target=target,
        written=written.programmed,
        n_pulses=written.n_pulses,
        timed_out=written.timed_out,
        n_bias=matrix.n_bias * chip.pairs_per_weight,
        unit=unit,
        gain=np.ones(layer.n_columns),
        offset=np.zeros(layer.n_columns),
        pairs_per_weight=chip.pairs_per_weight,
        n_held=matrix.held * chip.pairs_per_weight,
        shared_columns=0 if chip.column_gain == "threshold" else chip.columns,
    )


def _check_capacity(matrices: list[_Matrix], chip: Chip) -> None:
    needed = sum(chip.cores_for(one.n_rows, one.weight.shape[1]) for one in matrices)
    if needed > chip.n_cores:
        fewer = "fewer pairs_per_weight, " if chip.pairs_per_weight > 1 else ""
        raise CapacityError(
            f"The network needs {needed} cores, but chip {chip.name!r} has {chip.n_cores}. "
            f"Use a smaller network, {fewer}or a Chip with n_cores={needed} or larger cores."
        )

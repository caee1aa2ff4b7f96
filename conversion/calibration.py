r"""Corrections measured on calibration inputs, layer by layer, without any training.

Bias calibration (light SNN calibration; Li et al., ICML 2021) takes up what is left of the mean
error of rate coding: :math:`b_c \leftarrow b_c + E[a_c] - E[\theta_c N_c / T]`.

Reconstruction goes before it. With the values :math:`\hat a` that really arrive at a layer's rows
and the drive :math:`z` of the trained network, weights and biases become those of the ridge
regression

.. math:: \min_{W', b'} E\left\|\hat a W' + b' - z\right\|^2 + \lambda\|W' - W\|^2,

pairs of zero weight staying empty.

Recalibration takes up what programming did to each column. Where :math:`z` is the drive of the
ideal network's column and :math:`\hat z` that of the programmed one, with the spikes that each
really receives,

.. math:: k_c = \frac{\mathrm{cov}(z_c, \hat z_c)}{\mathrm{var}(\hat z_c)}, \qquad
          \theta_c \leftarrow \theta_c / k_c, \qquad
          b_c \leftarrow b_c + (E[z_c] - k_c E[\hat z_c]) / k_c.

Columns that share a threshold (a chip's ``column_gain``) share :math:`k` too.
Spikes and pixels are not negative, so most of the power of the conductance errors is their mean,
a constant that an offset absorbs. A gain without the offset does harm. Membranes of a chip whose
comparators switch late begin below where they should (`spikeram.analog`); over T steps that is a
constant too, and measured with the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.charge import ChargeLayer
from spikeram.chip import ProgrammedChip
from spikeram.conversion.walk import Walk
from spikeram.encoding import input_levels
from spikeram.layer import Layer
from spikeram.matrix import SILENT
from spikeram.network import SpikingNetwork, checked_steps
from spikeram.partial import PartialSums

BIAS_ROUNDS = 2
"""Corrections of each rectified layer's biases."""

MOST_SAMPLES = 1000
"""Most samples that errors are measured on."""

CHARGE_BYTES = 2**27
"""Size of one layer's charge, which bounds the samples of large networks at many steps."""

FEWEST_SAMPLES = 32
"""Samples that errors are measured on at least, where there are so many."""

RIDGE = 1.0
"""Weight of staying near the trained weights, as a share of the mean power of a row."""

MIN_SAMPLES = 10
"""Fewest samples for gain and offset."""

LEAST_SHARE = 0.125
"""Least measured charge of a partial spike, in thresholds: a soma adds eight for one of its own."""

GAIN_RANGE = (0.5, 2.0)
"""Gains outside are a column's failure, not its gain: they are held at the bound."""


def calibrate_bias(network: SpikingNetwork, x: ArrayLike, *, steps: int) -> SpikingNetwork:
    """Return `network` with biases that take up the mean error of `steps` steps.

    Parameters
    ----------
    network : SpikingNetwork
        What to calibrate; its biases are those of the trained network.
    x : array_like of shape (sample, input)
        Calibration inputs.
    steps : int
        Number of steps T.
    """
    return _calibrated(network, x, steps, reconstruct=False)


def reconstruct(network: SpikingNetwork, x: ArrayLike, *, steps: int) -> SpikingNetwork:
    """Return `network` with weights and biases that take up the error of `steps` steps.

    Parameters
    ----------
    network : SpikingNetwork
        What to calibrate; its weights and biases are those of the trained network.
    x : array_like of shape (sample, input)
        Calibration inputs.
    steps : int
        Number of steps T.
    """
    return _calibrated(network, x, steps, reconstruct=True)


def _calibrated(
    network: SpikingNetwork, x: ArrayLike, steps: int, *, reconstruct: bool
) -> SpikingNetwork:
    steps = checked_steps(steps)
    values = _some(network, network.checked_input(x), steps)
    walk = Walk(network, input_levels(values, network.input_scale), steps)
    layers = list(network.layers)
    for n, z in enumerate(network.preactivations(values)):
        last = n == len(layers) - 1
        target = z if last else layers[n].activation(z)
        if reconstruct:
            arrived = walk.rates(network.charge_layer(n), network.worth(n))
            layers[n] = _regressed(layers[n], arrived, z)
        # Rounding and clipping bend the response, so one correction leaves a rest: repeat.
        for _ in range(1 if last else BIAS_ROUNDS):
            charge = _charge(network, layers, n)
            decoded = _decoded(walk, charge, last)
            shift = layers[n].by_column(target - decoded).mean(axis=0)
            layers[n] = replace(layers[n], bias=layers[n].bias + shift)
        if not last:
            walk.fire(_charge(network, layers, n))
            walk.leave(layers[n].name)
    return network.with_layers(layers)


def _some(network: SpikingNetwork, values: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    """Return as many samples as are needed, a stride through all of them: sorted or not."""
    widest = max(layer.n_outputs for layer in network.layers)
    affordable = max(FEWEST_SAMPLES, CHARGE_BYTES // (4 * steps * widest))
    return values[:: -(-values.shape[0] // min(MOST_SAMPLES, affordable))]


def _charge(network: SpikingNetwork, layers: list[Layer], n: int) -> ChargeLayer:
    return network.with_layers(layers).charge_layer(n)


def _decoded(walk: Walk, charge: ChargeLayer, last: bool) -> NDArray[np.float64]:
    """Return what a layer gives on, or of the last what it is driven with, (sample, output)."""
    if last:
        return (walk.drive(charge) + charge.bias) * (charge.scale / charge.threshold)
    decoded: NDArray[np.float64] = walk.fire(charge).mean(axis=1) * charge.scale
    return decoded


def _regressed(layer: Layer, arrived: NDArray[np.float64], z: NDArray[np.float64]) -> Layer:
    """Return a layer with the weights of the ridge regression of `z` on what arrived."""
    n_rows = layer.weight.shape[0]
    power = np.zeros((n_rows + 1, n_rows + 1))
    product = np.zeros((n_rows + 1, layer.n_columns))
    missing = z - layer.forward(arrived)
    # Block by block: the rows of all samples at once could fill the memory.
    for first in range(0, arrived.shape[0], 16):
        some = slice(first, first + 16)
        at_rows = (
            arrived[some, np.newaxis] if layer.gather is None else layer.gather.rows(arrived[some])
        )
        rows = np.column_stack([at_rows.reshape(-1, n_rows), np.ones(at_rows.size // n_rows)])
        power += rows.T @ rows
        product += rows.T @ layer.by_column(missing[some])
    ridge = RIDGE * np.trace(power[:-1, :-1]) / n_rows
    if ridge == 0:
        return layer
    weight, bias = layer.weight.copy(), layer.bias.copy()
    power[np.arange(n_rows), np.arange(n_rows)] += ridge
    for columns, used in _patterns(layer.weight):
        rows_used = np.append(used, n_rows)
        change = np.linalg.solve(
            power[np.ix_(rows_used, rows_used)], product[np.ix_(rows_used, columns)]
        )
        weight[np.ix_(used, columns)] += change[:-1]
        bias[columns] += change[-1]
    return replace(layer, weight=weight, bias=bias)


def _patterns(
    weight: NDArray[np.float64],
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return groups of columns that use the same rows, and these rows."""
    patterns, group = np.unique(weight != 0, axis=1, return_inverse=True)
    return [
        (np.flatnonzero(group == n), np.flatnonzero(pattern))
        for n, pattern in enumerate(patterns.T)
    ]


def recalibrate(chip: ProgrammedChip, x: ArrayLike, *, steps: int | None = None) -> ProgrammedChip:
    """Return `chip` with gain and offset of each column measured on calibration inputs.

    Thresholds and trims take the correction up; no cell is written again.

    Parameters
    ----------
    chip : ProgrammedChip
        A chip as programmed.
    x : array_like of shape (sample, input)
        Calibration inputs, at least 10; 100 to 300 serve.
    steps : int, optional
        Number of steps; by default what the network was converted for.
    """
    network = chip.network
    values = network.checked_input(x)
    n_steps = network.steps_or(steps)
    if values.shape[0] < MIN_SAMPLES:
        raise ValueError(
            f"recalibrate expects at least {MIN_SAMPLES} samples to measure two numbers of each "
            f"column, got {values.shape[0]}. Use 100 to 300."
        )
    levels = input_levels(_some(network, values, n_steps), network.input_scale)
    ideal = network.charge_layers()
    cores, sums = chip.cores, chip.partial_sums
    layers = list(chip.layers)
    wanted_walk, walk = (Walk(network, levels, n_steps) for _ in range(2))
    for n, layer in enumerate(network.layers):
        wanted = _in_units(wanted_walk, ideal[n])
        # What is measured is the bare column: an earlier correction would hide its own part.
        ones, zeros = np.ones(layer.n_columns), np.zeros(layer.n_columns)
        bare = replace(layers[n], gain=ones, offset=zeros)
        nodes = bare.nodes(layer, cores[n], sums=sums)
        if len(nodes) == 1:
            # The output is read by its charge, where it began counts for nothing.
            counts = bare.columns is not None and n < len(layers) - 1
            head_start = bare.head_start(layer, nodes[0]) / n_steps if counts else 0.0
            measured = _in_units(walk, nodes[0], head_start)
        else:
            measured = _added(walk, nodes)
        pair = layer.by_column(wanted), layer.by_column(measured)
        # Columns that share a threshold share a gain, unless a soma has numbers for each.
        together = len(nodes) == 1 and bare.shared_columns > 0
        gain, offset = _offset_of_one_gain(*pair) if together else _gain_and_offset(*pair)
        layers[n] = replace(bare, gain=gain, offset=offset)
        wanted_walk.fire(ideal[n])
        walk.pass_on(layers[n].nodes(layer, cores[n], sums=sums))
        for one in (wanted_walk, walk):
            one.leave(layer.name)
    return replace(chip, layers=tuple(layers), recalibrated=True)


def fit_quanta(
    chip: ProgrammedChip, x: ArrayLike, *, steps: int | None = None, quantile: float = 0.99
) -> ProgrammedChip:
    """Return `chip` with the charge of a partial spike measured for each layer.

    It becomes what the segments of the layer bring in a step, all but a few of them: less loses
    charge, more leaves more of it on the membranes. No cell is written again.

    Parameters
    ----------
    chip : ProgrammedChip
        A chip as programmed.
    x : array_like of shape (sample, input)
        Inputs such as those of the calibration.
    steps : int, optional
        Number of steps; by default what the network was converted for.
    quantile : float
        The share of samples, neurons and segments that bring less.
    """
    drives = segment_drives(chip, x, steps=steps, quantile=quantile)
    layers = tuple(
        replace(layer, share=max(LEAST_SHARE, float(drive))) if drive > 0 else layer
        for layer, drive in zip(chip.layers, drives)
    )
    return replace(chip, layers=layers)


def segment_drives(
    chip: ProgrammedChip, x: ArrayLike, *, steps: int | None = None, quantile: float = 0.999
) -> NDArray[np.float64]:
    """Return how much the segments of each layer bring in a step, of shape (layer,).

    In thresholds of the neurons, without silent ones, and 0 for layers in one piece. Spiking
    partial sums lose charge where it exceeds `PartialSums.share`, converters where it exceeds
    `PartialSums.reach`.

    Parameters
    ----------
    chip : ProgrammedChip
        A chip as programmed.
    x : array_like of shape (sample, input)
        Inputs such as those of the calibration.
    steps : int, optional
        Number of steps; by default what the network was converted for.
    quantile : float
        The share of samples, neurons and segments that bring less.
    """
    network, cores = chip.network, chip.cores
    n_steps = network.steps_or(steps)
    levels = input_levels(_some(network, network.checked_input(x), n_steps), network.input_scale)
    walk = Walk(network, levels, n_steps)
    drives = np.zeros(len(network.layers))
    for n, layer in enumerate(network.layers):
        *parts, soma = chip.layers[n].nodes(layer, cores[n], sums=PartialSums(kind="spiking"))
        loud = soma.scale >= SILENT * np.median(soma.scale)
        each = [_in_units(walk, replace(part, name=soma.name)) / soma.scale for part in parts]
        drives[n] = np.quantile(np.abs(each)[..., loud], quantile) if each else 0.0
        walk.fire(chip.layers[n].charge(layer, cores[n]))
        walk.leave(layer.name)
    return drives


def _in_units(
    walk: Walk, charge: ChargeLayer, head_start: NDArray[np.float64] | float = 0.0
) -> NDArray[np.float64]:
    """Return the mean drive of a layer, (sample, output) in units of activation."""
    return (walk.drive(charge) + charge.bias + head_start) * (charge.scale / charge.threshold)


def _added(walk: Walk, nodes: Sequence[ChargeLayer]) -> NDArray[np.float64]:
    """Return the mean drive that the segments of a layer bring, (sample, output) in activation."""
    *parts, soma = nodes
    each = [_in_units(walk, replace(part, name=soma.name)) for part in parts]
    # A converter has its charge as often as it has digits; in units of its step all the same.
    total: NDArray[np.float64] = np.sum(each, axis=0)[:, : soma.n_outputs]
    return total


def _offset_of_one_gain(
    wanted: NDArray[np.float64], measured: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the line of least squares with one gain for all columns."""
    centred = measured - measured.mean(axis=0)
    power = np.sum(centred**2)
    gain = np.sum(centred * wanted) / power if power > 0 else 1.0
    gains = np.full(measured.shape[1], np.clip(gain, *GAIN_RANGE))
    return gains, wanted.mean(axis=0) - gains * measured.mean(axis=0)


def _gain_and_offset(
    wanted: NDArray[np.float64], measured: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the line of least squares from measured to wanted drive, for each column."""
    centred = measured - measured.mean(axis=0)
    power = np.mean(centred**2, axis=0)
    covariance = np.mean(centred * (wanted - wanted.mean(axis=0)), axis=0)
    # A column that never varies has no gain to measure.
    gain = np.divide(covariance, power, out=np.ones_like(power), where=power > 0)
    gain = np.clip(gain, *GAIN_RANGE)
    return gain, wanted.mean(axis=0) - gain * measured.mean(axis=0)

r"""Corrections measured on calibration inputs, layer by layer, without any training.

Bias calibration (light SNN calibration; Li et al., ICML 2021) takes up what is left of the mean
error of rate coding: :math:`b_c \leftarrow b_c + E[a_c] - E[\theta_c N_c / T]`.

Recalibration takes up what programming did to each column. Where :math:`z` is the drive of the
ideal network's column and :math:`\hat z` that of the programmed one, with the spikes that each
really receives,

.. math:: k_c = \frac{\mathrm{cov}(z_c, \hat z_c)}{\mathrm{var}(\hat z_c)}, \qquad
          \theta_c \leftarrow \theta_c / k_c, \qquad
          b_c \leftarrow b_c + (E[z_c] - k_c E[\hat z_c]) / k_c.

Spikes and pixels are not negative, so most of the power of the conductance errors is their mean,
a constant that an offset absorbs. A gain without the offset does harm.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.charge import ChargeLayer
from spikeram.chip import ProgrammedChip
from spikeram.encoding import encode, input_levels
from spikeram.network import SpikingNetwork, checked_steps
from spikeram.simulation import charge_of, fire

BIAS_ROUNDS = 2
"""Corrections of each rectified layer's biases."""

BIAS_SAMPLES = 300
"""Most samples that mean errors are measured on."""

MIN_SAMPLES = 10
"""Fewest samples for gain and offset."""

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
    steps = checked_steps(steps)
    values = network.checked_input(x)
    # Mean errors need few samples; a stride takes them from all of the set, sorted or not.
    values = values[:: -(-values.shape[0] // BIAS_SAMPLES)]
    targets = network.preactivations(values)
    layers = list(network.layers)
    levels = input_levels(values, network.input_scale)
    spikes: NDArray[np.int8] | None = None
    for n, z in enumerate(targets):
        last = n == len(layers) - 1
        target = z if last else np.maximum(z, 0.0)
        # Rounding and clipping bend the response, so one correction leaves a rest: repeat.
        for _ in range(1 if last else BIAS_ROUNDS):
            charge = network.with_layers(layers).charge_layer(n)
            drive, fired = _run_layer(charge, levels, spikes, steps)
            decoded = drive if last else fired.mean(axis=1) * charge.scale
            shift = layers[n].by_column(target - decoded).mean(axis=0)
            layers[n] = replace(layers[n], bias=layers[n].bias + shift)
        charge = network.with_layers(layers).charge_layer(n)
        _, spikes = _run_layer(charge, levels, spikes, steps)
    return network.with_layers(layers)


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
    levels = input_levels(values, network.input_scale)
    ideal = network.charge_layers()
    cores = chip.cores
    layers = list(chip.layers)
    wanted_spikes: NDArray[np.int8] | None = None
    spikes: NDArray[np.int8] | None = None
    for n, layer in enumerate(network.layers):
        wanted, wanted_spikes = _run_layer(ideal[n], levels, wanted_spikes, n_steps)
        # What is measured is the bare column: an earlier correction would hide its own part.
        ones, zeros = np.ones(layer.n_columns), np.zeros(layer.n_columns)
        bare = replace(layers[n], gain=ones, offset=zeros)
        measured, _ = _run_layer(bare.charge(layer, cores[n]), levels, spikes, n_steps)
        gain, offset = _gain_and_offset(layer.by_column(wanted), layer.by_column(measured))
        layers[n] = replace(bare, gain=gain, offset=offset)
        _, spikes = _run_layer(layers[n].charge(layer, cores[n]), levels, spikes, n_steps)
    return replace(chip, layers=tuple(layers), recalibrated=True)


def _run_layer(
    layer: ChargeLayer,
    levels: NDArray[np.int16],
    spikes: NDArray[np.int8] | None,
    steps: int,
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Return a layer's mean drive, (sample, output) in units of activation, and its spikes.

    The first layer takes the inputs as constant current; every other takes `spikes`. Random charge
    is left out: it has no mean, and a column's gain and offset are means.
    """
    if spikes is None:
        alone = replace(layer, sources=())
        stimulus = encode(levels, [alone], steps=steps, encoding="current")
        drive = (stimulus.drive or {})[layer.name]
        fired, _ = fire(layer, None, drive, steps=steps)
        charge = drive * 1.0
    else:
        fired, _ = fire(layer, charge_of(layer, spikes))
        charge = layer.sums(spikes.mean(axis=1))
    return (charge + layer.bias) * (layer.scale / layer.threshold), fired


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

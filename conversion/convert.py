"""convert: from a trained network to a spiking one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.conversion import thresholds
from spikeram.conversion.calibration import calibrate_bias
from spikeram.conversion.importers import read
from spikeram.conversion.trained import TrainedNetwork
from spikeram.errors import ConversionError
from spikeram.network import Layer, SpikingNetwork, checked_samples, checked_steps

Method: TypeAlias = Literal["least_squares", "percentile"]


def convert(
    model: Any,
    calibration: ArrayLike,
    *,
    steps: int | None = 32,
    method: Method = "least_squares",
) -> SpikingNetwork:
    """Return the spiking network of a trained one.

    Parameters
    ----------
    model : TrainedNetwork, MLPClassifier, MLPRegressor, torch.nn.Sequential, str or Path
        See `spikeram.conversion.importers.read`.
    calibration : array_like of shape (sample, input)
        Inputs like those that the network will see; some hundreds serve. No labels are needed.
    steps : int or None
        Number of steps T that thresholds and biases are chosen for. None, for any T, needs
        ``method="percentile"``.
    method : {"least_squares", "percentile"}
        ``least_squares``: thresholds of least squared error at T, then biases calibrated on
        spikes. ``percentile``: each channel's 99.9th percentile of activation, biases untouched.

    Returns
    -------
    SpikingNetwork

    Raises
    ------
    ConversionError
        If the model or the calibration set cannot be used; the message says why.

    Examples
    --------
    >>> import numpy as np
    >>> from spikeram.conversion import TrainedNetwork, convert
    >>> trained = TrainedNetwork(weights=(np.eye(2), np.eye(2)), biases=(np.zeros(2), np.zeros(2)))
    >>> network = convert(trained, [[0.5, 1.0], [1.0, 0.0]], steps=8)
    >>> [layer.name for layer in network.layers]
    ['dense_1', 'output']
    """
    trained = read(model, input_shape=np.shape(calibration)[1:])
    x = checked_samples(calibration, trained.n_inputs, "The calibration set")
    if method not in ("least_squares", "percentile"):
        raise ConversionError(f"method expects 'least_squares' or 'percentile', got {method!r}.")
    if steps is None and method == "least_squares":
        raise ConversionError("least_squares chooses thresholds for a number of steps: give steps.")
    n_steps = None if steps is None else checked_steps(steps)
    full_scale = float(np.max(np.abs(x))) or 1.0
    network = SpikingNetwork(
        layers=_layers(trained, x, full_scale, n_steps, method),
        input_scale=full_scale,
        steps=n_steps,
        classes=trained.classes,
        method=method,
    )
    if method == "percentile" or n_steps is None:
        return network
    return calibrate_bias(network, x, steps=n_steps)


@dataclass(frozen=True)
class LayerReport:
    """What conversion did to one layer, as `report` measured it on inputs.

    Parameters
    ----------
    name : str
        The layer.
    neurons : int
        Its neurons.
    threshold : float
        Median threshold, in the units of the activation.
    clipped : float
        Share of activations above their threshold.
    error : float
        Expected error of rate coding at T, root mean square, as a share of the activations'.
    """

    name: str
    neurons: int
    threshold: float
    clipped: float
    error: float


def report(network: SpikingNetwork, x: ArrayLike, *, steps: int | None = None) -> list[LayerReport]:
    """Return, for each rectified layer, its threshold, clipping rate and expected error at T."""
    n_steps = network.steps_or(steps)
    rows = []
    for layer, z in zip(network.layers[:-1], network.preactivations(x)):
        activation = layer.by_column(np.maximum(z, 0.0))
        error = thresholds.expected_error(activation, layer.threshold, n_steps)
        power = float(np.mean(activation**2))
        rows.append(
            LayerReport(
                name=layer.name,
                neurons=layer.n_outputs,
                threshold=float(np.median(layer.threshold)),
                clipped=float(np.mean(activation > layer.threshold)),
                error=float(np.sqrt(np.mean(error) / power)) if power > 0 else 0.0,
            )
        )
    return rows


def _layers(
    trained: TrainedNetwork,
    x: NDArray[np.float64],
    full_scale: float,
    steps: int | None,
    method: Method,
) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    activation = x
    worth = np.full(trained.n_inputs, full_scale)
    last = len(trained.weights) - 1
    for n, (weight, bias, gather) in enumerate(
        zip(trained.weights, trained.biases, trained.gathers)
    ):
        kind = "dense" if gather is None or gather.n_positions == 1 else "conv"
        layer = Layer(
            name="output" if n == last else f"{kind}_{n + 1}",
            weight=weight,
            bias=bias,
            threshold=np.ones(weight.shape[1]),
            initial=0.0 if n == last else 0.5,
            spikes="ternary" if n == last else "unipolar",
            gather=gather,
        )
        z = layer.forward(activation)
        activation = np.maximum(z, 0.0)
        # The output only counts charge: its threshold keeps the membrane within one spike.
        observed = layer.by_column(np.abs(z) if n == last else activation)
        if not np.any(observed):
            chosen = _largest_drive(layer, worth)
        elif method == "least_squares" and steps is not None and n < last:
            chosen = thresholds.least_squares(observed, steps)
        else:
            chosen = thresholds.percentile(observed)
        layers.append(replace(layer, threshold=chosen))
        worth = layers[-1].worth
    return tuple(layers)


def _largest_drive(layer: Layer, worth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what could excite each column at most: thresholds where calibration saw nothing."""
    drive = np.abs(layer.row_weight(worth)).sum(axis=0) + np.abs(layer.bias)
    return np.where(drive > 0, drive, float(drive.max()) or 1.0)

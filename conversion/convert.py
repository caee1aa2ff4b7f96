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
from spikeram.network import Layer, SpikingNetwork

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
    x = _checked_calibration(trained, calibration)
    if method not in ("least_squares", "percentile"):
        raise ConversionError(f"method expects 'least_squares' or 'percentile', got {method!r}.")
    if steps is None and method == "least_squares":
        raise ConversionError("least_squares chooses thresholds for a number of steps: give steps.")
    if steps is not None and (isinstance(steps, bool) or int(steps) != steps or steps < 1):
        raise ConversionError(f"steps expects an integer >= 1, got {steps!r}.")
    network = SpikingNetwork(
        layers=_layers(trained, x, steps, method),
        input_scale=float(np.max(np.abs(x))) or 1.0,
        steps=steps,
        classes=trained.classes,
        method=method,
    )
    if method == "percentile" or steps is None:
        return network
    return calibrate_bias(network, x, steps=steps)


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
    n_steps = steps or network.steps
    if n_steps is None:
        raise ValueError("The network was converted for any number of steps: give steps.")
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
    trained: TrainedNetwork, x: NDArray[np.float64], steps: int | None, method: Method
) -> tuple[Layer, ...]:
    layers = []
    activation = x
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
        if n == last:
            # The output only counts charge: its threshold keeps the membrane within one spike.
            chosen = thresholds.percentile(layer.by_column(np.abs(z)))
        elif method == "least_squares" and steps is not None:
            chosen = thresholds.least_squares(layer.by_column(activation), steps)
        else:
            chosen = thresholds.percentile(layer.by_column(activation))
        layers.append(replace(layer, threshold=chosen))
    return tuple(layers)


def _checked_calibration(trained: TrainedNetwork, calibration: ArrayLike) -> NDArray[np.float64]:
    try:
        x = np.asarray(calibration, dtype=np.float64)
    except (TypeError, ValueError):
        raise ConversionError("The calibration set expects numbers, got something else.") from None
    x = x.reshape(x.shape[0], -1) if x.ndim > 2 else x
    if x.ndim != 2 or x.shape[1] != trained.n_inputs:
        raise ConversionError(
            f"The calibration set expects shape (sample, {trained.n_inputs}), as the network has "
            f"{trained.n_inputs} inputs, got {np.shape(calibration)}."
        )
    if x.shape[0] == 0:
        raise ConversionError("The calibration set expects at least one sample, got none.")
    if not np.all(np.isfinite(x)):
        raise ConversionError("The calibration set expects finite values, got NaN or infinity.")
    return x

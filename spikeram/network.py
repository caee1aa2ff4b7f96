r"""SpikingNetwork: layers of integrate-and-fire neurons, independent of where they came from.

One output spike of neuron :math:`i` in layer :math:`l` stands for the value
:math:`\theta_i^l` of the trained network's activation, so that a count :math:`N` in :math:`T`
steps decodes to :math:`\theta N / T`. A layer integrates

.. math:: V_j \leftarrow V_j + \sum_i W_{ij}\,\theta_i^{l-1} s_i + b_j,

fires at :math:`\theta_j^l` and subtracts it, from :math:`V_j(0) = \theta_j^l / 2`: with constant
input the count rounds to nearest. Biases carry no :math:`\theta^{l-1}`, because the inputs do.
Bu et al., ICLR 2022; Rueckauer et al., Front. Neurosci. 11, 682 (2017).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel

from spikeram.arrays import frozen
from spikeram.charge import ChargeLayer, charge_layer
from spikeram.files import Header, read_npz, take, write_npz
from spikeram.gather import Gather, weighted_sums
from spikeram.neuron import SamplingNeuron, Spikes
from spikeram.units import Second

_FORMAT = "spikeram-network"
_VERSION = 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Layer:
    """A layer of integrate-and-fire neurons, fully connected or convolutional.

    Parameters
    ----------
    name : str
        The layer's name in tables and recordings.
    weight : ndarray of shape (row, column)
        Weights of the trained network. Rows are inputs and columns neurons, unless there is a
        `gather`.
    bias : ndarray of shape (column,)
        Biases, after any calibration.
    threshold : ndarray of shape (column,)
        Threshold, and worth of one spike, in the units of the activation; > 0.
    initial : float
        Membrane before the first step, as a share of the threshold.
    spikes : {"unipolar", "ternary"}
        Rectified layers fire +1 only; the output layer also fires -1.
    gather : Gather or None
        Of a convolution: its inputs at each row, position by position. A column is a channel,
        and has a neuron at each position.
    """

    name: str
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    threshold: NDArray[np.float64]
    initial: float = 0.5
    spikes: Spikes = "unipolar"
    gather: Gather | None = None

    def __post_init__(self) -> None:
        who = f"Layer {self.name!r}"
        for name in ("weight", "bias", "threshold"):
            object.__setattr__(self, name, frozen(getattr(self, name)))
        if self.weight.ndim != 2 or 0 in self.weight.shape:
            raise ValueError(
                f"{who} expects weights of shape (input, output) with at least one of each, "
                f"got {self.weight.shape}."
            )
        for name in ("bias", "threshold"):
            value = getattr(self, name)
            if value.shape != self.weight.shape[1:]:
                raise ValueError(
                    f"{who} expects {name} of shape ({self.weight.shape[1]},), got {value.shape}."
                )
        for name in ("weight", "bias", "threshold"):
            if not np.all(np.isfinite(getattr(self, name))):
                raise ValueError(f"{who} expects finite values, got NaN or infinity in {name}.")
        if not np.all(self.threshold > 0):
            raise ValueError(f"{who} expects thresholds > 0, got {self.threshold.min():g}.")
        if self.gather is not None and self.gather.n_rows != self.weight.shape[0]:
            raise ValueError(
                f"{who} expects a gather of {self.weight.shape[0]} rows, got {self.gather.n_rows}."
            )

    @property
    def n_inputs(self) -> int:
        """Number of inputs."""
        return int(self.weight.shape[0]) if self.gather is None else self.gather.n_inputs

    @property
    def n_columns(self) -> int:
        """Number of columns: channels of a convolution, neurons otherwise."""
        return int(self.weight.shape[1])

    @property
    def n_positions(self) -> int:
        """Number of positions of a convolution; 1 otherwise."""
        return 1 if self.gather is None else self.gather.n_positions

    @property
    def n_outputs(self) -> int:
        """Number of neurons."""
        return self.n_columns * self.n_positions

    @property
    def worth(self) -> NDArray[np.float64]:
        """What one spike of each neuron stands for, of shape (output,)."""
        return np.repeat(self.threshold, self.n_positions)

    @property
    def n_taps(self) -> int:
        """Number of inputs that share a row; 1 without an average pool before the layer."""
        return 1 if self.gather is None else self.gather.n_taps

    def row_weight(self, worth: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weights of fully driven rows, given what a spike of each input stands for."""
        at_rows = worth if self.gather is None else self.gather.row_values(worth)
        return self.weight * at_rows[:, np.newaxis]

    def forward(self, activation: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what the trained layer computes before rectification, (sample, output)."""
        sums = weighted_sums(activation, self.weight, self.gather)
        return sums + np.repeat(self.bias, self.n_positions)

    def by_column(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values of shape (sample, output) as (observation, column).

        Each position of a convolution is an observation of its channel.
        """
        columns = values.reshape(values.shape[0], self.n_columns, self.n_positions)
        return np.swapaxes(columns, 1, 2).reshape(-1, self.n_columns)


@dataclass(frozen=True, eq=False, kw_only=True)
class SpikingNetwork:
    """A chain of layers with the scale of its input.

    Parameters
    ----------
    layers : tuple of Layer
        From input to output; the last one is read out and not rectified.
    input_scale : float
        Input value that full drive, or a spike in every step, stands for; > 0.
    steps : int or None
        Number of steps that the thresholds were chosen for; None for any.
    classes : ndarray of shape (class,) or None
        Labels of the outputs of a classifier; two for a single output. None for regression.
    method : str
        How the thresholds were chosen.
    """

    layers: tuple[Layer, ...]
    input_scale: float = 1.0
    steps: int | None = None
    classes: NDArray[np.generic] | None = None
    method: str = ""

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("SpikingNetwork expects at least one layer, got none.")
        for before, after in zip(self.layers[:-1], self.layers[1:]):
            if before.n_outputs != after.n_inputs:
                raise ValueError(
                    f"Layer {after.name!r} expects {after.n_inputs} inputs, but layer "
                    f"{before.name!r} has {before.n_outputs} outputs."
                )
        names = [layer.name for layer in self.layers]
        if len(set(names)) < len(names):
            raise ValueError(f"SpikingNetwork expects layers of different names, got {names}.")
        if self.classes is not None:
            check_classes(self.classes, self.layers[-1].n_outputs)
        if self.steps is not None:
            object.__setattr__(self, "steps", checked_steps(self.steps))
        if not 0 < self.input_scale < math.inf:
            raise ValueError(f"input_scale expects a number > 0, got {self.input_scale}.")

    @property
    def n_inputs(self) -> int:
        """Number of inputs of the first layer."""
        return self.layers[0].n_inputs

    @property
    def network(self) -> SpikingNetwork:
        """The network itself: on ideal hardware it is what runs."""
        return self

    @property
    def dt(self) -> Second:
        """Duration of one step [s]: that of the published chip's, so that rates compare."""
        return SamplingNeuron().dt

    @property
    def index(self) -> int:
        """Number of the chip, by which noise is addressed: that of ideal hardware is 0."""
        return 0

    @property
    def provenance(self) -> dict[str, object]:
        """What a recording says about what was run."""
        return {"chip": "none", "method": self.method, "converted_for_steps": self.steps}

    def steps_or(self, steps: int | None) -> int:
        """Return `steps`, or where it is None the number the network was converted for."""
        if steps is None and self.steps is None:
            raise ValueError("The network was converted for any number of steps: give steps.")
        return checked_steps(self.steps if steps is None else steps)

    def worth(self, n: int) -> NDArray[np.float64]:
        """Return what one input spike of layer `n` stands for, of shape (input,)."""
        if n == 0:
            return np.full(self.n_inputs, self.input_scale)
        return self.layers[n - 1].worth

    def charge_layer(self, n: int) -> ChargeLayer:
        """Return layer `n` on ideal hardware, in charge quanta; one unit is one volt."""
        layer = self.layers[n]
        return charge_layer(
            layer.name,
            layer.row_weight(self.worth(n)) / layer.n_taps,
            bias=layer.bias,
            threshold=layer.threshold,
            initial=layer.initial * layer.threshold,
            scale=layer.threshold,
            neuron=SamplingNeuron(v_rail=math.inf, spikes=layer.spikes),
            rows=2 * (layer.weight.shape[0] + 1),
            cores=0,
            always_on=1,
            gather=layer.gather,
        )

    def charge_layers(self) -> tuple[ChargeLayer, ...]:
        """Return the network on ideal hardware, in charge quanta; one unit is one volt."""
        return tuple(self.charge_layer(n) for n in range(len(self.layers)))

    def preactivations(self, x: ArrayLike) -> list[NDArray[np.float64]]:
        """Return what each layer of the trained network computes before rectification.

        Parameters
        ----------
        x : array_like of shape (sample, input)
            Inputs in the trained network's units.
        """
        activation = self.checked_input(x)
        results = []
        for layer in self.layers:
            z = layer.forward(activation)
            results.append(z)
            activation = np.maximum(z, 0.0)
        return results

    def checked_input(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return `x` as floats of shape (sample, input), or say what is wrong with it."""
        return checked_samples(x, self.n_inputs, "The input")

    def save(self, path: str | Path) -> None:
        """Write the network to an ``.npz`` file: plain arrays and one JSON header."""
        header = _NetworkHeader(
            format=_FORMAT,
            version=_VERSION,
            input_scale=self.input_scale,
            steps=self.steps,
            method=self.method,
            layers=[
                _LayerHeader(
                    name=layer.name,
                    initial=layer.initial,
                    spikes=layer.spikes,
                    gathered=None if layer.gather is None else layer.gather.n_inputs,
                )
                for layer in self.layers
            ],
        )
        arrays: dict[str, NDArray[np.generic]] = {}
        if self.classes is not None:
            arrays["classes"] = self.classes
        for n, layer in enumerate(self.layers):
            for name in ("weight", "bias", "threshold"):
                arrays[f"{name}_{n}"] = getattr(layer, name)
            if layer.gather is not None:
                arrays[f"gather_{n}"] = layer.gather.index
        write_npz(path, header, arrays)

    @classmethod
    def load(cls, path: str | Path) -> SpikingNetwork:
        """Read a network that `save` wrote.

        Raises
        ------
        FileFormatError
            If the file is missing, damaged, foreign or from a newer version.
        """
        arrays, header = read_npz(path, _NetworkHeader, kind=_FORMAT, version=_VERSION)
        layers = tuple(
            Layer(
                name=layer.name,
                weight=take(arrays, f"weight_{n}", path),
                bias=take(arrays, f"bias_{n}", path),
                threshold=take(arrays, f"threshold_{n}", path),
                initial=layer.initial,
                spikes=layer.spikes,
                gather=take_gather(arrays, n, layer.gathered, path),
            )
            for n, layer in enumerate(header.layers)
        )
        return cls(
            layers=layers,
            input_scale=header.input_scale,
            steps=header.steps,
            classes=arrays.get("classes"),
            method=header.method,
        )


def checked_samples(x: ArrayLike, n_inputs: int, what: str) -> NDArray[np.float64]:
    """Return samples as floats of shape (sample, input), or say what is wrong with them.

    Parameters
    ----------
    x : array_like of shape (sample, ...)
        Samples; axes after the first are flattened.
    n_inputs : int
        Number of inputs of the network.
    what : str
        What the samples are, for the message.
    """
    try:
        if np.iscomplexobj(x):
            raise TypeError
        values = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{what} expects real numbers, got something else.") from None
    if values.ndim < 2 or math.prod(values.shape[1:]) != n_inputs:
        raise ValueError(
            f"{what} expects shape (sample, {n_inputs}), as the network has {n_inputs} inputs, "
            f"got {values.shape}."
        )
    if values.shape[0] == 0:
        raise ValueError(f"{what} expects at least one sample, got none.")
    if not np.all(np.isfinite(values)):
        raise ValueError(f"{what} expects finite values, got NaN or infinity.")
    return values.reshape(values.shape[0], -1)


def checked_steps(steps: object) -> int:
    """Return a number of time steps, or say what is wrong with it."""
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
        raise ValueError(f"steps expects an integer >= 1, got {steps!r}.")
    return int(steps)


def check_classes(classes: NDArray[np.generic], n_outputs: int) -> None:
    """Refuse labels that do not fit the outputs: one for each, or two for a single one."""
    expected = max(n_outputs, 2)
    if classes.shape != (expected,):
        raise ValueError(
            f"A classifier of {n_outputs} outputs expects {expected} classes, got {classes.shape}."
        )


def take_gather(
    arrays: Mapping[str, NDArray[np.generic]], n: int, n_inputs: int | None, path: str | Path
) -> Gather | None:
    """Return the gather of layer `n` in a file; None where `n_inputs` is."""
    if n_inputs is None:
        return None
    return Gather(take(arrays, f"gather_{n}", path).astype(np.int32), n_inputs)


class _LayerHeader(BaseModel, extra="forbid", strict=True):
    name: str
    initial: float
    spikes: Spikes
    gathered: int | None = None


class _NetworkHeader(Header):
    input_scale: float
    steps: int | None
    method: str
    layers: list[_LayerHeader]

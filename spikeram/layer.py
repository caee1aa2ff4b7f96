"""A layer of integrate-and-fire neurons, as it was trained and as it decodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeram.arrays import frozen
from spikeram.gather import Gather, by_column, weighted_sums
from spikeram.neuron import Spikes, check_burst


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
    spikes : {"unipolar", "ternary", "signed"}
        Rectified layers fire +1 only, or take spikes back that came too early; the output layer
        fires both ways alike. See `spikeram.neuron`.
    slope : ndarray of shape (column,) or float
        Of signed layers, the slope of the activation below zero, from 0 to 1.
    gather : Gather or None
        Of a convolution: its inputs at each row, position by position. A column is a channel,
        and has a neuron at each position.
    sources : tuple of str
        Names of the nodes whose spikes drive it, "input" for the network's input, in the order
        in which its inputs are numbered. Empty: the node before it in the network.
    burst : int
        Most spikes of one neuron in a step; see `spikeram.burst`.
    """

    name: str
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    threshold: NDArray[np.float64]
    initial: float = 0.5
    spikes: Spikes = "unipolar"
    slope: NDArray[np.float64] | float = 0.0
    gather: Gather | None = None
    sources: tuple[str, ...] = ()
    burst: int = 1

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
        object.__setattr__(self, "sources", tuple(self.sources))
        self._check_slope()
        check_burst(who, self.burst, keeps=True)
        if self.gather is not None and self.gather.n_rows != self.weight.shape[0]:
            raise ValueError(
                f"{who} expects a gather of {self.weight.shape[0]} rows, got {self.gather.n_rows}."
            )

    def _check_slope(self) -> None:
        who = f"Layer {self.name!r}"
        slope = np.asarray(self.slope, dtype=np.float64)
        if slope.shape not in ((), self.bias.shape):
            raise ValueError(
                f"{who} expects slope of shape ({self.n_columns},) or one number, got "
                f"{slope.shape}."
            )
        if not np.all((slope >= 0) & (slope <= 1)):
            raise ValueError(
                f"{who} expects slopes from 0 to 1, got {slope.min():g} to {slope.max():g}."
            )
        if self.spikes != "signed" and np.any(slope):
            raise ValueError(
                f"{who} has a slope below zero, which its {self.spikes} spikes cannot tell. Use "
                "spikes='signed'."
            )
        object.__setattr__(self, "slope", frozen(np.broadcast_to(slope, self.bias.shape).copy()))

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

    def activation(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what the spikes of the layer stand for where it computes `z`, (sample, output)."""
        if self.spikes == "ternary":
            return z
        if self.spikes == "unipolar":
            return np.maximum(z, 0.0)
        return np.where(z > 0, z, z * np.repeat(self.slope, self.n_positions))

    def by_column(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values of shape (sample, output) as (observation, column).

        Each position of a convolution is an observation of its channel.
        """
        return by_column(values, self.n_positions)

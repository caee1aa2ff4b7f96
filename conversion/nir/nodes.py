"""The nodes of a NIR graph that keep no state: inputs, weights, pools, shapes.

Arrays have the shapes that NIR gives them, without a batch: weights are (..., output, input) and
(channel out, channel in, y, x). Pedersen et al., Nat. Commun. 15, 8122 (2024).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from spikeram.conversion.nir.parameters import (
    Array,
    Metadata,
    Shape,
    as_array,
    as_integers,
    as_shape,
    broadcasting,
    set_bias,
    set_weight,
)
from spikeram.conversion.nir.windows import (
    AvgPool2d as AvgPool2d,
    Conv1d as Conv1d,
    Conv2d as Conv2d,
    SumPool2d as SumPool2d,
)


def _expect(who: str, shape: Shape, expected: Shape) -> None:
    if shape != expected:
        raise ValueError(f"{who} expects inputs of shape {expected}, got {shape}.")


@dataclass(frozen=True, eq=False, kw_only=True)
class Input:
    """Where data enters a graph.

    Parameters
    ----------
    shape : tuple of int
        Shape of one sample at one time.
    metadata : mapping
        Whatever a writer added.
    """

    shape: Shape
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", as_shape(self.shape, f"{type(self).__name__}.shape"))

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of what leaves the node, given that of what enters."""
        return shape


@dataclass(frozen=True, eq=False, kw_only=True)
class Output:
    """Where data leaves a graph; see `Input`."""

    shape: Shape
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", as_shape(self.shape, f"{type(self).__name__}.shape"))

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of what leaves the node, given that of what enters."""
        return shape


@dataclass(frozen=True, eq=False, kw_only=True)
class Linear:
    """Weights: y = W x.

    Parameters
    ----------
    weight : ndarray of shape (..., output, input)
        The matrix W.
    metadata : mapping
        Whatever a writer added.
    """

    weight: Array
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        set_weight(self, ndim=2, more=True)

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of what leaves the node, given that of what enters."""
        _expect(type(self).__name__, shape, (*self.weight.shape[:-2], self.weight.shape[-1]))
        return self.weight.shape[:-1]


@dataclass(frozen=True, eq=False, kw_only=True)
class Affine:
    """Weights and biases: y = W x + b.

    Parameters
    ----------
    weight : ndarray of shape (..., output, input)
        The matrix W.
    bias : ndarray of shape (..., output)
        The vector b; added in every step.
    metadata : mapping
        Whatever a writer added.
    """

    weight: Array
    bias: Array
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        set_weight(self, ndim=2, more=True)
        set_bias(self, self.weight.shape[:-1])

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of what leaves the node, given that of what enters."""
        _expect(type(self).__name__, shape, (*self.weight.shape[:-2], self.weight.shape[-1]))
        return self.weight.shape[:-1]


@dataclass(frozen=True, eq=False, kw_only=True)
class Scale:
    """One factor for each value: y = s x.

    Parameters
    ----------
    scale : ndarray
        Factors, of the shape of the input or one that broadcasts to it.
    metadata : mapping
        Whatever a writer added.
    """

    scale: Array
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", as_array(self.scale, "Scale.scale"))

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of what leaves the node, given that of what enters."""
        return broadcasting("Scale", self.scale.shape, shape)


@dataclass(frozen=True, eq=False, kw_only=True)
class Flatten:
    """Axes joined into one.

    Parameters
    ----------
    start_dim, end_dim : int
        First and last axis, counted without a batch.
    input_type : tuple of int or None
        Shape of the input, where the file says it.
    metadata : mapping
        Whatever a writer added.
    """

    start_dim: int = 0
    end_dim: int = -1
    input_type: Shape | None = None
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("start_dim", "end_dim"):
            object.__setattr__(self, name, as_integers(getattr(self, name), f"Flatten.{name}")[0])
        if self.input_type is not None:
            shape = as_shape(self.input_type, "Flatten.input_type")
            object.__setattr__(self, "input_type", shape)

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of what leaves the node, given that of what enters."""
        n = len(shape)
        start, end = (axis + n if axis < 0 else axis for axis in (self.start_dim, self.end_dim))
        if start >= n and n == 1:
            # Writers that count the batch say 1 for what is already flat.
            return shape
        if not 0 <= start <= end < n:
            raise ValueError(
                f"Flatten from {self.start_dim} to {self.end_dim} does not fit the shape {shape}."
            )
        return (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])


@dataclass(frozen=True, eq=False, kw_only=True)
class Delay:
    """A delay: y(t) = x(t - delay).

    Parameters
    ----------
    delay : ndarray
        One for each value, or one for all [s]; >= 0.
    metadata : mapping
        Whatever a writer added.
    """

    delay: Array
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "delay", as_array(self.delay, "Delay.delay"))
        if np.any(self.delay < 0):
            raise ValueError(f"Delay expects delays >= 0, got {self.delay.min():g}.")

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of what leaves the node, given that of what enters."""
        return broadcasting("Delay", self.delay.shape, shape)


@dataclass(frozen=True, eq=False, kw_only=True)
class Threshold:
    """A step: 1 above the threshold and 0 elsewhere.

    Parameters
    ----------
    threshold : ndarray
        One for each value, or one for all.
    metadata : mapping
        Whatever a writer added.
    """

    threshold: Array
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        threshold = as_array(self.threshold, "Threshold.threshold")
        object.__setattr__(self, "threshold", threshold)

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of what leaves the node, given that of what enters."""
        return broadcasting("Threshold", self.threshold.shape, shape)

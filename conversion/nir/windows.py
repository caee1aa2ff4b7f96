"""The nodes of a NIR graph that slide a window: convolutions and pools."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from spikeram.conversion.nir.parameters import (
    Array,
    Metadata,
    Pair,
    Shape,
    as_pair,
    as_shape,
    set_bias,
    set_weight,
)

Padding: TypeAlias = Pair | str


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv1d:
    """A convolution along one axis.

    Parameters
    ----------
    weight : ndarray of shape (channel out, channel in / groups, x)
        The kernel.
    bias : ndarray of shape (channel out,)
        Added at every position.
    input_shape : int or None
        Length of the input, where the file says it.
    stride, padding, dilation, groups : int or str
        As in PyTorch; padding may be "same" or "valid".
    metadata : mapping
        Whatever a writer added.
    """

    weight: Array
    bias: Array
    input_shape: int | None = None
    stride: int = 1
    padding: int | str = 0
    dilation: int = 1
    groups: int = 1
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        set_weight(self, ndim=3)
        set_bias(self, self.weight.shape[:1])
        for name, least in (("stride", 1), ("dilation", 1), ("groups", 1)):
            value = as_pair(getattr(self, name), f"Conv1d.{name}", least)
            object.__setattr__(self, name, value[0])
        padding = _padding(self.padding, "Conv1d.padding")
        object.__setattr__(self, "padding", padding if isinstance(padding, str) else padding[0])
        if self.input_shape is not None:
            # Some writers give (length,), others the length alone.
            length = as_shape(self.input_shape, "Conv1d.input_shape")[-1]
            object.__setattr__(self, "input_shape", length)
        _check_groups(self.weight, self.groups, "Conv1d")

    @property
    def as_2d(self) -> Conv2d:
        """The same convolution over images of one row."""
        padding = self.padding if isinstance(self.padding, str) else (0, self.padding)
        return Conv2d(
            weight=self.weight[:, :, np.newaxis],
            bias=self.bias,
            stride=(1, self.stride),
            padding=padding,
            dilation=(1, self.dilation),
            groups=self.groups,
        )

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of what leaves the node, given that of what enters."""
        if len(shape) != 2:
            raise ValueError(f"Conv1d expects inputs of shape (channel, x), got {shape}.")
        channels, _, length = self.as_2d.output_shape((shape[0], 1, shape[1]))
        return channels, length


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv2d:
    """A convolution over an image.

    Parameters
    ----------
    weight : ndarray of shape (channel out, channel in / groups, y, x)
        The kernel.
    bias : ndarray of shape (channel out,)
        Added at every position.
    input_shape : tuple of int or None
        Height and width of the input, where the file says them.
    stride, dilation : int or tuple of int
        As in PyTorch, along y and x.
    padding : int, tuple of int, "same" or "valid"
        Zeros on each side.
    groups : int
        Groups of channels.
    metadata : mapping
        Whatever a writer added.
    """

    weight: Array
    bias: Array
    input_shape: Pair | None = None
    stride: Pair = (1, 1)
    padding: Padding = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        set_weight(self, ndim=4)
        set_bias(self, self.weight.shape[:1])
        for name in ("stride", "dilation"):
            value = as_pair(getattr(self, name), f"Conv2d.{name}", 1)
            object.__setattr__(self, name, value)
        object.__setattr__(self, "padding", _padding(self.padding, "Conv2d.padding"))
        object.__setattr__(self, "groups", as_pair(self.groups, "Conv2d.groups", 1)[0])
        if self.input_shape is not None:
            size = as_pair(self.input_shape, "Conv2d.input_shape", 1)
            object.__setattr__(self, "input_shape", size)
        _check_groups(self.weight, self.groups, "Conv2d")
        if self.padding == "same" and self.stride != (1, 1):
            raise ValueError(f"Conv2d with padding 'same' expects stride 1, got {self.stride}.")

    @property
    def sides(self) -> tuple[Pair, Pair]:
        """Zeros before and after the image, along y and along x."""
        if self.padding == "valid":
            return (0, 0), (0, 0)
        if isinstance(self.padding, str):
            reach = [d * (k - 1) for d, k in zip(self.dilation, self.weight.shape[2:])]
            # As PyTorch does, the odd zero goes after the image.
            return (reach[0] // 2, -(-reach[0] // 2)), (reach[1] // 2, -(-reach[1] // 2))
        return (self.padding[0], self.padding[0]), (self.padding[1], self.padding[1])

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of what leaves the node, given that of what enters."""
        channels = self.weight.shape[1] * self.groups
        if len(shape) != 3 or shape[0] != channels:
            raise ValueError(
                f"{type(self).__name__} expects inputs of shape ({channels}, y, x), got {shape}."
            )
        reach = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.weight.shape[2:])]
        return (self.weight.shape[0], *_places(shape[1:], self.sides, reach, self.stride))


@dataclass(frozen=True, eq=False, kw_only=True)
class SumPool2d:
    """The sum over windows of an image.

    Parameters
    ----------
    kernel_size, stride, padding : int or tuple of int
        Along y and x.
    metadata : mapping
        Whatever a writer added.
    """

    kernel_size: Pair
    stride: Pair
    padding: Pair = (0, 0)
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        _set_window(self)

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of what leaves the node, given that of what enters."""
        return _pooled(self, shape)


@dataclass(frozen=True, eq=False, kw_only=True)
class AvgPool2d:
    """The mean over windows of an image, zeros of the padding included; see `SumPool2d`."""

    kernel_size: Pair
    stride: Pair
    padding: Pair = (0, 0)
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        _set_window(self)

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of what leaves the node, given that of what enters."""
        return _pooled(self, shape)


def _padding(value: Any, who: str) -> Padding:
    if isinstance(value, str):
        if value not in ("same", "valid"):
            raise ValueError(f"{who} expects 'same', 'valid' or integers, got {value!r}.")
        return value
    return as_pair(value, who, 0)


def _set_window(node: Any) -> None:
    who = type(node).__name__
    for name, least in (("kernel_size", 1), ("stride", 1), ("padding", 0)):
        value = as_pair(getattr(node, name), f"{who}.{name}", least)
        object.__setattr__(node, name, value)


def _check_groups(weight: Array, groups: int, who: str) -> None:
    if weight.shape[0] % groups:
        raise ValueError(
            f"{who} expects channels out that {groups} groups divide, got {weight.shape[0]}."
        )


def _pooled(node: SumPool2d | AvgPool2d, shape: Shape) -> Shape:
    if len(shape) != 3:
        raise ValueError(f"{type(node).__name__} expects inputs (channel, y, x), got {shape}.")
    sides = tuple((padding, padding) for padding in node.padding)
    return (shape[0], *_places(shape[1:], sides, node.kernel_size, node.stride))


def _places(
    size: Shape, sides: tuple[Pair, ...], reach: list[int] | Pair, stride: Pair
) -> tuple[int, int]:
    places = [
        (length + sum(side) - window) // step + 1
        for length, side, window, step in zip(size, sides, reach, stride)
    ]
    if min(places) < 1:
        raise ValueError(f"A window of {tuple(reach)} pixels does not fit into {tuple(size)}.")
    return places[0], places[1]

"""Convolutions: one small matrix, used at every position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from spikeram.conversion.graph import AbstractOp, Shape
from spikeram.conversion.ops.parameters import checked_bias, checked_weight, per_axis, per_side
from spikeram.errors import ConversionError


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv(AbstractOp):
    """A convolution along one or two axes; of groups, the blocks of one matrix.

    It becomes one column of the crossbar for each output channel. The rows are the patch that the
    kernel covers; the crossbar is used once for each position. Grouped and depthwise kernels
    leave the pairs outside their blocks at zero weight.

    Parameters
    ----------
    weight : ndarray of shape (output, input / groups, kernel...)
        The kernel, with one or two axes of space.
    bias : ndarray of shape (output,) or None
        The biases; None for none.
    stride, dilation : int or sequence of int
        For each axis of space.
    padding : int, sequence of int or sequence of (int, int)
        Zeros around the image, for each axis of space: on both sides, or before and after.
    groups : int
        Groups of channels that do not mix.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64] | None = None
    stride: int | Sequence[int] = 1
    padding: int | Sequence[int] | Sequence[tuple[int, int]] = 0
    dilation: int | Sequence[int] = 1
    groups: int = 1

    def __post_init__(self) -> None:
        weight = checked_weight(self.weight, "Conv", (3, 4))
        n_axes = weight.ndim - 2
        (groups,) = per_axis(self.groups, 1, "Conv.groups", 1)
        if weight.shape[0] % groups:
            raise ConversionError(
                f"Conv expects output channels in {groups} equal groups, got {weight.shape[0]}."
            )
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "bias", checked_bias(self.bias, weight.shape[0], "Conv"))
        object.__setattr__(self, "stride", per_axis(self.stride, n_axes, "Conv.stride", 1))
        object.__setattr__(self, "padding", per_side(self.padding, n_axes, "Conv.padding"))
        object.__setattr__(self, "dilation", per_axis(self.dilation, n_axes, "Conv.dilation", 1))
        object.__setattr__(self, "groups", groups)

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride along each axis of space."""
        return cast("tuple[int, ...]", self.stride)

    @property
    def dilations(self) -> tuple[int, ...]:
        """Distance of the kernel's pixels along each axis of space."""
        return cast("tuple[int, ...]", self.dilation)

    @property
    def pads(self) -> tuple[tuple[int, int], ...]:
        """Padding before and after each axis of space."""
        return cast("tuple[tuple[int, int], ...]", self.padding)

    def shape(self, *inputs: Shape) -> Shape:
        """Return (output, space...)."""
        (before,) = inputs
        channels = self.weight.shape[1] * self.groups
        check_image(before, channels, self.weight.ndim - 2, "Conv")
        size = []
        for n, length in enumerate(before[1:]):
            reach = self.dilations[n] * (self.weight.shape[n + 2] - 1) + 1
            padded = length + sum(self.pads[n])
            if padded < reach:
                raise ConversionError(
                    f"Conv: a kernel that reaches over {reach} pixels does not fit into {padded}."
                )
            size.append((padded - reach) // self.strides[n] + 1)
        return (self.weight.shape[0], *size)


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvTranspose(AbstractOp):
    """A transposed convolution: a convolution of the image with zeros put between its pixels.

    It maps like `Conv`; a zero drives no row.

    Parameters
    ----------
    weight : ndarray of shape (input, output / groups, kernel...)
        The kernel, in the order of PyTorch and ONNX.
    bias : ndarray of shape (output,) or None
        The biases; None for none.
    stride, dilation : int or sequence of int
        For each axis of space.
    padding : int, sequence of int or sequence of (int, int)
        Pixels cut away around the output.
    output_padding : int or sequence of int
        Pixels added at the end of each axis of the output.
    groups : int
        Groups of channels that do not mix.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64] | None = None
    stride: int | Sequence[int] = 1
    padding: int | Sequence[int] | Sequence[tuple[int, int]] = 0
    output_padding: int | Sequence[int] = 0
    dilation: int | Sequence[int] = 1
    groups: int = 1

    def __post_init__(self) -> None:
        what = "ConvTranspose"
        weight = checked_weight(self.weight, what, (3, 4))
        n_axes = weight.ndim - 2
        (groups,) = per_axis(self.groups, 1, f"{what}.groups", 1)
        if weight.shape[0] % groups:
            raise ConversionError(
                f"{what} expects input channels in {groups} equal groups, got {weight.shape[0]}."
            )
        n_outputs = weight.shape[1] * groups
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "bias", checked_bias(self.bias, n_outputs, what))
        object.__setattr__(self, "padding", per_side(self.padding, n_axes, f"{what}.padding"))
        object.__setattr__(self, "groups", groups)
        for name, least in (("stride", 1), ("dilation", 1), ("output_padding", 0)):
            value = per_axis(getattr(self, name), n_axes, f"{what}.{name}", least)
            object.__setattr__(self, name, value)

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride along each axis of space."""
        return cast("tuple[int, ...]", self.stride)

    @property
    def dilations(self) -> tuple[int, ...]:
        """Distance of the kernel's pixels along each axis of space."""
        return cast("tuple[int, ...]", self.dilation)

    @property
    def pads(self) -> tuple[tuple[int, int], ...]:
        """Padding before and after each axis of space."""
        return cast("tuple[tuple[int, int], ...]", self.padding)

    @property
    def output_pads(self) -> tuple[int, ...]:
        """Pixels added at the end of each axis of the output."""
        return cast("tuple[int, ...]", self.output_padding)

    def shape(self, *inputs: Shape) -> Shape:
        """Return (output, space...)."""
        (before,) = inputs
        check_image(before, self.weight.shape[0], self.weight.ndim - 2, "ConvTranspose")
        size = []
        for n, length in enumerate(before[1:]):
            reach = self.dilations[n] * (self.weight.shape[n + 2] - 1) + 1
            cut = sum(self.pads[n])
            extra = self.output_pads[n]
            pixels = (length - 1) * self.strides[n] + reach - cut + extra
            if pixels < 1:
                raise ConversionError(f"ConvTranspose: nothing is left of axis {n} of {before}.")
            size.append(pixels)
        return (self.weight.shape[1] * self.groups, *size)


def check_image(shape: Shape, channels: int, n_axes: int, what: str) -> None:
    """Refuse what is not an image of so many channels and axes of space."""
    if len(shape) != n_axes + 1 or shape[0] != channels:
        wanted = ", ".join([str(channels), *"yx"[-n_axes:]])
        hint = ""
        if len(shape) == n_axes + 1 and shape[-1] == channels:
            hint = " The channels seem to come last: use channel-first samples."
        raise ConversionError(f"{what} expects samples of shape ({wanted}), got {shape}.{hint}")

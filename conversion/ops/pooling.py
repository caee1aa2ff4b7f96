"""Pools: means and maxima over windows of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikeram.conversion.graph import AbstractOp, Shape
from spikeram.conversion.ops.parameters import per_axis, per_side
from spikeram.errors import ConversionError

Kind: TypeAlias = Literal["mean", "max"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool(AbstractOp):
    """The mean or the largest value of each window of an image, channel by channel.

    A mean is linear: the inputs of a window share a row of the crossbar that follows. A maximum is
    taken over cumulative spike counts, by one digital counter for each output.

    Parameters
    ----------
    kind : {"mean", "max"}
        What is taken of a window.
    kernel : int or sequence of int
        Window along each axis of space.
    stride : int, sequence of int or None
        None for the kernel.
    padding : int, sequence of int or sequence of (int, int)
        Pixels around the image; they are no part of a maximum.
    dilation : int or sequence of int
        Distance of the window's pixels.
    ceil : bool
        Whether a last window that reaches beyond the edge counts.
    count_padding : bool
        Whether the mean's divisor counts padding.
    """

    kind: Kind
    kernel: int | Sequence[int]
    stride: int | Sequence[int] | None = None
    padding: int | Sequence[int] | Sequence[tuple[int, int]] = 0
    dilation: int | Sequence[int] = 1
    ceil: bool = False
    count_padding: bool = True

    def shape(self, *inputs: Shape) -> Shape:
        """Return (channel, space...)."""
        (before,) = inputs
        return (before[0], *(len(axis) for axis in self.windows(before)[0]))

    def windows(
        self, shape: Shape
    ) -> tuple[tuple[NDArray[np.int64], ...], tuple[NDArray[np.bool_], ...]]:
        """Return the pixels of each window along each axis, and which of them count.

        Parameters
        ----------
        shape : tuple of int
            (channel, space...).

        Returns
        -------
        places : tuple of int64 ndarray of shape (window, pixel)
            Places along the axis, -1 outside the image.
        counted : tuple of bool ndarray of shape (window, pixel)
            Whether the place is part of a mean's divisor.
        """
        n_axes = check_space(shape, "Pool")
        kernel = per_axis(self.kernel, n_axes, "Pool.kernel", 1)
        stride = kernel if self.stride is None else per_axis(self.stride, n_axes, "Pool.stride", 1)
        padding = per_side(self.padding, n_axes, "Pool.padding")
        dilation = per_axis(self.dilation, n_axes, "Pool.dilation", 1)
        places, counted = [], []
        for n, length in enumerate(shape[1:]):
            reach = dilation[n] * (kernel[n] - 1) + 1
            rest = length + sum(padding[n]) - reach
            if rest < 0:
                raise ConversionError(f"Pool: a window of {reach} does not fit into {shape}.")
            count = rest // stride[n] + 1
            if self.ceil:
                count = -(-rest // stride[n]) + 1
                # A window that would begin in the padding after the image does not count.
                if (count - 1) * stride[n] >= length + padding[n][0]:
                    count -= 1
            start = np.arange(count)[:, np.newaxis] * stride[n] - padding[n][0]
            at = start + np.arange(kernel[n]) * dilation[n]
            inside = (at >= 0) & (at < length)
            places.append(np.where(inside, at, -1))
            # Pixels that only ceil reaches are beyond the padding, and never count.
            padded = at < length + padding[n][1]
            counted.append(padded if self.count_padding else inside)
        return tuple(places), tuple(counted)


@dataclass(frozen=True, eq=False, kw_only=True)
class AdaptivePool(AbstractOp):
    """The mean or the largest value of windows that divide an image into so many parts.

    Window k of K along an axis of n pixels goes from ``floor(k n / K)`` to ``ceil((k + 1) n / K)``.
    It maps like `Pool`.

    Parameters
    ----------
    kind : {"mean", "max"}
        What is taken of a window.
    size : int or sequence of (int or None)
        Windows along each axis of space; None for as many as pixels. 1 for a global pool.
    """

    kind: Kind
    size: int | Sequence[int | None]

    def shape(self, *inputs: Shape) -> Shape:
        """Return (channel, space...)."""
        (before,) = inputs
        return (before[0], *(len(axis) for axis in self.windows(before)[0]))

    def windows(
        self, shape: Shape
    ) -> tuple[tuple[NDArray[np.int64], ...], tuple[NDArray[np.bool_], ...]]:
        """Return the pixels of each window along each axis, as `Pool.windows` does."""
        n_axes = check_space(shape, "AdaptivePool")
        asked = (self.size,) * n_axes if isinstance(self.size, int) else tuple(self.size)
        sizes = [length if n is None else n for n, length in zip(asked, shape[1:])]
        per_axis(sizes, n_axes, "AdaptivePool.size", 1)
        places = []
        for size, length in zip(sizes, shape[1:]):
            start = np.arange(size) * length // size
            stop = -(-(np.arange(size) + 1) * length // size)
            at = start[:, np.newaxis] + np.arange((stop - start).max())
            places.append(np.where(at < stop[:, np.newaxis], at, -1))
        return tuple(places), tuple(at >= 0 for at in places)


def check_space(shape: Shape, what: str) -> int:
    """Return the number of axes of space of an image: one or two."""
    if len(shape) not in (2, 3):
        raise ConversionError(
            f"{what} expects samples of shape (channel, x) or (channel, y, x), got {shape}."
        )
    return len(shape) - 1

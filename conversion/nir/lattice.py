"""Which convolution a gather is: its shape, kernel, stride, padding and dilation found again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from spikeram.gather import Gather, Pair, convolution


@dataclass(frozen=True, kw_only=True)
class Lattice:
    """The parameters of a convolution.

    Parameters
    ----------
    shape : tuple of int
        Input (channel, y, x).
    size : tuple of int
        Positions along y and x.
    kernel, stride, padding, dilation : tuple of int
        As in PyTorch.
    """

    shape: tuple[int, int, int]
    size: Pair
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair

    @property
    def gather(self) -> Gather:
        """The gather that the parameters make."""
        return convolution(
            self.shape,
            self.kernel,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
        )[0]


def lattice(gather: Gather, shape: tuple[int, ...] | None = None) -> Lattice | None:
    """Return the convolution whose gather this is, or None where there is none.

    Parameters
    ----------
    gather : Gather
        With one tap for each row.
    shape : tuple of int, optional
        Input (channel, y, x) where it is known; other shapes are not tried then.
    """
    if gather.n_taps != 1:
        return None
    index = gather.index[:, :, 0]
    for channels, height, width in [shape] if shape is not None else _shapes(gather):
        if channels * height * width != gather.n_inputs or gather.n_rows % channels:
            continue
        taps = gather.n_rows // channels
        found = _fit(index[:, :taps], gather, (channels, height, width))
        if found is not None:
            return found
    return None


def spread(gather: Gather) -> Iterator[tuple[Gather, NDArray[np.int64]]]:
    """Yield gathers with a row for each tap, ordered as the kernel of one convolution.

    Rows that an average pool before the convolution made share a weight: a kernel of (y, x)
    over pools of (b, a) is one of (y b, x a). All factors of rows and taps are tried.

    Yields
    ------
    Gather, ndarray of shape (row,)
        One tap for each row, and the row of `gather` whose weight it takes.
    """
    for channels in _divisors(gather.n_rows):
        for kernel, pool in product(_factors(gather.n_rows // channels), _factors(gather.n_taps)):
            shape = (gather.n_positions, channels, *kernel, *pool)
            index = gather.index.reshape(shape).transpose(0, 1, 2, 4, 3, 5)
            row = np.arange(gather.n_rows).reshape(channels, *kernel)
            row = np.broadcast_to(row[..., np.newaxis, np.newaxis], shape[1:])
            yield (
                Gather(index.reshape(gather.n_positions, -1, 1), gather.n_inputs),
                row.transpose(0, 1, 3, 2, 4).ravel(),
            )


def _fit(index: NDArray[np.int32], gather: Gather, shape: tuple[int, int, int]) -> Lattice | None:
    _, height, width = shape
    inside = index >= 0
    if not inside.any() or int(index.max()) >= height * width:
        return None
    for size, kernel in product(_factors(gather.n_positions), _factors(index.shape[1])):
        place = np.nonzero(inside.reshape(*size, *kernel))
        pixel = np.divmod(index[inside], width)
        steps = []
        for axis in (0, 1):
            solved = _steps(pixel[axis], place[axis], place[axis + 2])
            if solved is None:
                break
            steps.append(solved)
        if len(steps) < 2:
            continue
        found = Lattice(
            shape=shape,
            size=size,
            kernel=kernel,
            stride=(steps[0][0], steps[1][0]),
            padding=(steps[0][2], steps[1][2]),
            dilation=(steps[0][1], steps[1][1]),
        )
        if _same(found, gather):
            return found
    return None


def _steps(
    pixel: NDArray[np.int32], position: NDArray[np.int64], tap: NDArray[np.int64]
) -> tuple[int, int, int] | None:
    """Return stride, dilation and padding of pixel = position stride + tap dilation - padding."""
    matrix = np.stack([position, tap, -np.ones_like(tap)], axis=1).astype(np.float64)
    stride, dilation, padding = np.rint(np.linalg.lstsq(matrix, pixel, rcond=None)[0]).astype(int)
    # What never varies is not told by the pixels.
    stride = stride if np.ptp(position) else 1
    dilation = dilation if np.ptp(tap) else 1
    padding = int(position[0] * stride + tap[0] * dilation - pixel[0])
    if min(stride, dilation) < 1 or padding < 0:
        return None
    if np.any(position * stride + tap * dilation - padding != pixel):
        return None
    return int(stride), int(dilation), padding


def _same(found: Lattice, gather: Gather) -> bool:
    try:
        made = found.gather
    except ValueError:
        return False
    return np.array_equal(made.index, gather.index)


def _shapes(gather: Gather) -> Iterator[tuple[int, int, int]]:
    """Yield input shapes, the likeliest first: squares, then few channels."""
    shapes = [
        (channels, *size)
        for channels in _divisors(int(np.gcd(gather.n_rows, gather.n_inputs)))
        for size in _factors(gather.n_inputs // channels)
    ]
    yield from sorted(shapes, key=lambda shape: (shape[1] != shape[2], shape[0]))


def _divisors(n: int) -> list[int]:
    return [divisor for divisor in range(1, n + 1) if n % divisor == 0]


def _factors(n: int) -> list[Pair]:
    return sorted(((d, n // d) for d in _divisors(n)), key=lambda pair: abs(pair[0] - pair[1]))

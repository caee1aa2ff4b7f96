"""What happens to samples before a network sees them: levels of the input, random shifts."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray


def quantised(x: NDArray[np.float32], levels: int) -> NDArray[np.float32]:
    """Return values at the nearest of `levels` equal steps of 1.

    Parameters
    ----------
    x : float32 ndarray
        Values in [0, 1], or in [-1, 1] for signed inputs.
    levels : int
        Largest code that drives a row, such as 7 for three magnitude bits.
    """
    return np.asarray(np.floor(x * levels + 0.5) / levels, dtype=np.float32)


def shifted(
    x: torch.Tensor, most: int, generator: torch.Generator, *, mirrored: bool = False
) -> torch.Tensor:
    """Return images, each moved by up to `most` pixels over a black border.

    Parameters
    ----------
    x : torch.Tensor of shape (sample, channel, y, x)
        Images.
    most : int
        Most pixels in each direction.
    generator : torch.Generator
        Where the shifts are drawn from.
    mirrored : bool
        Whether every second one, by chance, is mirrored.
    """
    n, channels, height, width = x.shape
    padded = functional.pad(x, (most, most, most, most))
    shift = torch.randint(0, 2 * most + 1, (2, n, 1), generator=generator)
    row = shift[0] + torch.arange(height)
    column = shift[1] + torch.arange(width)
    if mirrored:
        turned = torch.rand(n, generator=generator) < 0.5
        column[turned] = column[turned].flip(1)
    sample, channel = torch.arange(n), torch.arange(channels)
    return padded[
        sample[:, None, None, None],
        channel[None, :, None, None],
        row[:, None, :, None],
        column[:, None, None, :],
    ]

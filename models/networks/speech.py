"""What the speech networks take: cepstral coefficients of 4 bits, and how training varies them.

40 coefficients of each of 49 frames, 40 ms every 20 ms (window 641 and hop 320 at 16 kHz in Wan et
al., Nature 608, 504, 2022), less their mean and over 2.5 standard deviations of the training part,
clipped at 1.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from spikeram.datasets import LabelledSet, mfcc, speech_commands
from spikeram.models.networks.inputs import quantised

BITS = 4
"""Bits of an input, its sign included."""

LEVELS = 2 ** (BITS - 1) - 1

N_FRAMES, N_COEFFICIENTS, N_CLASSES = 49, 40, 12

_CLIP = 2.5

_SHIFT = 6
"""Most frames of 49 by which training moves a clip."""

_STRETCH = 0.15
"""Most that training stretches or squeezes a clip by."""

_NOISE = 0.12
"""Noise that training adds, to each coefficient of a clip and of each frame."""

_MASK = 8
"""Most frames of 49 that training silences."""


@lru_cache
def _standard() -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return mean and standard deviation of each coefficient, over the training part."""
    coefficients = mfcc(speech_commands("train").x)
    return coefficients.mean(axis=(0, 1)), coefficients.std(axis=(0, 1))


def samples(part: str) -> LabelledSet:
    """Return clips of shape (sample, frame, coefficient) and their words.

    Parameters
    ----------
    part : {"train", "validation", "test"}
        Of the published test set, which alone is divided here by speaker.
    """
    found = speech_commands(part)  # type: ignore[arg-type]
    mean, deviation = _standard()
    share = np.clip((mfcc(found.x) - mean) / (_CLIP * deviation), -1.0, 1.0)
    return replace(found, x=quantised(share.astype(np.float32), LEVELS))


def varied(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return clips moved, stretched, disturbed and in part silenced, quantised again.

    Parameters
    ----------
    x : torch.Tensor of shape (sample, frame, coefficient)
        Clips.
    generator : torch.Generator
        Where it is drawn from.
    """
    n, frames, coefficients = x.shape

    def drawn(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator) * 2 - 1

    frame = torch.arange(frames)
    middle = frames / 2
    shift = _SHIFT * frames / N_FRAMES
    place = (frame - middle) * (1 + _STRETCH * drawn(n, 1)) + middle + shift * drawn(n, 1)
    place = place.round().long().clamp(0, frames - 1)
    moved = torch.gather(x, 1, place[..., None].expand(-1, -1, coefficients))
    moved = moved + _NOISE * torch.randn(moved.shape, generator=generator)
    # One offset for the whole clip: another voice or microphone.
    moved += _NOISE * torch.randn((n, 1, coefficients), generator=generator)
    first = torch.randint(0, frames, (n, 1), generator=generator)
    most = torch.randint(0, _MASK * frames // N_FRAMES + 1, (n, 1), generator=generator)
    masked = (frame >= first) & (frame < first + most)
    moved = moved.masked_fill(masked[..., None], 0.0)
    result: torch.Tensor = torch.floor(moved.clamp(-1, 1) * LEVELS + 0.5) / LEVELS
    return result

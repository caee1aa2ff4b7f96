"""A convolutional network for keywords, which runs with spikes as well as in inference mode.

Four convolutions along time over all 40 cepstral coefficients of a frame, with average pools and
3-bit activations: the spiking-friendly twin of `spikeram.models.networks.speech_lstm`, on the same
inputs.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from spikeram.conversion.training import ClipFloorShift, Recipe, Stage
from spikeram.datasets import LabelledSet
from spikeram.models.networks import speech
from spikeram.models.networks.command import command
from spikeram.models.networks.network import Network

ACTIVATION_BITS = 3


def _convolution(
    before: int, width: int, kernel: tuple[int, int], *, stride: int = 1
) -> list[nn.Module]:
    padding = (kernel[0] // 2, 0)
    return [
        nn.Conv2d(before, width, kernel, stride=(stride, 1), padding=padding, bias=False),
        nn.BatchNorm2d(width),
        ClipFloorShift(2**ACTIVATION_BITS - 1, threshold=3.0),
    ]


def build() -> nn.Module:
    """Return the model with random weights; it takes clips (sample, 1, 49, 40) in [-1, 1]."""
    return nn.Sequential(
        *_convolution(1, 64, (5, speech.N_COEFFICIENTS), stride=2),
        *_convolution(64, 64, (5, 1)),
        nn.AvgPool2d((2, 1)),
        *_convolution(64, 96, (3, 1)),
        nn.AvgPool2d((2, 1)),
        *_convolution(96, 96, (3, 1)),
        nn.AvgPool2d((6, 1)),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(96, speech.N_CLASSES),
    )


def samples(part: str) -> LabelledSet:
    """Return clips of 4 bits as images of one channel, and their words."""
    found = speech.samples(part)
    return replace(found, x=found.x[:, None])


def augmented(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return clips varied as `speech.varied` does."""
    return speech.varied(x[:, 0], generator)[:, None]


NETWORK = Network(
    name="speech_cnn",
    build=build,
    samples=samples,
    recipe=Recipe(
        stages=(Stage(epochs=14, rate=4e-3), Stage(epochs=10, rate=2e-3, noise=0.15)),
        batch=64,
        decay=1e-3,
        smoothing=0.1,
    ),
    input_bits=speech.BITS,
    activation_bits=ACTIVATION_BITS,
    augment=augmented,
)

if __name__ == "__main__":
    command(NETWORK)()

"""The seven-layer convolutional network for MNIST that ran on the chip.

3 x 3 convolutions of 8, 8, 16, 16, 32 and 32 channels, a max pool after every second, a dense
layer; 3-bit inputs and 3-bit activations (Wan et al., Nature 608, 504, 2022, and
github.com/weierwan/Neurram_48core).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from spikeram.conversion.training import ClipFloorShift, Recipe, Stage
from spikeram.datasets import LabelledSet, mnist
from spikeram.models.networks.command import command
from spikeram.models.networks.inputs import quantised, shifted
from spikeram.models.networks.network import Network

BITS = 3


def build() -> nn.Module:
    """Return the model with random weights; it takes images (sample, 1, 28, 28) in [0, 1]."""
    layers: list[nn.Module] = []
    before = 1
    for width in (8, 16, 32):
        for channels in (before, width):
            layers += [
                nn.Conv2d(channels, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                ClipFloorShift(2**BITS - 1, threshold=3.0),
            ]
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
        before = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10))


def samples(part: str) -> LabelledSet:
    """Return images of 3 bits and their labels; `part` is "train" or "test"."""
    found = mnist(part)  # type: ignore[arg-type]
    return replace(found, x=quantised(found.x, 2**BITS - 1))


def augmented(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return images, each shifted by up to two pixels."""
    return shifted(x, 2, generator)


NETWORK = Network(
    name="mnist_cnn",
    build=build,
    samples=samples,
    recipe=Recipe(
        stages=(Stage(epochs=12, rate=1e-2), Stage(epochs=20, rate=5e-3, noise=0.2)),
        batch=128,
    ),
    input_bits=BITS,
    activation_bits=BITS,
    augment=augmented,
)

if __name__ == "__main__":
    command(NETWORK)()

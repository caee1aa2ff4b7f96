"""ResNet-20 for CIFAR-10, as the chip held it: 16, 32, 64 channels and 1 x 1 shortcuts.

He et al., CVPR 2016, with 4-bit inputs and 3-bit activations (Wan et al., Nature 608, 504, 2022).
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as functional
from torch import nn

from spikeram.conversion.training import ClipFloorShift, Recipe, Stage
from spikeram.datasets import LabelledSet, cifar10
from spikeram.models.networks.command import command
from spikeram.models.networks.inputs import quantised, shifted
from spikeram.models.networks.network import Network


def _activation() -> ClipFloorShift:
    return ClipFloorShift(7, threshold=3.0)


class Block(nn.Module):
    """Two convolutions, and a shortcut around them."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.act1 = _activation()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.act2 = _activation()
        self.shortcut = nn.Sequential()
        if before != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the activations, of shape (sample, channel, y, x)."""
        out = self.norm2(self.conv2(self.act1(self.norm1(self.conv1(x)))))
        result: torch.Tensor = self.act2(out + self.shortcut(x))
        return result


class ResNet20(nn.Module):
    """The network; call it with images (sample, 3, 32, 32) in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.act = _activation()
        widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
        self.blocks = nn.Sequential(
            *(
                Block(before, width, 1 if before == width else 2)
                for before, width in zip(widths, widths[1:])
            )
        )
        self.dense = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores, of shape (sample, 10)."""
        out = self.blocks(self.act(self.norm(self.conv(x))))
        result: torch.Tensor = self.dense(functional.avg_pool2d(out, 8).flatten(1))
        return result


def samples(part: str) -> LabelledSet:
    """Return images of 4 bits and their labels; `part` is "train" or "test"."""
    found = cifar10(part)  # type: ignore[arg-type]
    return replace(found, x=quantised(found.x, 15))


def augmented(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return images, each shifted by up to four pixels and mirrored or not."""
    return shifted(x, 4, generator, mirrored=True)


NETWORK = Network(
    name="resnet20",
    build=ResNet20,
    samples=samples,
    recipe=Recipe(
        stages=(
            Stage(epochs=18, rate=0.4),
            Stage(epochs=30, rate=0.2, noise=0.2, clip=2.0),
            Stage(epochs=10, rate=0.05, noise=0.2, clip=2.0, running_norms=True),
        ),
        optimiser="sgd",
        decay=5e-4,
        smoothing=0.05,
    ),
    # As published: Adam without decay, which leaves every layer a few large weights.
    plain=Recipe(stages=(Stage(epochs=18, rate=1e-3),)),
    input_bits=4,
    activation_bits=3,
    augment=augmented,
)

if __name__ == "__main__":
    command(NETWORK)()

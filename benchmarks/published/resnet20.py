"""The CIFAR-10 ResNet-20 of He et al. (CVPR 2016), section 4.2, with shortcuts of option A.

Laid out as in akamaster/pytorch_resnet_cifar10: shortcuts are modules around a function that drops
every other pixel and pads channels with zeros, and rectifiers are calls of ``functional.relu``.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as functional
from torch import nn


class LambdaLayer(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.lambd = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lambd(x)


class BasicBlock(nn.Module):
    """Two convolutions, and a shortcut without parameters around them."""

    def __init__(self, before: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut: nn.Module = nn.Sequential()
        if stride != 1 or before != planes:
            side = planes // 4
            self.shortcut = LambdaLayer(
                lambda x: functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, side, side), "constant", 0)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = functional.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return functional.relu(out)


class ResNet(nn.Module):
    """Three stages of blocks, of 16, 32 and 64 channels in the paper."""

    def __init__(self, n_blocks: int = 3, width: int = 16, n_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(width, width, n_blocks, stride=1)
        self.layer2 = _stage(width, 2 * width, n_blocks, stride=2)
        self.layer3 = _stage(2 * width, 4 * width, n_blocks, stride=2)
        self.linear = nn.Linear(4 * width, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = functional.relu(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))
        out = functional.avg_pool2d(out, out.size()[3])
        out = out.view(out.size(0), -1)
        result: torch.Tensor = self.linear(out)
        return result


def _stage(before: int, planes: int, n_blocks: int, *, stride: int) -> nn.Sequential:
    first = BasicBlock(before, planes, stride)
    return nn.Sequential(first, *(BasicBlock(planes, planes, 1) for _ in range(n_blocks - 1)))


def resnet20() -> ResNet:
    return ResNet()


def renamed(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights that ``cifar10_training.py`` made, by the names of this layout."""
    found = {}
    for name, value in state.items():
        if name.startswith("blocks."):
            _, number, rest = name.split(".", 2)
            stage, block = divmod(int(number), 3)
            name = f"layer{stage + 1}.{block}.{rest}"
        found[name] = value
    return found

"""Train the CIFAR-10 ResNet-20 of the benchmarks, with ReLU or for few time steps.

The network of He et al. (CVPR 2016) with parameter-free shortcuts. CIFAR-10 comes
from $SPIKERAM_DATA/cifar10, or is fetched (docs/data.md); only 20,000 of the 50,000 training images
are used, so accuracies lie below published ones. Stopped at any time, it resumes after the last
finished epoch.

    python benchmarks/cifar10_training.py --epochs 40 --output resnet20.pt
    python benchmarks/cifar10_training.py --levels 8 --start resnet20.pt --output resnet20_l8.pt
"""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from rich.progress import track
from torch import nn

from spikeram.conversion.training import ClipFloorShift, WeightNoise
from spikeram.datasets import cifar10

MEAN = np.array([0.4914, 0.4822, 0.4465])
"""Mean of the training images, red, green and blue, in [0, 1]."""

SIGMA = 0.25
"""One scale for all colours: inputs stay on one grid."""


class Block(nn.Module):
    def __init__(self, before: int, width: int, stride: int, activation: Any) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.act1 = activation()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.act2 = activation()
        self.extra = width - before

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.bn2(self.conv2(self.act1(self.bn1(self.conv1(x)))))
        if self.extra:
            half = self.extra // 2
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, half))
        result: torch.Tensor = self.act2(out + x)
        return result


class ResNet20(nn.Module):
    def __init__(self, activation: Any = nn.ReLU) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.act1 = activation()
        blocks, before = [], 16
        for width in (16, 32, 64):
            for n in range(3):
                stride = 2 if n == 0 and width > 16 else 1
                blocks.append(Block(before, width, stride, activation))
                before = width
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.blocks(self.act1(self.bn1(self.conv1(x))))
        out = functional.avg_pool2d(out, out.size()[3])
        result: torch.Tensor = self.linear(out.view(out.size(0), -1))
        return result


def resnet20(levels: int = 0) -> ResNet20:
    return ResNet20(nn.ReLU if levels == 0 else lambda: ClipFloorShift(levels))


def images(part: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return normalised images (sample, channel, y, x) and labels of "train20k" or "test"."""
    found = cifar10("test" if part == "test" else "train")
    # From the bytes, in double precision: figures are measured on these values.
    pixels = np.rint(255 * found.x[:20_000]).astype(np.float64)
    x = (pixels / 255.0 - MEAN[:, np.newaxis, np.newaxis]) / SIGMA
    return x.astype(np.float32), found.y[:20_000]


def augmented(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return a batch, each image shifted by up to four pixels and flipped or not."""
    n = x.shape[0]
    padded = functional.pad(x, (4, 4, 4, 4))
    shift = torch.randint(0, 9, (2, n, 1), generator=generator)
    row, column = (shift + torch.arange(32)).unbind(0)
    flip = torch.rand(n, generator=generator) < 0.5
    column[flip] = column[flip].flip(1)
    picked = padded[
        torch.arange(n)[:, None, None, None],
        torch.arange(3)[None, :, None, None],
        row[:, None, :, None],
        column[:, None, None, :],
    ]
    return picked


def accuracy(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    net.eval()
    with torch.no_grad():
        right = sum(
            int((net(x[k : k + 500]).argmax(1) == y[k : k + 500]).sum())
            for k in range(0, len(x), 500)
        )
    return 100 * right / len(x)


def save(path: Path, content: dict[str, Any]) -> None:
    torch.save(content, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


@click.command()
@click.option("--levels", type=click.IntRange(min=0), default=0, help="0 trains ReLU.")
@click.option("--epochs", type=click.IntRange(min=1), default=40, show_default=True)
@click.option("--rate", type=float, default=0.4, show_default=True, help="Largest learning rate.")
@click.option("--noise", type=float, default=0.0, show_default=True, help="Share of the weights.")
@click.option("--start", type=click.Path(path_type=Path), help="Weights to begin with.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), required=True)
def main(
    levels: int,
    epochs: int,
    rate: float,
    noise: float,
    start: Path | None,
    seed: int,
    output: Path,
) -> None:
    torch.manual_seed(seed)
    net = resnet20(levels).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if start is not None:
        net.load_state_dict(torch.load(start, weights_only=True)["model"], strict=False)
    x, y = (torch.tensor(part) for part in images("train20k"))
    x_test, y_test = (torch.tensor(part) for part in images("test"))
    rounds = len(x) // 128
    # Processors without instructions for it emulate bfloat16, ten times slower than float32.
    fast_bfloat16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    slow = [p for name, p in net.named_parameters() if name.endswith("threshold")]
    fast = [p for name, p in net.named_parameters() if not name.endswith("threshold")]
    groups = [{"params": fast, "weight_decay": 5e-4}, {"params": slow, "weight_decay": 0.0}]
    optimiser = torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True)
    largest = [rate, rate / 10] if slow else rate
    if not slow:
        optimiser.param_groups.pop()
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, largest, total_steps=epochs * rounds, pct_start=0.25
    )
    first = 0
    resume = output.with_suffix(".resume")
    if resume.exists():
        state = torch.load(resume, weights_only=True)
        net.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        first = state["epoch"]
    for epoch in range(first, epochs):
        net.train()
        # A generator of each epoch's own: a resumed run draws what an unbroken one draws.
        generator = torch.Generator().manual_seed(1000 * seed + epoch)
        order = torch.randperm(len(x), generator=generator)[: rounds * 128]
        for batch in track(order.split(128), f"Epoch {epoch + 1} of {epochs}"):  # type: ignore[no-untyped-call]
            images_now = augmented(x[batch], generator).to(memory_format=torch.channels_last)
            optimiser.zero_grad()
            with WeightNoise(net, noise, generator) if noise else nullcontext():
                with torch.autocast("cpu", torch.bfloat16, enabled=fast_bfloat16):
                    out = net(images_now)
                functional.cross_entropy(out.float(), y[batch], label_smoothing=0.05).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        if epoch % 5 == 4 or epoch == epochs - 1:
            print(f"epoch {epoch + 1}: {accuracy(net, x_test, y_test):.2f} %", flush=True)
        save(
            resume,
            {
                "model": net.state_dict(),
                "optimiser": optimiser.state_dict(),
                "schedule": schedule.state_dict(),
                "epoch": epoch + 1,
            },
        )
    save(
        output,
        {"model": net.state_dict(), "levels": levels, "accuracy": accuracy(net, x_test, y_test)},
    )


if __name__ == "__main__":
    main()

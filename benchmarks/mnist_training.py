"""The MNIST networks of the benchmarks: trained once, and kept in a cache folder.

Perceptrons 784-256-128-10 and, with one wide layer, 784-512-10, and a convolutional network
16-32-128, with ReLU, with clip-floor-shift activations, or with weight noise. MNIST comes from
$SPIKERAM_DATA/mnist, or is fetched (docs/data.md).

    python benchmarks/mnist_training.py cnn --levels 4 --noise 0.1
"""

from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from spikeram.datasets import mnist

CACHE = Path("benchmark-cache")
"""Where weights are kept, in the folder that the benchmark is run from."""


PARTS: dict[str, Literal["train", "test"]] = {"train": "train", "t10k": "test"}
"""Parts of the set, by the names of their files."""


def images(part: str) -> NDArray[np.float64]:
    """Return the images of "train" or "t10k", in [0, 1], of shape (sample, 1, 28, 28)."""
    # From the bytes, in double precision: figures are measured on these values.
    return np.rint(255 * mnist(PARTS[part]).x).astype(np.float64) / 255


def labels(part: str) -> NDArray[np.uint8]:
    """Return the labels of "train" or "t10k"."""
    return mnist(PARTS[part]).y.astype(np.uint8)


def untrained(kind: str, levels: int = 0) -> Any:
    """Return a torch model with random weights; `levels` 0 for ReLU."""
    from torch import nn

    from spikeram.conversion.training import ClipFloorShift

    def activation() -> Any:
        return ClipFloorShift(levels) if levels else nn.ReLU()

    if kind == "mlp":
        return nn.Sequential(
            nn.Flatten(), nn.Linear(784, 256), activation(), nn.Linear(256, 128), activation(),
            nn.Linear(128, 10),
        )  # fmt: skip
    if kind == "wide":
        return nn.Sequential(
            nn.Flatten(), nn.Linear(784, 512), activation(), nn.Linear(512, 10)
        )  # fmt: skip
    pool = nn.MaxPool2d if kind == "maxcnn" else nn.AvgPool2d
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), activation(), pool(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), activation(), pool(2),
        nn.Flatten(), nn.Linear(32 * 49, 128), activation(), nn.Linear(128, 10),
    )  # fmt: skip


def trained(kind: str, *, levels: int = 0, noise: float = 0.0, epochs: int = 6) -> Any:
    """Return the trained torch model in evaluation, from the cache where it is there.

    Parameters
    ----------
    kind : {"mlp", "wide", "cnn", "maxcnn"}
        Which network.
    levels : int
        Levels of the clip-floor-shift activation; 0 for ReLU.
    noise : float
        Weight noise of every forward pass, as a share of each layer's largest weight.
    epochs : int
        Passes through the training images.
    """
    import torch

    path = CACHE / f"mnist_{kind}_l{levels}_n{noise:g}_e{epochs}.pt"
    net = untrained(kind, levels)
    if not path.exists():
        _train(net, noise, epochs)
        CACHE.mkdir(parents=True, exist_ok=True)
        torch.save(net.state_dict(), path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)
    net.load_state_dict(torch.load(path, weights_only=True))
    return net.eval()


def _train(net: Any, noise: float, epochs: int) -> None:
    import torch

    from spikeram.conversion.training import WeightNoise

    torch.manual_seed(0)
    for module in net.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    generator = torch.Generator().manual_seed(1)
    x = torch.tensor(images("train"), dtype=torch.float32)
    net.to(memory_format=torch.channels_last)
    y = torch.tensor(labels("train").astype(np.int64))
    rounds = epochs * (len(x) // 128)
    optimiser = torch.optim.Adam(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=rounds)
    net.train()
    for epoch in range(epochs):
        order = torch.randperm(len(x))[: len(x) // 128 * 128]
        for start in track(range(0, len(order), 128), f"Epoch {epoch + 1} of {epochs}"):
            batch = order[start : start + 128]
            optimiser.zero_grad()
            some = x[batch].to(memory_format=torch.channels_last)
            with WeightNoise(net, noise, generator):
                with torch.autocast("cpu", torch.bfloat16):
                    out = net(some)
                loss = torch.nn.functional.cross_entropy(out.float(), y[batch])
                loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()


@click.command()
@click.argument("kind", type=click.Choice(["mlp", "wide", "cnn", "maxcnn"]))
@click.option("--levels", type=click.IntRange(min=0), default=0)
@click.option("--noise", type=float, default=0.0)
@click.option("--epochs", type=click.IntRange(min=1), default=6, show_default=True)
def main(kind: str, levels: int, noise: float, epochs: int) -> None:
    import torch

    net = trained(kind, levels=levels, noise=noise, epochs=epochs)
    with torch.no_grad():
        found = net(torch.tensor(images("t10k"), dtype=torch.float32)).argmax(1).numpy()
    print(f"{kind}, levels {levels}, noise {noise}: {100 * np.mean(found == labels('t10k')):.2f} %")


if __name__ == "__main__":
    main()

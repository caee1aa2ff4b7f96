"""MNIST: accuracy over time steps of converted networks, ideal and on programmed chips.

Trains a perceptron and a convolutional network once (torch; weights are kept in a cache folder),
and converts them without any re-training. Needs the four MNIST files in $SPIKERAM_DATA/mnist.

    python benchmarks/mnist.py --output mnist.json
"""

import gzip
import json
import os
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from spikeram.conversion import TrainedNetwork, convert, read, recalibrate
from spikeram.programming import program
from spikeram.simulation import simulate
from spikeram.statistics import accuracy

STEPS = (1, 2, 4, 8, 16, 32)
CALIBRATION = 1000
RECALIBRATION = 300


def images(folder: Path, name: str) -> NDArray[np.float64]:
    with gzip.open(folder / f"{name}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16)
    return pixels.reshape(-1, 1, 28, 28) / 255.0


def labels(folder: Path, name: str) -> NDArray[np.uint8]:
    with gzip.open(folder / f"{name}-labels-idx1-ubyte.gz") as file:
        return np.frombuffer(file.read(), np.uint8, offset=8)


def model(kind: str) -> Any:
    from torch import nn

    if kind == "mlp":
        return nn.Sequential(
            nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(),
            nn.Linear(128, 10),
        )  # fmt: skip
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(32 * 49, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def trained(kind: str, folder: Path, cache: Path, epochs: int) -> TrainedNetwork:
    """Return the trained network, from the cache where it is there."""
    path = cache / f"mnist_{kind}_{epochs}.npz"
    if path.exists():
        return TrainedNetwork.load(path)
    import torch

    torch.manual_seed(0)
    net = model(kind)
    x = torch.tensor(images(folder, "train"), dtype=torch.float32)
    y = torch.tensor(labels(folder, "train").astype(np.int64))
    rounds = epochs * (len(x) // 128)
    optimiser = torch.optim.Adam(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=rounds)
    for _ in range(epochs):
        for batch in torch.randperm(len(x))[: len(x) // 128 * 128].split(128):  # type: ignore[no-untyped-call]
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    network = read(net.eval(), input_shape=(1, 28, 28))
    cache.mkdir(parents=True, exist_ok=True)
    network.save(path)
    return network


@click.command()
@click.option("--samples", type=click.IntRange(1, 10_000), default=10_000, show_default=True)
@click.option("--chips", type=click.IntRange(min=0), default=3, show_default=True)
@click.option("--epochs", type=click.IntRange(min=1), default=6, show_default=True)
@click.option("--cache", type=click.Path(path_type=Path), default=Path("mnist-cache"))
@click.option("--output", type=click.Path(path_type=Path))
def main(samples: int, chips: int, epochs: int, cache: Path, output: Path | None) -> None:
    """Print accuracies over T, and the seconds that simulating took."""
    folder = Path(os.environ.get("SPIKERAM_DATA", "")) / "mnist"
    if not (folder / "train-images-idx3-ubyte.gz").exists():
        raise click.ClickException("Set SPIKERAM_DATA to a folder that holds mnist/.")
    calibration = images(folder, "train")[:CALIBRATION]
    x, y = images(folder, "t10k")[:samples], labels(folder, "t10k")[:samples]
    table = Table("network", "ANN %", *(f"T={t}" for t in STEPS))
    results: dict[str, Any] = {"samples": samples, "chips": chips}
    for kind in ("mlp", "cnn"):
        network = trained(kind, folder, cache, epochs)
        ann = 100 * float(np.mean(network.predict(x) == y))
        rows: dict[str, list[float]] = {"ideal": [], "seconds": [], "converting": []}
        rows |= {"as programmed": [], "recalibrated": []} if chips else {}
        for t in STEPS:
            start = time.perf_counter()
            spiking = convert(network, calibration, steps=t)
            converted = time.perf_counter()
            run = simulate(spiking, x, record="counts")
            rows["seconds"].append(time.perf_counter() - converted)
            rows["converting"].append(converted - start)
            rows["ideal"].append(100 * float(accuracy(run, y)[-1]))
            found: dict[str, list[float]] = {"as programmed": [], "recalibrated": []}
            for index in range(chips):
                chip = program(spiking, seed=0, index=index)
                again = recalibrate(chip, calibration[:RECALIBRATION])
                for name, one in (("as programmed", chip), ("recalibrated", again)):
                    counted = simulate(one, x, record="counts")
                    found[name].append(100 * float(accuracy(counted, y)[-1]))
            for name in found if chips else ():
                rows[name].append(float(np.mean(found[name])))
        for name, values in rows.items():
            table.add_row(f"{kind} {name}", f"{ann:.2f}", *(f"{value:.2f}" for value in values))
        results[kind] = {"ann": ann, **{k: dict(zip(map(str, STEPS), v)) for k, v in rows.items()}}
    Console().print(table)
    if output is not None:
        output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()

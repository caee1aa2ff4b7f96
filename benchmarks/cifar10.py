"""CIFAR-10: a ResNet-20 converted by several methods, over time steps.

Takes the weights that `cifar10_training.py` made, trained with ReLU or with clip-floor-shift
activations. Needs $SPIKERAM_DATA/cifar10.

    python benchmarks/cifar10.py resnet20.pt --methods signed_reconstruction --steps 32
    python benchmarks/cifar10.py resnet20_l8.pt --methods learned,learned_signed --steps 4,8
"""

import json
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from cifar10_training import images, resnet20
from rich.console import Console
from rich.table import Table

from spikeram.conversion import convert, read
from spikeram.simulation import simulate
from spikeram.statistics import accuracy


@click.command()
@click.argument("weights", type=click.Path(path_type=Path, exists=True))
@click.option("--methods", default="least_squares,signed,signed_reconstruction", show_default=True)
@click.option("--steps", default="8,32", show_default=True)
@click.option("--samples", type=click.IntRange(1, 10_000), default=10_000, show_default=True)
@click.option("--calibration", type=click.IntRange(min=10), default=500, show_default=True)
@click.option("--output", type=click.Path(path_type=Path))
def main(
    weights: Path, methods: str, steps: str, samples: int, calibration: int, output: Path | None
) -> None:
    """Print accuracies, and the seconds that converting and simulating took."""
    state = torch.load(weights, weights_only=True)
    net = resnet20(state["levels"])
    net.load_state_dict(state["model"])
    net.eval()
    x, y = images("test")
    x, y = x[:samples], y[:samples]
    with torch.no_grad():
        parts = [torch.tensor(part) for part in np.split(x, range(500, samples, 500))]
        found = np.concatenate([net(part).argmax(1).numpy() for part in parts])
    ann = 100 * float(np.mean(found == y))
    start = time.perf_counter()
    network = read(net, input_shape=(3, 32, 32))
    reading = time.perf_counter() - start
    some = images("train20k")[0][:calibration]
    table = Table("method", "T", "ANN %", "spikes %", "converting", "simulating")
    results: list[dict[str, Any]] = []
    for method in methods.split(","):
        for t in map(int, steps.split(",")):
            start = time.perf_counter()
            spiking = convert(network, some, steps=t, method=method)
            middle = time.perf_counter()
            run = simulate(spiking, x, record="counts")
            end = time.perf_counter()
            right = 100 * float(accuracy(run, y)[-1])
            seconds = (reading + middle - start, end - middle)
            table.add_row(
                method, str(t), f"{ann:.2f}", f"{right:.2f}", *(f"{s:.1f} s" for s in seconds)
            )
            print(f"{method} T={t}: {right:.2f} % of {samples} (ANN {ann:.2f} %)", flush=True)
            row = {"method": method, "steps": t, "ann": ann, "accuracy": right}
            results.append(row | {"converting": seconds[0], "simulating": seconds[1]})
            if output is not None:
                output.write_text(json.dumps(results, indent=2) + "\n")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()

"""MNIST: accuracy over time steps of converted networks, ideal and on programmed chips.

Trains networks once (`mnist_training.py`; weights are kept in ./benchmark-cache), and converts them
without any re-training by several methods. Needs the four MNIST files in $SPIKERAM_DATA/mnist.

    python benchmarks/mnist.py --output mnist.json
"""

import json
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from mnist_training import images, labels, trained
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from spikeram.conversion import TrainedNetwork, convert, read, recalibrate
from spikeram.programming import program
from spikeram.simulation import simulate
from spikeram.statistics import accuracy

STEPS = (1, 2, 4, 8, 16, 32)
CALIBRATION = {"mlp": 2000, "cnn": 1000, "maxcnn": 1000}
"""Training images that each network is converted with."""

RECALIBRATION = 300

NETWORKS: tuple[tuple[str, int, tuple[str, ...]], ...] = (
    ("mlp", 0, ("least_squares", "reconstruction")),
    ("mlp", 4, ("learned_reconstruction",)),
    ("cnn", 0, ("least_squares", "reconstruction")),
    ("cnn", 4, ("learned", "learned_reconstruction")),
    ("maxcnn", 0, ("least_squares", "reconstruction")),
)
"""Kind, levels of the clip-floor-shift activation (0 for ReLU), and methods to convert by."""


def percent(network: TrainedNetwork, x: NDArray[np.float64], y: NDArray[np.uint8]) -> float:
    return 100 * float(np.mean(network.predict(x) == y))


def converted(
    network: TrainedNetwork,
    calibration: NDArray[np.float64],
    method: str,
    steps: int,
    x: NDArray[np.float64],
    y: NDArray[np.uint8],
) -> dict[str, float]:
    """Return the accuracy of one conversion, and the seconds that it and its run took."""
    start = time.perf_counter()
    spiking = convert(network, calibration, steps=steps, method=method)
    middle = time.perf_counter()
    run = simulate(spiking, x, record="counts")
    end = time.perf_counter()
    return {
        "accuracy": 100 * float(accuracy(run, y)[-1]),
        "converting": middle - start,
        "simulating": end - middle,
    }


def on_chips(
    network: TrainedNetwork,
    calibration: NDArray[np.float64],
    chips: int,
    steps: int,
    x: NDArray[np.float64],
    y: NDArray[np.uint8],
) -> tuple[float, float]:
    """Return mean accuracies of chips a day after programming: as written, and recalibrated."""
    spiking = convert(network, calibration, steps=steps)
    found = []
    for index in range(chips):
        chip = program(spiking, seed=0, index=index)
        again = recalibrate(chip, calibration[:RECALIBRATION])
        runs = [simulate(one, x, record="counts") for one in (chip, again)]
        found.append([100 * float(accuracy(run, y)[-1]) for run in runs])
    written, recalibrated = np.mean(found, axis=0)
    return float(written), float(recalibrated)


@click.command()
@click.option("--samples", type=click.IntRange(1, 10_000), default=10_000, show_default=True)
@click.option("--chips", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--output", type=click.Path(path_type=Path))
def main(samples: int, chips: int, output: Path | None) -> None:
    """Print accuracies over T, and the seconds that converting and simulating took."""
    x, y = images("t10k")[:samples], labels("t10k")[:samples]
    table = Table("network", "method", "ANN %", *(f"T={t}" for t in STEPS), "converting", "running")
    results: list[dict[str, Any]] = []
    with Progress(transient=True) as progress:
        task = progress.add_task("Running", total=sum(len(m) for *_, m in NETWORKS) * len(STEPS))
        for kind, levels, methods in NETWORKS:
            network = read(trained(kind, levels=levels), input_shape=(1, 28, 28))
            calibration = images("train")[: CALIBRATION[kind]]
            ann = percent(network, x, y)
            name = f"{kind}, {levels} levels" if levels else kind
            for method in methods:
                found = []
                for steps in STEPS:
                    found.append(converted(network, calibration, method, steps, x, y))
                    progress.advance(task)
                    right = found[-1]["accuracy"]
                    progress.console.print(
                        f"{name}, {method}, T={steps}: {right:.2f} % of {ann:.2f} %"
                    )
                table.add_row(
                    name,
                    method,
                    f"{ann:.2f}",
                    *(f"{one['accuracy']:.2f}" for one in found),
                    *(
                        f"{min(one[k] for one in found):.1f}-{max(one[k] for one in found):.1f} s"
                        for k in ("converting", "simulating")
                    ),
                )
                row = {"network": name, "method": method, "ann": ann}
                results.append(row | {"steps": dict(zip(map(str, STEPS), found))})
            if output is not None:
                output.write_text(json.dumps(results, indent=2) + "\n")
            if chips and not levels and kind != "maxcnn":
                pairs = [on_chips(network, calibration, chips, steps, x, y) for steps in STEPS]
                for title, values in zip(("as programmed", "recalibrated"), zip(*pairs)):
                    table.add_row(name, title, f"{ann:.2f}", *(f"{v:.2f}" for v in values))
                    results.append(
                        {"network": name, "chips": chips, "state": title, "accuracy": values}
                    )
    Console(width=140).print(table)
    if output is not None:
        output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()

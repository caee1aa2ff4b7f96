"""MNIST by bursts: accuracy, spikes, energy and time beside methods of one spike in a step.

A step with bursts of L lasts as long as L plain ones: compare T steps of ``burst`` with 4 T of
``least_squares``. Trains a network once (`mnist_training.py`). Needs $SPIKERAM_DATA/mnist.

    python benchmarks/bursts.py mlp --samples 2000
"""

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from mnist_training import images, labels, trained
from rich.console import Console
from rich.table import Table

from spikeram.conversion import TrainedNetwork, convert, read
from spikeram.energy import energy, latency
from spikeram.simulation import simulate
from spikeram.statistics import accuracy

METHODS = (
    "least_squares",
    "reconstruction",
    "signed_reconstruction",
    "burst_percentile",
    "burst",
    "burst_reconstruction",
    "signed_burst_reconstruction",
)


def measured(
    network: TrainedNetwork, x: Any, y: Any, *, calibration: Any, method: str, steps: int
) -> dict[str, Any]:
    """Return what one conversion does on the test images."""
    spiking = convert(network, calibration, steps=steps, method=method)
    run = simulate(spiking, x, record="counts")
    joules = energy(run).sum(["crossbar", "component"]).mean()
    return {
        "method": method,
        "steps": steps,
        "accuracy": 100 * float(accuracy(run, y)[-1]),
        "spikes": float(run["row_size"].sum("neuron").mean()),
        "nJ": 1e9 * float(joules),
        "us": 1e6 * float(latency(run)[0]),
    }


@click.command()
@click.argument("kind", type=click.Choice(["mlp", "cnn"]))
@click.option("--samples", type=click.IntRange(1, 10_000), default=10_000, show_default=True)
@click.option("--calibration", type=click.IntRange(min=10), default=1000, show_default=True)
@click.option("--steps", default="1,2,4,8", show_default=True)
@click.option("--epochs", type=click.IntRange(min=1), default=6, show_default=True)
@click.option("--output", type=click.Path(path_type=Path))
def main(
    kind: str, samples: int, calibration: int, steps: str, epochs: int, output: Path | None
) -> None:
    """Print a table of all methods and numbers of steps."""
    network = read(trained(kind, epochs=epochs), input_shape=(1, 28, 28))
    x, y = images("t10k")[:samples], labels("t10k")[:samples]
    ann = 100 * float(np.mean(network.predict(x) == y))
    table = Table("method", "T", "%", "spikes", "nJ", "us", title=f"{kind}, ANN {ann:.2f} %")
    rows = []
    for method in METHODS:
        for t in map(int, steps.split(",")):
            some = images("train")[:calibration]
            row = measured(network, x, y, calibration=some, method=method, steps=t)
            rows.append(row)
            table.add_row(
                method, str(t), f"{row['accuracy']:.2f}", f"{row['spikes']:.0f}",
                f"{row['nJ']:.0f}", f"{row['us']:.1f}",
            )  # fmt: skip
            if output is not None:
                output.write_text(json.dumps({"ann": ann, "rows": rows}, indent=2) + "\n")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()

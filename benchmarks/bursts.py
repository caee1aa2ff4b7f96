"""MNIST by bursts: accuracy, spikes, energy and time beside methods of one spike in a step.

A step with bursts of L lasts as long as L plain ones: compare T steps of ``burst`` with 4 T of
``least_squares``. Trains a network once (`mnist_training.py`). Needs $SPIKERAM_DATA/mnist.

    python benchmarks/bursts.py mlp --samples 2000
    python benchmarks/bursts.py random

``random`` needs no data: eight layers of 24 rectified neurons with random weights, the
root-mean-square error of their outputs as a share of the outputs' spread.
"""

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from mnist_training import images, labels, trained
from rich.console import Console
from rich.table import Table

from spikeram.conversion import Graph, Node, TrainedNetwork, convert, lower, ops, read
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


def random_errors(steps: list[int]) -> None:
    """Print the errors of a deep random network."""
    rng = np.random.default_rng(2)
    sizes = [6, *[24] * 8, 3]
    found: list[Any] = []
    for a, b in zip(sizes, sizes[1:]):
        weight, bias = rng.normal(0, np.sqrt(2 / a), (b, a)), rng.normal(0, 0.1, b)
        found += [ops.Linear(weight=weight, bias=bias), ops.Rectifier()]
    names = ["input", *map(str, range(len(found) - 1))]
    nodes = tuple(Node(name=b, op=op, inputs=(a,)) for a, b, op in zip(names, names[1:], found))
    network = lower(Graph(nodes=nodes, input_shape=(6,), classes=None))
    calibration, x = (np.random.default_rng(seed).random((300, 6)) for seed in (0, 1))
    wanted = network.forward(x)
    table = Table("method", *(f"T={t}" for t in steps))
    for method in METHODS:
        row = []
        for t in steps:
            run = simulate(convert(network, calibration, steps=t, method=method), x)
            error = run["output"].values[:, -1] - wanted
            row.append(np.sqrt(np.mean(error**2)) / wanted.std(axis=0).mean())
        table.add_row(method, *(f"{error:.3f}" for error in row))
    Console(width=100).print(table)


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
@click.argument("kind", type=click.Choice(["mlp", "cnn", "random"]))
@click.option("--samples", type=click.IntRange(1, 10_000), default=10_000, show_default=True)
@click.option("--calibration", type=click.IntRange(min=10), default=1000, show_default=True)
@click.option("--methods", default=",".join(METHODS), help="Some of them.")
@click.option("--steps", default="1,2,4,8", show_default=True)
@click.option("--epochs", type=click.IntRange(min=1), default=6, show_default=True)
@click.option("--output", type=click.Path(path_type=Path))
def main(
    kind: str,
    samples: int,
    calibration: int,
    methods: str,
    steps: str,
    epochs: int,
    output: Path | None,
) -> None:
    """Print a table of all methods and numbers of steps."""
    if kind == "random":
        random_errors([int(t) for t in steps.split(",")])
        return
    network = read(trained(kind, epochs=epochs), input_shape=(1, 28, 28))
    x, y = images("t10k")[:samples], labels("t10k")[:samples]
    ann = 100 * float(np.mean(network.predict(x) == y))
    table = Table("method", "T", "%", "spikes", "nJ", "us", title=f"{kind}, ANN {ann:.2f} %")
    rows = []
    for method in methods.split(","):
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

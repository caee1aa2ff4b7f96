"""Convolutions pixel by pixel or unrolled: time, energy, cells and cores of the MNIST network.

Trains the convolutional network 16-32-128 (`mnist_training.py`; weights are kept in
./benchmark-cache), converts it, and runs it on an ideal chip with both schedules. Needs the four
MNIST files in $SPIKERAM_DATA/mnist.

    python benchmarks/convolution_schedules.py
"""

import click
from mnist_training import images, labels, trained
from rich.console import Console
from rich.table import Table

from spikeram.conversion import convert, read
from spikeram.programming import program
from spikeram.simulation import simulate
from spikeram.statistics import accuracy
from spikeram.unrolling import accounts


@click.command()
@click.option("--samples", type=click.IntRange(1, 10_000), default=200, show_default=True)
@click.option("--steps", type=click.IntRange(min=1), default=32, show_default=True)
@click.option("--epochs", type=click.IntRange(min=1), default=6, show_default=True)
def main(samples: int, steps: int, epochs: int) -> None:
    """Print a row for each layer and schedule."""
    x, y = images("t10k")[:samples], labels("t10k")[:samples]
    network = read(trained("cnn", epochs=epochs), input_shape=(1, 28, 28))
    spiking = convert(network, images("train")[:300], steps=steps)
    chip = program(spiking, chip="ideal", seed=0)
    table = Table("schedule", "layer", "time", "energy", "cells", "cores", "buffered bits")
    for schedule in ("pixel", "unrolled"):
        run = simulate(chip, x, record="counts", schedule=schedule)
        found = accounts(run)
        for n, name in enumerate(found["crossbar"].values):
            one = found.isel(crossbar=n)
            table.add_row(
                schedule, str(name), "", f"{1e9 * float(one['energy']):,.0f} nJ",
                *(f"{int(one[what]):,}" for what in ("cells", "cores", "buffer")),
            )  # fmt: skip
        table.add_row(
            schedule, "all", f"{1e6 * float(found['time']):,.1f} us",
            f"{1e9 * float(found['energy'].sum()):,.0f} nJ",
            *(f"{int(found[what].sum()):,}" for what in ("cells", "cores", "buffer")),
            end_section=True,
        )  # fmt: skip
    right = 100 * float(accuracy(run, y)[-1])
    print(f"{samples} images, T = {steps}: {right:.2f} % right with either schedule")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()

"""Run MNIST with spikes on a programmed chip, write its report, and say where it loses.

    python benchmarks/mnist_report.py --samples 1000 --output mnist-report

The convolutional network of `mnist_training.py`, converted for 32 steps, on a NeuRRAM a day after
programming, recalibrated. The recording is written while it runs: stopped, it resumes.
"""

from pathlib import Path

import click
from mnist_training import images, labels, trained
from rich.console import Console

import spikeram as sr
from spikeram import plot
from spikeram.conversion import read
from spikeram.conversion.diagnostics import (
    activation_and_rate,
    diagnose,
    hardware_errors,
    worst_layer,
)

STEPS = 32
CALIBRATION = 500
DIAGNOSED = 300


@click.command()
@click.option("--samples", type=click.IntRange(1, 10_000), default=1000, show_default=True)
@click.option("--epochs", type=click.IntRange(1), default=3, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=Path("mnist-report"))
def main(samples: int, epochs: int, output: Path) -> None:
    console = Console(width=120)
    x, y = images("t10k")[:samples], labels("t10k")[:samples]
    calibration = images("train")[:CALIBRATION]
    network = read(trained("cnn", epochs=epochs), input_shape=(1, 28, 28))
    spiking = sr.convert(network, calibration, steps=STEPS)
    chip = sr.recalibrate(sr.program(spiking, chip="neurram", seed=0), calibration[:300])
    output.mkdir(exist_ok=True)
    run = sr.simulate(chip, x, to=output / "run.zarr")
    sr.write_report(run.assign_coords(label=("trial", y)), output / "report.html")
    console.print(run.spk.accuracy(y).sel(step=[1, 4, 16, STEPS]).to_dataframe())
    table = diagnose(network, chip, x[:DIAGNOSED], labels=y[:DIAGNOSED])
    console.print(table.drop_dims("term").drop_vars("remedy").to_dataframe().round(4))
    console.print(table["part"].to_pandas().round(4))
    worst = worst_layer(table)
    console.print(f"{worst}: {table['remedy'].sel(layer=worst).item()}")
    errors = hardware_errors(network, chip, x[:DIAGNOSED], labels=y[:DIAGNOSED])
    console.print(errors.to_dataframe().round(4))
    rates = activation_and_rate(network, chip, x[:20])[worst]
    for name, axes in (
        ("error", plot.error_parts(table)),
        ("rates", plot.activation_and_rate(rates.activation, rates.rate, title=worst)),
        ("chip", plot.chip_map(chip.mapping)),
    ):
        plot.figure_of(axes).savefig(output / f"{name}.png", dpi=90)


if __name__ == "__main__":
    main()

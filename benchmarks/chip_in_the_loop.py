"""Chip-in-the-loop fine-tuning of the MNIST network: accuracy before and after, on the same chips.

Layers are retrained on what those before them really compute on one chip, in inference mode or with
spikes; see `spikeram.conversion.training.fine_tune`.

    python benchmarks/chip_in_the_loop.py --chips 2 --training 4000
"""

from copy import deepcopy

import click
import numpy as np
from networks_on_chip import CALIBRATION, SPIKES, STEPS, Case, Data, in_inference_mode
from rich.console import Console
from rich.progress import track
from rich.table import Table

from spikeram.conversion import convert, recalibrate
from spikeram.conversion.training import InferenceMode, Recipe, SpikingMode, Stage, fine_tune
from spikeram.models.networks.mnist_cnn import NETWORK
from spikeram.models.networks.network import load
from spikeram.programming import program
from spikeram.simulation import simulate

RECIPE = Recipe(stages=(Stage(epochs=4, rate=1e-3, noise=0.15),), batch=128)


def percent(model: object, data: Data, mode: str, index: int) -> float:
    """Return the accuracy of a model on one chip in %."""
    spiking = convert(model, data.calibration, steps=None, method=SPIKES)
    if mode == "inference":
        return in_inference_mode(NETWORK, spiking, data, Case(noise=False, offsets=False), index)
    chip = program(spiking, seed=0, index=index)
    run = simulate(
        recalibrate(chip, data.calibration, steps=STEPS), data.x, steps=STEPS, record="counts"
    )
    return 100 * float(np.mean(run["output"].values[:, -1].argmax(1) == data.y))


@click.command()
@click.option("--chips", "n_chips", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--training", type=click.IntRange(min=500), default=4000, show_default=True)
@click.option("--samples", type=click.IntRange(min=1), default=2000, show_default=True)
@click.option("--weights", type=click.Choice(["plain", "noise"]), default="plain")
@click.option("--mode", type=click.Choice(["inference", "spikes"]), default="inference")
def main(n_chips: int, training: int, samples: int, weights: str, mode: str) -> None:
    """Print accuracies in %, means over chips with the standard deviation."""
    test, given = NETWORK.samples("test"), NETWORK.samples("train")
    data = Data(test.x[:samples], test.y[:samples], given.x[:CALIBRATION])
    before, after = [], []
    for index in track(range(n_chips), "Chips"):
        model = load(NETWORK, weights)  # type: ignore[arg-type]
        before.append(percent(deepcopy(model), data, mode, index))
        measure = (
            InferenceMode(index=index, input_bits=3, activation_bits=3, calibration=CALIBRATION)
            if mode == "inference"
            else SpikingMode(index=index, steps=STEPS, calibration=CALIBRATION)
        )
        fine_tune(
            model, given.x[:training], given.y[:training], RECIPE, measure=measure, seed=index
        )
        after.append(percent(model, data, mode, index))
    table = Table("MNIST, " + mode, "before", "fine-tuned")
    table.add_row(weights, *(f"{np.mean(v):.2f} ± {np.std(v):.2f}" for v in (before, after)))
    Console().print(table)


if __name__ == "__main__":
    main()

"""Accuracy of networks in inference mode: trained, quantised, on chips, on calibrated chips.

The demo's digits, and the convolutional network on MNIST of `mnist_training.py` where its data
are there (cached in ./benchmark-cache). Quantised is a chip of ideal cells: what bits alone cost.
Chips are read one day after programming, with read noise of 0.4 uS, kT/C noise at 300 K, and
offsets of 3 mV at samples and 17.5 mV at comparators.

    python benchmarks/inference.py --output inference.json
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from spikeram import demo
from spikeram.adc import ADC
from spikeram.chip import Chip, ProgrammedChip
from spikeram.conversion import convert, read
from spikeram.errors import DataError
from spikeram.inference import (
    Settings,
    calibrate,
    infer,
    line_errors,
    operating_points,
    predictions,
)
from spikeram.models import chips
from spikeram.network import SpikingNetwork
from spikeram.product import LineErrors
from spikeram.programming import program

BITS = ((3, 3, 6), (4, 4, 6), (4, 4, 8))
"""Bits of inputs, of activations and of outputs."""

CALIBRATION = 300


def errors_of(chip: ProgrammedChip) -> tuple[LineErrors, ...]:
    return line_errors(
        chip, sigma_read="0.4 uS", sigma_sample="3 mV", sigma_comparator="17.5 mV", seed=0
    )


def warm(chip: Chip) -> Chip:
    """Return the chip with kT/C noise of 300 K."""
    return replace(chip, neuron=replace(chip.neuron, temperature=300.0))


def percent(
    chip: ProgrammedChip,
    settings: Settings,
    x: NDArray[np.float64],
    y: NDArray[np.generic],
    errors: tuple[LineErrors, ...] | None = None,
) -> tuple[float, float]:
    """Return the accuracy, and the share of conversions beyond the converter's range."""
    run = infer(chip, x, settings, errors=errors, seed=1)
    stuck = float((run["stuck"].sum("trial") / run["conversions"]).mean()) / len(x)
    return 100 * float(np.mean(predictions(run) == y)), 100 * stuck


def measure(
    network: SpikingNetwork,
    calibration: NDArray[np.float64],
    x: NDArray[np.float64],
    y: NDArray[np.generic],
    bits: tuple[int, int, int],
    n_chips: int,
) -> dict[str, list[float]]:
    """Return the accuracies of one network at one precision."""
    inputs, activations, outputs = bits
    adc = ADC(bits=outputs, conversion="binary_search")
    ideal = program(network, chip=chips.ideal(), seed=0)
    settings = operating_points(
        ideal, calibration, input_bits=inputs, activation_bits=activations, adc=adc
    )
    found: dict[str, list[float]] = {"quantised": [percent(ideal, settings, x, y)[0]]}
    for index in range(n_chips):
        chip = program(network, chip=warm(chips.neurram()), seed=0, index=index)
        errors = errors_of(chip)
        own = calibrate(chip, calibration, settings, errors=errors, seed=2)
        for name, one in (("uncalibrated", settings), ("calibrated", own)):
            accuracy, stuck = percent(chip, one, x, y, errors)
            found.setdefault(name, []).append(accuracy)
            found.setdefault(f"{name}, out of range", []).append(stuck)
    return found


def cases(
    samples: int,
) -> list[tuple[str, float, SpikingNetwork, NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Return name, trained accuracy, network, calibration inputs, inputs and labels of each."""
    data = demo.digits()
    digits = demo.train(data, seed=0)
    right = 100 * float(np.mean(digits.predict(data.x_test) == data.y_test))
    network = convert(digits, data.x_train, steps=32)
    found = [("digits", right, network, data.x_train[:CALIBRATION], data.x_test, data.y_test)]
    try:
        from mnist_training import images, labels, trained

        x, y = images("t10k")[:samples], labels("t10k")[:samples].astype(np.int64)
    except (DataError, ImportError) as error:
        Console().print(f"MNIST is left out: {error}")
        return found
    model = read(trained("cnn", epochs=3), input_shape=(1, 28, 28))
    many = images("train")[:CALIBRATION]
    right = 100 * float(np.mean(model.predict(x) == y))
    return [*found, ("mnist cnn", right, convert(model, many[:100], steps=32), many, x, y)]


@click.command()
@click.option("--samples", type=click.IntRange(1, 10_000), default=2000, show_default=True)
@click.option("--chips", "n_chips", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--output", type=click.Path(path_type=Path))
def main(samples: int, n_chips: int, output: Path | None) -> None:
    """Print accuracies, means over chips with the standard deviation."""
    table = Table(
        "network", "bits in, between, out", "trained %", "quantised %", "uncalibrated %",
        "calibrated %", "out of range %",
    )  # fmt: skip
    results: list[dict[str, Any]] = []
    for name, right, network, calibration, x, y in cases(samples):
        for bits in BITS:
            found = measure(network, calibration, x, y, bits, n_chips)
            table.add_row(
                name,
                ", ".join(map(str, bits)),
                f"{right:.2f}",
                *(_spread(found[key]) for key in ("quantised", "uncalibrated", "calibrated")),
                f"{np.mean(found['calibrated, out of range']):.2f}",
            )
            results.append({"network": name, "bits": bits, "trained": right, **found})
    Console(width=130).print(table)
    if output is not None:
        output.write_text(json.dumps(results, indent=2) + "\n")


def _spread(values: list[float]) -> str:
    mean = f"{np.mean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values):.2f}"


if __name__ == "__main__":
    main()

"""Keywords on the chip: an LSTM in inference mode, a CNN in inference mode and with spikes.

With the weights that are shipped, on the test part of `spikeram.datasets.speech_commands`. Chips
are read one day after programming. In inference mode with read noise of 0.4 uS, kT/C noise at
300 K, and offsets of 3 mV at samples and 17.5 mV at comparators; with spikes on the chip
`neurram_analog`, with every analog term but the leak. Chips that `--output` holds are not run
again.

    python benchmarks/speech.py --output speech.json --plot docs/speech.png
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from spikeram import inference, recurrent
from spikeram.adc import ADC
from spikeram.chip import Chip
from spikeram.conversion import convert, read, recalibrate
from spikeram.datasets import LabelledSet
from spikeram.models import chips
from spikeram.models.networks import speech_cnn, speech_lstm
from spikeram.models.networks.network import Network, Variant, load, record
from spikeram.network import SpikingNetwork
from spikeram.plot.canvas import cycle
from spikeram.programming import program
from spikeram.simulation import simulate
from spikeram.statistics import accuracy

STEPS = (4, 8, 16, 32)

CALIBRATION = 150
"""Training clips that conversion and calibration see."""

METHOD = "learned_signed"

SIX_BITS = ADC(bits=6, conversion="binary_search")

NOISE: dict[str, Any] = {
    "sigma_read": "0.4 uS",
    "sigma_sample": "3 mV",
    "sigma_comparator": "17.5 mV",
    "seed": 0,
}

VARIANTS: dict[str, Variant] = {"noise": "noise", "plain": "plain"}


@dataclass(frozen=True)
class Case:
    """A network with the clips that it is calibrated and measured on."""

    variant: Variant
    calibration: NDArray[np.float32]
    test: LabelledSet


def case(network: Network, variant: Variant, samples: int) -> Case:
    """Return a case with clips of all classes: the published order is by class."""
    training, test = network.samples("train"), network.samples("test")
    stride, every = -(-len(test) // samples), -(-len(training) // CALIBRATION)
    chosen = replace(test, x=test.x[::stride], y=test.y[::stride])
    return Case(variant=variant, calibration=training.x[::every], test=chosen)


def warm() -> Chip:
    """Return NeuRRAM with kT/C noise of 300 K."""
    chip = chips.neurram()
    return replace(chip, neuron=replace(chip.neuron, temperature=300.0))


def percent(predicted: NDArray[np.generic], y: NDArray[np.generic]) -> float:
    return 100 * float(np.mean(predicted == y))


def lstm_on_chip(case: Case, index: int) -> dict[str, float]:
    """Return the accuracies of the LSTM on one chip, without and with calibration."""
    lstm = speech_lstm.lstm_of(load(speech_lstm.NETWORK, case.variant))
    chip = recurrent.program(lstm, chip=warm(), seed=0, index=index)
    errors = recurrent.line_errors(chip, **NOISE)
    start = recurrent.operating_points(chip, case.calibration)
    own = recurrent.calibrate(chip, case.calibration, start, errors=errors, seed=2)
    found = {}
    for name, settings in (("uncalibrated", start), ("inference", own)):
        run = recurrent.infer(chip, case.test.x, settings, errors=errors, seed=1)
        found[name] = percent(inference.predictions(run), case.test.y)
    return found


def converted(case: Case) -> SpikingNetwork:
    trained = read(load(speech_cnn.NETWORK, case.variant), input_shape=(1, 49, 40))
    return convert(trained, case.calibration, steps=None, method=METHOD)


def cnn_in_inference_mode(case: Case, index: int) -> dict[str, float]:
    """Return the accuracies of the CNN in inference mode on one chip."""
    chip = program(converted(case), chip=warm(), seed=0, index=index)
    errors = inference.line_errors(chip, **NOISE)
    start = inference.operating_points(
        chip,
        case.calibration,
        input_bits=speech_cnn.NETWORK.input_bits,
        activation_bits=speech_cnn.NETWORK.activation_bits,
        adc=SIX_BITS,
    )
    own = inference.calibrate(chip, case.calibration, start, errors=errors, seed=2)
    found = {}
    for name, settings in (("uncalibrated", start), ("inference", own)):
        run = inference.infer(chip, case.test.x, settings, errors=errors, seed=1)
        found[name] = percent(inference.predictions(run), case.test.y)
    return found


def cnn_with_spikes(case: Case, index: int) -> dict[str, float]:
    """Return the accuracies of the CNN with spikes on one chip, over T."""
    network = converted(case)
    # Spikes that are taken back count charge, which must not leak.
    analog = chips.neurram_analog().without("leak")
    chip = program(network, chip=analog, seed=0, index=index)
    found = {}
    for steps in STEPS:
        own = recalibrate(chip, case.calibration, steps=steps)
        run = simulate(own, case.test.x, steps=steps, record="counts", seed=1)
        found[f"T={steps}"] = 100 * float(accuracy(run, case.test.y)[-1])
    run = simulate(chip, case.test.x, steps=STEPS[-1], record="counts", seed=1)
    found[f"T={STEPS[-1]}, uncalibrated"] = 100 * float(accuracy(run, case.test.y)[-1])
    return found


def cnn_ideal_spikes(case: Case, _: int) -> dict[str, float]:
    """Return the accuracies of the CNN with spikes and no chip, over T."""
    network = converted(case)
    found = {}
    for steps in STEPS:
        run = simulate(network, case.test.x, steps=steps, record="counts")
        found[f"T={steps}"] = 100 * float(accuracy(run, case.test.y)[-1])
    return found


@dataclass(frozen=True)
class Experiment:
    """What is measured on every chip, of a network."""

    network: Network
    measure: Callable[[Case, int], dict[str, float]]
    on_chips: bool = True


EXPERIMENTS = {
    "cnn, no chip": Experiment(speech_cnn.NETWORK, cnn_ideal_spikes, on_chips=False),
    "cnn, spikes": Experiment(speech_cnn.NETWORK, cnn_with_spikes),
    "cnn, inference": Experiment(speech_cnn.NETWORK, cnn_in_inference_mode),
    "lstm, inference": Experiment(speech_lstm.NETWORK, lstm_on_chip),
}


def missing(
    results: dict[str, list[dict[str, float]]], names: list[str], n_chips: int
) -> list[tuple[str, Variant, int]]:
    """Return what is still to be run: experiment, variant and chip."""
    return [
        (name, variant, index)
        for name in names
        for variant in VARIANTS.values()
        for index in range(
            len(results.get(f"{name}, {variant}", [])), n_chips if EXPERIMENTS[name].on_chips else 1
        )
    ]


def spread(values: list[float]) -> str:
    mean = f"{np.mean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values):.2f}"


def show(results: dict[str, list[dict[str, float]]]) -> None:
    """Print accuracies in software by noise on weights, and means over chips."""
    console = Console(width=110)
    software = Table("network", "trained", *(f"{noise} noise" for noise in (0, 0.05, 0.1, 0.15)))
    for network in (speech_cnn.NETWORK, speech_lstm.NETWORK):
        for variant in VARIANTS.values():
            shares = record(network, variant).accuracy.values()
            software.add_row(network.name, variant, *(f"{100 * share:.2f}" for share in shares))
    console.print(software)
    table = Table("experiment, trained", "measured", "chips", "%")
    for name, each in results.items():
        for quantity in each[0]:
            table.add_row(name, quantity, str(len(each)), spread([one[quantity] for one in each]))
    console.print(table)


def plot(results: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Draw accuracy over T, with the chips' standard deviation."""
    axes = Figure(figsize=(5.5, 3.6), layout="constrained").subplots()
    lines = {
        "cnn, no chip, noise": "CNN with spikes, no chip",
        "cnn, spikes, noise": "on chips, trained with noise",
        "cnn, spikes, plain": "on chips, trained without",
    }
    for colour, (name, label) in zip(cycle(len(lines)), lines.items()):
        if name not in results:
            continue
        values = np.array([[one[f"T={steps}"] for steps in STEPS] for one in results[name]])
        axes.errorbar(
            STEPS, values.mean(0), values.std(0), color=colour, label=label, marker="o", capsize=3
        )
    software = 100 * record(speech_cnn.NETWORK).accuracy["0"]
    axes.axhline(software, color="0.5", linestyle="--", label="CNN in software")
    axes.set_xscale("log", base=2)
    axes.set_xticks(STEPS, [str(steps) for steps in STEPS])
    axes.set(xlabel="time steps T", ylabel="accuracy, 12 classes [%]")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    axes.get_figure(root=True).savefig(path, dpi=150)  # type: ignore[union-attr]


@click.command()
@click.option(
    "--only", type=click.Choice(list(EXPERIMENTS)), help="One experiment; by default all."
)
@click.option("--samples", type=click.IntRange(12, 945), default=945, show_default=True)
@click.option("--chips", "n_chips", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--plot", "picture", type=click.Path(path_type=Path, dir_okay=False))
def main(
    only: str | None, samples: int, n_chips: int, output: Path | None, picture: Path | None
) -> None:
    """Print accuracies, means over chips with the standard deviation."""
    results: dict[str, list[dict[str, float]]] = {}
    if output is not None and output.exists():
        results = json.loads(output.read_text())
    for name, variant, index in missing(results, [only] if only else list(EXPERIMENTS), n_chips):
        experiment = EXPERIMENTS[name]
        found = experiment.measure(case(experiment.network, variant, samples), index)
        results.setdefault(f"{name}, {variant}", []).append(found)
        text = ", ".join(f"{quantity} {value:.2f} %" for quantity, value in found.items())
        print(f"{name}, {variant}, chip {index}: {text}", flush=True)
        if output is not None:
            output.write_text(json.dumps(results, indent=2) + "\n")
    show(results)
    if picture is not None:
        plot(results, picture)


if __name__ == "__main__":
    main()

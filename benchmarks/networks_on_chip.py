"""The published networks: in software, on chips in inference mode, and on chips with spikes.

For one of the trained networks of `spikeram.models.networks`: its accuracy in software with noise
on its weights; on chips one day after programming in inference mode, where shortcuts are added
digitally, and the same without training for noise, without calibration, and with each kind of
non-ideality alone; and with spikes over T, where shortcuts have cells. Writes a table of numbers
(JSON) and a picture.

    python benchmarks/networks_on_chip.py mnist_cnn --chips 5 --output docs/mnist_cnn.png
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from spikeram.adc import ADC
from spikeram.chip import Chip, ProgrammedChip
from spikeram.conversion import convert, recalibrate, spread_weights
from spikeram.conversion.training import accuracy
from spikeram.inference import calibrate, infer, line_errors, operating_points, predictions
from spikeram.models import chips
from spikeram.models.networks.network import Network, Variant, load
from spikeram.network import SpikingNetwork
from spikeram.product import LineErrors
from spikeram.programming import program
from spikeram.simulation import simulate

NETWORKS = ("mnist_cnn", "resnet20", "speech_cnn")
CALIBRATION = 300
STEPS = 32
SHOWN = (4, 8, 16, 32)
NOISE = (0.0, 0.05, 0.1, 0.15)
SPIKES = "learned_signed"


@dataclass(frozen=True)
class Case:
    """One way to run in inference mode."""

    output_bits: int = 8
    weights: Variant = "noise"
    cells: bool = True
    noise: bool = True
    offsets: bool = True
    calibrated: bool = True


CASES = {
    "chip": Case(),
    "trained without noise": Case(weights="plain"),
    "not calibrated": Case(calibrated=False),
    "quantised alone": Case(cells=False, noise=False, offsets=False),
    "cells alone": Case(noise=False, offsets=False),
    "read and kT/C noise alone": Case(cells=False, offsets=False),
    "offsets alone": Case(cells=False, noise=False),
}


@dataclass(frozen=True, eq=False)
class Data:
    """Inputs of the test set with labels, and some of the training set."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    calibration: NDArray[np.float32]

    def some(self, n: int) -> "Data":
        return Data(self.x[:n], self.y[:n], self.calibration)


def warm(chip: Chip, kelvin: float) -> Chip:
    """Return a chip with kT/C noise of a temperature."""
    return replace(chip, neuron=replace(chip.neuron, temperature=kelvin))


def errors_of(chip: ProgrammedChip, case: Case) -> tuple[LineErrors, ...]:
    return line_errors(
        chip,
        sigma_read="0.4 uS" if case.noise else 0.0,
        sigma_sample="3 mV" if case.offsets else 0.0,
        sigma_comparator="17.5 mV" if case.offsets else 0.0,
        seed=0,
    )


def in_inference_mode(
    network: Network, converted: SpikingNetwork, data: Data, case: Case, index: int
) -> float:
    """Return the accuracy of one chip in %."""
    kind = chips.neurram() if case.cells else chips.ideal()
    chip = program(
        converted,
        chip=warm(kind, 300.0 if case.noise else 0.0),
        delay="1 day",
        seed=0,
        index=index,
        shortcuts="digital",
    )
    errors = errors_of(chip, case)
    settings = operating_points(
        chip,
        data.calibration,
        input_bits=network.input_bits,
        activation_bits=network.activation_bits,
        adc=ADC(bits=case.output_bits, conversion="binary_search"),
        full_scale=1.0,
    )
    if case.calibrated:
        settings = calibrate(chip, data.calibration, settings, errors=errors, seed=2)
    run = infer(chip, data.x, settings, errors=errors, seed=1)
    return 100 * float(np.mean(predictions(run) == data.y))


def with_spikes(spiking: SpikingNetwork, data: Data, index: int | None) -> list[float]:
    """Return the accuracy of one chip after each step in %; of ideal hardware without a chip."""
    model: Any = spiking
    if index is not None:
        chip = program(spiking, chip=chips.neurram(), delay="1 day", seed=0, index=index)
        model = recalibrate(chip, data.calibration, steps=STEPS)
    run = simulate(model, data.x, steps=STEPS, record="counts")
    chosen = run["output"].values.argmax(axis=2)
    right = np.mean(chosen == data.y[:, np.newaxis], axis=0)
    return [100 * float(share) for share in right]


def in_software(network: Network, data: Data) -> dict[str, dict[str, float]]:
    """Return the accuracy in % by noise on the weights, of both kinds of training."""
    found: dict[str, dict[str, float]] = {}
    x, y = torch.tensor(data.x), torch.tensor(data.y)
    for variant in ("plain", "noise"):
        model = load(network, variant)
        found[variant] = {
            f"{eps:g}": 100
            * float(np.mean(accuracy(model, x, y, noise=eps, draws=1 if eps == 0 else 5)))
            for eps in NOISE
        }
    return found


def drawn(name: str, found: dict[str, Any]) -> Figure:
    """Return accuracy over T beside inference mode and software."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    steps = np.arange(1, STEPS + 1)
    runs = np.array(found["spikes"])
    mean, spread = runs.mean(axis=0), runs.std(axis=0)
    axes.plot(steps, found["spikes, ideal"], color="0.5", linewidth=1, label="spikes, ideal cells")
    axes.plot(steps, mean, color="#2b6cb0", label=f"spikes, {len(runs)} chips")
    axes.fill_between(steps, mean - spread, mean + spread, color="#2b6cb0", alpha=0.2, linewidth=0)
    inference = float(np.mean(found["inference"]["chip"]))
    axes.axhline(found["software"]["noise"]["0"], color="0.2", linestyle=":", label="software")
    axes.axhline(inference, color="#dd6b20", linestyle="--", label="inference mode, chips")
    lowest = min(inference, float(mean[SHOWN[0] - 1]))
    axes.set(
        xlabel="steps T", ylabel="accuracy (%)", title=name, xscale="log",
        ylim=(lowest - (100 - lowest) * 0.6, None), xlim=(1, STEPS),
    )  # fmt: skip
    axes.set_xticks([1, 2, *SHOWN], [str(n) for n in (1, 2, *SHOWN)])
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def tables(found: dict[str, Any]) -> list[Table]:
    software = Table("trained with", *(f"noise {eps:g}" for eps in NOISE), title="software, %")
    for variant, shares in found["software"].items():
        software.add_row(
            {"plain": "no noise", "noise": "noise"}[variant], *(f"{v:.2f}" for v in shares.values())
        )
    chip = Table("inference mode, %", "mean", "std", "worst")
    for name, values in found["inference"].items():
        chip.add_row(name, f"{np.mean(values):.2f}", f"{np.std(values):.2f}", f"{min(values):.2f}")
    spikes = Table("with spikes, %", *(f"T={n}" for n in SHOWN))
    runs = np.array(found["spikes"])[:, [n - 1 for n in SHOWN]]
    ideal = np.array(found["spikes, ideal"])[[n - 1 for n in SHOWN]]
    spikes.add_row("ideal cells", *(f"{v:.2f}" for v in ideal))
    spikes.add_row("chips", *(f"{m:.2f} ± {s:.2f}" for m, s in zip(runs.mean(0), runs.std(0))))
    return [software, chip, spikes]


@contextmanager
def advancing(total: int) -> Iterator[Callable[[str], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn()) as progress:
        task = progress.add_task("Starting", total=total)
        yield lambda name: progress.update(task, description=name, advance=1)


@click.command()
@click.argument("name", type=click.Choice(NETWORKS))
@click.option("--chips", "n_chips", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--samples", type=click.IntRange(min=1), default=2000, show_default=True)
@click.option("--ablations", type=click.IntRange(min=0), default=1000, show_default=True,
              help="Samples of each ablation, 0 for none.")  # fmt: skip
@click.option("--output", type=click.Path(path_type=Path), help="A .png; a .json is put beside it.")
@click.option("--calibration", type=click.IntRange(min=10), default=CALIBRATION, show_default=True)
@click.option("--output-bits", type=click.IntRange(3, 10), default=8, show_default=True,
              help="Of readings in inference mode.")  # fmt: skip
@click.option("--spread", type=click.IntRange(min=1), default=1, show_default=True,
              help="With spikes, most rows for a weight that stands out.")  # fmt: skip
def main(
    name: str,
    n_chips: int,
    samples: int,
    ablations: int,
    output: Path | None,
    calibration: int,
    output_bits: int,
    spread: int,
) -> None:
    """Print accuracies in %: means over chips, with the standard deviation."""
    network: Network = import_module(f"spikeram.models.networks.{name}").NETWORK
    test, training = network.samples("test"), network.samples("train")
    data = Data(test.x[:samples], test.y[:samples], training.x[:calibration])
    converted = {
        variant: convert(load(network, variant), data.calibration, steps=None, method=SPIKES)
        for variant in ("plain", "noise")
    }
    spiking = spread_weights(converted["noise"], most=spread)
    cases = {
        case_name: replace(case, output_bits=output_bits)
        for case_name, case in CASES.items()
        if ablations or case_name == "chip"
    }
    found: dict[str, Any] = {
        "network": name, "samples": len(data.x), "samples of ablations": ablations,
        "calibration": calibration, "output bits": output_bits, "spread": spread,
        "data": training.note, "software": in_software(network, data), "inference": {},
        "spikes": [],
    }  # fmt: skip
    with advancing(n_chips * (len(cases) + 1) + 1) as advance:
        for case_name, case in cases.items():
            some = data if case_name == "chip" else data.some(ablations)
            values = found["inference"].setdefault(case_name, [])
            for index in range(n_chips):
                advance(case_name)
                values.append(
                    in_inference_mode(network, converted[case.weights], some, case, index)
                )
        for index in range(n_chips):
            advance("spikes")
            found["spikes"].append(with_spikes(spiking, data, index))
        advance("spikes, ideal")
        found["spikes, ideal"] = with_spikes(spiking, data, None)
    for table in tables(found):
        Console(width=100).print(table)
    if output is not None:
        output.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
        drawn(name, found).savefig(output, dpi=110)


if __name__ == "__main__":
    main()

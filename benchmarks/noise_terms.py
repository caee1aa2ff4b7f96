"""What each analog term costs: the digits of the demo with one term at a time, and with all.

Chips are those of `spikeram.models.chips.neurram_analog`: programmed, relaxed for a day, then run
as they are and recalibrated. `--scale` makes the drawn and coupled terms that many times as large.
Three tables: accuracies, slopes and intercepts of the columns, and what read noise costs in time.

    python benchmarks/noise_terms.py --output noise_terms.json
"""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from spikeram import demo
from spikeram.analog import TERMS
from spikeram.chip import Chip, ProgrammedChip
from spikeram.conversion import convert, recalibrate
from spikeram.models import chips
from spikeram.network import SpikingNetwork
from spikeram.programming import program
from spikeram.simulation import simulate
from spikeram.statistics import accuracy

STEPS = 32
STATES = ("as programmed", "recalibrated")
V_DECR = 0.08
"""Step of the published chip's converter [V]."""

SAMPLES_OF_A_CONVERSION = 84
"""Of the published ResNet-20: 3 magnitude bits, 6 pulses for each, sampled twice."""

COUNTED = ("read_noise", "kt_c", "offset", "comparator", "injection", "word_coupling",
           "bit_coupling", "leak")  # fmt: skip


def scaled(chip: Chip, scale: float) -> Chip:
    """Return a chip whose terms are so many times as large; a leak so many times as fast."""
    sizes = ("sigma_offset", "sigma_comparator", "sigma_injection", "word_coupling",
             "bit_coupling")  # fmt: skip
    terms = replace(chip.analog, **{name: scale * getattr(chip.analog, name) for name in sizes})
    neuron = replace(
        chip.neuron,
        temperature=scale**2 * chip.neuron.temperature,
        leak=None if chip.neuron.leak is None else chip.neuron.leak / scale,
    )
    return replace(chip, analog=terms, neuron=neuron)


def programmed(network: SpikingNetwork, scale: float, seed: int, index: int) -> ProgrammedChip:
    """Return a chip with all terms; its cells are written by reads of the published noise."""
    chip = scaled(chips.neurram_analog(), scale)
    written = program(network, chip=chip, seed=seed, index=index)
    sigma = scale * chip.device.sigma_read
    return replace(
        written, layers=tuple(replace(layer, sigma_read=sigma) for layer in written.layers)
    )


def variants(chip: ProgrammedChip) -> dict[str, ProgrammedChip]:
    """Return the same cells without terms, with each alone, and with all; rails always there."""
    alone = {name: chip.only(name, "rails") for name in COUNTED}
    return {"none": chip.only("rails"), **alone, "all": chip}


def percent(model: Any, data: demo.Digits, seed: int) -> float:
    run = simulate(model, data.x_test, record="counts", decoding="counts", seed=seed)
    return 100 * float(accuracy(run, data.y_test)[-1])


def accuracies(
    network: SpikingNetwork, data: demo.Digits, scale: float, n_chips: int, seed: int
) -> dict[str, dict[str, list[float]]]:
    """Return the accuracies of each chip and state, one for each programming, in %."""
    found: dict[str, dict[str, list[float]]] = {}
    for index in range(n_chips):
        for name, once in variants(programmed(network, scale, seed, index)).items():
            row = found.setdefault(name, {state: [] for state in STATES})
            again = recalibrate(once, data.x_train[: demo.RECALIBRATION_SAMPLES])
            for state, model in zip(STATES, (once, again)):
                row[state].append(percent(model, data, seed))
        console.print(f"chip {index}, terms x {scale:g}", style="dim")
    return found


def columns(network: SpikingNetwork, data: demo.Digits, chip: Chip, seed: int) -> list[list[float]]:
    """Return spread of slopes [%] and of intercepts [converter steps] of each layer's columns.

    One window for a whole layer, as on the published chip; each column's line of least squares
    from the trained network's drive to the settled voltage.
    """
    model = program(network, chip=replace(chip, full_scale="layer"), seed=seed)
    x = data.x_train[:300]
    rates = x / network.input_scale
    found = []
    for n, (z, layer) in enumerate(zip(network.preactivations(x), model.charge_layers())):
        volts = (layer.sums(rates) + layer.bias) * layer.quantum / chip.neuron.gain
        spread = z.std(axis=0)
        # Weight decay leaves neurons that hardly ever move: their columns have no line.
        moving = np.flatnonzero(spread > 0.2 * np.median(spread))
        slope, intercept = np.array([np.polyfit(z[:, j], volts[:, j], 1) for j in moving]).T
        steps = intercept * SAMPLES_OF_A_CONVERSION / V_DECR
        found.append([100 * float(slope.std() / slope.mean()), float(steps.std())])
        rates = np.maximum(z, 0) / network.layers[n].worth
    return found


def seconds(run: Callable[[], object]) -> float:
    """Return the least processor time of five runs [s]."""
    run()
    taken = []
    for _ in range(5):
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return min(taken)


def costs(network: SpikingNetwork, data: demo.Digits, seed: int) -> dict[str, dict[str, float]]:
    """Return the processor time of one sample with read noise off and on [s]."""
    x = data.x_test
    found: dict[str, dict[str, float]] = {}
    encodings: tuple[Literal["current", "rate"], ...] = ("current", "rate")
    for encoding in encodings:
        row = {}
        for name, chip in (
            ("off", chips.neurram()),
            ("on", chips.neurram_analog().only("read_noise", "rails")),
            ("kT/C", chips.neurram_analog().only("kt_c", "rails")),
        ):
            model = program(network, chip=chip, seed=seed)
            run = partial(
                simulate, model, x, record="counts", encoding=encoding, decoding="membrane",
                seed=seed,
            )  # fmt: skip
            row[name] = seconds(run) / len(x)
        found[encoding] = row
    return found


def table(found: dict[str, dict[str, dict[str, list[float]]]]) -> Table:
    grid = Table("term", *(f"{state} x {scale}" for scale in found for state in STATES))
    for name in next(iter(found.values())):
        cells: list[str] = []
        for rows in found.values():
            for state in STATES:
                values: NDArray[np.float64] = np.array(rows[name][state])
                cells.append(f"{values.mean():.2f} ± {values.std(ddof=1):.2f}")
        grid.add_row(name, *cells)
    return grid


console = Console()


@click.command()
@click.option("--chips", "n_chips", type=click.IntRange(min=2), default=8, show_default=True)
@click.option("--scale", type=click.FloatRange(min=0), multiple=True, default=(1, 4))
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="Where to write the numbers, JSON.")
def main(n_chips: int, scale: tuple[float, ...], seed: int, output: Path | None) -> None:
    """Print accuracies at T = 32 in %, columns before calibration, and the cost of read noise."""
    missing = set(COUNTED) ^ (set(TERMS) - {"rails", "kick"})
    if missing:
        raise click.ClickException(f"Terms that this benchmark does not know: {missing}.")
    data = demo.digits()
    network = convert(demo.train(data, seed=seed), data.x_train, steps=STEPS)
    found = {f"{s:g}": accuracies(network, data, s, n_chips, seed) for s in scale}
    console.print(f"ideal hardware: {percent(network, data, seed):.2f} %")
    console.print(table(found))
    spreads = {
        name: columns(network, data, chip, seed)
        for name, chip in (("none", chips.neurram()), ("all", chips.neurram_analog()))
    }
    for name, rows in spreads.items():
        for layer, (slope, intercept) in zip(network.layers, rows):
            console.print(
                f"{name:5} {layer.name}: slopes {slope:.1f} %, intercepts {intercept:.2f} steps"
            )
    times = costs(network, data, seed)
    for encoding, row in times.items():
        console.print(f"{encoding}: " + ", ".join(f"{k} {1e3 * v:.3f} ms" for k, v in row.items()))
    if output is not None:
        results = {"chips": n_chips, "seed": seed, "accuracy": found, "columns": spreads,
                   "seconds": times}  # fmt: skip
        output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Frozen conductance errors on MNIST: what each remedy brings to the convolutional network.

Every cell of every programmed chip ends at its target plus a normal error that never changes.
Three networks (plain, trained with weight noise, and that with clip-floor-shift activations) run on
chips that differ in what takes the end of the conductance window and in the pairs of cells for
each weight, as they were programmed and recalibrated. Needs the four MNIST files in
$SPIKERAM_DATA/mnist; networks are trained once and kept in benchmark-cache.

    python benchmarks/noise.py --output noise.json --plot noise.png
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from matplotlib.figure import Figure
from mnist_training import images, labels, trained
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from spikeram.chip import Chip
from spikeram.conversion import convert, read, recalibrate
from spikeram.models import chips
from spikeram.network import SpikingNetwork
from spikeram.programming import program
from spikeram.simulation import simulate
from spikeram.statistics import accuracy

CALIBRATION = 1000
RECALIBRATION = 300
STEPS = 32
PAIRS = 4
STATES = ("as programmed", "recalibrated")

NETWORKS = {
    "ReLU": (0, 0.0),
    "ReLU, trained with noise": (0, 0.1),
    "8 levels, trained with noise": (8, 0.1),
}
"""Levels of the activation, 0 for ReLU, and weight noise that each network was trained with."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Images:
    """Test images with their labels, and training images to convert and recalibrate with."""

    x: NDArray[np.float64]
    y: NDArray[np.uint8]
    calibration: NDArray[np.float64]


def variants(share: float) -> dict[str, Chip]:
    chip = chips.gaussian(share)
    # The cores of one chip do not hold four pairs for each weight.
    several = replace(chip, pairs_per_weight=PAIRS, n_cores=2 * chip.n_cores)
    return {
        "one window per layer": replace(chip, full_scale="layer"),
        "one window per column": chip,
        f"{PAIRS} pairs per weight": several,
        "least-squares window": replace(chip, full_scale="least_squares"),
    }


def percent(model: Any, data: Images) -> float:
    run = simulate(model, data.x, record="counts")
    return 100 * float(accuracy(run, data.y)[-1])


def measured(
    network: SpikingNetwork, chip: Chip, data: Images, seed: int, index: int
) -> tuple[int, list[float]]:
    """Return the cores of one programmed chip, and its accuracies in both `STATES` in %."""
    programmed = program(network, chip=chip, seed=seed, index=index)
    again = recalibrate(programmed, data.calibration[:RECALIBRATION])
    return sum(programmed.cores), [percent(model, data) for model in (programmed, again)]


@contextmanager
def advancing(total: int) -> Iterator[Any]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn()) as progress:
        task = progress.add_task("Programming", total=total)
        yield lambda name: progress.update(task, description=name, advance=1)


def table(found: dict[str, Any]) -> Table:
    grid = Table("chip", "cores", *STATES)
    for column in grid.columns[1:]:
        column.justify = "right"
    for chip, values in found["chips"].items():
        cells = [f"{np.mean(values[s]):.2f} ({np.min(values[s]):.2f})" for s in STATES]
        grid.add_row(chip, str(values["cores"]), *cells)
    return grid


def drawn(results: dict[str, Any]) -> Figure:
    """Return the mean error of each row as a dot, with a line up to its worst programming."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    panels = figure.subplots(1, len(results["networks"]), sharey=True)
    for axes, (name, found) in zip(panels, results["networks"].items()):
        axes.axvline(100 - found["software"], color="0.3", linewidth=1, linestyle=":")
        for state, colour, shift in zip(STATES, ("#dd6b20", "#2b6cb0"), (0.12, -0.12)):
            rows = 100 - np.array([values[state] for values in found["chips"].values()])
            place = np.arange(len(rows)) + shift
            mean = rows.mean(axis=1)
            axes.hlines(place, mean, rows.max(axis=1), color=colour, linewidth=1)
            axes.plot(mean, place, "o", color=colour, markersize=4, label=state)
        axes.set_yticks(range(len(found["chips"])), list(found["chips"]))
        axes.set_title(name, fontsize=9)
        axes.set_xscale("log")
        axes.set_xticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
        axes.minorticks_off()
        axes.set_xlim(0.7, 110)
        axes.set_xlabel("wrong answers [%]")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].invert_yaxis()
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


@click.command()
@click.option("--samples", type=click.IntRange(1, 10_000), default=10_000, show_default=True)
@click.option("--programmings", type=click.IntRange(min=1), default=8, show_default=True)
@click.option(
    "--share",
    type=click.FloatRange(min=0),
    default=0.1,
    show_default=True,
    help="Standard deviation of the errors as a share of the largest conductance.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="Where to write the numbers, JSON.")
@click.option("--plot", type=click.Path(path_type=Path), help="Where to draw them, PNG.")
def main(
    samples: int, programmings: int, share: float, seed: int, output: Path | None, plot: Path | None
) -> None:
    """Print mean (and worst) accuracies at T = 32 over several programmings, in %."""
    networks = {
        name: trained("cnn", levels=levels, noise=noise)
        for name, (levels, noise) in NETWORKS.items()
    }
    data = Images(
        x=images("t10k")[:samples],
        y=labels("t10k")[:samples],
        calibration=images("train")[:CALIBRATION],
    )
    every: dict[str, Any] = {}
    results = {
        "samples": samples,
        "programmings": programmings,
        "share": share,
        "seed": seed,
        "steps": STEPS,
        "networks": every,
    }
    with advancing(len(networks) * len(variants(share)) * programmings) as advance:
        for name, net in networks.items():
            software = read(net, input_shape=(1, 28, 28))
            spiking = convert(software, data.calibration, steps=STEPS)
            every[name] = {
                "software": 100 * float(np.mean(software.predict(data.x) == data.y)),
                "ideal": percent(spiking, data),
                "chips": {},
            }
            for kind, chip in variants(share).items():
                row: dict[str, Any] = {state: [] for state in STATES}
                for index in range(programmings):
                    row["cores"], values = measured(spiking, chip, data, seed, index)
                    for state, value in zip(STATES, values):
                        row[state].append(value)
                    advance(f"{name}, {kind}")
                every[name]["chips"][kind] = row
                if output is not None:
                    output.write_text(json.dumps(results, indent=2) + "\n")
    for name, found in every.items():
        software, ideal = found["software"], found["ideal"]
        Console().print(f"\n{name}: software {software:.2f} %, ideal hardware {ideal:.2f} %")
        Console().print(table(found))
    if plot is not None:
        drawn(results).savefig(plot, dpi=110)


if __name__ == "__main__":
    main()

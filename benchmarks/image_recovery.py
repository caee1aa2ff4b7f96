"""Corrupted MNIST digits recovered by Gibbs sampling in both directions of one array.

L2 errors after 10 cycles, in software with and without noise on the weights, on chips one day
after programming (g_max 30 uS, read noise of 0.4 uS, kT/C noise at 300 K, offsets of 3 mV at
samples and 17.5 mV at comparators), and by spikes on the same chips, without these three.

    python benchmarks/image_recovery.py --output image_recovery.json --picture image_recovery.png
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from spikeram.boltzmann import (
    BoltzmannMachine,
    Fields,
    Firing,
    Gibbs,
    ProgrammedMachine,
    ReadOut,
    program_machine,
    read_out,
    spiking,
)
from spikeram.chip import Chip
from spikeram.models import chips
from spikeram.models.networks import mnist_rbm
from spikeram.models.networks.recovery import (
    N_PIXELS,
    Task,
    blind,
    flipped,
    l2_error,
    occluded,
    recover,
)
from spikeram.product import LineErrors
from spikeram.seeds import Purpose, generator

CORES = 8
KICKS = Firing(kicks=8)
READ = Gibbs(hidden=KICKS)
WAYS = {
    "stochastic": READ,
    "deterministic": replace(READ, hidden=Firing(kicks=0)),
    "spiking": Gibbs(hidden=KICKS, visible=KICKS),
}
NOISES = (0.0, 0.05, 0.1, 0.15, 0.2)
FLIPS = 0.2
LAST = 5
CALIBRATION = 400


def the_chip() -> Chip:
    published = chips.neurram()
    warm = replace(published.neuron, temperature=300.0)
    return replace(published, g_max=30e-6, neuron=warm)


def offsets(programmed: ProgrammedMachine) -> tuple[LineErrors, LineErrors]:
    """Return read noise and the offsets of hidden and of visible lines."""
    layout, found = programmed.layout, []
    for number, shape in enumerate(((layout.cores, layout.width), (2, layout.n_rows))):
        rng = generator(0, Purpose.LINE_OFFSETS, programmed.index, number)
        found.append(
            LineErrors(
                sigma_read=0.4e-6,
                sample=3e-3 * rng.standard_normal(shape),
                comparator=17.5e-3 * rng.standard_normal(shape),
            )
        )
    return found[0], found[1]


class Measure:
    """The images, and what is asked of each machine."""

    def __init__(self, samples: int) -> None:
        x, y = mnist_rbm.digits("train")
        self.training = mnist_rbm.with_labels(x[:CALIBRATION], y[:CALIBRATION])
        self.prior = x.mean(axis=0)
        images = mnist_rbm.digits("test")[0][:samples]
        flips = flipped(images, share=FLIPS, seed=0)
        self.tasks = [flips, occluded(images, seed=0), blind(flips)]
        self.other_fills = {
            fill: occluded(images, fill=fill, seed=0).error_before for fill in ("white", "black")
        }

    def errors(self, fields: Fields, gibbs: Gibbs) -> dict[str, tuple[float, float]]:
        """Return the errors of the last cycle, and of the mean of the last cycles."""
        return {task.name: self._errors(fields, task, gibbs) for task in self.tasks}

    def _errors(self, fields: Fields, task: Task, gibbs: Gibbs) -> tuple[float, float]:
        chain = recover(fields, task, gibbs, seed=1, flips=FLIPS, prior=self.prior)
        one, several = (
            l2_error(chain.mean(last)[:, :N_PIXELS], task.original) for last in (1, LAST)
        )
        return one, several

    def programmed(
        self, machine: BoltzmannMachine, index: int
    ) -> Iterator[tuple[str, Fields, Gibbs]]:
        """Yield the ways of a chip with its fields."""
        programmed = program_machine(
            machine, chip=the_chip(), seed=0, index=index, cores=CORES, w_max=mnist_rbm.W_MAX
        )
        read = read_out(programmed, self.training, ReadOut(errors=offsets(programmed)), seed=index)
        spikes = spiking(programmed, self.training, steps=READ.levels, seed=index)
        for name, gibbs in WAYS.items():
            yield name, spikes if name == "spiking" else read, gibbs


def noise_table(measure: Measure) -> dict[str, Any]:
    """Return the errors of both machines with noise on their weights, means of 3 draws."""
    found: dict[str, Any] = {}
    for variant in mnist_rbm.RECIPES:
        machine = mnist_rbm.load(variant)
        for noise in NOISES:
            draws = [
                machine.disturbed(noise * mnist_rbm.W_MAX, rng=np.random.default_rng([7, n]))
                for n in range(3 if noise else 1)
            ]
            errors = [measure.errors(draw, Gibbs()) for draw in draws]
            found[f"{variant}, {noise:g}"] = {
                task: np.mean([e[task][0] for e in errors]) for task in errors[0]
            }
    return found


def picture(measure: Measure, machine: BoltzmannMachine, path: Path, *, count: int = 10) -> None:
    """Save digits before and after, with what they should be."""
    ways = {name: (fields, gibbs) for name, fields, gibbs in measure.programmed(machine, 0)}
    figure = Figure(figsize=(9, 7.2), layout="constrained")
    titles = ("20 % flipped", "lowest third occluded", "20 % flipped, not known which")
    for axes, task, title in zip(figure.subplots(3, 1), measure.tasks, titles):
        some = replace(
            task,
            original=task.original[:count],
            corrupted=task.corrupted[:count],
            intact=None if task.intact is None else task.intact[:count],
        )
        rows = [some.corrupted]
        for name in ("stochastic", "spiking"):
            chain = recover(*_of(ways[name], some), seed=1, flips=FLIPS, prior=measure.prior)
            rows.append(chain.mean(LAST)[:, :N_PIXELS])
        axes.imshow(mosaic([*rows, some.original]), cmap="gray_r", vmin=0, vmax=1)
        axes.set_yticks(
            [14 + 29 * n for n in range(4)], ["corrupted", "chip, read", "chip, spikes", "original"]
        )
        axes.set_xticks([])
        axes.set_title(title)
    figure.savefig(path, dpi=110)


def _of(way: tuple[Fields, Gibbs], task: Task) -> tuple[Fields, Task, Gibbs]:
    return way[0], task, way[1]


def mosaic(rows: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return rows of images side by side, a pixel apart."""
    tiles = [np.pad(row.reshape(-1, 28, 28), ((0, 0), (0, 1), (0, 1))) for row in rows]
    return np.vstack([np.hstack(list(row)) for row in tiles])


def spread(values: list[float]) -> str:
    return f"{np.mean(values):.2f}" + (f" ± {np.std(values):.2f}" if len(values) > 1 else "")


@click.command()
@click.option("--samples", type=click.IntRange(1, 10_000), default=500, show_default=True)
@click.option("--chips", "n_chips", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--output", type=click.Path(path_type=Path))
@click.option("--picture", "drawn", type=click.Path(path_type=Path))
def main(samples: int, n_chips: int, output: Path | None, drawn: Path | None) -> None:
    """Print L2 errors, means over chips with the standard deviation."""
    measure, machine, console = Measure(samples), mnist_rbm.load(), Console(width=130)
    before = {task.name: task.error_before for task in measure.tasks}
    found: dict[str, list[dict[str, tuple[float, float]]]] = {
        "software": [measure.errors(machine, Gibbs())],
        "software, deterministic": [
            measure.errors(machine, Gibbs(hidden=Firing(kicks=0))),
        ],
    }
    for index in range(n_chips):
        for name, fields, gibbs in measure.programmed(machine, index):
            found.setdefault(f"chip, {name}", []).append(measure.errors(fields, gibbs))
    table = Table("", *before, title=f"L2 error, and reduction in % ({samples} images)")
    table.add_row("before", *(f"{error:.2f}" for error in before.values()))
    for name, runs in found.items():
        for which, suffix in enumerate(("", f", mean of {LAST} cycles")):
            cells = []
            for task, start in before.items():
                errors = [run[task][which] for run in runs]
                cells.append(f"{spread(errors)}  {100 * (1 - np.mean(errors) / start):.1f}")
            table.add_row(name + suffix, *cells)
    console.print(table)
    console.print(f"Lowest third white or black instead, before: {measure.other_fills}")
    noise = noise_table(measure)
    table = Table("trained, noise at test", *before)
    for name, errors_of in noise.items():
        table.add_row(name, *(f"{errors_of[task]:.3f}" for task in before))
    console.print(table)
    if output is not None:
        content = {"samples": samples, "before": before, "after": found, "noise": noise}
        output.write_text(json.dumps(content, indent=2) + "\n")
    if drawn is not None:
        picture(measure, machine, drawn)


if __name__ == "__main__":
    main()

"""Partial sums across cores: 784-512-10 on MNIST, ideal, digital and spiking.

Trains a perceptron with one wide layer (`mnist_training.py`; weights are kept in
./benchmark-cache), converts it without re-training, and runs one and the same programmed chip with
partial sums of each kind: over time steps, over the charge of a partial spike and how partial
neurons round, and with each `column_gain` on an ideal chip and on a noisy one. The rows of its
first layer take 7 cores, those of its second 5. Needs the four MNIST files in $SPIKERAM_DATA/mnist.

    python benchmarks/partial_sums.py --output partial_sums.json
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import click
import numpy as np
from mnist_training import images, labels, trained
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from spikeram.charge import ChargeLayer
from spikeram.chip import ColumnGain, ProgrammedChip
from spikeram.conversion import convert, read, recalibrate
from spikeram.conversion.calibration import fit_quanta, segment_drives
from spikeram.models import chips
from spikeram.network import SpikingNetwork
from spikeram.partial import PartialSums
from spikeram.pool import MaxPool
from spikeram.programming import program
from spikeram.simulation import Model, simulate
from spikeram.statistics import accuracy
from spikeram.units import Second

FullScale: TypeAlias = Literal["column", "layer", "least_squares"]

T = 32
RECALIBRATION = 300
STEPS = (1, 2, 4, 8, 16, 32, 64)
KINDS = {
    "ideal": PartialSums(),
    "digital, 8 bits": PartialSums(kind="digital", bits=8),
    "digital, 6 bits": PartialSums(kind="digital", bits=6),
    "spiking": PartialSums(kind="spiking"),
}
ON_CHIPS = ("ideal", "digital, 8 bits", "spiking")
TABLES = ("split", "time", "ideal", "neurram", "quanta")
SHARES = (0.25, 0.5, 1.0, 2.0)
ROUNDING = ("to nearest", "ternary, from half", "ternary, from 0")
GAINS: tuple[ColumnGain, ...] = ("threshold", "balanced", "none")


@dataclass(frozen=True, eq=False)
class Rounding:
    """A chip whose partial neurons start and compare otherwise."""

    chip: ProgrammedChip
    how: str

    @property
    def network(self) -> SpikingNetwork:
        return self.chip.network

    @property
    def dt(self) -> Second:
        return self.chip.dt

    @property
    def index(self) -> int:
        return self.chip.index

    @property
    def provenance(self) -> dict[str, object]:
        return self.chip.provenance

    def charge_layers(self) -> tuple[ChargeLayer, ...]:
        return self.chip.charge_layers()

    def charge_nodes(self) -> tuple[ChargeLayer | MaxPool, ...]:
        return tuple(self._changed(node) for node in self.chip.charge_nodes())

    def _changed(self, node: ChargeLayer | MaxPool) -> ChargeLayer | MaxPool:
        if isinstance(node, MaxPool) or not node.part or self.how == "to nearest":
            return node
        initial = node.initial if self.how == "ternary, from half" else 0 * node.initial
        return replace(node, spikes="ternary", negative=0 * node.negative, initial=initial)


def right(model: Model, x: NDArray[np.float64], y: NDArray[np.uint8], steps: int) -> float:
    run = simulate(model, x, steps=steps, record="counts")
    return round(100 * float(accuracy(run, y)[-1]), 2)


def over_time(
    trained_network: SpikingNetwork, x: NDArray[np.float64], y: NDArray[np.uint8]
) -> dict[str, list[float]]:
    """Return the accuracy of each kind over T, the network being that of T = 32."""
    chip = program(trained_network, chip="ideal", seed=0)
    return {
        name: [right(chip.with_partial_sums(sums), x, y, steps) for steps in STEPS]
        for name, sums in KINDS.items()
    }


def over_quanta(
    network: SpikingNetwork, x: NDArray[np.float64], y: NDArray[np.uint8]
) -> dict[str, list[str]]:
    """Return accuracy, error of the output and partial spikes for each quantum and rounding."""
    chip = program(network, chip="ideal", seed=0)
    ideal = simulate(chip, x, record="counts")["output"][:, -1]
    table = {}
    for how in ROUNDING:
        found = []
        for share in SHARES:
            model = Rounding(chip.with_partial_sums(PartialSums(kind="spiking", share=share)), how)
            run = simulate(model, x, record="counts")
            error = np.sqrt(((run["output"][:, -1] - ideal) ** 2).mean()) / ideal.std()
            partial = float(run["row_size"].values[:, run["part"].values > 0].sum() / len(x))
            percent = 100 * float(accuracy(run, y)[-1])
            found.append(f"{percent:.2f} %, {float(error):.3f}, {partial:,.0f}")
        table[how] = found
    return table


def over_gains(
    network: SpikingNetwork,
    name: str,
    x: NDArray[np.float64],
    y: NDArray[np.uint8],
    calibration: NDArray[np.float64],
    full_scale: FullScale,
) -> dict[str, list[float | int]]:
    """Return cells, cores and accuracies for each column gain; of a noisy chip, recalibrated."""
    table: dict[str, list[float | int]] = {}
    for gain in GAINS:
        kind = replace(getattr(chips, name)(), column_gain=gain, full_scale=full_scale)
        chip = program(network, chip=kind, seed=0)
        found: list[float | int] = [chip.n_cells, sum(chip.cores)]
        for kind in ON_CHIPS:
            one = chip.with_partial_sums(KINDS[kind])
            if name != "ideal":
                one = recalibrate(fit_quanta(one, calibration), calibration)
            found.append(right(one, x, y, T))
        table[gain] = found
    return table


def show(title: str, columns: Sequence[str], rows: Mapping[str, Sequence[object]]) -> None:
    table = Table("", *columns, title=title)
    for name, values in rows.items():
        table.add_row(name, *(f"{v:,}" if isinstance(v, int) else str(v) for v in values))
    Console(width=120).print(table)


@click.command()
@click.option("--samples", type=click.IntRange(1, 10_000), default=1000, show_default=True)
@click.option("--noise", type=float, default=0.0, help="Weight noise of the training.")
@click.option("--full-scale", type=click.Choice(get_args(FullScale)), default="column")
@click.option("--table", "tables", type=click.Choice(TABLES), multiple=True, help="By default all.")
@click.option("--output", type=click.Path(path_type=Path))
def main(
    samples: int,
    noise: float,
    full_scale: FullScale,
    tables: tuple[str, ...],
    output: Path | None,
) -> None:
    """Print tables of accuracies in %."""
    network = read(trained("wide", noise=noise), input_shape=(1, 28, 28))
    x, y = images("t10k")[:samples], labels("t10k")[:samples]
    calibration = images("train")[:2000]
    spiking = convert(network, calibration, steps=T)
    ann = round(100 * float(np.mean(network.predict(x) == y)), 2)
    drives = segment_drives(program(spiking, chip="ideal", seed=0), calibration)
    print(f"{samples} images, ANN {ann} %, segments bring up to {np.round(drives, 2)} thresholds")
    results: dict[str, object] = {"samples": samples, "ann": ann, "drives": drives.tolist()}

    def keep(title: str, columns: Sequence[str], rows: Mapping[str, Sequence[object]]) -> None:
        show(title, columns, rows)
        results[title] = rows
        if output is not None:
            output.write_text(json.dumps(results, indent=2) + "\n")

    for which in tables or TABLES:
        if which == "split":
            chip = program(spiking, chip="ideal", seed=0)
            cut = chip.with_partial_sums("spiking")
            models = {
                "undivided": chip,
                "spiking": cut,
                "spiking, measured quanta": fit_quanta(cut, calibration),
            }
            rights = {name: [right(one, x, y, T)] for name, one in models.items()}
            keep("ideal chip", [f"T={T}"], rights)
        elif which == "time":
            keep("ideal chip, over T", [f"T={t}" for t in STEPS], over_time(spiking, x, y))
        elif which == "quanta":
            keep(
                f"T = {T}: accuracy, error of the output, partial spikes for an image",
                [f"quantum {share:g}" for share in SHARES],
                over_quanta(spiking, x, y),
            )
        else:
            again = ", recalibrated" if which != "ideal" else ""
            found = over_gains(spiking, which, x, y, calibration[:RECALIBRATION], full_scale)
            keep(f"{which} chip, T = {T}{again}", ["cells", "cores", *ON_CHIPS], found)


if __name__ == "__main__":
    main()

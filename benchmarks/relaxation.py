"""Relaxation and retention: the models beside measured cells.

The cells of technology C that `benchmarks/relaxation_fit.py` left out are compared with the same
number of cells of two models at the same conductances: `levy_c`, whose quantiles are those of the
other half, and NeuRRAM's law, which is normal and forgets nothing, scaled to the measured spread.
A second table puts delays and bakes of three technologies on one axis, the activation energy up to
which processes have run off. Needs $SPIKERAM_DATA/rram_measured; takes seconds.

    python benchmarks/relaxation.py --plot docs/relaxation.png
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from relaxation_data import RELAXATION, Cells, Measured, bakes, correlations, relaxation, series
from rich.console import Console
from rich.table import Table
from scipy.signal import welch
from scipy.stats import ks_2samp, kurtosis

from spikeram.device import Cells as Addressed, barrier, equivalent_delay
from spikeram.device.retention import ATTEMPT_FREQUENCY, ELECTRON_VOLT, ROOM
from spikeram.models.devices import levy_c, neurram
from spikeram.neuron import BOLTZMANN

LEFT_OUT = slice(1, None, 2)
MICRO = 1e-6
EIGHTHS = np.linspace(0, 40, 9)
G_MAX = {"A": 240.0, "B": 128.0, "C": 40.0}


def modelled(cells: Cells, seed: int) -> NDArray[np.float64]:
    """Return the changes of `levy_c` for the cells and the delay of a measurement [uS]."""
    g = np.clip(cells.before, 0.0, None) * MICRO
    later = levy_c().relax(g, cells.delay, Addressed.of(g.shape, seed=seed))
    return np.asarray(later - g) / MICRO


def normal_like(cells: Cells, seed: int) -> NDArray[np.float64]:
    """Return normal changes without drift, of the measured spread in each eighth [uS]."""
    z = np.random.default_rng(seed).standard_normal(cells.change.size)
    spread = np.interp(
        cells.before, (EIGHTHS[:-1] + EIGHTHS[1:]) / 2, by_eighth(cells, cells.change)
    )
    return np.asarray(np.maximum(spread * z, -cells.before))


def by_eighth(cells: Cells, change: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the spread of changes in each eighth of the range of conductance [uS]."""
    place = np.digitize(cells.before, EIGHTHS[1:-1])
    return np.array([change[place == n].std() for n in range(8)])


def outside(change: NDArray[np.float64]) -> float:
    """Return the share of changes further than three standard deviations from their mean, in %."""
    return 100 * float(np.mean(np.abs(change - change.mean()) > 3 * change.std()))


def shape_table(sets: list[Cells], seed: int) -> Table:
    table = Table(
        "delay [s]", "cells", title="Technology C, cells left out: measured | levy_c | normal"
    )
    for name in ("spread uS", "drift uS", "kurtosis", "beyond 3 sigma %", "KS distance"):
        table.add_column(name, justify="right")
    for cells in sets:
        changes = [cells.change, modelled(cells, seed), normal_like(cells, seed)]
        distances = [ks_2samp(cells.change, other).statistic for other in changes[1:]]
        table.add_row(
            f"{cells.delay:.3g}"
            + (f" ({cells.temperature:.0f} K)" if cells.temperature != ROOM else ""),
            str(cells.change.size),
            " | ".join(f"{c.std():.2f}" for c in changes),
            " | ".join(f"{c.mean():.2f}" for c in changes),
            " | ".join(f"{kurtosis(c):.1f}" for c in changes),
            " | ".join(f"{outside(c):.2f}" for c in changes),
            " | ".join(f"{d:.3f}" for d in distances),
        )
    return table


def spread_table(sets: list[Cells], seed: int) -> Table:
    table = Table("delay [s]", title="Spread in each eighth of 0 to 40 uS: measured / levy_c [uS]")
    for low in EIGHTHS[:-1]:
        table.add_column(f"{low:.0f} uS", justify="right")
    for cells in sets:
        pairs = zip(by_eighth(cells, cells.change), by_eighth(cells, modelled(cells, seed)))
        table.add_row(f"{cells.delay:.3g}", *(f"{a:.2f} / {b:.2f}" for a, b in pairs))
    return table


@dataclass(frozen=True, eq=False)
class Paths:
    """How changes at two delays correlate: matrices of shape (delay, delay)."""

    measured: NDArray[np.float64]
    levy_c: NDArray[np.float64]
    neurram: NDArray[np.float64]


def paths(measured: Measured, seed: int) -> Paths:
    g = np.clip(measured.g[LEFT_OUT, 0], 0.0, None) * MICRO
    cells = Addressed.of(g.shape, seed=seed)

    def of(device: Any) -> NDArray[np.float64]:
        return correlations(np.transpose([device.relax(g, t, cells) - g for t in measured.delays]))

    change = measured.g[LEFT_OUT, 1:] - measured.g[LEFT_OUT, :1]
    return Paths(correlations(change), of(levy_c()), of(neurram()))


def path_table(found: Paths, delays: NDArray[np.float64]) -> Table:
    table = Table("delays [s]", title="Correlation of one cell's changes at two delays")
    for name in ("measured", "levy_c", "neurram"):
        table.add_column(name, justify="right")
    for i, j in zip(*np.triu_indices(len(delays), 1)):
        values = (found.measured[i, j], found.levy_c[i, j], found.neurram[i, j])
        table.add_row(f"{delays[i]:g}, {delays[j]:g}", *(f"{v:.2f}" for v in values))
    return table


@dataclass(frozen=True, eq=False)
class Line:
    """Variance of the change against the activation energy, of one technology.

    energy is in eV; variance, its standard error, both of shape (point,), in uS2; baked of shape
    (point,) tells bakes from delays at room temperature.
    """

    energy: NDArray[np.float64]
    variance: NDArray[np.float64]
    error: NDArray[np.float64]
    baked: NDArray[np.bool_]
    kelvin: NDArray[np.float64]
    seconds: NDArray[np.float64]

    def fitted(self, below: float) -> tuple[float, float]:
        """Return slope and intercept of the delays at room temperature up to an energy."""
        some = ~self.baked & (self.energy < below)
        slope, intercept = np.polyfit(self.energy[some], self.variance[some], 1)
        return float(slope), float(intercept)


def line(technology: str) -> Line:
    cells = [
        c for n in range(len(RELAXATION[technology])) for c in relaxation(technology, n).at_delays()
    ]
    cells += bakes(technology)
    variance = np.array([c.change.var() for c in cells])
    # The variance of a sample variance is (kurtosis + 2) sigma^4 / n.
    error = np.array(
        [c.change.var() * np.sqrt((kurtosis(c.change) + 2) / c.change.size) for c in cells]
    )
    # Of bakes `delay` is the equivalent one: the energy is the same at either temperature.
    energy = np.array([float(barrier(c.delay)) for c in cells])
    kelvin = np.array([c.temperature for c in cells])
    seconds = np.array([float(np.exp(e * ELECTRON_VOLT / BOLTZMANN / k) / ATTEMPT_FREQUENCY)
                        for e, k in zip(energy, kelvin)])  # fmt: skip
    return Line(energy, variance, error, kelvin != ROOM, kelvin, seconds)


def energy_table(lines: dict[str, Line]) -> Table:
    table = Table("", "T [K]", "time [s]", "E* [eV]", title="Variance of the change")
    for name in ("variance uS2", "line through room temperature uS2", "single energy eV"):
        table.add_column(name, justify="right")
    for technology, found in lines.items():
        slope, intercept = found.fitted(np.inf)
        for n in np.argsort(found.energy):
            predicted = slope * found.energy[n] + intercept
            table.add_row(
                technology,
                f"{found.kelvin[n]:.0f}",
                f"{found.seconds[n]:.3g}",
                f"{found.energy[n]:.3f}",
                f"{found.variance[n]:.2f} ± {found.error[n]:.2f}",
                f"{predicted:.2f}",
                f"{single_energy(found, int(n)):.2f}" if found.baked[n] else "",
            )
    return table


def single_energy(found: Line, n: int) -> float:
    """Return the one activation energy that would turn the law in time into this bake [eV].

    The delay at room temperature with the same variance, by the line in log t, over the time of
    the bake is exp(Ea / k (1 / T0 - 1 / T)).
    """
    slope, intercept = found.fitted(np.inf)
    same = (found.variance[n] - intercept) / slope
    room = same * ELECTRON_VOLT / BOLTZMANN / ROOM - np.log(ATTEMPT_FREQUENCY)
    stretch = room - np.log(found.seconds[n])
    per = BOLTZMANN / ELECTRON_VOLT / (1 / ROOM - 1 / found.kelvin[n])
    return float(stretch * per)


def attempt_frequency(found: Line, seed: int) -> tuple[float, float]:
    """Return log10 of the frequency that puts the bake at 100 C on the line, and its error.

    The error is that of the variances, by 2000 draws of all of them.
    """
    bake = int(np.flatnonzero(found.baked)[np.argmin(found.kelvin[found.baked])])
    room = np.flatnonzero(~found.baked)
    rng = np.random.default_rng(seed)
    drawn = found.variance + found.error * rng.standard_normal((2000, found.variance.size))
    logs = np.log(found.seconds)
    ratio = found.kelvin[bake] / ROOM
    values = []
    for variance in drawn:
        slope, intercept = np.polyfit(logs[room], variance[room], 1)
        same = (variance[bake] - intercept) / slope
        values.append((same - ratio * logs[bake]) / (ratio - 1) / np.log(10))
    return float(np.mean(values)), float(np.std(values))


def read_noise_table() -> Table:
    """Return spread, spectrum and averages of cells of technology A that were read on and on."""
    table = Table("cell [uS]", title="Read noise of technology A, 400 reads a second for 250 s")
    for name in ("spread %", "slope of the spectrum", "2.5 ms %", "0.25 s %", "25 s %"):
        table.add_column(name, justify="right")
    for g, rate in series("A"):
        frequency, power = welch(g, rate, nperseg=8192)
        band = (frequency > 0.1) & (frequency < 100)
        slope = np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)[0]
        means = [g[: g.size // n * n].reshape(-1, n).mean(axis=1) for n in (1, 100, 10_000)]
        # Of white noise the difference of neighbouring means of n reads falls as 1 / sqrt(n).
        moves = [float(np.std(np.diff(m))) / np.sqrt(2) for m in means]
        table.add_row(
            f"{g.mean():.1f}",
            f"{100 * g.std() / G_MAX['A']:.2f}",
            f"{slope:.2f}",
            *(f"{100 * m / G_MAX['A']:.2f}" for m in moves),
        )
    return table


def drawn(sets: list[Cells], found: Paths, lines: dict[str, Line], seed: int) -> Figure:
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    (spread, tails), (path, energy) = figure.subplots(2, 2)
    colours = ["#90cdf4", "#63b3ed", "#3182ce", "#2c5282", "#dd6b20"]
    middle = (EIGHTHS[:-1] + EIGHTHS[1:]) / 2
    for cells, colour in zip(sets, colours):
        spread.plot(middle, by_eighth(cells, cells.change), "o", color=colour, markersize=4)
        spread.plot(middle, by_eighth(cells, modelled(cells, seed)), color=colour, linewidth=1)
        spread.text(40.5, by_eighth(cells, cells.change)[-1], label(cells.delay), color=colour,
                    fontsize=8, va="center")  # fmt: skip
    spread.set(
        xlabel="conductance [uS]", ylabel="spread of the change [uS]", xlim=(0, 47), ylim=(0, None)
    )
    for cells, colour in ((sets[2], colours[2]), (sets[4], colours[4])):
        for change, style in (
            (cells.change, "o"),
            (modelled(cells, seed), "-"),
            (normal_like(cells, seed), ":"),
        ):
            size = np.sort(np.abs(change - np.median(change)))
            share = 1 - (np.arange(size.size) + 0.5) / size.size
            last = size.size - 1
            ranks = np.unique(last - np.geomspace(1, last, 60).astype(int))
            every = ranks if style == "o" else slice(None)
            tails.plot(size[every], share[every], style, color=colour, markersize=2.5, linewidth=1)
        tails.plot([], [], "-", color=colour, label=label(cells.delay))
    tails.set(xlabel="distance from the median change [uS]", ylabel="share of cells beyond",
              yscale="log", ylim=(2e-4, 1), xlim=(0, 22))  # fmt: skip
    tails.legend(frameon=False, fontsize=8)
    pairs = np.triu_indices(len(sets), 1)
    path.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    path.plot(
        found.measured[pairs],
        found.levy_c[pairs],
        "o",
        color="#2b6cb0",
        markersize=5,
        label="levy_c",
    )
    path.plot(found.measured[pairs], found.neurram[pairs], "^", color="#a0aec0", markersize=5,
              label="neurram: nothing is forgotten")  # fmt: skip
    path.set(xlabel="measured correlation of two delays", ylabel="model", xlim=(0, 1), ylim=(0, 1))
    path.legend(frameon=False, fontsize=8)
    for (technology, one), colour in zip(lines.items(), ("#38a169", "#805ad5", "#dd6b20")):
        scale = 100 / G_MAX[technology] ** 2 * 100
        for kind, fill in ((~one.baked, colour), (one.baked, "white")):
            energy.plot(one.energy[kind], scale * one.variance[kind], "o", color=colour,
                        markerfacecolor=fill, markersize=5)  # fmt: skip
        slope, intercept = one.fitted(np.inf)
        ends = np.array([-intercept / slope, 1.8])
        energy.plot(
            ends, scale * (slope * ends + intercept), color=colour, linewidth=1, label=technology
        )
    energy.set(
        xlabel=r"$k\,T\,\ln(\nu t)$ [eV]",
        ylabel="variance [(% of g_max)²]",
        ylim=(0, 220),
        xlim=(0.6, 1.8),
    )
    energy.plot([], [], "o", color="0.4", label="room temperature")
    energy.plot([], [], "o", color="0.4", markerfacecolor="white", label="baked")
    energy.legend(frameon=False, fontsize=8)
    for axes in (spread, tails, path, energy):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def label(delay: float) -> str:
    return {0.01: "10 ms", 0.1: "0.1 s", 1.0: "1 s", 4.0: "4 s", 1e5: "1 day"}[delay]


@click.command()
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--plot", type=click.Path(path_type=Path), help="Where to draw them, PNG.")
def main(seed: int, plot: Path | None) -> None:
    """Print the tables."""
    console = Console(width=150)
    measured = relaxation("C")
    sets = measured.at_delays(LEFT_OUT)
    every = [*sets, *bakes("C", LEFT_OUT)]
    found = paths(measured, seed)
    lines = {technology: line(technology) for technology in RELAXATION}
    console.print(shape_table(every, seed))
    console.print(spread_table(every, seed))
    console.print(path_table(found, measured.delays))
    console.print(energy_table(lines))
    for technology, one in lines.items():
        mean, error = attempt_frequency(one, seed)
        console.print(
            f"{technology}: log10 of the attempt frequency {mean:.1f} ± {error:.1f} (1/s)"
        )
    for years, celsius in ((10, 25), (10, 55), (10, 85), (1, 125)):
        seconds = years * 31557600.0
        at = float(equivalent_delay(seconds, celsius + 273.15))
        energy = float(barrier(seconds, celsius + 273.15))
        cells = Cells(at, ROOM, sets[0].before, np.zeros(0))
        change = modelled(cells, seed)
        console.print(f"levy_c, {years} years at {celsius} C: E* {energy:.3f} eV, "
                      f"spread {change.std():.2f}, drift {change.mean():.2f} uS")  # fmt: skip
    console.print(read_noise_table())
    if plot is not None:
        drawn(sets, found, lines, seed).savefig(plot, dpi=100)


if __name__ == "__main__":
    main()

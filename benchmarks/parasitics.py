"""Wires: what the exact map costs, what gated rows cost, and how far cores on one rail sag.

Processor time of one thread; errors against scipy's sparse LU of the same circuit.

    OMP_NUM_THREADS=1 python benchmarks/parasitics.py
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.optimize import brentq

from spikeram import demo
from spikeram.conversion import convert, recalibrate
from spikeram.crossbar import Crossbar, conductance_from_weight
from spikeram.models import chips, wires as presets
from spikeram.parasitics import Wires, line_solver, transfer
from spikeram.programming import program
from spikeram.simulation import simulate
from spikeram.statistics import accuracy
from spikeram.supply import SupplyRail, settle_together

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from nodal import sensed

Floats = NDArray[np.float64]
MICRO = 1e-6
OFTEN = 100
MEASURED = (5.0, 5.4, 9.7, 15.4, 20.4, 28.0)
"""Mean error norms of six cores of one column switched together (Neurram_48core, notebooks)."""


def least_cpu(action: Callable[[], object], repeats: int = 5) -> float:
    action()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    return min(times)


def error(found: Floats, expected: Floats) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def uniform_cells(size: int) -> Floats:
    return np.random.default_rng(0).uniform(1, 40, (size, size)) * MICRO


def exact_maps(size: int, oracle: int) -> Table:
    table = Table(title=f"Exact map of {size} x {size} cells, 1 to 40 uS; errors at {oracle}^2")
    for heading in ("wires", "direction", "lines", "CPU [s]", "error", "ideal product's error"):
        table.add_column(heading, justify="left" if heading == "wires" else "right")
    cells, small = uniform_cells(size), uniform_cells(oracle)
    for name, wires in (("assumed", presets.assumed()), ("thin", presets.thin())):
        for direction in ("forward", "backward"):
            for termination in ("floating", "virtual_ground"):
                ends: dict[str, Any] = {"direction": direction, "termination": termination}
                seconds = least_cpu(partial(transfer, cells, wires, **ends), 2)
                volts = np.random.default_rng(1).normal(size=oracle)
                expected = sensed(small, wires, volts, **ends)
                found: Floats = volts @ transfer(small, wires, **ends)
                ideal: Floats = volts @ transfer(small, Wires(), **ends)
                table.add_row(
                    name,
                    direction,
                    termination.replace("_", " "),
                    f"{seconds:.2f}",
                    f"{error(found, expected):.0e}",
                    f"{error(ideal, expected):.1%}",
                )
    return table


def settle_often(crossbar: Crossbar, spikes: Floats) -> None:
    for _ in range(OFTEN):
        crossbar.settle(spikes)


def products(size: int) -> Table:
    table = Table(title=f"Products of a {size} x {size} array (pairs of rows: {size // 2})")
    for heading in ("wires", "vectors", "products/s", "against ideal"):
        table.add_column(heading, justify="left" if heading == "wires" else "right")
    g = np.random.default_rng(0).uniform(1, 40, (2, size // 2, size)) * MICRO
    for vectors in (1, 256):
        spikes = np.random.default_rng(1).integers(-1, 2, (vectors, size // 2)).astype(np.float64)
        ideal = Crossbar(conductance=g)
        wired = replace(ideal, wires=presets.assumed())
        least = {"ideal": np.inf, "exact map": np.inf}
        # In turns, so that what else the machine does hits both.
        for _ in range(20):
            for name, crossbar in (("ideal", ideal), ("exact map", wired)):
                seconds = least_cpu(partial(settle_often, crossbar, spikes), 1)
                least[name] = min(least[name], seconds / OFTEN)
        for name, seconds in least.items():
            ratio = f"{least['ideal'] / seconds:.2f}"
            table.add_row(name, str(vectors), f"{vectors / seconds:,.0f}", ratio)
    return table


def gated(size: int) -> Table:
    table = Table(title=f"Gated rows of {size} x {size} cells, floating lines, tolerance 1e-6")
    for heading in ("wires", "active", "vectors/s", "error", "held rows would err by"):
        table.add_column(heading, justify="left" if heading == "wires" else "right")
    cells = uniform_cells(size)
    rng = np.random.default_rng(1)
    for name, wires in (("assumed", presets.assumed()), ("thin", presets.thin())):
        solver, held = line_solver(cells, wires), transfer(cells, wires)
        for share in (0.01, 0.02, 0.05, 0.1, 0.5):
            # Both rows of a pair are active.
            pairs = max(1, round(share * size / 2))
            volts = np.zeros((max(4, 200 // pairs), size))
            for row in volts:
                place = rng.choice(size // 2, pairs, replace=False)
                row[2 * place] = rng.choice([-0.5, 0.5], pairs)
                row[2 * place + 1] = -row[2 * place]
            active = volts != 0
            seconds = least_cpu(partial(solver.settle, volts, active), 8) / len(volts)
            found, _ = solver.settle(volts[:4], active[:4])
            expected = [sensed(cells, wires, v, active=a) for v, a in zip(volts[:4], active[:4])]
            table.add_row(
                name,
                f"{2 * pairs} ({share:.0%})",
                f"{1 / seconds:,.0f}",
                f"{max(map(error, found, expected)):.0e}",
                f"{error(volts[0] @ held, expected[0]):.0%}",
            )
    return table


def cores_on_a_rail(alone: float) -> tuple[list[Crossbar], list[Floats], list[Floats]]:
    """Return six cores whose outputs err by a share, their spikes, and the outputs wanted.

    The size is that of the chip's restricted Boltzmann machine: up to 124 pairs by 204 columns at
    30 uS, half of the inputs on.
    """
    rng = np.random.default_rng(0)
    cores, spikes, wanted = [], [], []
    for _ in range(6):
        weight = rng.normal(size=(124, 204))
        target = conductance_from_weight(weight, g_min=1e-6, g_max=30e-6, w_max=3.0)
        sigma = alone * np.std(target[0] - target[1]) / np.sqrt(2)
        spikes.append((rng.random((20, 124)) < 0.5).astype(np.float64))
        errors = rng.normal(0, sigma, target.shape)
        cores.append(Crossbar(conductance=np.maximum(target + errors, 0)))
        wanted.append(Crossbar(conductance=target).settle(spikes[-1]))
    return cores, spikes, wanted


def error_norms(alone: float, r_segment: float) -> tuple[Floats, Floats]:
    """Return each core's mean error norm as a share of its outputs, and its rail's voltage."""
    cores, spikes, wanted = cores_on_a_rail(alone)
    state = settle_together(cores, spikes, rail=SupplyRail(r_segment=r_segment))
    each = [
        np.linalg.norm(found - ideal, axis=1).mean() / np.linalg.norm(ideal, axis=1).mean()
        for found, ideal in zip(state.settled, wanted)
    ]
    return np.array(each), state.rail.mean(axis=(0, 2))


def sagging() -> Table:
    growth = MEASURED[-1] / MEASURED[0]
    table = Table(title="Six cores switched together on one rail: error over that of the first")
    names = [f"core {n + 1}" for n in range(6)]
    for heading in ("alone", "rail [ohm from core to core]", *names, "V at core 6"):
        table.add_column(heading, justify="right")

    def excess(r_segment: float, alone: float) -> float:
        each, _ = error_norms(alone, r_segment)
        return float(each[-1] / each[0]) - growth

    for alone in (0.05, 0.1):
        # Where the growth is that of the chip.
        fitted = brentq(excess, 0.0, 100.0, args=(alone,), xtol=1e-3)
        for r in sorted((0.0, 2.5, fitted)):
            each, volts = error_norms(alone, r)
            ratios = (f"{x:.2f}" for x in each / each[0])
            table.add_row(f"{alone:.0%}", f"{r:.2f}", *ratios, f"{volts[-1]:.3f}")
    # Sags are concave along a rail fed at one end: k segments on at least k / 5 of the last.
    least = np.sqrt(1 + (growth**2 - 1) * (np.arange(6) / 5) ** 2)
    table.add_row("", "least, any loads", *(f"{x:.2f}" for x in least), "")
    measured = (f"{x / MEASURED[0]:.2f}" for x in MEASURED)
    table.add_row("", "measured", *measured, "")
    return table


def accuracies(n_chips: int = 3) -> Table:
    table = Table(title="Accuracy [%] of the demo's network, T = 32, a day after programming")
    for heading in ("wires", "as programmed", "recalibrated"):
        table.add_column(heading, justify="left" if heading == "wires" else "right")
    data = demo.digits()
    network = convert(demo.train(data, seed=0), data.x_train, steps=32)
    assumed = presets.assumed()
    for name, wires in (
        ("none", None),
        ("thin", presets.thin()),
        ("assumed", assumed),
        ("assumed, 1 kohm drivers", replace(assumed, r_driver=1000.0)),
    ):
        found = []
        for index in range(n_chips):
            chip = program(network, chip=replace(chips.neurram(), wires=wires), seed=0, index=index)
            again = recalibrate(chip, data.x_train[:300])
            runs = [simulate(each, data.x_test, record="counts") for each in (chip, again)]
            found.append([100 * float(accuracy(run, data.y_test)[-1]) for run in runs])
        table.add_row(name, *(f"{x:.2f}" for x in np.mean(found, axis=0)))
    return table


def peers(size: int) -> Table:
    table = Table(title=f"One vector of {size} x {size} cells, 1 ohm from cell to cell, currents")
    for heading in ("package", "CPU [s]", "agrees to"):
        table.add_column(heading, justify="left" if heading == "package" else "right")
    wires = Wires(r_row=1.0, r_column=1.0, r_driver=1.0, r_sense=1.0)
    cells = uniform_cells(size)
    volts = np.random.default_rng(1).normal(size=size)
    passed = transfer(cells, wires, termination="virtual_ground")
    table.add_row("spikeram, map", f"{least_cpu(lambda: transfer(cells, wires), 1):.2f}", "")
    table.add_row("spikeram, product", f"{least_cpu(lambda: volts @ passed):.6f}", "")
    if find_spec("badcrossbar") is None:
        table.add_row("badcrossbar", "not installed", "")
    else:
        import badcrossbar

        def compute() -> Floats:
            solution = badcrossbar.compute(volts[:, np.newaxis], 1 / cells, 1.0)
            return np.asarray(solution.currents.output).ravel()

        agreement = error(volts @ passed, compute())
        table.add_row("badcrossbar", f"{least_cpu(compute, 2):.2f}", f"{agreement:.0e}")
    return table


@click.command()
@click.option("--size", default=256, show_default=True, help="Rows of cells, and columns.")
@click.option("--oracle", default=64, show_default=True, help="Size at which maps are checked.")
def main(size: int, oracle: int) -> None:
    """Measure and print the tables of docs/parasitics.md."""
    console = Console(width=110)
    console.print(exact_maps(size, oracle))
    console.print(products(size))
    console.print(gated(size))
    console.print(sagging())
    console.print(accuracies())
    console.print(peers(size))


if __name__ == "__main__":
    main()

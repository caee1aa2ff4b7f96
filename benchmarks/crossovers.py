"""Where one way of adding charge beats another: what the engine's choices are set by.

A convolution adds the rows of each spike where it stands, or sums from tables at every position;
`spikeram.clocked.TABLE_ENTRIES` is the number of rows that take as long as one entry of a table.
A matrix adds rows, or takes one product of floats: `DENSE_ACTIVITY` and, with bursts,
`DENSE_BURSTS` are the shares of active inputs from which the product is faster. Every pair is
measured in turn at rising activity, on one core, and where the two times cross is interpolated.

    python benchmarks/crossovers.py
"""

import os

from engine_parts.one_thread import ONE_THREAD

# Before numpy and numba start threads.
os.environ |= ONE_THREAD

from collections.abc import Callable
from typing import Any

import click
import numpy as np
from engine_parts.timing import in_turn
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from spikeram import clocked as engine
from spikeram._kernels.burst import charge_of_bursts
from spikeram._kernels.crossbar import charge_of_spikes
from spikeram._kernels.patches import charge_of_patches
from spikeram._kernels.rows import tiles_of
from spikeram._kernels.tables import tables_of
from spikeram.gather import convolution
from spikeram.groups import groups_of, size_of

PATCHES = (
    (1, 28, 8), (3, 32, 16), (8, 28, 8), (8, 14, 16), (16, 32, 16), (16, 7, 32), (32, 16, 32),
    (64, 8, 64),
)  # fmt: skip
"""Input channels, height and width of the image, and channels of a kernel of 3 x 3."""

MATRICES = ((784, 512), (1024, 1024), (2048, 2048))
STEPS = 64
MANY_STEPS = 1024
"""Of a matrix: as many as a block of samples has, which the product profits from."""
REPEATS = 9
SHARES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
BURST = 4

Run = Callable[[], Any]


def fastest(one: Run, other: Run) -> tuple[float, float]:
    """Return the shortest times of two runs that take turns, after a first that compiles."""
    one()
    other()
    return in_turn(one, other, REPEATS)


def crossing(shares: list[float], times: list[tuple[float, float]]) -> float:
    """Return the share from which the first way is slower; infinite if it never is."""
    ahead = [np.log(one / other) for one, other in times]
    if ahead[-1] < 0:
        return float("inf")
    return float(np.exp(np.interp(0.0, np.maximum.accumulate(ahead), np.log(shares))))


def patches(channels: int, side: int, outputs: int) -> tuple[float, float]:
    """Return the share of active inputs where rows and tables cross, and the rows of one entry."""
    rng = np.random.default_rng(0)
    gather, _ = convolution((channels, side, side), (3, 3), padding=(1, 1))
    weight = rng.integers(-2047, 2048, (gather.n_rows, outputs)).astype(np.int16)
    groups = groups_of(gather.index, gather.n_inputs, size_of(gather.n_rows, outputs))
    tiles, tables = tiles_of(weight), tables_of(weight, groups.rows)
    out = np.empty((STEPS, outputs * gather.n_positions), np.int32)

    def run(spikes: NDArray[np.int8], limit: int) -> None:
        charge_of_patches(spikes, tiles, *gather.places, tables, groups.runs, groups.at, limit, out)

    times = []
    for share in SHARES:
        spikes = (rng.random((STEPS, gather.n_inputs)) < share).astype(np.int8)
        times.append(fastest(lambda: run(spikes, gather.n_inputs), lambda: run(spikes, 0)))  # noqa: B023
    share = crossing(list(SHARES), times)
    return share, share * gather.n_inputs * gather.spread / groups.cost


def matrices(rows: int, columns: int, most: int) -> float:
    """Return the share of active inputs where rows and the product of floats cross."""
    rng = np.random.default_rng(0)
    weight = rng.integers(-2047, 2048, (rows, columns)).astype(np.int16)
    tiles, floats = tiles_of(weight), weight.astype(np.float32)
    out, busy = np.empty((MANY_STEPS, columns), np.int32), np.empty(MANY_STEPS, np.bool_)
    add = charge_of_spikes if most == 1 else charge_of_bursts

    def product(spikes: NDArray[np.int8]) -> None:
        # As the engine does, which first looks how many there are.
        add(spikes, tiles, 0, out, busy)
        out[busy] = spikes[busy].astype(np.float32) @ floats

    times = []
    for share in SHARES:
        number = rng.integers(1, most + 1, (MANY_STEPS, rows))
        spikes = ((rng.random((MANY_STEPS, rows)) < share) * number).astype(np.int8)
        times.append(
            fastest(lambda: add(spikes, tiles, rows, out, busy), lambda: product(spikes))  # noqa: B023
        )
    return crossing(list(SHARES), times)


@click.command()
def main() -> None:
    """Print where the times cross, beside what the engine goes by."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    table = Table(title=f"One core, {STEPS} steps of a convolution, {MANY_STEPS} of a matrix")
    for heading in ("layer", "ways", "share of inputs", "rows of an entry", "the engine's"):
        table.add_column(heading, justify="left" if heading in ("layer", "ways") else "right")
    for channels, side, outputs in PATCHES:
        share, entries = patches(channels, side, outputs)
        name = f"{channels} x {side} x {side}, 3 x 3, {outputs}"
        table.add_row(
            name, "rows, tables", f"{share:.3f}", f"{entries:.2f}", f"{engine.TABLE_ENTRIES}"
        )
    for most, used in ((1, engine.DENSE_ACTIVITY), (BURST, engine.DENSE_BURSTS)):
        for rows, columns in MATRICES:
            name = f"{rows} x {columns}" + (f", bursts of {most}" if most > 1 else "")
            share = matrices(rows, columns, most)
            table.add_row(name, "rows, product", f"{share:.2f}", "", f"{used}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()

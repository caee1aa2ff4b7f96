"""The CUDA engine against the clocked one on all processors: equal spikes, and time.

    python benchmarks/gpu.py --output gpu.json

A crossbar and a convolution, on one chip and on many; whole runs, transfers included. Without a GPU
it says so and ends: Numba's simulator would tell nothing about time.
"""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from spikeram._kernels import cuda_device
from spikeram.charge import ChargeLayer
from spikeram.clocked import Clocked
from spikeram.cuda import Cuda
from spikeram.engines import ChipBatch, ChipEngine
from spikeram.gather import Gather, convolution
from spikeram.recording import Activity

REPEATS = 4
"""Runs that are timed after one that compiles; the fastest counts."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was measured: synaptic additions of a run, and seconds on either engine."""

    network: str
    chips: int
    samples: int
    additions: int
    clocked: float
    cuda: float


def make_layer(seed: int, size: tuple[int, int], gather: Gather | None) -> ChargeLayer:
    rng = np.random.default_rng(seed)
    outputs = size[1] * (1 if gather is None else gather.n_positions)
    return ChargeLayer(
        name="layer",
        weight=rng.integers(-2047, 2048, size).astype(np.int16),
        bias=np.zeros(outputs, np.int32),
        threshold=np.full(outputs, 20_000, np.int32),
        initial=np.zeros(outputs, np.int32),
        rail=2**30,
        quantum=2.0**-20,
        scale=np.ones(outputs),
        gather=gather,
    )


def seconds(engine: ChipEngine, chips: list[ChipBatch], spikes: NDArray[np.int8]) -> float:
    start = time.perf_counter()
    run(engine, chips, spikes)
    return time.perf_counter() - start


def run(engine: ChipEngine, chips: list[ChipBatch], spikes: NDArray[np.int8]) -> list[Activity]:
    (found,) = engine.run(chips, [(spikes.shape[1], spikes)])
    return found


def measure(name: str, n_chips: int, samples: int, steps: int, activity: float) -> Result:
    gather, size = None, (1024, 1024)
    if name == "convolution":
        gather, _ = convolution((32, 16, 16), (3, 3), padding=(1, 1))
        size = (288, 64)
    layers = [make_layer(seed, size, gather) for seed in range(n_chips)]
    chips = [ChipBatch(nodes=[layer]) for layer in layers]
    rng = np.random.default_rng(1)
    spikes = (rng.random((samples, steps, layers[0].n_inputs)) < activity).astype(np.int8)
    for ours, theirs in zip(run(Clocked(), chips, spikes), run(Cuda(), chips, spikes)):
        if not np.array_equal(ours.spikes[0], theirs.spikes[0]):
            raise SystemExit(f"{name}: the spikes differ.")
    driven = int(spikes.sum(axis=(0, 1), dtype=np.int64) @ layers[0].reuse)
    clocked, cuda = (
        min(seconds(engine, chips, spikes) for _ in range(REPEATS))
        for engine in (Clocked(), Cuda())
    )
    return Result(
        network=name,
        chips=n_chips,
        samples=samples,
        additions=driven * size[1] * n_chips,
        clocked=clocked,
        cuda=cuda,
    )


@click.command()
@click.option("--samples", default=1024, show_default=True, help="Samples of each chip.")
@click.option("--steps", default=32, show_default=True, help="Steps T.")
@click.option("--activity", default=0.1, show_default=True, help="Share of active inputs.")
@click.option("--output", type=click.Path(path_type=Path), help="JSON file to write.")
def main(samples: int, steps: int, activity: float, output: Path | None) -> None:
    """Time both engines, and print one table."""
    console = Console()
    if cuda_device.SIMULATED or not cuda_device.is_available():
        console.print("No GPU was found: nothing is measured.")
        return
    results = [
        measure(name, chips, samples // chips, steps, activity)
        for name in ("crossbar", "convolution")
        for chips in (1, 16)
    ]
    table = Table(title=f"{cuda_device.name()} and {os.cpu_count()} processors, T = {steps}")
    for heading in ("network", "chips", "samples", "clocked [G/s]", "cuda [G/s]", "ratio"):
        table.add_column(heading, justify="left" if heading == "network" else "right")
    for one in results:
        rates = (one.additions / one.clocked / 1e9, one.additions / one.cuda / 1e9)
        cells = [one.network, str(one.chips), str(one.samples), *(f"{r:.2f}" for r in rates)]
        table.add_row(*cells, f"{one.clocked / one.cuda:.1f}")
    console.print(table)
    console.print("G/s: synaptic additions, transfers included.")
    if output is not None:
        told = {"gpu": cuda_device.name(), "processors": os.cpu_count()}
        content = {**told, "results": [asdict(one) for one in results]}
        output.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()

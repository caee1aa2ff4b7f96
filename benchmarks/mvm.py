"""Matrix products of inference mode per second: 8-bit codes in, 8-bit readings out, with noise.

One array of 256 x 256 weights (256 pairs of cells by 256 columns) with read noise of every cell in
every cycle and kT/C noise, beside numpy's float32 product of the same shape: blocks of calls in
turn, so that all see the same machine. Of the blocks the fastest counts, in time of the processor,
on one thread. Peers that are not installed are named so.

    OMP_NUM_THREADS=1 python benchmarks/mvm.py --output mvm.json
"""

import json
import os
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from spikeram.adc import ADC
from spikeram.crossbar import Crossbar
from spikeram.neuron import SamplingNeuron
from spikeram.product import LineErrors, OperatingPoint, Product

BATCHES = (1, 32, 256)
TARGETS = {1: 2.0, 32: 4.0, 256: 5.0}
"""Times the plain product that a noisy one may take."""

PEERS = {"aihwkit": "aihwkit", "CrossSim": "simulator"}
"""Simulators to measure beside, and their modules."""


def seconds(calls: dict[str, Callable[[], Any]], batch: int, blocks: int) -> dict[str, float]:
    """Return seconds of the processor for one product of each, of the fastest block."""
    repeats = max(3, 3000 // (batch + 5))
    best = dict.fromkeys(calls, np.inf)
    for call in calls.values():
        call()
    for _ in range(blocks):
        for name, call in calls.items():
            start = time.process_time()
            for _ in range(repeats):
                call()
            best[name] = min(best[name], (time.process_time() - start) / (repeats * batch))
    return best


def products(size: int) -> dict[str, Product]:
    """Return the array at several operating points."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(size, size))
    crossbar = Crossbar.from_weights(
        weight, w_max=np.abs(weight).max(), neuron=SamplingNeuron(temperature=300)
    )
    quiet = Crossbar(conductance=crossbar.conductance)
    linear = ADC(bits=8, step_limit=127, v_decrement=0.04)
    search = ADC(bits=8, conversion="binary_search", v_decrement=0.04)
    errors = LineErrors(sigma_read=0.4e-6)

    def point(adc: ADC, phases: int) -> OperatingPoint:
        return OperatingPoint(input_bits=8, v_read=0.1, phases=phases, adc=adc)  # type: ignore[arg-type]

    return {
        "linear count, no noise": Product(crossbar=quiet, point=point(linear, 1)),
        "linear count": Product(crossbar=crossbar, point=point(linear, 1), errors=errors, seed=0),
        "binary search": Product(crossbar=crossbar, point=point(search, 1), errors=errors, seed=0),
        "binary search, two phases": Product(
            crossbar=crossbar, point=point(search, 2), errors=errors, seed=0
        ),
    }


@click.command()
@click.option("--size", type=click.IntRange(2, 4096), default=256, show_default=True)
@click.option("--blocks", type=click.IntRange(min=1), default=25, show_default=True)
@click.option("--output", type=click.Path(path_type=Path))
def main(size: int, blocks: int, output: Path | None) -> None:
    """Print products per second, and how many times numpy's product they take."""
    if os.environ.get("OMP_NUM_THREADS") != "1":
        raise click.UsageError("One thread is measured: set OMP_NUM_THREADS=1 before the start.")
    arrays = products(size)
    table = Table("product", *(f"batch {batch}: 1/s (times)" for batch in BATCHES))
    found: dict[str, dict[int, float]] = {}
    for batch in BATCHES:
        codes = np.random.default_rng(1).integers(-127, 128, (batch, size)).astype(np.float32)
        weight = np.ones((size, size), np.float32)
        calls: dict[str, Callable[[], Any]] = {"numpy float32": _product_of(codes, weight)}
        calls |= {name: _call_of(array, codes) for name, array in arrays.items()}
        for name, value in seconds(calls, batch, blocks).items():
            found.setdefault(name, {})[batch] = value
    plain = found["numpy float32"]
    for name, values in found.items():
        cells = [f"{1 / values[b]:,.0f} ({values[b] / plain[b]:.2f})" for b in BATCHES]
        table.add_row(name, *cells)
    for name, module in PEERS.items():
        table.add_row(
            name, "installed, not measured here" if find_spec(module) else "not installed"
        )
    console = Console(width=130)
    console.print(table)
    for batch, limit in TARGETS.items():
        times = found["linear count"][batch] / plain[batch]
        kept = "kept" if times <= limit else "missed"
        console.print(f"batch {batch}: {times:.2f} times numpy's product, target {limit:g}: {kept}")
    if output is not None:
        output.write_text(json.dumps({"size": size, "seconds": found}, indent=2) + "\n")


def _product_of(codes: NDArray[np.float32], weight: NDArray[np.float32]) -> Callable[[], Any]:
    return lambda: codes @ weight


def _call_of(array: Product, codes: NDArray[np.float32]) -> Callable[[], Any]:
    return lambda: array(codes)


if __name__ == "__main__":
    main()

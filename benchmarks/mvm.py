"""Matrix products of inference mode per second: 8-bit codes in, 8-bit readings out, with noise.

One array of 256 x 256 weights (256 pairs of cells by 256 columns) with read noise of every cell in
every cycle and kT/C noise, beside numpy's float32 product of the same shape, and beside the same
product of aihwkit and CrossSim: blocks of calls in turn, so that all see the same machine. Of the
blocks the fastest counts, in time of the processor, on one thread. `peers/aihwkit_tile.py` and
`peers/crosssim_core.py` say how the peers are set; one that is not installed, or raises, is named
with what it said.

Each product is checked on 256 samples: its correlation with the exact one must be above 0.99, and
two calls must differ if it has noise. The noise shown is the spread of one call, in % of the spread
of exact outputs.

    pip install aihwkit==1.1.0 torch==2.10.0    # the torch that this wheel was built for
    pip install .                               # in a checkout of CrossSim, v3.2
    OMP_NUM_THREADS=1 python benchmarks/mvm.py --output mvm.json
"""

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from itertools import count
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

PEERS = {"aihwkit": "aihwkit_tile", "CrossSim": "crosssim_core"}
"""Simulators to measure beside, and their files in `peers`."""

PLAIN, QUIET, OURS = "numpy float32", "linear count, no noise", "linear count"

BLOCK, TURNS = 0.015, 3.0
"""Seconds of the processor that a block of calls takes at most, and all blocks of one product,
unless that is less than one call, or three."""

CORRELATION = 0.99

Calls = dict[str, Callable[[], Any]]


def seconds(calls: Calls, batch: int, blocks: int) -> dict[str, float]:
    """Return seconds of the processor for one product of each, of the fastest block."""
    best = dict.fromkeys(calls, np.inf)
    repeats, turns = {}, {}
    for name, call in calls.items():
        call()
        once = _spent(call, 1)
        repeats[name] = min(max(int(BLOCK / once), 1), max(3, 3000 // (batch + 5)))
        turns[name] = min(max(int(TURNS / (once * repeats[name])), 3), blocks)
    for block in range(blocks):
        for name, call in calls.items():
            if block < turns[name]:
                spent = _spent(call, repeats[name])
                best[name] = min(best[name], spent / (repeats[name] * batch))
    return best


def products(weight: NDArray[np.float32]) -> dict[str, Product]:
    """Return the array at several operating points."""
    crossbar = Crossbar.from_weights(
        weight, w_max=np.abs(weight).max(), neuron=SamplingNeuron(temperature=300)
    )
    quiet = Crossbar(conductance=crossbar.conductance)
    linear = ADC(bits=8, step_limit=127, v_decrement=0.04)
    search = ADC(bits=8, conversion="binary_search", v_decrement=0.04)
    errors = LineErrors(sigma_read=0.4e-6)

    def point(adc: ADC, phases: int) -> OperatingPoint:
        # A phase of 3 or 4 bits has an eighth of the cycles.
        pulses = 8 if phases == 2 else 1
        return OperatingPoint(
            input_bits=8,
            v_read=0.1,
            phases=phases,  # type: ignore[arg-type]
            pulse_multiplier=pulses,
            adc=adc,
        )

    return {
        QUIET: Product(crossbar=quiet, point=point(linear, 1)),
        OURS: Product(crossbar=crossbar, point=point(linear, 1), errors=errors, seed=0),
        "binary search": Product(crossbar=crossbar, point=point(search, 1), errors=errors, seed=0),
        "binary search, two phases": Product(
            crossbar=crossbar, point=point(search, 2), errors=errors, seed=0
        ),
    }


def peers() -> tuple[dict[str, Any], dict[str, str]]:
    """Return the adapters that import, and what stops the others."""
    sys.path.append(str(Path(__file__).parent / "peers"))
    adapters, failures = {}, {}
    for name, module in PEERS.items():
        try:
            adapters[name] = import_module(module)
        except ModuleNotFoundError as error:
            failures[name] = f"not installed: {error}"
        except ImportError as error:
            failures[name] = f"does not import: {error}"
    return adapters, failures


def checked(calls: Calls, exact: NDArray[np.float32], noisy: set[str]) -> dict[str, Any]:
    """Return correlation and noise of each product, and whether it is what it should be."""
    found = {}
    for name, call in calls.items():
        one, two = (np.asarray(call()).astype(float).reshape(exact.shape) for _ in range(2))
        # Outputs may be in units of their own.
        scale = np.vdot(one, exact) / np.vdot(one, one)
        correlation = float(np.corrcoef(one.ravel(), exact.ravel())[0, 1])
        noise = float(100 * scale * np.std(one - two) / np.sqrt(2) / np.std(exact))
        right = correlation > CORRELATION and (noise > 0) == (name in noisy)
        found[name] = {"correlation": correlation, "noise": noise, "right": bool(right)}
    return found


@click.command()
@click.option("--size", type=click.IntRange(2, 4096), default=256, show_default=True)
@click.option("--blocks", type=click.IntRange(min=1), default=25, show_default=True)
@click.option("--output", type=click.Path(path_type=Path))
def main(size: int, blocks: int, output: Path | None) -> None:
    """Print products per second, and how many times numpy's product they take."""
    if os.environ.get("OMP_NUM_THREADS") != "1":
        raise click.UsageError("One thread is measured: set OMP_NUM_THREADS=1 before the start.")
    weight = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    arrays = products(weight)
    adapters, failures = peers()
    found: dict[str, dict[int, float]] = {}
    checks: dict[str, Any] = {}
    noisy = {name for name, array in arrays.items() if array.noisy}
    rivals: dict[str, set[str]] = {OURS: set(), QUIET: set()}
    for batch in BATCHES:
        codes = np.random.default_rng(1).integers(-127, 128, (batch, size)).astype(np.float32)
        calls: Calls = {PLAIN: _product_of(codes, weight)}
        calls |= {name: _call_of(array, codes) for name, array in arrays.items()}
        for name, adapter in list(adapters.items()):
            try:
                with_noise, without = adapter.noisy(weight, codes), adapter.quiet(weight, codes)
                for call in (with_noise | without).values():
                    call()
            except Exception as error:  # whatever a peer raises is its result
                failures[name] = f"{adapter.version()}, batch {batch}: {error!r}"
                del adapters[name]
                continue
            calls |= with_noise | without
            noisy |= set(with_noise)
            rivals[OURS] |= set(with_noise)
            rivals[QUIET] |= set(without)
        for name, value in seconds(calls, batch, blocks).items():
            found.setdefault(name, {})[batch] = value
        if batch == max(BATCHES):
            checks = checked(calls, codes @ weight, noisy)
    versions = [f"numpy {np.__version__}", *(adapter.version() for adapter in adapters.values())]
    _show(found, checks, failures, versions)
    _judge(found, checks, rivals)
    if output is not None:
        result = {"size": size, "seconds": found, "checks": checks, "versions": versions}
        output.write_text(json.dumps(result | {"not measured": failures}, indent=2) + "\n")


def _show(
    found: dict[str, dict[int, float]],
    checks: dict[str, Any],
    failures: dict[str, str],
    versions: list[str],
) -> None:
    """Print the table of all products."""
    batches = (f"batch {batch}: 1/s (times)" for batch in BATCHES)
    table = Table("product", *batches, "correlation", "noise, %")
    plain = found[PLAIN]
    for name, values in found.items():
        cells = [
            f"{1 / values[b]:,.0f} ({values[b] / plain[b]:.2f})" if b in values else ""
            for b in BATCHES
        ]
        check = checks.get(name)
        if check is not None:
            wrong = "" if check["right"] else " WRONG"
            cells += [f"{check['correlation']:.4f}{wrong}", f"{check['noise']:.2f}"]
        table.add_row(name, *cells)
    console = Console(width=150)
    console.print(table)
    console.print("; ".join(versions))
    for name, why in failures.items():
        console.print(f"{name} was not measured: {why}")


def _judge(
    found: dict[str, dict[int, float]], checks: dict[str, Any], rivals: dict[str, set[str]]
) -> None:
    """Print whether the noisy product keeps its target, and who is ahead of whom."""
    console = Console(width=150)
    for batch, limit in TARGETS.items():
        times = found[OURS][batch] / found[PLAIN][batch]
        kept = "kept" if times <= limit else "missed"
        console.print(f"batch {batch}: {times:.2f} times numpy's product, target {limit:g}: {kept}")
        for ours, names in rivals.items():
            # A product that is wrong, or was not made at every batch, is no rival.
            right = [name for name in names if name in checks and checks[name]["right"]]
            for name in sorted(right, key=lambda rival: found[rival][batch]):
                ratio = found[name][batch] / found[ours][batch]
                side = "ahead of" if ratio > 1 else "BEHIND"
                console.print(f"    {ours!r} is {side} {name!r}: {ratio:.2f} times as fast")


def _spent(call: Callable[[], Any], repeats: int) -> float:
    """Return seconds of the processor for a number of calls."""
    start = time.process_time()
    for _ in range(repeats):
        call()
    return time.process_time() - start


def _product_of(codes: NDArray[np.float32], weight: NDArray[np.float32]) -> Callable[[], Any]:
    return lambda: codes @ weight


def _call_of(array: Product, codes: NDArray[np.float32]) -> Callable[[], Any]:
    # Noise is addressed by the number of the sample: new numbers, new noise.
    first = count(step=len(codes))
    return lambda: array(codes, first_sample=next(first))


if __name__ == "__main__":
    main()

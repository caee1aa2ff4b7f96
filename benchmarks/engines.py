"""Engines beside each other and beside the processor: the same spikes, one core, one run.

First the floor: how fast this core adds rows of int16 that are in its caches, and reads memory.
Then one crossbar by size, activity and batch: against that floor, against numpy's float32 product
of the whole layer, and in SpikingJelly, snnTorch and Brian2's own `Synapses`. Then whole networks,
to a ResNet-20, with the same weights, thresholds, steps and images in each tool, checked neuron by
neuron to count the same spikes: the clocked and the event engine; SpikingJelly and snnTorch, in the
interpreter that `--peers` names; and a perceptron in Brian2, with `CrossbarSynapses` and with its
own `Synapses`, in numpy, Cython and C++ standalone. Last, time as T grows. What is missing is said
so. Needs MNIST and CIFAR-10 in $SPIKERAM_DATA, torch, and a C++ compiler for two of Brian2's
targets.

    python benchmarks/engines.py --peers other/bin/python --output engines.json --plot engines.png
"""

import json
import os
import platform
from pathlib import Path
from typing import Any

from engine_parts.one_thread import ONE_THREAD

# Before numpy and numba start threads.
os.environ |= ONE_THREAD

import click
import numpy as np
from engine_parts import crossbar, networks
from engine_parts.brian2_network import TARGETS, in_a_process
from engine_parts.floor import floor
from engine_parts.shown import drawn, shown
from rich.console import Console

PARTS = ("networks", "brian2", "growth", "crossbars")


def fastest(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the fastest row of each tool on each network, in the order in which they came."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        key = row["network"], row["tool"]
        if key not in found or row.get("seconds", np.inf) < found[key].get("seconds", np.inf):
            found[key] = row
    return list(found.values())


@click.command()
@click.option("--peers", metavar="PYTHON", help="Interpreter that has SpikingJelly and snnTorch.")
@click.option(
    "--only",
    type=click.Choice(PARTS),
    multiple=True,
    help="Parts; all by default. Others stay in the output.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="How often networks are run in every tool, in turn: a machine's speed changes.",
)
@click.option("--output", type=click.Path(path_type=Path))
@click.option("--plot", type=click.Path(path_type=Path))
def main(
    peers: str | None,
    only: tuple[str, ...],
    rounds: int,
    output: Path | None,
    plot: Path | None,
) -> None:
    """Print the tables; every number is the fastest of a few runs on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    told = Console(stderr=True)

    def saved() -> None:
        """Write what there is so far."""
        if output is not None:
            output.write_text(json.dumps(results, indent=2) + "\n")

    parts = only or PARTS
    peak = floor()
    results: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(), "floor": peak,
        "networks": [], "brian2": [], "arrays": [], "crossbars": [], "growth": [], "growing": "",
    }  # fmt: skip
    if only and output is not None and output.exists():
        results = json.loads(output.read_text()) | {"floor": peak}
    small = networks.convolutional() if {"networks", "growth"} & set(parts) else None
    if small is not None and "networks" in parts:
        results["networks"] = []
        subjects = (small, networks.perceptron(), *networks.residual())
        for _ in range(rounds):
            for subject in subjects:
                told.print(subject.name)
                rows = networks.compared(subject, peers)
                results["networks"] = fastest(results["networks"] + rows)
                saved()
    if "brian2" in parts:
        results["brian2"] = []
        for _ in range(rounds):
            for target in TARGETS:
                told.print(f"Brian2, {target}")
                # The engine is measured beside each target.
                results["brian2"] = fastest(results["brian2"] + in_a_process(target))
                saved()
    if "crossbars" in parts:
        told.print("one crossbar")
        results["arrays"] = crossbar.arrays(peak["L2"])
        saved()
        told.print("one crossbar in other tools")
        results["crossbars"] = crossbar.peers(peers)
        saved()
    if small is not None and "growth" in parts:
        told.print("growth")
        results["growing"] = small.name
        results["growth"] = networks.growth(small, peers)
        saved()
    if "crossbars" in parts:
        told.print("one crossbar in Brian2")
        results["crossbars"] += in_a_process("cython", "crossbar")
        saved()
    if plot is not None:
        drawn(results, plot)
    shown(results, Console(width=200))


if __name__ == "__main__":
    main()

"""Overhead of a sweep's machinery over its bare units, and how well processes share them.

The demo's network on as many copies of its 360 test digits as make a unit of about a second, every
unit a chip of its own. In one run: units bare, one after the other; a serial sweep; the start of
worker processes, up to their first unit; a sweep in them; and sweeps whose units cost nothing,
written after each unit and at the end only: what the machinery takes lies between them, as a sweep
writes every few seconds. Overhead is processor time, as a share of the bare units'. Efficiency is
the processor time of the bare units, divided by the seconds that the workers had: measure it on a
quiet machine.

    OMP_NUM_THREADS=1 python benchmarks/sweep.py --units 60 --workers 2
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import joblib
import numpy as np
from joblib.externals.loky import get_reusable_executor
from rich.console import Console
from rich.table import Table

from spikeram import demo, sweep
from spikeram.conversion import convert
from spikeram.sweep import executors, run
from spikeram.sweep.units import forget_programmed, run_unit

STEPS = 32


@dataclass(frozen=True)
class Cost:
    """What something took: processor time, children that ended included, and time that went by."""

    cpu: float
    wall: float


def cost(work: Callable[[], Any]) -> Cost:
    start, before = time.perf_counter(), os.times()
    work()
    after, wall = os.times(), time.perf_counter() - start
    # User and system time of this process and of its children.
    return Cost(cpu=sum(after[:4]) - sum(before[:4]), wall=wall)


def experiment_of(folder: Path, units: int, seconds: float) -> sweep.Experiment:
    """Return an experiment whose units take about so many seconds of processor time."""
    data = demo.digits()
    network = convert(demo.train(data, seed=0), data.x_train, steps=STEPS)
    network.save(folder / "network.npz")

    def of(copies: int) -> sweep.Experiment:
        x, y = (np.concatenate([part] * copies) for part in (data.x_test, data.y_test))
        np.savez(folder / f"data_{copies}.npz", x=x, y=y)
        content = {
            "network": "network.npz",
            "data": {"file": f"data_{copies}.npz"},
            "chips": units,
            "steps": STEPS,
            "samples_of_a_unit": len(x),
            "record": ["accuracy", "spikes", "energy"],
        }
        return sweep.experiment_from(content, folder=folder)

    few, many = of(1), of(11)
    run_unit(few, 0)  # compiles
    times = []
    for one in (few, many):
        run_unit(one, 0)
        forget_programmed()
        times.append(cost(lambda one=one: run_unit(one, 0)).cpu)  # type: ignore[misc]
    of_a_copy = max((times[1] - times[0]) / 10, 1e-3)
    return of(max(1, 1 + round((seconds - times[0]) / of_a_copy)))


def bare(experiment: sweep.Experiment, numbers: Sequence[int]) -> None:
    for number in numbers:
        run_unit(experiment, number)


def started(experiment: sweep.Experiment) -> tuple[int, float]:
    """Run a unit in a worker; return who it is, and its processor time so far."""
    run_unit(experiment, 0)
    return os.getpid(), time.process_time()


def in_processes(experiment: sweep.Experiment, store: Path, workers: int) -> tuple[Cost, Cost]:
    """Return what it costs to start processes, and to sweep in them once they have."""
    begin, before = time.perf_counter(), os.times()
    tasks = [joblib.delayed(started)(experiment)] * workers
    told = dict(joblib.Parallel(n_jobs=workers, batch_size=1)(tasks))
    middle = time.perf_counter()
    sweep.sweep(experiment, store, executor=executors.processes(workers))
    end = time.perf_counter()
    # Ends the workers, so that their processor time is counted.
    get_reusable_executor(reuse=True).shutdown(wait=True)
    start = sum(told.values())
    whole = sum(os.times()[:4]) - sum(before[:4])
    return Cost(cpu=start, wall=middle - begin), Cost(cpu=whole - start, wall=end - middle)


def machinery(experiment: sweep.Experiment, store: Path, flush_seconds: float) -> Cost:
    """Return what a sweep costs without its units, written at such intervals."""
    result = run_unit(experiment, 0)

    def free(_: sweep.Experiment, numbers: Sequence[int]) -> Iterator[executors.Outcome]:
        yield from ((number, result, "") for number in numbers)

    with patch.object(run, "FLUSH_SECONDS", flush_seconds):
        return cost(lambda: sweep.sweep(experiment, store, executor=free))


@click.command()
@click.option("--units", type=click.IntRange(min=2), default=60, show_default=True)
@click.option("--seconds", type=click.FloatRange(min=0.05), default=1.0, show_default=True)
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True)
def main(units: int, seconds: float, workers: int) -> None:
    """Print what units cost bare and in a sweep, and the efficiency of processes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        experiment = experiment_of(folder, units, seconds)
        found = {"bare units": cost(lambda: bare(experiment, range(units)))}
        found["sweep, serial"] = cost(
            lambda: sweep.sweep(experiment, folder / "serial.zarr", executor=executors.serial)
        )
        alone = {
            "machinery, written after each unit": machinery(experiment, folder / "each.zarr", 0.0),
            "machinery, written at the end": machinery(experiment, folder / "end.zarr", np.inf),
        }
        start, shared = in_processes(experiment, folder / "processes.zarr", workers)
    found[f"sweep, {workers} processes"] = shared
    bare_cost = found["bare units"]
    table = Table("", "CPU [s]", "of a unit [s]", "overhead", "time [s]", "efficiency")
    for name, one in found.items():
        n = workers if one is shared else 1
        table.add_row(
            name,
            f"{one.cpu:.1f}",
            f"{one.cpu / units:.2f}",
            f"{one.cpu / bare_cost.cpu - 1:+.1%}",
            f"{one.wall:.1f}",
            f"{bare_cost.cpu / (n * one.wall):.1%}",
        )
    for name, one in alone.items():
        share = one.cpu / bare_cost.cpu
        table.add_row(
            name, f"{one.cpu:.2f}", f"{one.cpu / units:.3f}", f"{share:.1%}", f"{one.wall:.1f}", ""
        )
    table.add_row("start of the processes", f"{start.cpu:.1f}", "", "", f"{start.wall:.1f}", "")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()

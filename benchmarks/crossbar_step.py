"""One crossbar at a given input activity: CrossbarSynapses, Brian2's Synapses, and the kernels.

Every case runs in a process of its own. Time is that of the propagation alone (Brian2's own
profile) and of the whole step, neurons and input included; the clocked engine has no such parts.
The first run, which compiles, is not counted, and of those that follow the fastest is. Memory is
what the arrays of the synapses hold (nbytes), without the queue that Synapses keep besides.

    python benchmarks/crossbar_step.py --output crossbar_step.json
"""

import json
import os
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from spikeram.charge import ChargeLayer
from spikeram.simulation import clocked

REPEATS = 4
"""Runs that are timed; the fastest counts, since others may use the machine."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is measured: who propagates, with which target of Brian2, on how many samples."""

    engine: str
    target: str
    batch: int
    size: int
    activity: float
    steps: int


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was measured: seconds for each step of the whole batch, and bytes."""

    case: Case
    propagation: float | None
    step: float
    held: int | None


def make_layer(size: int) -> ChargeLayer:
    rng = np.random.default_rng(0)
    return ChargeLayer(
        name="crossbar",
        weight=rng.integers(-2047, 2048, (size, size)).astype(np.int16),
        bias=np.zeros(size, np.int32),
        threshold=np.full(size, 100_000, np.int32),
        initial=np.zeros(size, np.int32),
        rail=2**30,
        quantum=2.0**-20,
        scale=np.ones(size),
    )


def make_spikes(case: Case, steps: int) -> NDArray[np.int8]:
    """Return spikes of shape (sample, step, input), equally many in each step."""
    rng = np.random.default_rng(1)
    order = np.argsort(rng.random((case.batch, steps, case.size)), axis=-1)
    return (order < round(case.activity * case.size)).astype(np.int8)


def bytes_held(synapses: Any) -> int:
    """Return what the arrays of a crossbar, or of Synapses and their pathway, hold."""
    from brian2.core.variables import ArrayVariable

    from spikeram.brian import CrossbarSynapses

    if isinstance(synapses, CrossbarSynapses):
        return synapses.weight.nbytes + synapses.layer.tiles.nbytes
    own = (synapses.name, synapses.pre.name)
    arrays = {
        variable
        for holder in (synapses, synapses.pre)
        for variable in holder.variables.values()
        if isinstance(variable, ArrayVariable) and variable.owner.name in own
    }
    return sum(variable.get_value().nbytes for variable in arrays)


def measure_brian2(case: Case) -> Result:
    import brian2 as b2
    from brian2 import ms

    from spikeram.brian import CrossbarSynapses, sampling_neurons

    b2.prefs.codegen.target = case.target
    b2.defaultclock.dt = 1 * ms
    layer = make_layer(case.size)
    spikes = make_spikes(case, case.steps)
    k, sample, i = np.nonzero(spikes.transpose(1, 0, 2))
    n = case.batch * case.size
    inputs = b2.SpikeGeneratorGroup(
        n, sample * case.size + i, k * ms, period=case.steps * ms, sorted=True
    )
    neurons = sampling_neurons(n, layer)
    if case.engine == "CrossbarSynapses":
        synapses = CrossbarSynapses(inputs, neurons, layer, batch=case.batch)
        name = synapses.name
    else:
        synapses = b2.Synapses(
            inputs, neurons, "w : volt (constant)", on_pre="charge_post += w", delay=0 * ms
        )
        # A rule takes no long arrays of indices.
        block = "k for k in range((i // size) * size, (i // size + 1) * size)"
        synapses.connect(j=block, namespace={"size": case.size})
        synapses.w_ = np.tile((layer.weight * layer.quantum).ravel(), case.batch)
        name = synapses.pre.name
    network = b2.Network(inputs, neurons, synapses)
    network.run(case.steps * ms)
    times = []
    for _ in range(REPEATS):
        network.run(case.steps * ms, profile=True)
        profile = {part: float(seconds) for part, seconds in network.profiling_info}
        times.append((sum(profile.values()) / case.steps, profile[name] / case.steps))
    step, propagation = min(times)
    return Result(case=case, propagation=propagation, step=step, held=bytes_held(synapses))


def measure_clocked(case: Case) -> Result:
    spikes = make_spikes(case, case.steps)
    layer = make_layer(case.size)
    clocked([layer], None, spikes[:1], steps=1, threads=1)
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        clocked([layer], None, spikes, steps=case.steps, threads=1)
        times.append((time.perf_counter() - start) / case.steps)
    return Result(case=case, propagation=None, step=min(times), held=None)


def measure(case: Case) -> Result:
    return measure_clocked(case) if case.engine == "clocked" else measure_brian2(case)


def has_compiler() -> bool:
    from brian2.codegen.runtime.cython_rt import CythonCodeObject

    return bool(CythonCodeObject.is_available())


def report(results: list[Result], console: Console) -> None:
    case = results[0].case
    table = Table(
        title=f"{case.size} x {case.size}, {case.activity:.0%} of the inputs active, "
        f"{case.steps} steps, {os.cpu_count()} processors",
        caption="Ratios are per sample and step. Times compare propagation, and whole steps where "
        "the clocked engine is compared. In brackets: the batch of Synapses, where it is smaller.",
    )
    columns = ("engine", "target", "batch", "propagation [us]", "step [us]", "held [MiB]")
    for heading in (*columns, "Synapses / own", "Crossbar / own", "held, Synapses / own"):
        table.add_column(heading, justify="left" if heading in ("engine", "target") else "right")
    for result in results:
        table.add_row(
            result.case.engine,
            result.case.target,
            str(result.case.batch),
            "" if result.propagation is None else f"{1e6 * result.propagation:.0f}",
            f"{1e6 * result.step:.0f}",
            "" if result.held is None else f"{result.held / 2**20:.1f}",
            speedup(result, counterpart("Synapses", result, results)),
            speedup(result, counterpart("CrossbarSynapses", result, results)),
            saving(result, counterpart("Synapses", result, results)),
        )
    console.print(table)


def counterpart(engine: str, own: Result, results: list[Result]) -> Result | None:
    """Return what `own` is compared with: same target, or the last, and the nearest batch."""
    if own.case.engine == engine or own.case.engine == "Synapses":
        return None
    target = results[-3].case.target if own.case.engine == "clocked" else own.case.target
    return max(
        (
            other
            for other in results
            if (other.case.engine, other.case.target) == (engine, target)
            and other.case.batch <= own.case.batch
        ),
        key=lambda other: other.case.batch,
    )


def speedup(own: Result, other: Result | None) -> str:
    if other is None:
        return ""
    mine, theirs = own.step, other.step
    if own.propagation is not None and other.propagation is not None:
        mine, theirs = own.propagation, other.propagation
    ratio = (theirs / other.case.batch) / (mine / own.case.batch)
    return f"{ratio:.1f}" + ("" if other.case.batch == own.case.batch else f" [{other.case.batch}]")


def saving(own: Result, other: Result | None) -> str:
    # Nothing is extrapolated: Synapses of a smaller batch hold less.
    if other is None or other.case.batch != own.case.batch or not own.held or not other.held:
        return ""
    return f"{other.held / own.held:.0f}"


@click.command()
@click.option("--size", default=1024, show_default=True, help="Inputs, and outputs.")
@click.option("--activity", default=0.1, show_default=True, help="Share of active inputs.")
@click.option("--steps", default=50, show_default=True, help="Steps of each measured run.")
@click.option("--batch", default=64, show_default=True, help="Samples of the larger batch.")
@click.option(
    "--dense-batch",
    default=64,
    show_default=True,
    help="The same for Synapses, which hold weights for each: 1.4 GB for 64 of 1024 x 1024.",
)
@click.option("--output", type=click.Path(path_type=Path), help="JSON file to write.")
def main(
    size: int, activity: float, steps: int, batch: int, dense_batch: int, output: Path | None
) -> None:
    """Measure the step of one crossbar, and print one table of ratios."""
    targets = ["numpy", "cython"] if has_compiler() else ["numpy"]
    clocked_case = Case(
        engine="clocked", target="numba", batch=1, size=size, activity=activity, steps=steps
    )
    cases = [
        replace(clocked_case, engine=engine, target=target, batch=n)
        for target in targets
        for engine, larger in (("Synapses", dense_batch), ("CrossbarSynapses", batch))
        for n in (1, larger)
    ]
    cases += [replace(clocked_case, batch=n) for n in (1, batch)]
    console = Console(width=132)
    results = []
    with ProcessPoolExecutor(
        max_workers=1, mp_context=get_context("spawn"), max_tasks_per_child=1
    ) as pool:
        for result in pool.map(measure, cases):
            results.append(result)
            console.print(f"{result.case.engine}, {result.case.target}, batch {result.case.batch}")
    report(results, console)
    if output is not None:
        machine = {"machine": platform.machine(), "processors": os.cpu_count()}
        content = {**machine, "results": [asdict(result) for result in results]}
        output.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()

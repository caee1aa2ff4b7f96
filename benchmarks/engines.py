"""Engines beside each other and beside the processor: the same spikes, one core, one run.

First the floor: how fast this core adds rows of int16 that are in its caches, and reads memory.
Then one crossbar of several sizes, activities and batches, against that floor and against numpy's
float32 product of the whole layer. Then whole networks, with the same weights, steps and images in
each tool, checked to decide alike: the clocked engine, and Brian2 with `CrossbarSynapses`; Brian2's
own `Synapses`, in numpy and in Cython; SpikingJelly and snnTorch, in the interpreter that `--peers`
names. What is missing is said so. Needs MNIST in $SPIKERAM_DATA/mnist, and torch.

    python benchmarks/engines.py --peers other/bin/python --output engines.json --plot engines.png
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

ONE_THREAD = {
    f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB_MAXIMUM")
}
# Before numpy and numba start threads.
os.environ |= ONE_THREAD

import click  # noqa: E402
import numba  # noqa: E402
import numpy as np  # noqa: E402
from crossbar_step import make_layer  # noqa: E402
from llvmlite import ir  # noqa: E402
from numba import types  # noqa: E402
from numba.core import cgutils  # noqa: E402
from numba.extending import intrinsic  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from spikeram import simulate  # noqa: E402
from spikeram._kernels.crossbar import charge_of_spikes  # noqa: E402
from spikeram.charge import ChargeLayer  # noqa: E402
from spikeram.conversion import convert, read  # noqa: E402
from spikeram.datasets import mnist  # noqa: E402
from spikeram.encoding import encode, input_levels  # noqa: E402
from spikeram.gather import Gather  # noqa: E402
from spikeram.network import SpikingNetwork  # noqa: E402
from spikeram.pool import MaxPool  # noqa: E402
from spikeram.simulation import clocked, nodes_of  # noqa: E402

REPEATS = 7
STEPS = 32
BATCH = 64
ACTIVITIES = (0.01, 0.05, 0.1, 0.3)
SIZES = (256, 1024)
BATCHES = (1, 64, 1024)
KIB = 1024
PERCEPTRON = "784-512-10, spikes in"
CONVOLUTIONAL = "MNIST, 7 layers"
PEERS = Path(__file__).parent / "peers"


def best(run: Callable[..., Any], *args: Any, **options: Any) -> float:
    """Return the shortest of some times, after a first run that compiles."""
    run(*args, **options)
    found = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run(*args, **options)
        found.append(time.perf_counter() - start)
    return min(found)


def _summing(_: Any, rows: Any, n: Any, out: Any) -> Any:
    """Add `n` rows of 128 in registers: nothing but loads and additions."""
    lanes = ir.VectorType(ir.IntType(16), 128)

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, out = (
            context.make_array(signature.args[n])(context, builder, args[n]).data for n in (0, 2)
        )
        total: Any = cgutils.alloca_once_value(builder, ir.Constant(lanes, None))  # type: ignore[no-untyped-call]
        with cgutils.for_range(builder, args[1]) as loop:
            place = builder.gep(rows, [builder.mul(loop.index, ir.IntType(64)(128))])
            row = builder.load(builder.bitcast(place, lanes.as_pointer()), align=2)
            builder.store(builder.add(builder.load(total), row), total)
        target = builder.bitcast(out, lanes.as_pointer())
        builder.store(builder.load(total), target, align=2)
        return context.get_dummy_value()

    return types.void(rows, types.int64, out), write


_sum_up: Any = intrinsic(_summing)


@numba.njit(nogil=True)
def _added(rows: NDArray[np.int16], out: NDArray[np.int16], repeats: int) -> None:
    """Add up all rows, again and again."""
    for _ in range(repeats):
        _sum_up(rows, rows.shape[0], out)


def floor() -> dict[str, float]:
    """Return additions of int16 per second by where the rows are, and bytes read per second."""
    found = {}
    for name, size in (("L1", 16 * KIB), ("L2", 256 * KIB), ("L3", 4096 * KIB)):
        rows = np.ones((size // 256, 128), np.int16)
        out = np.empty(128, np.int16)
        repeats = 64 * KIB * KIB // size
        found[name] = rows.size * repeats / best(_added, rows, out, repeats)
    large = np.ones(2**25)
    found["memory [B/s]"] = large.nbytes / best(large.sum)
    return found


def arrays(peak: float) -> list[dict[str, float]]:
    """Return what one crossbar takes, by size, batch and activity."""
    rows = []
    for size in SIZES:
        layer = make_layer(size)
        for batch in BATCHES:
            steps = max(1, 512 // batch)
            for activity in ACTIVITIES:
                rng = np.random.default_rng(1)
                order = rng.random((batch, steps, size)).argsort(-1)
                spikes = (order < round(activity * size)).astype(np.int8)
                additions = int(spikes.sum()) * size
                flat, out = spikes.reshape(-1, size), np.empty((batch * steps, size), np.int32)
                busy = np.empty(len(flat), bool)
                charge = best(charge_of_spikes, flat, layer.tiles, size, out, busy)
                step = best(clocked, [layer], None, spikes, steps=steps, threads=1)
                dense = spikes[:, 0].astype(np.float32)
                weight = layer.weight.astype(np.float32)
                product = steps * best(np.matmul, dense, weight)
                rows.append(
                    {
                        "size": size,
                        "batch": batch,
                        "activity": activity,
                        "additions_per_s": additions / charge,
                        "of_peak": additions / charge / peak,
                        "product_over_charge": product / charge,
                        "product_over_step": product / step,
                        "us_per_sample_and_step": 1e6 * step / batch / steps,
                    }
                )
    return rows


def perceptron() -> tuple[SpikingNetwork, NDArray[np.float64]]:
    """Return the spiking 784-512-10 network, and images."""
    from mnist_training import images, trained

    model = trained("wide")
    network = read(model, input_shape=(1, 28, 28))
    spiking = convert(network, images("train")[:500], steps=STEPS, method="percentile")
    return spiking, images("t10k")[:BATCH]


def convolutional() -> tuple[SpikingNetwork, NDArray[np.float64]]:
    """Return the shipped MNIST network with plain spikes, and images."""
    from spikeram.models.networks.mnist_cnn import NETWORK
    from spikeram.models.networks.network import load

    network = read(load(NETWORK), input_shape=(1, 28, 28))
    calibration = NETWORK.samples("train").x[:500]
    spiking = convert(network, np.asarray(calibration), steps=STEPS, method="percentile")
    return spiking, np.asarray(mnist("test").x[:BATCH], dtype=np.float64)


def exported(
    nodes: Sequence[ChargeLayer | MaxPool], given: Mapping[str, NDArray[np.int32]]
) -> dict[str, Any] | None:
    """Return a network as `benchmarks/peers/fixed.py` reads it, or None if it cannot be told so."""
    first = nodes[0]
    assert isinstance(first, ChargeLayer)
    drive = given[first.name] + first.bias
    layers: list[dict[str, Any]] = []
    arrays: dict[str, Any] = {}
    shape: tuple[int, ...] = ()
    for place, node in enumerate(nodes):
        if isinstance(node, MaxPool):
            layers.append({"kind": "max_pool", "size": 2})
            shape = (shape[0], shape[1] // 2, shape[2] // 2)
            continue
        if len(node.sources) > 1:
            return None
        gather = node.gather
        layer: dict[str, Any] = {"kind": "dense" if gather is None else "convolution"}
        if gather is not None:
            side = round(gather.n_positions**0.5)
            shape = (node.n_columns, side, side)
        if place < len(nodes) - 1:
            if node.spikes != "unipolar":
                return None
            # Thresholds of 1, a hair below: sums of whole numbers that reach them may be rounded.
            unit = _each(node, node.threshold).astype(np.float64)
            layer["fires"] = True
            arrays[f"{place}.initial"] = _each(node, node.initial) / unit
        else:
            unit = np.ones(node.n_columns)
            arrays["scale"] = node.scale / node.threshold / STEPS
        if place:
            weight = node.weight.T / unit[:, np.newaxis]
            if gather is not None:
                channels, padding, stride = _square(gather)
                weight = weight.reshape(node.n_columns, channels, 3, 3)
                layer |= {"padding": padding, "stride": stride}
            arrays |= {f"{place}.weight": weight, f"{place}.bias": _each(node, node.bias) / unit}
        else:
            of_neuron = np.repeat(unit, node.n_positions)
            arrays["drive"] = (drive / of_neuron).reshape(-1, *(shape or (node.n_outputs,)))
        layers.append(layer)
    return {"layers": json.dumps(layers), **arrays}


def _each(node: ChargeLayer, values: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return one value for each column, which is the same at every position."""
    by_column = values.reshape(node.n_columns, -1)
    if np.any(by_column != by_column[:, :1]):
        raise ValueError(f"Layer {node.name!r} differs between positions.")
    return by_column[:, 0]


def _square(gather: Gather) -> tuple[int, int, int]:
    """Return channels, padding and stride of a 3 x 3 convolution of square images."""
    channels = gather.n_rows // 9
    before = round((gather.n_inputs / channels) ** 0.5)
    side = round(gather.n_positions**0.5)
    return channels, 1, before // side


def peer(tool: str, python: str | None, problem: dict[str, Any] | None) -> dict[str, Any]:
    """Return seconds and outputs of a peer, or why there are none."""
    if python is None:
        return {"reason": "no --peers"}
    if problem is None:
        return {"reason": "its neurons or branches are unknown there"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "fixed.npz", **problem, steps=STEPS, threads=1, repeats=REPEATS)
        done = subprocess.run(
            [python, str(PEERS / f"{tool}_fixed.py"), name],
            env={**os.environ, **ONE_THREAD},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            return {"reason": done.stderr.strip().splitlines()[-1]}
        found: dict[str, Any] = json.loads((folder / "fixed.json").read_text())
        return found


def compared(
    name: str, made: tuple[SpikingNetwork, NDArray[np.float64]], python: str | None
) -> list[dict[str, Any]]:
    """Return the time of each tool on one network, and how many of its decisions are ours.

    The peers are given the charge of the first layer and return outputs; so is the engine alone.
    `simulate` encodes, decodes, counts spikes, rows and steps for the energy, and builds the
    recording besides.
    """
    spiking, x = made
    run = simulate(spiking, x, steps=STEPS, record="counts")
    outputs = run["output"].isel(step=-1).values
    nodes = nodes_of(spiking)
    levels = input_levels(spiking.checked_input(x), spiking.input_scale)
    drive = encode(levels, nodes, steps=STEPS, encoding="current").drive
    assert drive is not None
    own = {
        "spikeram, simulate": best(simulate, spiking, x, steps=STEPS, record="counts"),
        "spikeram, engine alone": best(clocked, nodes, drive, None, steps=STEPS, threads=1),
    }
    rows: list[dict[str, Any]] = [
        {"network": name, "tool": tool, "seconds": seconds, "same": len(x), "of": len(x)}
        for tool, seconds in own.items()
    ]
    problem = exported(nodes, drive)
    for tool in ("spikingjelly", "snntorch"):
        found = peer(tool, python, problem)
        row: dict[str, Any] = {"network": name, "tool": tool, "of": len(x), **found}
        if "output" in row:
            theirs = np.array(row.pop("output"))
            row["same"] = int((theirs.argmax(1) == outputs.argmax(1)).sum())
            row["off"] = float(np.abs(theirs - outputs).max() / np.abs(outputs).max())
        rows.append(row)
    return rows


def growth() -> list[dict[str, float]]:
    """Return what the convolutional network takes as T grows, counts alone being kept."""
    spiking, x = convolutional()
    found = []
    for steps in (8, 32, 128, 512):
        some = x[:8]
        seconds = best(simulate, spiking, some, steps=steps, record="counts", outputs_at=[steps])
        found.append({"steps": steps, "ms_per_step": 1e3 * seconds / steps})
    return found


def brian2_synapses(target: str) -> list[dict[str, Any]]:
    """Return the time of Brian2 on the 784-512-10 network with input spikes, both ways."""
    import brian2 as b2
    from brian2 import ms

    from spikeram.brian import CrossbarSynapses, sampling_neurons

    b2.prefs.codegen.target = target
    b2.defaultclock.dt = 1 * ms
    spiking, x = perceptron()
    layers = spiking.charge_layers()
    levels = input_levels(spiking.checked_input(x), spiking.input_scale)
    trains = encode(levels, nodes_of(spiking), steps=STEPS, encoding="rate").spikes
    assert trains is not None
    own = best(clocked, layers, None, trains, steps=STEPS, threads=1)
    counts = clocked(layers, None, trains, steps=STEPS).spikes[0].sum((0, 1))
    rows = [
        {
            "network": PERCEPTRON, "tool": "spikeram, engine alone", "seconds": own,
            "same": int(counts.size), "of": int(counts.size),
        }
    ]  # fmt: skip
    k, sample, i = np.nonzero(trains.transpose(1, 0, 2))
    for tool in ("CrossbarSynapses", "Synapses"):
        n_inputs = layers[0].n_inputs
        inputs = b2.SpikeGeneratorGroup(
            BATCH * n_inputs, sample * n_inputs + i, k * ms, sorted=True
        )
        groups: list[Any] = [inputs]
        parts: list[Any] = [inputs]
        for depth, layer in enumerate(layers, start=1):
            # The bias flows from the first step on, but a layer's window starts when the spikes of
            # the one before can have come.
            initial = layer.initial - depth * layer.bias
            layer = replace(layer, initial=initial)
            groups.append(sampling_neurons(BATCH * layer.n_outputs, layer))
            if tool == "CrossbarSynapses":
                crossbar = CrossbarSynapses(groups[-2], groups[-1], layer, batch=BATCH)
                parts += [crossbar, groups[-1]]
                continue
            synapses = b2.Synapses(
                *groups[-2:], "w : volt (constant)", on_pre="charge_post += w", delay=0 * ms
            )
            block = "k for k in range((i // n) * m, (i // n + 1) * m)"
            synapses.connect(j=block, namespace={"n": layer.n_inputs, "m": layer.n_outputs})
            synapses.w_ = np.tile((layer.weight * layer.quantum).ravel(), BATCH)
            parts += [synapses, groups[-1]]
        monitor = b2.SpikeMonitor(groups[1], record=False)
        network = b2.Network(*parts, monitor)
        network.store()
        # A spike reaches the next layer in the next step.
        seconds = best(_from_the_start, network, (STEPS + len(layers)) * ms)
        # The hidden layer integrates on after its window; its own T steps are compared.
        _from_the_start(network, (STEPS + 1) * ms)
        found = np.asarray(monitor.count).reshape(BATCH, -1).sum(0)
        rows.append(
            {
                "network": PERCEPTRON,
                "tool": f"Brian2 {tool}, {target}",
                "seconds": seconds,
                "same": int((found == counts).sum()),
                "of": int(counts.size),
            }
        )
    return rows


def _from_the_start(network: Any, duration: Any) -> None:
    network.restore()
    network.run(duration)


def in_a_process(target: str) -> list[dict[str, Any]]:
    """Measure Brian2 in a process of its own: its target is a setting of the whole process."""
    code = f"import json, engines; print(json.dumps(engines.brian2_synapses({target!r})))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PEERS.parent, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(PEERS.parent)},
    )  # fmt: skip
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1]
        return [{"network": PERCEPTRON, "tool": f"Brian2, {target}", "reason": reason}]
    rows: list[dict[str, Any]] = json.loads(done.stdout.strip().splitlines()[-1])
    return rows


def shown(results: dict[str, Any], console: Console) -> None:
    """Print the tables."""
    peak = results["floor"]
    console.print(
        "int16 additions a second with rows in L1, L2, L3: "
        + ", ".join(f"{peak[name] / 1e9:.1f} G" for name in ("L1", "L2", "L3"))
        + f"; memory read at {peak['memory [B/s]'] / 1e9:.1f} GB/s"
    )
    table = Table(title="One crossbar, one core")
    for heading in (
        "size", "batch", "active", "additions [G/s]", "of the L2 peak", "float32 product / charge",
        "float32 product / whole step", "step and sample [us]",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for row in results["arrays"]:
        table.add_row(
            f"{row['size']}", f"{row['batch']}", f"{row['activity']:.0%}",
            f"{row['additions_per_s'] / 1e9:.1f}", f"{row['of_peak']:.2f}",
            f"{row['product_over_charge']:.1f}", f"{row['product_over_step']:.1f}",
            f"{row['us_per_sample_and_step']:.2f}",
        )  # fmt: skip
    console.print(table)
    table = Table(title=f"Networks, {BATCH} samples, T = {STEPS}, one core")
    for heading in ("network", "tool", "seconds", "times the engine alone", "same"):
        table.add_column(heading, justify="right" if "s" in heading[:1] else "left")
    alone = {
        row["network"]: row["seconds"]
        for row in results["networks"]
        if row["tool"] == "spikeram, engine alone"
    }
    for row in results["networks"]:
        if "seconds" not in row:
            table.add_row(row["network"], row["tool"], f"not measured: {row['reason']}")
            continue
        table.add_row(
            row["network"], row["tool"], f"{row['seconds']:.4f}",
            f"{row['seconds'] / alone[row['network']]:.1f}", f"{row['same']} of {row['of']}",
        )  # fmt: skip
    console.print(table)
    for row in results["growth"]:
        console.print(f"T = {row['steps']}: {row['ms_per_step']:.3f} ms a step, 8 samples")


def drawn(results: dict[str, Any], path: Path) -> None:
    """Draw additions over activity, and the time of each tool."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 4))
    for size in SIZES:
        for batch, mark in zip(BATCHES, "os^"):
            some = [r for r in results["arrays"] if (r["size"], r["batch"]) == (size, batch)]
            left.plot(
                [100 * r["activity"] for r in some],
                [r["additions_per_s"] / 1e9 for r in some],
                marker=mark, color=f"C{SIZES.index(size)}",
                label=f"{size} x {size}, batch {batch}",
            )  # fmt: skip
    left.axhline(results["floor"]["L2"] / 1e9, color="0.3", ls="--", label="rows in L2, peak")
    left.set(xscale="log", yscale="log", xlabel="active inputs [%]", ylabel="int16 additions [G/s]")
    left.legend(fontsize="x-small")
    some = [row for row in results["networks"] if "seconds" in row][::-1]
    colours = [
        "C0" if "spikeram" in row["tool"] or "Crossbar" in row["tool"] else "0.6" for row in some
    ]
    names = [f"{row['tool']}\n{row['network']}" for row in some]
    right.barh(names, [row["seconds"] for row in some], color=colours)
    right.set(xscale="log", xlabel=f"time for {BATCH} samples, T = {STEPS} [s]")
    right.tick_params(axis="y", labelsize=6)
    figure.savefig(path, dpi=150)


@click.command()
@click.option("--peers", metavar="PYTHON", help="Interpreter that has SpikingJelly and snnTorch.")
@click.option("--output", type=click.Path(path_type=Path))
@click.option("--plot", type=click.Path(path_type=Path))
def main(peers: str | None, output: Path | None, plot: Path | None) -> None:
    """Print the tables; every number is the fastest of a few runs on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    peak = floor()
    results: dict[str, Any] = {"machine": platform.processor() or platform.machine(), "floor": peak}
    results["arrays"] = arrays(peak["L2"])
    results["networks"] = [
        *compared(CONVOLUTIONAL, convolutional(), peers),
        *compared("784-512-10", perceptron(), peers),
    ]
    for target in ("numpy", "cython"):
        rows = in_a_process(target)
        results["networks"] += rows if target == "numpy" else rows[1:] or rows
    results["growth"] = growth()
    if output is not None:
        output.write_text(json.dumps(results, indent=2) + "\n")
    if plot is not None:
        drawn(results, plot)
    shown(results, Console(width=140))


if __name__ == "__main__":
    main()

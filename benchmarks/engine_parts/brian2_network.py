"""Brian2 on the 784-512-10 network with input spikes, target by target.

A target is a setting of the whole process, and a device can be set once: each is measured in a
process of its own, which prints its rows.

    python -m engine_parts.brian2_network numpy|cython|cpp_standalone [crossbar]
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine_parts.networks import ALONE, perceptron
from engine_parts.timing import ENOUGH, REPEATS, best
from spikeram.charge import ChargeLayer
from spikeram.encoding import encode, input_levels
from spikeram.simulation import clocked, nodes_of

TARGETS = ("numpy", "cython", "cpp_standalone")
NAME = "784-512-10, spikes in"


def joined(source: Any, target: Any, layer: ChargeLayer, batch: int) -> Any:
    """Return Brian2's own Synapses with the weights of a layer, a block for each sample."""
    import brian2 as b2
    from brian2 import ms

    synapses = b2.Synapses(
        source, target, "w : volt (constant)", on_pre="charge_post += w", delay=0 * ms
    )
    # A rule takes no long arrays of indices.
    block = "k for k in range((i // n) * m, (i // n + 1) * m)"
    synapses.connect(j=block, namespace={"n": layer.n_inputs, "m": layer.n_outputs})
    synapses.w_ = np.tile((layer.weight * layer.quantum).ravel(), batch)
    return synapses


def before_and_steps(network: Any, duration: Any, start: Callable[[], None]) -> tuple[float, float]:
    """Return what Brian2 takes before the first step of a run, and for the steps.

    `start` brings the network to its beginning, and is not timed.
    """
    import brian2 as b2

    before, steps = [], []
    began = time.perf_counter()
    for _ in range(REPEATS + 1):
        start()
        # Brian2 reports at the first step, and after the last.
        marks = [time.perf_counter()]
        network.run(
            duration,
            report=lambda *_: marks.append(time.perf_counter()),  # noqa: B023
            report_period=1e6 * b2.second,
        )
        before.append(marks[1] - marks[0])
        steps.append(marks[-1] - marks[1])
        if len(steps) > 1 and time.perf_counter() - began > ENOUGH:
            break
    return min(before[1:]), min(steps[1:])


def _built(tool: str, layers: list[ChargeLayer], trains: NDArray[np.int8]) -> tuple[Any, Any]:
    """Return a network of Brian2, and what counts the spikes of its hidden layer."""
    import brian2 as b2
    from brian2 import ms

    from spikeram.brian import sampling_neurons

    batch, n_inputs = trains.shape[0], layers[0].n_inputs
    k, sample, i = np.nonzero(trains.transpose(1, 0, 2))
    inputs = b2.SpikeGeneratorGroup(batch * n_inputs, sample * n_inputs + i, k * ms, sorted=True)
    groups: list[Any] = [inputs]
    parts: list[Any] = [inputs]
    for depth, layer in enumerate(layers, start=1):
        # The bias flows from the first step on, but a layer's window starts when the spikes of
        # the one before can have come.
        own = replace(layer, initial=layer.initial - depth * layer.bias)
        groups.append(sampling_neurons(batch * own.n_outputs, own))
        join = joined if tool == "Synapses" else _crossbar
        parts += [join(groups[-2], groups[-1], own, batch), groups[-1]]
    monitor = b2.SpikeMonitor(groups[1], record=False)
    return b2.Network(*parts, monitor), monitor


def _crossbar(source: Any, target: Any, layer: ChargeLayer, batch: int) -> Any:
    from spikeram.brian import CrossbarSynapses

    return CrossbarSynapses(source, target, layer, batch=batch)


def rows_of(target: str) -> list[dict[str, Any]]:
    """Return the time of a target, with `CrossbarSynapses` where it knows them, and the engine's.

    The steps alone are compared. What comes besides is told apart: before the first step, Brian2
    prepares a run; C++ standalone compiles a program, which connects its synapses anew in every
    run and writes its results to the disk.
    """
    import brian2 as b2
    from brian2 import ms

    subject = perceptron()
    layers = list(subject.network.charge_layers())
    levels = input_levels(subject.network.checked_input(subject.x), subject.network.input_scale)
    nodes = nodes_of(subject.network)
    trains = encode(levels, nodes, steps=subject.steps, encoding="rate").spikes
    assert trains is not None
    # A spike reaches the next layer in the next step; so the hidden layer integrates, after its
    # own steps, as many as there are layers after it, in which only its bias comes.
    after = len(layers) - 1
    longer = np.pad(trains, [(0, 0), (0, after), (0, 0)])
    counts = clocked(layers, None, longer, steps=subject.steps + after).spikes[0].sum(1)
    duration = (subject.steps + len(layers)) * ms
    shared: dict[str, Any] = {"network": NAME, "steps": subject.steps, "of": int(counts.size)}
    own = best(clocked, layers, None, trains, steps=subject.steps, threads=1)
    rows = [{**shared, "tool": ALONE, "seconds": own, "same": int(counts.size)}]
    b2.defaultclock.dt = 1 * ms
    if target == "cpp_standalone":
        measured = _standalone(layers, trains, duration)
        rows.append({**shared, "tool": "Brian2 Synapses, C++ standalone", **measured})
    else:
        b2.prefs.codegen.target = target
        for tool in ("CrossbarSynapses", "Synapses"):
            network, monitor = _built(tool, layers, trains)
            network.store()
            before, seconds = before_and_steps(network, duration, network.restore)
            measured = {"seconds": seconds, "before": before, "counts": np.asarray(monitor.count)}
            rows.append({**shared, "tool": f"Brian2 {tool}, {target}", **measured})
    for row in rows[1:]:
        found: NDArray[Any] = row.pop("counts")
        row["same"] = int((found.reshape(counts.shape) == counts).sum())
    return rows


def _standalone(
    layers: list[ChargeLayer], trains: NDArray[np.int8], duration: Any
) -> dict[str, Any]:
    """Return what a compiled program takes for the steps, as it says itself, and besides."""
    import brian2 as b2

    missing = [name for name in ("make", os.environ.get("CXX", "g++")) if not shutil.which(name)]
    if os.name == "posix" and missing:
        raise FileNotFoundError(f"no {' and no '.join(missing)} on the PATH")
    with tempfile.TemporaryDirectory() as folder:
        b2.set_device("cpp_standalone", build_on_run=False, directory=folder)
        network, monitor = _built("Synapses", layers, trains)
        network.run(duration)
        start = time.perf_counter()
        b2.device.build(directory=folder, compile=True, run=False, with_output=False)
        build = time.perf_counter() - start
        steps: list[float] = []
        whole: list[float] = []
        began = time.perf_counter()
        while len(steps) < REPEATS and not (steps and time.perf_counter() - began > 2 * ENOUGH):
            start = time.perf_counter()
            b2.device.run(directory=folder, with_output=False)
            whole.append(time.perf_counter() - start)
            steps.append(float(b2.device._last_run_time))
        return {
            "seconds": min(steps), "build": build, "program": min(whole),
            "counts": np.array(monitor.count),
        }  # fmt: skip


def in_a_process(target: str, *options: str) -> list[dict[str, Any]]:
    """Return the rows of a target, measured in a process of its own, or why there are none."""
    path = os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "engine_parts.brian2_network", target, *options],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        return [{"network": NAME, "tool": f"Brian2, {target}", "reason": reason}]
    rows: list[dict[str, Any]] = json.loads(done.stdout.strip().splitlines()[-1])
    return rows


def main(target: str, *options: str) -> None:
    """Print rows as JSON, on the last line."""
    if "crossbar" in options:
        from engine_parts.crossbar import in_brian2

        print(json.dumps(in_brian2(target)))
    else:
        print(json.dumps(rows_of(target)))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Small networks for every engine, and what engines of several chips make of them.

Run as a program, it writes what the CUDA engine does to a file: Numba's simulator has to be chosen
before Numba is imported, so that it needs a process of its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeram.charge import ChargeLayer
from spikeram.draws import readings
from spikeram.encoding import encode, input_levels
from spikeram.engines import ChipBatch, ChipEngine
from spikeram.pool import MaxPool
from spikeram.read_noise import ReadNoise, read_noise
from spikeram.recording import Activity
from spikeram.wiring import Wiring

from networks import branching, random_layer

SAMPLES, STEPS, FIRST = 2, 5, 11


@dataclass(frozen=True, eq=False)
class Case:
    """A network on one or two chips, and its input."""

    chips: list[list[ChargeLayer | MaxPool]]
    levels: NDArray[np.int16] | None = None
    spikes: NDArray[np.int8] | None = None

    def batch(self, nodes: list[ChargeLayer | MaxPool], some: slice) -> ChipBatch:
        """Return some samples of one of the chips."""
        layers = Wiring(nodes).layers
        drive, levels = None, None if self.levels is None else self.levels[some]
        if levels is not None:
            drive = encode(levels, nodes, steps=STEPS, encoding="current").drive
        keys = [np.uint64(10 * n) for n in range(len(layers))]
        own = {layer.name: np.uint64(n) for n, layer in enumerate(layers)}
        return ChipBatch(nodes=nodes, drive=drive, keys=keys, readings=readings(nodes, levels, own))


def _dense(rng: np.random.Generator, **options: object) -> list[ChargeLayer | MaxPool]:
    return [
        random_layer(rng, 5, 9, name="first", **options),
        random_layer(rng, 9, 3, name="second", **options),
    ]


def _fluctuating(rng: np.random.Generator, *, alike: bool) -> list[ChargeLayer | MaxPool]:
    layers = []
    for layer in _dense(rng):
        rows, columns = layer.weight.shape
        variance = np.ones((rows, columns)) if alike else rng.random((rows, columns))
        noise = read_noise(
            variance, always_on=np.ones(columns), worth=np.full(columns, 4e5), gather=None,
            name=layer.name, limit=2.0**30,
        )  # fmt: skip
        layers.append(replace(layer, read=noise))
    return layers


def _branching() -> list[ChargeLayer | MaxPool]:
    """Return convolutions, a max pool, a residual sum and a join with the input."""
    network = branching()
    nodes = network.charged(network.charge_layers())
    return [replace(n, read=_read_noise(n)) if n.name == "second" else n for n in nodes]


def _read_noise(layer: ChargeLayer) -> ReadNoise | None:
    rows, columns = layer.weight.shape
    return read_noise(
        np.linspace(0.5, 1.0, rows * columns).reshape(rows, columns),
        always_on=np.ones(columns), worth=np.full(columns, 4e4), gather=layer.gather,
        name=layer.name, limit=2.0**30,
    )  # fmt: skip


def _converter(rng: np.random.Generator) -> list[ChargeLayer | MaxPool]:
    one = random_layer(rng, 5, 2, name="lines", spikes="ternary", reset="zero", decay=0.0)
    tiled = {name: np.tile(getattr(one, name), 3) for name in ("bias", "threshold", "negative")}
    lines = replace(
        one, weight=np.tile(one.weight, 3), initial=np.zeros(6, np.int32), scale=np.ones(6),
        digits=3, sigma_noise=200.0, **tiled,
    )  # fmt: skip
    return [lines, random_layer(rng, 6, 3, name="sum", spikes="signed")]


def _trains(rng: np.random.Generator, n_inputs: int) -> NDArray[np.int8]:
    return rng.integers(-1, 2, (SAMPLES, STEPS, n_inputs)).astype(np.int8)


def _case(name: str) -> Case:
    rng = np.random.default_rng(0)
    spiking: dict[str, Callable[[], list[ChargeLayer | MaxPool]]] = {
        "dense": lambda: _dense(rng),
        "ternary": lambda: _dense(rng, spikes="ternary", reset="zero", rail=6000),
        "signed": lambda: _dense(rng, spikes="signed", slope=0.5),
        "leaky": lambda: _dense(rng, decay=0.9, sigma_noise=0.0),
        "noisy": lambda: _dense(rng, sigma_noise=300.0, kick=40),
        "bursts": lambda: [_dense(rng, burst=3)[0], random_layer(rng, 9, 3, name="second")],
        "converter": lambda: _converter(rng),
        "alike": lambda: _fluctuating(rng, alike=True),
        "fluctuating": lambda: _fluctuating(rng, alike=False),
    }
    if name in spiking:
        return Case([spiking[name]() for _ in range(2)], spikes=_trains(rng, 5))
    levels = input_levels(rng.random((SAMPLES, 5)), 1.0)
    if name == "constant current":
        return Case([_dense(rng), _dense(rng)], levels=levels)
    if name == "noisy constant current":
        return Case([_fluctuating(rng, alike=False)], levels=levels)
    return Case([_branching()], spikes=_trains(rng, 72))


NAMES = [
    "dense", "ternary", "signed", "leaky", "noisy", "bursts", "converter", "alike", "fluctuating",
    "constant current", "noisy constant current", "residual",
]  # fmt: skip


CASES = {name: _case(name) for name in NAMES}


def run(
    engine: ChipEngine, case: Case, *, pieces: tuple[int, ...] = (STEPS,), cut: int = SAMPLES
) -> list[Activity]:
    """Return what a case's chips do, run together in pieces of time and batches of samples."""
    parts = []
    for first in range(0, SAMPLES, cut):
        some = slice(first, first + cut)
        ends = np.cumsum(pieces)
        given = [
            (n, None if case.spikes is None else case.spikes[some, end - n : end])
            for n, end in zip(pieces, ends)
        ]
        chips = [case.batch(nodes, some) for nodes in case.chips]
        parts.append(list(engine.run(chips, given, first_sample=FIRST + first)))
    return [_joined([[piece[c] for piece in part] for part in parts]) for c in range(len(chips))]


def _joined(parts: list[list[Activity]]) -> Activity:
    """Return one activity of those of batches, each in pieces of time."""

    def join(of: Callable[[Activity], NDArray[np.generic]]) -> NDArray[np.generic]:
        return np.concatenate([np.concatenate([of(one) for one in part], axis=1) for part in parts])

    n_layers = len(parts[0][0].spikes)
    return Activity(
        spikes=tuple(join(lambda one, n=n: one.spikes[n]) for n in range(n_layers)),
        membrane=join(lambda one: one.membrane),
    )


def arrays(activities: list[Activity]) -> dict[str, NDArray[np.generic]]:
    """Return all that chips did, by name."""
    found: dict[str, NDArray[np.generic]] = {}
    for c, activity in enumerate(activities):
        found |= {f"{c}/spikes/{n}": one for n, one in enumerate(activity.spikes)}
        found[f"{c}/membrane"] = activity.membrane
    return found


def share_memory_for_sure() -> None:
    """Let all threads of a block in Numba's simulator have the same shared array.

    It looks for an array and makes one where there is none, in two steps: now and then two threads
    each made one, and missed what the other wrote.
    """
    from numba.cuda.simulator.kernelapi import FakeCUDAShared

    def array(self: Any, shape: Any, dtype: Any) -> NDArray[np.generic]:
        line = sys._getframe(1)
        made: NDArray[np.generic] = np.empty(shape, dtype)
        return self._allocations.setdefault((line.f_code, line.f_lineno), made)  # type: ignore[no-any-return]

    FakeCUDAShared.array = array


def main(path: str) -> None:
    """Write what the CUDA engine does in two pieces of time, by case."""
    from spikeram._kernels import cuda_noise
    from spikeram.cuda import Cuda

    if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":
        share_memory_for_sure()
    # Threads of the simulator wait for each other far more often than they work.
    sys.setswitchinterval(2e-5)
    found = {}
    for name, case in CASES.items():
        for key, array in arrays(run(Cuda(), case, pieces=(3, 2))).items():
            found[f"{name}/{key}"] = array
    # Nearly all draws then lie so near to a half quantum that the processor takes them over.
    cuda_noise.GUARD = 0.01
    for name in ("noisy", "fluctuating"):
        for key, array in arrays(run(Cuda(), CASES[name])).items():
            found[f"{name}, unsure/{key}"] = array
    np.savez(path, **found)


if __name__ == "__main__":
    main(sys.argv[1])

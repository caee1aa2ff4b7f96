r"""The clocked engine on a GPU: many samples, and many chips, at once.

Each layer is a product of integers and then a thread for each neuron, which goes through its steps
one after the other; spikes stay on the GPU between layers and come back once. Charge is integers
here too, and noise is addressed by the same counters and rounded to the same quanta
(`spikeram._kernels.cuda_noise`), so that spikes are those of the clocked engine, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikeram._kernels import cuda_charge, cuda_device
from spikeram.burst import arriving as most_arriving
from spikeram.charge import RAIL_LIMIT, ChargeLayer
from spikeram.clocked import check_draws, checked_stimulus
from spikeram.cuda_nodes import LayerOnGpu, PoolOnGpu
from spikeram.engines import (
    ChipBatch,
    Nodes,
    Pieces,
    bytes_of_a_step,
    check_same_network,
)
from spikeram.errors import EngineError
from spikeram.memory import check_memory
from spikeram.pool import MaxPool
from spikeram.recording import Activity
from spikeram.wiring import INPUT, Wiring

OnGpu: TypeAlias = Any
"""An array on the GPU."""

MOST_SAMPLES = 2**14
"""Most samples at a time."""

HOST_BYTES = 2**30
"""Size of the spike trains that come back from the GPU at a time."""

SHARE_OF_MEMORY = 0.8
"""How much of the free memory of a GPU is taken: the rest is for kernels, and for lists."""

# Of normal numbers drawn from 32 bits.
_FARTHEST = 6.8


def on_gpu(
    nodes: Nodes,
    drive: Mapping[str, NDArray[np.int32]] | None,
    spikes: NDArray[np.int8] | None,
    *,
    steps: int,
    first_sample: int = 0,
    keys: Sequence[np.uint64] = (),
    readings: Mapping[str, Any] = MappingProxyType({}),
) -> Activity:
    """Return the activity of a batch; parameters are those of `spikeram.clocked.clocked`."""
    chip = ChipBatch(nodes=nodes, drive=drive, keys=keys, readings=readings)
    ((activity,),) = Cuda().run([chip], [(steps, spikes)], first_sample=first_sample)
    return activity


class Cuda:
    """The engine on a GPU, for one chip or several, piece by piece.

    Raises
    ------
    EngineError
        If there is no GPU.
    """

    def __init__(self) -> None:
        if not cuda_device.is_available():
            raise EngineError(
                "engine='cuda' needs an NVIDIA GPU that Numba can use, and found none. Install the "
                "driver and pip install 'spikeram[cuda]', or use engine='clocked'."
            )

    def most_samples(self, chips: Sequence[Nodes], steps: int, *, spiking_input: bool) -> int:
        """Return how many samples of each chip fit into the free memory of the GPU."""
        _check_noise(chips)
        most = max(1, min(MOST_SAMPLES, HOST_BYTES // (steps * bytes_of_a_step(chips))))
        free = cuda_device.free_memory()
        if free is None:
            return most
        free = int(SHARE_OF_MEMORY * free)
        fixed = _bytes_of_weights(chips)
        each = _bytes_of_a_sample(chips, steps, spiking_input)
        check_memory(
            {
                f"the weights of {len(chips)} chip{'s' * (len(chips) > 1)}": fixed,
                f"one sample in {steps} steps": each,
            },
            "Run fewer chips at once, keep only counts (record='counts'), or use engine='clocked'.",
            free,
            "the GPU's memory",
        )
        return max(1, min(most, (free - fixed) // each))

    def run(
        self, chips: Sequence[ChipBatch], pieces: Pieces, *, first_sample: int = 0
    ) -> Iterator[list[Activity]]:
        """Yield the activity of each chip in each piece; see `ChipEngine`."""
        check_same_network([chip.nodes for chip in chips])
        _check_noise([chip.nodes for chip in chips])
        running = None
        for steps, spikes in pieces:
            if running is None:
                running = _Running(chips, spikes, steps, first_sample)
            yield running.piece(steps, spikes)
            # Nothing of a piece is held when the next is encoded.
            del spikes


def _check_noise(chips: Sequence[Nodes]) -> None:
    """Refuse noise that leaves 32 bits when it is added to a charge."""
    for nodes in chips:
        for layer in Wiring(nodes).layers:
            farthest = _FARTHEST * layer.sigma_noise + abs(layer.kick)
            if farthest > RAIL_LIMIT // 2:
                raise EngineError(
                    f"The neurons of layer {layer.name!r} can draw {farthest:.3g} quanta in one "
                    f"step, but only {RAIL_LIMIT // 2} fit into the sums of engine='cuda'. Its "
                    "weights are too small beside its noise; use engine='clocked'."
                )


def _bytes_of_weights(chips: Sequence[Nodes]) -> int:
    """Return what does not depend on the number of samples."""
    each = shared = 0
    for node in chips[0]:
        if isinstance(node, MaxPool):
            shared += 4 * node.index.size
        else:
            each += 2 * node.weight.size + 16 * node.n_outputs
            each += 0 if node.read is None else 2 * node.weight.size + 8 * node.n_outputs
            shared += 0 if node.gather is None else 4 * node.gather.index.size
    return len(chips) * each + shared


def _bytes_of_a_sample(chips: Sequence[Nodes], steps: int, spiking_input: bool) -> int:
    wiring = Wiring(chips[0])
    layers = wiring.layers
    trains = sum(wiring.widths.values()) - wiring.widths[INPUT]
    charge = 4 * max(layer.n_outputs for layer in layers)
    trace = 4 * layers[-1].n_outputs
    held = sum(12 * layer.n_outputs for layer in layers)
    for node in wiring.nodes:
        if isinstance(node, MaxPool):
            held += 4 * (node.index.size + node.n_outputs)
        elif node.read is not None:
            held += 8 * node.n_outputs
    a_step = trains + _widest_join(wiring) + charge + trace
    return len(chips) * (steps * a_step + held) + spiking_input * steps * wiring.widths[INPUT]


def _widest_join(wiring: Wiring[ChargeLayer]) -> int:
    """Return the number of inputs of the largest layer that has several sources; or 0."""
    several = [layer for layer in wiring.layers if len(wiring.sources[layer.name]) > 1]
    return max((layer.n_inputs for layer in several), default=0)


class _Running:
    """Chips on a batch, on the GPU."""

    def __init__(
        self,
        chips: Sequence[ChipBatch],
        spikes: NDArray[np.int8] | None,
        steps: int,
        first_sample: int,
    ) -> None:
        wirings = [Wiring(chip.nodes) for chip in chips]
        for wiring, chip in zip(wirings, chips):
            self.n_samples = checked_stimulus(wiring, chip.drive, spikes)
            check_draws(wiring.layers, chip.keys, chip.readings)
            # Refuses bursts that bring more than fits.
            most_arriving(wiring)
        self._wiring = wirings[0]
        self._n_chips, self._first_sample, self._first_step = len(chips), first_sample, 0
        self._nodes: dict[str, PoolOnGpu | LayerOnGpu] = {}
        n = 0
        for place, node in enumerate(chips[0].nodes):
            if isinstance(node, MaxPool):
                self._nodes[node.name] = PoolOnGpu(node, len(chips), self.n_samples)
            else:
                self._nodes[node.name] = LayerOnGpu(chips, place, n, self.n_samples)
                n += 1
        rows = self.n_samples * steps
        layers = self._wiring.layers
        values, cells = rows * len(chips), max(layer.n_outputs for layer in layers)
        self._trains = {
            node.name: cuda_device.room(values * node.n_outputs, np.int8)
            for node in self._wiring.nodes
        }
        if spikes is not None:
            self._trains[INPUT] = cuda_device.room(rows * spikes.shape[2], np.int8)
        self._charge = cuda_device.room(values * cells, np.int32)
        self._joined = cuda_device.room(max(1, values * _widest_join(self._wiring)), np.int8)
        self._trace = cuda_device.room(values * layers[-1].n_outputs, np.int32)

    def piece(self, steps: int, spikes: NDArray[np.int8] | None) -> list[Activity]:
        """Return what the chips do in the next steps."""
        rows = self.n_samples * steps
        trains: dict[str, OnGpu] = {}
        if spikes is not None:
            trains[INPUT] = cuda_device.view(self._trains[INPUT], (1, rows, spikes.shape[2]))
            trains[INPUT].copy_to_device(np.ascontiguousarray(spikes).reshape(1, rows, -1))
        for name, node in self._nodes.items():
            out = cuda_device.view(
                self._trains[name], (self._n_chips, rows, self._wiring.widths[name])
            )
            arriving = self._arriving(name, trains, rows)
            if isinstance(node, PoolOnGpu):
                node.pool(arriving, steps, out)
            else:
                shape = (self._n_chips, rows, node.n_outputs)
                charge = node.charge(arriving, cuda_device.view(self._charge, shape))
                first = (self._first_step, self._first_sample)
                charge = node.draw(
                    arriving, charge, cuda_device.view(self._charge, shape), first, steps
                )
                last = name == self._wiring.layers[-1].name
                node.fire(
                    charge, steps, out, cuda_device.view(self._trace, shape) if last else None
                )
            trains[name] = out
        self._first_step += steps
        return self._fetched(trains, steps)

    def _arriving(self, name: str, trains: Mapping[str, OnGpu], rows: int) -> OnGpu | None:
        """Return the spikes of all sources of a node; None where a constant input alone drives."""
        parts = self._wiring.parts(name)
        if not any(source in trains for source, _ in parts):
            return None
        if len(parts) == 1:
            return trains[parts[0][0]]
        joined = cuda_device.view(self._joined, (self._n_chips, rows, parts[-1][1].stop))
        for source, part in parts:
            width = part.stop - part.start
            grid = (cuda_device.blocks(rows * width), self._n_chips)
            if source in trains:
                cuda_device.launch(cuda_charge.join, grid)(trains[source], part.start, joined)
            else:
                cuda_device.launch(cuda_charge.clear, grid)(part.start, width, joined)
        return joined

    def _fetched(self, trains: Mapping[str, OnGpu], steps: int) -> list[Activity]:
        layers = self._wiring.layers
        shape = (self._n_chips, self.n_samples, steps)
        spikes = [trains[layer.name].copy_to_host().reshape(*shape, -1) for layer in layers]
        rows = (self._n_chips, self.n_samples * steps, layers[-1].n_outputs)
        membrane = cuda_device.view(self._trace, rows).copy_to_host().reshape(*shape, -1)
        return [
            Activity(spikes=tuple(one[c] for one in spikes), membrane=membrane[c])
            for c in range(self._n_chips)
        ]

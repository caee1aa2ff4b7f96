"""The nodes of a network on a GPU: max pools, and layers with what they hold, of several chips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeram._kernels import cuda_charge, cuda_device, cuda_neuron
from spikeram.cuda_draws import CellNoise, NeuronNoise
from spikeram.engines import ChipBatch
from spikeram.pool import MaxPool


class PoolOnGpu:
    """A max pool, and what its counters hold."""

    def __init__(self, pool: MaxPool, n_chips: int, n_samples: int) -> None:
        outputs = n_samples * pool.n_outputs
        self._index = cuda_device.put(pool.index.T)
        self._counts = cuda_device.zeros((n_chips, pool.index.shape[1], outputs), np.int32)
        self._largest = cuda_device.zeros((n_chips, outputs), np.int32)
        self._grid = (cuda_device.blocks(outputs), n_chips)

    def pool(self, spikes: Any, steps: int, out: Any) -> None:
        """Write the pooled spikes."""
        cuda_device.launch(cuda_neuron.pool, self._grid)(
            spikes, self._index, steps, self._counts, self._largest, out
        )


class LayerOnGpu:
    """A layer of all chips: its charges on the GPU, and what its neurons hold."""

    def __init__(self, chips: Sequence[ChipBatch], place: int, number: int, n_samples: int) -> None:
        layers = [chip.nodes[place] for chip in chips]
        self._layers = [layer for layer in layers if not isinstance(layer, MaxPool)]
        layer = self._layer = self._layers[0]
        self.n_outputs = layer.n_outputs
        self._n_chips, self._n_samples = len(chips), n_samples
        self._weight = _stacked([one.weight for one in self._layers])
        self._index = None
        if layer.gather is not None:
            # Neighbouring threads, at neighbouring positions, read side by side.
            self._index = cuda_device.put(layer.gather.index.transpose(1, 2, 0))
        self._threshold = _stacked([one.threshold for one in self._layers])
        self._negative = _stacked([one.negative for one in self._layers])
        self._bias = _stacked(
            [
                np.asarray(
                    one.bias + (chip.drive or {}).get(one.name, np.zeros((1, 1), np.int32)),
                    np.int32,
                )
                for one, chip in zip(self._layers, chips)
            ]
        )
        self._u = _stacked([np.tile(one.initial, n_samples) for one in self._layers])
        signed = layer.spikes == "signed"
        held = n_samples * layer.n_outputs if signed else 1
        self._count = cuda_device.zeros((len(chips), held), np.int32)
        self._rail = cuda_device.put(np.array([one.rail for one in self._layers], np.int64))
        self._decay = cuda_device.put(np.array([one.decay for one in self._layers], np.float64))
        self._noise = NeuronNoise(self._layers, [chip.keys for chip in chips], number)
        self._read = None
        if any(one.read is not None for one in self._layers):
            self._read = CellNoise(self._layers, chips)

    def charge(self, spikes: Any | None, charge: Any) -> Any | None:
        """Return the charge that spikes bring, written to `charge`; None without spikes."""
        if spikes is None:
            return None
        rows = charge.shape[1]
        if self._index is None:
            groups = -(-rows // cuda_charge.ROWS)
            grid = (groups, cuda_device.blocks(self.n_outputs), self._n_chips)
            cuda_device.launch(cuda_charge.charge_of_rows, grid)(spikes, self._weight, charge)
            return charge
        tiles = -(-self._layer.n_columns // cuda_charge.COLUMNS)
        positions = self._layer.n_positions
        # Whole warps, but no more of them than there are positions.
        threads = min(cuda_device.THREADS, -(-positions // 32) * 32)
        places = (self._n_chips * tiles * rows, -(-positions // threads))
        cuda_device.launch(cuda_charge.charge_of_patches, places, threads)(
            spikes, self._weight, self._index, tiles, charge
        )
        return charge

    def draw(
        self,
        spikes: Any | None,
        charge: Any | None,
        empty: Any,
        first: tuple[int, int],
        steps: int,
    ) -> Any | None:
        """Return the charge with what cells and neurons draw, written to `empty` without any.

        `first` are the numbers of the first step and of the first sample.
        """
        if self._read is None and not self._noise.any:
            return charge
        if charge is None:
            charge = empty
            grid = (cuda_device.blocks(charge.shape[1] * self.n_outputs), self._n_chips)
            cuda_device.launch(cuda_charge.clear, grid)(0, self.n_outputs, charge)
        if self._read is not None:
            self._read.add_to(charge, spikes, first, steps)
        if self._noise.any:
            self._noise.add_to(charge, first, steps)
        return charge

    def fire(self, charge: Any | None, steps: int, spikes: Any, trace: Any | None) -> None:
        """Run the neurons on their charge, writing `spikes` and `trace`."""
        layer = self._layer
        ternary = layer.spikes == "ternary"
        # A kernel takes an array also where it does not read it.
        given = self._bias if charge is None else charge
        driven, traced = charge is not None, trace is not None
        told = (spikes, traced, self._bias if trace is None else trace)
        threads = self._n_samples * self.n_outputs // (layer.digits or 1)
        grid = (cuda_device.blocks(threads), self._n_chips)
        if layer.digits:
            cuda_device.launch(cuda_neuron.digitise, grid)(
                driven, given, self._bias, self._threshold, self._rail, layer.digits, steps,
                self._u, *told,
            )  # fmt: skip
        elif layer.burst > 1 or layer.spikes == "signed":
            cuda_device.launch(cuda_neuron.integrate_bursts, grid)(
                driven, given, self._bias, self._threshold, self._negative, self._rail,
                layer.burst, ternary, layer.spikes == "signed", steps, self._u, self._count, *told,
            )  # fmt: skip
        else:
            cuda_device.launch(cuda_neuron.integrate, grid)(
                driven, given, self._bias, self._threshold, self._rail, self._decay, ternary,
                layer.reset == "subtract", steps, self._u, *told,
            )  # fmt: skip


def _stacked(arrays: Sequence[NDArray[Any]]) -> Any:
    """Return one array for all chips."""
    return cuda_device.put(np.stack(arrays))

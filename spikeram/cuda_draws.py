"""What neurons and cells draw on a GPU, on several chips; see `spikeram._kernels.cuda_noise`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeram._kernels import cuda_device, cuda_noise
from spikeram.charge import ChargeLayer
from spikeram.engines import ChipBatch
from spikeram.errors import EngineError
from spikeram.read_noise import ReadNoise

_LISTED = 1024


class NeuronNoise:
    """What the neurons of a layer draw, on all chips."""

    def __init__(
        self, layers: Sequence[ChargeLayer], keys: Sequence[Sequence[np.uint64]], number: int
    ) -> None:
        self.any = any(layer.noisy for layer in layers)
        own = [key[number] if layer.noisy else 0 for key, layer in zip(keys, layers)]
        self._key = np.array(own, np.uint64)
        self._sigma = np.array([layer.sigma_noise for layer in layers])
        self._kick = np.array([layer.kick for layer in layers], np.int64)
        self._on_gpu = [cuda_device.put(one) for one in (self._key, self._sigma, self._kick)]

    def add_to(self, charge: Any, first: tuple[int, int], steps: int) -> None:
        """Add the noise of some steps to their charge."""
        key, sigma, kick = self._on_gpu
        unsure = _Unsure(charge, float(self._sigma.max()))
        cuda_device.launch(cuda_noise.add_noise, unsure.grid)(
            key, *first, steps, sigma, kick, cuda_noise.GUARD, charge, *unsure.lists
        )
        unsure.settle(
            lambda places: cuda_noise.noise_at(
                places, self._key, *first, steps, self._sigma, self._kick
            )
        )


class CellNoise:
    """What the cells of a layer draw, on all chips."""

    def __init__(self, layers: Sequence[ChargeLayer], chips: Sequence[ChipBatch]) -> None:
        readings = [
            chip.readings[layer.name]
            for layer, chip in zip(layers, chips)
            if layer.read is not None
        ]
        if len(readings) < len(layers):
            raise EngineError(
                f"The cells of layer {layers[0].name!r} fluctuate on some chips and not on others, "
                "which engine='cuda' cannot run at once. Run them one by one, or use "
                "engine='clocked'."
            )
        noises = [reading.noise for reading in readings]
        self._unit = noises[0].unit
        rows, gather = layers[0].weight.shape[0], layers[0].gather
        self._weight = cuda_device.put(
            np.stack(_same_shape([_graded(noise, rows) for noise in noises]))
        )
        if gather is None:
            inputs = np.arange(rows, dtype=np.int32)
            self._index = cuda_device.put(inputs[:, np.newaxis, np.newaxis])
        else:
            self._index = cuda_device.put(gather.index.transpose(1, 2, 0))
        self._base = np.stack(_same_shape([reading.base for reading in readings]))
        self._worth = np.stack([noise.worth for noise in noises])
        self._key = np.array([reading.key for reading in readings], np.uint64)
        self._on_gpu = [cuda_device.put(one) for one in (self._key, self._base, self._worth)]
        # Bounds the standard deviations for the size of a list.
        most = float(_graded(noises[0], rows).sum(axis=0, dtype=np.float64).max())
        units = float(self._base.max()) + most
        self._sigma = math.sqrt(units * float(self._worth.max()))

    def add_to(self, charge: Any, spikes: Any | None, first: tuple[int, int], steps: int) -> None:
        """Add the noise of some steps to their charge."""
        key, base, worth = self._on_gpu
        unsure = _Unsure(charge, self._sigma)
        spiking = spikes is not None
        # A kernel takes an array also where it does not read it.
        given = spikes if spiking else cuda_device.view(cuda_device.zeros(1, np.int8), (1, 1, 1))
        cuda_device.launch(cuda_noise.add_read_noise, unsure.grid)(
            key, *first, steps, spiking, given, self._index, self._weight, self._unit, base, worth,
            cuda_noise.GUARD, charge, *unsure.lists,
        )  # fmt: skip
        unsure.settle(
            lambda places: cuda_noise.read_noise_at(
                places, self._key, *first, steps, self._unit, self._base, self._worth
            )
        )


class _Unsure:
    """Draws whose rounding a GPU leaves to the processor."""

    def __init__(self, charge: Any, sigma: float) -> None:
        draws = math.prod(charge.shape)
        expected = draws * min(1.0, 2 * cuda_noise.GUARD * sigma)
        self._charge = charge
        self._places = cuda_device.room(
            (min(draws, _LISTED + int(8 * expected)), cuda_noise.COLUMNS), np.int64
        )
        self._n = cuda_device.zeros(1, np.int32)
        self.lists = (self._places, self._n)
        self.grid = (cuda_device.blocks(draws // charge.shape[0]), charge.shape[0])

    def settle(self, draw: Callable[[list[list[int]]], NDArray[np.int64]]) -> None:
        """Add what the processor draws at the places that are listed."""
        n = int(self._n.copy_to_host()[0])
        if n > self._places.shape[0]:
            raise ArithmeticError(
                f"{n} draws lie within rounding errors of a half quantum, where "
                f"{self._places.shape[0]} were expected at most. Use engine='clocked'."
            )
        if n:
            places = self._places.copy_to_host()[:n].tolist()
            added = cuda_device.put(draw(places))
            grid = (cuda_device.blocks(n), 1)
            cuda_device.launch(cuda_noise.add_at, grid)(self._places, added, n, self._charge)


def _graded(noise: ReadNoise, rows: int) -> NDArray[np.int16]:
    """Return the variances of the rows, (row, 1 or column); all one where the cells are alike."""
    return np.ones((rows, 1), np.int16) if noise.weight is None else noise.weight


def _same_shape(arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    return [np.broadcast_to(array, shape) for array in arrays]

"""What draws random numbers in a run, layer by layer, and at which addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from spikeram.charge import ChargeLayer
from spikeram.encoding import LEVELS
from spikeram.pool import MaxPool
from spikeram.read_noise import Reading
from spikeram.seeds import Purpose, Seed, key
from spikeram.wiring import INPUT, Wiring


def noise_keys(layers: Sequence[ChargeLayer], seed: Seed | None, chip: int) -> list[np.uint64]:
    """Return the key of each layer's neurons; none where no neuron draws.

    Parameters
    ----------
    layers : sequence of ChargeLayer
        All layers of the network.
    seed : int, numpy.random.SeedSequence or None
        The run's seed; needed where a neuron draws.
    chip : int
        Number of the chip.
    """
    if not any(layer.noisy for layer in layers):
        return []
    if seed is None:
        raise ValueError("The neurons draw random numbers in every step: give a seed.")
    return [key(seed, Purpose.NEURON_NOISE, chip, *path) for path in _paths(layers)]


def read_keys(layers: Sequence[ChargeLayer], seed: Seed | None, chip: int) -> dict[str, np.uint64]:
    """Return the key of the read noise of each layer whose cells fluctuate.

    Parameters
    ----------
    layers, seed, chip
        As for `noise_keys`.
    """
    if all(layer.read is None for layer in layers):
        return {}
    if seed is None:
        raise ValueError("The cells draw random numbers in every step: give a seed.")
    # One number more than the keys of verifying reads have, which these are independent of.
    return {
        layer.name: key(seed, Purpose.READ_NOISE, chip, *path, 1)
        for path, layer in zip(_paths(layers), layers)
        if layer.read is not None
    }


def _paths(layers: Sequence[ChargeLayer]) -> list[tuple[int, ...]]:
    """Return the address of each layer; parts have theirs below their layer's.

    Cutting one so leaves the others as they were.
    """
    n = 0
    paths: list[tuple[int, ...]] = []
    for layer in layers:
        paths.append((n, layer.part) if layer.part else (n,))
        n += not layer.part
    return paths


def readings(
    nodes: Sequence[ChargeLayer | MaxPool],
    levels: NDArray[np.int16 | np.int8] | None,
    keys: Mapping[str, np.uint64],
) -> dict[str, Reading]:
    """Return what draws the read noise of a batch, for each layer whose cells fluctuate.

    Parameters
    ----------
    nodes : sequence of ChargeLayer and MaxPool
        The network.
    levels : int16 ndarray of shape (sample, input), or None
        Converter levels of a constant input, if that is what drives the network.
    keys : mapping of str to numpy.uint64
        From `read_keys`.
    """
    wiring = Wiring(nodes)
    found = {}
    for layer in wiring.layers:
        if layer.read is None:
            continue
        at_rows = None
        if levels is not None and INPUT in wiring.sources[layer.name]:
            at_rows = np.zeros((levels.shape[0], layer.n_inputs), np.int16)
            for source, part in wiring.parts(layer.name):
                if source == INPUT:
                    at_rows[:, part] = levels
        base = layer.read.base(at_rows, LEVELS)
        found[layer.name] = Reading(noise=layer.read, key=keys[layer.name], base=base)
    return found

"""Noise is addressed, not streamed: a key for each purpose, a counter for each draw.

A key is derived from the root seed, a purpose and a path of integers (chip, layer). Kernels
take the key and count draws by address (step, sample, neuron), so that a result never depends
on order, threads, batches or resumption, and adding a layer leaves the others as they were.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TypeAlias

import numpy as np

Seed: TypeAlias = int | np.random.SeedSequence


class Purpose(IntEnum):
    """What a random number is for. The numbers are part of every result: never renumber."""

    DEVICE_TO_DEVICE = 1
    PROGRAMMING = 2
    RELAXATION = 3
    READ_NOISE = 4
    ENCODING = 5
    NEURON_NOISE = 6
    FAULTS = 7
    TRAINING = 8
    MISMATCH = 20
    SHUFFLE = 40
    INFERENCE = 41
    LINE_OFFSETS = 42
    LINE_FAULTS = 50
    GIBBS = 60


def sequence(seed: Seed, purpose: Purpose, *path: int) -> np.random.SeedSequence:
    """Return the seed sequence at (seed, purpose, path).

    Parameters
    ----------
    seed : int or numpy.random.SeedSequence
        The root seed.
    purpose : Purpose
        What the numbers are for.
    *path : int
        Further address, such as (chip, layer).

    Returns
    -------
    numpy.random.SeedSequence
        Independent of the sequences at all other addresses.
    """
    if isinstance(seed, np.random.SeedSequence):
        entropy, prefix = seed.entropy, tuple(seed.spawn_key)
    elif isinstance(seed, (int, np.integer)) and not isinstance(seed, bool) and seed >= 0:
        entropy, prefix = int(seed), ()
    else:
        raise ValueError(
            f"seed expects an integer >= 0 or a numpy.random.SeedSequence, got {seed!r}."
        )
    return np.random.SeedSequence(entropy, spawn_key=(*prefix, int(purpose), *path))


def key(seed: Seed, purpose: Purpose, *path: int) -> np.uint64:
    """Return the 64-bit key of a counter-based generator at (seed, purpose, path)."""
    return np.uint64(sequence(seed, purpose, *path).generate_state(1, np.uint64)[0])


def generator(seed: Seed, purpose: Purpose, *path: int) -> np.random.Generator:
    """Return a numpy generator at (seed, purpose, path), for draws outside kernels."""
    return np.random.Generator(np.random.Philox(sequence(seed, purpose, *path)))

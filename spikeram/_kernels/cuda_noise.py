r"""Noise on a GPU, in the same whole quanta as on a processor, to the bit.

A GPU's logarithm and cosine may differ from a processor's in the last bit, and its compiler joins
products and sums. The charge of a draw is therefore rounded only where that cannot matter: where it
lies farther than a guard from a half of a quantum. The others, about one draw in
:math:`10^{11} / \sigma`, are listed, and the processor's own kernels draw them. The guard is
:math:`2^{-38}` of the standard deviation; the two values differ by less than :math:`2^{-46}` of it
(an error of 2 units in the last place of the logarithm and of the cosine, 1 in that of each product
and root, of numbers below 6.7).
"""

from __future__ import annotations

import math

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from spikeram._kernels.neuron import noise
from spikeram._kernels.random import inverse_normal, philox
from spikeram._kernels.read_noise import read_noise_of

GUARD = 2.0**-38
"""Distance from a half quantum, in standard deviations, within which a processor decides."""

COLUMNS = 4
"""Numbers that say where an unsure draw belongs: chip, row, output, and what drives it."""

_STEP = 2.0**-32
_HALF_STEP = 2.0**-33


@cuda.jit(device=True)
def _note(chip, row, j, driven, places, n_places):
    slot = cuda.atomic.add(n_places, 0, 1)
    if slot < places.shape[0]:
        places[slot, 0] = chip
        places[slot, 1] = row
        places[slot, 2] = j
        places[slot, 3] = driven


@cuda.jit
def add_noise(key, first_step, first_sample, steps, sigma, kick, guard, charge, places, n_places):
    """Add the neurons' own noise to `charge` (chip, row, output) int32.

    key (chip,) uint64; sigma (chip,) float64; kick (chip,) int64 [quanta]; places (slot, 4) int64
    and n_places (1,) int32, where unsure draws are listed: nothing is added there. Grid ((output,
    row), chip).
    """
    chip = cuda.blockIdx.y
    n = cuda.grid(1)
    n_outputs = charge.shape[2]
    if n >= charge.shape[1] * n_outputs:
        return
    row, j = n // n_outputs, n % n_outputs
    sample, k = row // steps, row % steps
    x0, x1, x2, _ = philox(key[chip], first_step + k, j, first_sample + sample, 0)
    added = kick[chip] if x2 & np.uint64(1) else -kick[chip]
    spread = sigma[chip]
    if spread > 0.0:
        radius = math.sqrt(-2.0 * math.log(x0 * _STEP + _HALF_STEP))
        value = spread * radius * math.cos(2.0 * math.pi * (x1 * _STEP + _HALF_STEP))
        whole = math.floor(value + 0.5)
        if abs(value - whole) > 0.5 - guard * spread:
            _note(chip, row, j, 0, places, n_places)
            return
        added += np.int64(whole)
    charge[chip, row, j] = np.int32(charge[chip, row, j] + added)


@cuda.jit(device=True)
def _driven(spikes, source, row, index, p, weight, chip, group):
    """Return the sum of squares of what drives the rows at a position: a whole number."""
    total = np.int64(0)
    for patch in range(index.shape[0]):
        most = np.int64(0)
        for tap in range(index.shape[1]):
            i = index[patch, tap, p]
            if i >= 0:
                most = max(most, abs(np.int64(spikes[source, row, i])))
        square = np.int64(0)
        for pulse in range(most):
            driven = np.int64(0)
            for tap in range(index.shape[1]):
                i = index[patch, tap, p]
                if i >= 0:
                    number = np.int64(spikes[source, row, i])
                    if number > pulse:
                        driven += 1
                    elif number < -pulse:
                        driven -= 1
            square += driven * driven
        if square > 0:
            total += square * np.int64(weight[chip, patch, group])
    return total


@cuda.jit
def add_read_noise(
    key, first_step, first_sample, steps, spiking, spikes, index, weight, unit, base, worth, guard,
    charge, places, n_places,
):  # fmt: skip
    """Add the read noise of driven cells to `charge` (chip, row, output) int32.

    spikes (chip or 1, row, input) int8, read where `spiking`; index (patch, tap, position) int32;
    weight (chip, patch, group) int16; base (chip, sample or 1, group, position) and worth (chip,
    column) float64; what they mean, and `unit`, is in the kernel of this name for a processor;
    places and n_places as for `add_noise`. Grid ((output, row), chip).
    """
    chip = cuda.blockIdx.y
    n = cuda.grid(1)
    n_outputs, n_positions = charge.shape[2], index.shape[2]
    if n >= charge.shape[1] * n_outputs:
        return
    row, j = n // n_outputs, n % n_outputs
    sample, k = row // steps, row % steps
    column, p = j // n_positions, j % n_positions
    driven = np.int64(0)
    if spiking:
        source = min(chip, spikes.shape[0] - 1)
        group = min(column, weight.shape[2] - 1)
        driven = _driven(spikes, source, row, index, p, weight, chip, group)
    steady = base[chip, min(sample, base.shape[1] - 1), min(column, base.shape[2] - 1), p]
    words = philox(key[chip], first_step + k, j // 4, first_sample + sample, 0)
    word = words[0]
    if j % 4 == 1:
        word = words[1]
    elif j % 4 == 2:
        word = words[2]
    elif j % 4 == 3:
        word = words[3]
    spread = math.sqrt((driven * unit + steady) * worth[chip, column])
    value = spread * inverse_normal(word * _STEP + _HALF_STEP)
    whole = math.floor(value + 0.5)
    if abs(value - whole) > 0.5 - guard * spread:
        _note(chip, row, j, driven, places, n_places)
        return
    charge[chip, row, j] = np.int32(charge[chip, row, j] + np.int64(whole))


@cuda.jit
def add_at(places, added, n_places, charge):
    """Add numbers to places (slot, 4) of `charge`; grid (slot)."""
    n = cuda.grid(1)
    if n < n_places:
        chip, row, j = places[n, 0], places[n, 1], places[n, 2]
        charge[chip, row, j] = np.int32(charge[chip, row, j] + added[n])


def noise_at(
    places: list[list[int]],
    key: NDArray[np.uint64],
    first_step: int,
    first_sample: int,
    steps: int,
    sigma: NDArray[np.float64],
    kick: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the neurons' noise at places (chip, row, output, 0), drawn by this processor."""
    return np.array(
        [
            noise(key[c], first_step + r % steps, first_sample + r // steps, j, sigma[c], kick[c])
            for c, r, j, _ in places
        ],
        np.int64,
    )


def read_noise_at(
    places: list[list[int]],
    key: NDArray[np.uint64],
    first_step: int,
    first_sample: int,
    steps: int,
    unit: float,
    base: NDArray[np.float64],
    worth: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Return the read noise at places (chip, row, output, driven), drawn by this processor."""
    n_positions = base.shape[3]
    found = np.empty(len(places), np.int64)
    for n, (c, r, j, driven) in enumerate(places):
        sample, column = r // steps, j // n_positions
        steady = base[
            c, min(sample, base.shape[1] - 1), min(column, base.shape[2] - 1), j % n_positions
        ]
        variance = (float(driven) * unit + steady) * worth[c, column]
        found[n] = read_noise_of(key[c], first_step + r % steps, first_sample + sample, j, variance)
    return found

"""What spikes bring on a GPU: matrix products of integers, for many chips at once.

Arrays have a chip axis first; spikes that all chips share have one chip. A row is one step of one
sample: ``row = sample * steps + step``. Neighbouring threads have neighbouring outputs, so that
weights are read and charges written side by side.
"""

from __future__ import annotations

import numpy as np
from numba import cuda

from spikeram._kernels.cuda_device import THREADS

# Rows of a block, which share every weight that it reads.
ROWS = 8
# Columns of a thread, which share the spikes that it gathers.
COLUMNS = 8


@cuda.jit
def charge_of_rows(spikes, weight, out):
    """Write the charge of each row's spikes.

    spikes (chip or 1, row, input) int8; weight (chip, input, output) int16; out (chip, row,
    output) int32. A block has `ROWS` rows and an output for each thread: grid (row, output, chip).
    An input that none of the rows brings is passed over, and its weights are not read.
    """
    tile = cuda.shared.array((ROWS, THREADS), np.int8)
    busy = cuda.shared.array(THREADS, np.int8)
    charge = cuda.local.array(ROWS, np.int32)
    chip = cuda.blockIdx.z
    source = min(chip, spikes.shape[0] - 1)
    first = cuda.blockIdx.x * ROWS
    own = cuda.threadIdx.x
    j = cuda.blockIdx.y * THREADS + own
    n_rows, n_inputs, n_outputs = spikes.shape[1], spikes.shape[2], weight.shape[2]
    for r in range(ROWS):
        charge[r] = 0
    for start in range(0, n_inputs, THREADS):
        some = np.int8(0)
        for r in range(ROWS):
            number = np.int8(0)
            if first + r < n_rows and start + own < n_inputs:
                number = spikes[source, first + r, start + own]
            tile[r, own] = number
            some |= number
        busy[own] = some
        cuda.syncthreads()
        if j < n_outputs:
            for i in range(min(THREADS, n_inputs - start)):
                if busy[i] != 0:
                    w = np.int32(weight[chip, start + i, j])
                    for r in range(ROWS):
                        charge[r] += np.int32(tile[r, i]) * w
        cuda.syncthreads()
    if j < n_outputs:
        for r in range(ROWS):
            if first + r < n_rows:
                out[chip, first + r, j] = charge[r]


@cuda.jit
def charge_of_patches(spikes, weight, index, n_tiles, out):
    """Write the charge of each row's spikes at every position of a convolution.

    index (patch, tap, position) int32, -1 for none; weight (chip, patch, column) int16; out (chip,
    row, column * position) int32. A thread has one position and `COLUMNS` columns, of which there
    are `n_tiles`: grid ((chip, tile, row), position).
    """
    charge = cuda.local.array(COLUMNS, np.int32)
    n_rows, n_positions, n_columns = spikes.shape[1], index.shape[2], weight.shape[2]
    row = cuda.blockIdx.x % n_rows
    tile = cuda.blockIdx.x // n_rows % n_tiles
    chip = cuda.blockIdx.x // n_rows // n_tiles
    p = cuda.blockIdx.y * cuda.blockDim.x + cuda.threadIdx.x
    if p >= n_positions:
        return
    source = min(chip, spikes.shape[0] - 1)
    first = tile * COLUMNS
    for c in range(COLUMNS):
        charge[c] = 0
    for patch in range(index.shape[0]):
        number = np.int32(0)
        for tap in range(index.shape[1]):
            i = index[patch, tap, p]
            if i >= 0:
                number += np.int32(spikes[source, row, i])
        if number != 0:
            for c in range(COLUMNS):
                if first + c < n_columns:
                    charge[c] += number * np.int32(weight[chip, patch, first + c])
    for c in range(COLUMNS):
        if first + c < n_columns:
            out[chip, row, (first + c) * n_positions + p] = charge[c]


@cuda.jit
def join(spikes, start, out):
    """Copy spikes (chip or 1, row, input) to their place among the inputs of `out`.

    A thread has one input of one row: grid ((input, row), chip).
    """
    n_rows, width = spikes.shape[1], spikes.shape[2]
    n = cuda.grid(1)
    chip = cuda.blockIdx.y
    if n < n_rows * width:
        row, i = n // width, n % width
        out[chip, row, start + i] = spikes[min(chip, spikes.shape[0] - 1), row, i]


@cuda.jit
def clear(start, width, out):
    """Write zeros into some inputs of `out` (chip, row, input): grid ((input, row), chip)."""
    n = cuda.grid(1)
    if n < out.shape[1] * width:
        out[cuda.blockIdx.y, n // width, start + n % width] = 0

"""The GPU: whether there is one, what is free on it, and arrays that stay there.

``numba.cuda`` is that of the package numba-cuda where it is installed, else the one that Numba
brings. With ``NUMBA_ENABLE_CUDASIM=1`` it is Numba's simulator, which runs kernels as Python.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numba import cuda
from numpy.typing import DTypeLike, NDArray

SIMULATED = bool(numba.config.ENABLE_CUDASIM)

# The simulator makes a thread of the system for each thread of a block.
THREADS = 8 if SIMULATED else 128
"""Threads of a block."""


def is_available() -> bool:
    """Return whether kernels can run: on a GPU, or in the simulator."""
    return bool(SIMULATED or cuda.is_available())


def name() -> str:
    """Return what the GPU is called."""
    if SIMULATED:
        return "Numba's CUDA simulator"
    told = cuda.get_current_device().name
    return told.decode() if isinstance(told, bytes) else str(told)


def free_memory() -> int | None:
    """Return the free memory of the GPU [bytes]; None where the simulator has no bound."""
    free = cuda.current_context().get_memory_info()[0]
    return None if math.isinf(free) else int(free)


def put(array: NDArray[Any]) -> Any:
    """Return a copy of an array on the GPU."""
    return cuda.to_device(np.ascontiguousarray(array))


def room(size: int | tuple[int, ...], dtype: DTypeLike) -> Any:
    """Return room for so many values on the GPU, with nothing in it."""
    return cuda.device_array(size, dtype)


def zeros(shape: int | tuple[int, ...], dtype: DTypeLike) -> Any:
    """Return zeros on the GPU."""
    return cuda.to_device(np.zeros(shape, dtype))


def blocks(n: int) -> int:
    """Return how many blocks hold a thread for each of n things."""
    return max(1, -(-n // THREADS))


def launch(kernel: Any, grid: tuple[int, ...], threads: int = THREADS) -> Any:
    """Return what starts a kernel on a grid of blocks."""
    return kernel[grid, threads]


def view(buffer: Any, shape: tuple[int, ...]) -> Any:
    """Return the first values of a flat array on the GPU as an array of some shape."""
    return buffer[: math.prod(shape)].reshape(shape)

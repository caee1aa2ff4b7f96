"""Arrays of values that do not change."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray


def frozen(values: ArrayLike, dtype: DTypeLike = np.float64) -> NDArray[np.float64]:
    """Return values as an array that nobody can write to.

    An array that others could still write to is copied, a frozen one is passed on.
    """
    array: NDArray[np.float64] = np.asarray(values, dtype=dtype)
    if array.flags.writeable:
        array = array.copy()
        array.flags.writeable = False
    return array

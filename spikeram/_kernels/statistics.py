"""Statistics of spike trains that lie one after the other (CSR), in one pass over the spikes.

Train i is ``t[offsets[i]:offsets[i + 1]]``, ascending.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(nogil=True, cache=True)
def interval_moments(
    t: NDArray[np.float64],
    offsets: NDArray[np.int64],
    n: NDArray[np.int64],
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
) -> None:
    """Write number, mean and population variance of the intervals of each train.

    Welford's recurrence (Technometrics 4, 419, 1962) keeps the variance of nearly equal
    intervals, where a sum of squares would lose it. Without intervals, both are NaN.
    """
    for i in range(offsets.size - 1):
        count = 0
        centre = 0.0
        squares = 0.0
        for k in range(offsets[i] + 1, offsets[i + 1]):
            interval = t[k] - t[k - 1]
            count += 1
            deviation = interval - centre
            centre += deviation / count
            squares += deviation * (interval - centre)
        n[i] = count
        mean[i] = centre if count > 0 else np.nan
        variance[i] = squares / count if count > 0 else np.nan


@numba.njit(nogil=True, cache=True)
def intervals(
    t: NDArray[np.float64],
    offsets: NDArray[np.int64],
    interval: NDArray[np.float64],
    train: NDArray[np.int64],
) -> None:
    """Write all intervals, train after train, and the train that each belongs to."""
    filled = 0
    for i in range(offsets.size - 1):
        for k in range(offsets[i] + 1, offsets[i + 1]):
            interval[filled] = t[k] - t[k - 1]
            train[filled] = i
            filled += 1

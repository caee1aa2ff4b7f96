"""Measures of single spike trains that lie one after the other (CSR), in one pass over the spikes.

Train i is ``t[offsets[i]:offsets[i + 1]]``, ascending.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(nogil=True, cache=True)
def interval_measures(
    t: NDArray[np.float64],
    offsets: NDArray[np.int64],
    refractoriness: float,
    n: NDArray[np.int64],
    n_pairs: NDArray[np.int64],
    values: NDArray[np.float64],
) -> None:
    """Write numbers of intervals and of pairs of them, and six measures of each train.

    values (train, measure) float64: mean, population variance, CV, CV2, LV, LVR of the intervals;
    NaN where there are too few. Two neighbouring intervals of 0 make no pair. Welford's recurrence
    (Technometrics 4, 419, 1962) keeps the variance of nearly equal intervals, where a sum of
    squares would lose it.
    """
    for i in range(offsets.size - 1):
        count = 0
        pairs = 0
        centre = 0.0
        squares = 0.0
        local = 0.0
        absolute = 0.0
        revised = 0.0
        before = 0.0
        for k in range(offsets[i] + 1, offsets[i + 1]):
            interval = t[k] - t[k - 1]
            count += 1
            deviation = interval - centre
            centre += deviation / count
            squares += deviation * (interval - centre)
            total = interval + before
            if count > 1 and total > 0.0:
                pairs += 1
                contrast = (interval - before) / total
                absolute += abs(contrast)
                local += contrast * contrast
                # 1 - 4 a b / (a + b)^2 is the squared contrast.
                revised += contrast * contrast * (1.0 + 4.0 * refractoriness / total)
            before = interval
        n[i] = count
        n_pairs[i] = pairs
        for m in range(6):
            values[i, m] = np.nan
        if count > 0:
            values[i, 0] = centre
            values[i, 1] = squares / count
        if count > 1 and centre > 0.0:
            values[i, 2] = math.sqrt(squares / count) / centre
        if pairs > 0:
            values[i, 3] = 2.0 * absolute / pairs
            values[i, 4] = 3.0 * local / pairs
            values[i, 5] = 3.0 * revised / pairs


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


@numba.njit(nogil=True, cache=True)
def fold_spikes(
    t: NDArray[np.float64],
    train: NDArray[np.int64],
    refractoriness: float,
    last: NDArray[np.float64],
    before: NDArray[np.float64],
    n: NDArray[np.int64],
    n_pairs: NDArray[np.int64],
    sums: NDArray[np.float64],
) -> int:
    """Take up spikes in the order of time, in memory that does not grow with them.

    t (event,) and train (event,): when and in which train; last, before (train,): the last spike
    and the interval before it, NaN for none; n (train,) counts spikes, n_pairs pairs of intervals;
    sums (train, 5): mean and squared deviations of the intervals (Welford), and the sums of CV2,
    LV and LVR. Returns the number of spikes taken up: fewer than there are where one goes back in
    time.
    """
    for k in range(t.size):
        i = train[k]
        n[i] += 1
        if n[i] > 1:
            interval = t[k] - last[i]
            if interval < 0.0:
                n[i] -= 1
                return k
            count = n[i] - 1
            deviation = interval - sums[i, 0]
            sums[i, 0] += deviation / count
            sums[i, 1] += deviation * (interval - sums[i, 0])
            total = interval + before[i]
            if count > 1 and total > 0.0:
                n_pairs[i] += 1
                contrast = (interval - before[i]) / total
                sums[i, 2] += abs(contrast)
                sums[i, 3] += contrast * contrast
                sums[i, 4] += contrast * contrast * (1.0 + 4.0 * refractoriness / total)
            before[i] = interval
        last[i] = t[k]
    return t.size


@numba.njit(nogil=True, cache=True)
def window_counts(
    t: NDArray[np.float64],
    offsets: NDArray[np.int64],
    start: NDArray[np.float64],
    width: float,
    slack: float,
    out: NDArray[np.int32],
) -> None:
    """Count the spikes of each train in bins of `width` from its start; later ones are left out.

    start (train,); slack, in bins, is how little below an edge counts as on it; out (train, bin),
    all zeros.
    """
    for i in range(offsets.size - 1):
        for k in range(offsets[i], offsets[i + 1]):
            bin_ = math.floor((t[k] - start[i]) / width + slack)
            if 0 <= bin_ < out.shape[1]:
                out[i, bin_] += 1


@numba.njit(nogil=True, cache=True)
def add_gaussians(
    t: NDArray[np.float64],
    offsets: NDArray[np.int64],
    group: NDArray[np.int64],
    first: float,
    step: float,
    sigma: float,
    reach: float,
    out: NDArray[np.float64],
) -> None:
    """Add a normal density around each spike to the samples of its train's group.

    group (train,); samples of ``out`` (group, sample) lie at ``first + step * k``; those farther
    than `reach` sigmas from a spike get nothing from it.
    """
    scale = 1.0 / (sigma * math.sqrt(2.0 * math.pi))
    for i in range(offsets.size - 1):
        row = out[group[i]]
        for k in range(offsets[i], offsets[i + 1]):
            place = (t[k] - first) / step
            near = reach * sigma / step
            low = max(0, math.ceil(place - near))
            high = min(row.size - 1, math.floor(place + near))
            for m in range(low, high + 1):
                distance = (m - place) * step / sigma
                row[m] += scale * math.exp(-0.5 * distance * distance)


@numba.njit(nogil=True, cache=True)
def bursts(
    t: NDArray[np.float64],
    offsets: NDArray[np.int64],
    to_begin: NDArray[np.float64],
    to_end: NDArray[np.float64],
    least_gap: float,
    least_duration: float,
    least_spikes: int,
    train: NDArray[np.int64],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
) -> int:
    """Write the bursts of each train, as its number and the places of their ends in `t`.

    A burst begins with an interval below ``to_begin[i]`` and goes on while intervals are at most
    ``to_end[i]``; bursts closer than `least_gap` are one; of these the short ones are dropped.
    Returns the number of bursts; the outputs hold one for every two spikes.
    """
    found = 0
    for i in range(offsets.size - 1):
        of_train = found
        k = offsets[i]
        while k + 1 < offsets[i + 1]:
            if t[k + 1] - t[k] < to_begin[i]:
                start = k
                k += 1
                while k + 1 < offsets[i + 1] and t[k + 1] - t[k] <= to_end[i]:
                    k += 1
                if found > of_train and t[start] - t[last[found - 1]] < least_gap:
                    last[found - 1] = k
                else:
                    train[found] = i
                    first[found] = start
                    last[found] = k
                    found += 1
            k += 1
        kept = of_train
        for b in range(of_train, found):
            long = t[last[b]] - t[first[b]] >= least_duration
            if long and last[b] - first[b] + 1 >= least_spikes:
                train[kept] = i
                first[kept] = first[b]
                last[kept] = last[b]
                kept += 1
        found = kept
    return found
